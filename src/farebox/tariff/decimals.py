"""Exact decimals of prices and factors: text in, `Fraction` inside, text out. No rounding anywhere.

A price is finer than a nanocredit may be (0.0375 credits per million tokens is 0.0375
microcredits each), so it stays a rational number until a charge is rounded, once, in `rate`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_DECIMAL = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,12})?", re.ASCII)


class PriceError(ValueError):
    """The text is no price or factor: only plain, non-negative decimals are."""


@lru_cache(maxsize=4096)
def parse_decimal(text: str) -> Fraction:
    """Read a price or factor such as `"2.50"`, exactly.

    Refuses signs (d18), exponents, blanks, NaN, more than ten digits before or twelve after the
    point, with `PriceError`.
    """
    if _DECIMAL.fullmatch(text) is None:
        raise PriceError(f"{text[:40]!r} is not a price like 2.50: digits, at most twelve after the point, no sign")
    return Fraction(text)


def parse_positive_decimal(text: str) -> Fraction:
    """As `parse_decimal`, but zero is refused too."""
    value = parse_decimal(text)
    if not value:
        raise PriceError("a factor of zero hides a price: write the price as zero instead")
    return value


@lru_cache(maxsize=4096)
def stored_decimal(text: str) -> Fraction:
    """Read back what `format_decimal` wrote, however many places it has: products have more than prices."""
    return Fraction(text)


def format_decimal(value: Fraction) -> str:
    """Write an exact decimal, shortest form: `"2.5"`, `"0"`.

    Raises `PriceError` for a value with no finite decimal form, such as 1/3.
    """
    places = _decimal_places(value.denominator)
    whole, rest = divmod(value.numerator * 10**places // value.denominator, 10**places)
    return f"{whole}.{rest:0{places}d}" if places else str(whole)


def _decimal_places(denominator: int) -> int:
    """The fewest places that write a fraction over `denominator` exactly."""
    twos = fives = 0
    while denominator % 2 == 0:
        denominator //= 2
        twos += 1
    while denominator % 5 == 0:
        denominator //= 5
        fives += 1
    if denominator != 1:
        raise PriceError("not a finite decimal")
    return max(twos, fives)
