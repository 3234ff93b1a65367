"""Credits as integer nanocredits: exact decimals in, exact decimals out, one rounding.

Everything inside Farebox counts in nanocredits (10⁻⁹ credit) as plain `int`; everything
outside sees decimal strings. No float enters or leaves. Keeps Laws 7 and 8 possible.
"""

from __future__ import annotations

import re
from typing import NewType

Nano = NewType("Nano", int)
"""An amount in nanocredits. May be negative only where a docstring says so."""

NANO_PER_CREDIT = 1_000_000_000
DECIMAL_PLACES = 9
MAX_NANO = Nano(2**63 - 1)
"""The largest amount the books hold (a PostgreSQL BIGINT): about 9.2 billion credits."""

_DECIMAL = re.compile(r"(-?)([0-9]{1,10})(?:\.([0-9]{1,9}))?", re.ASCII)


class AmountError(ValueError):
    """The text is no amount of credits: not a plain decimal, too fine or too large."""


def parse_credits(text: str) -> Nano:
    """Read a decimal string of credits, such as `"1.25"`, exactly.

    Refuses exponents, signs other than a leading minus, blanks, more than nine decimal
    places and anything beyond `MAX_NANO`, with `AmountError`. Never rounds.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise AmountError(f"{text[:40]!r} is not an amount of credits like 12 or 0.25 (at most nine decimals)")
    sign, whole, fraction = match.groups()
    amount = int(whole) * NANO_PER_CREDIT + int((fraction or "").ljust(DECIMAL_PLACES, "0"))
    if amount > MAX_NANO:
        raise AmountError(f"{text} credits is more than the books can hold")
    return Nano(-amount if sign else amount)


def parse_positive_credits(text: str) -> Nano:
    """As `parse_credits`, but zero and negative amounts are refused too."""
    amount = parse_credits(text)
    if amount <= 0:
        raise AmountError(f"{text} is not more than zero")
    return amount


def format_credits(amount: int) -> str:
    """Write nanocredits as the shortest exact decimal string: `"0"`, `"1.25"`, `"-0.000000001"`."""
    whole, fraction = divmod(abs(amount), NANO_PER_CREDIT)
    sign = "-" if amount < 0 else ""
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:09d}".rstrip("0")


def round_half_even(numerator: int, denominator: int) -> int:
    """The integer nearest to `numerator / denominator`, ties to even. The only rounding of a charge.

    `denominator` must be positive.
    """
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def round_up(numerator: int, denominator: int) -> int:
    """The smallest integer not below `numerator / denominator`: how holds are rounded."""
    return -(-numerator // denominator)
