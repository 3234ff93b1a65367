"""Rating: usage and prices become a charge, rounded once, half-even, to a nanocredit.

Enters: a compiled card, and what was used under which circumstances (`Basis`). Leaves: a
`Charge` with lines that carry exact prices, or `Unpriced`. Keeps Law 8 twice over: a stored
charge recomputes from its card version (`recompute`) and, without any card, from its own
lines (`recompute_from_lines`). Never rounds a line.
"""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

import msgspec

from farebox.money import NANO_PER_CREDIT, Nano, round_half_even
from farebox.tariff.compiled import CompiledCard, Method, Prices, Unpriced
from farebox.tariff.conditions import Circumstances
from farebox.tariff.decimals import format_decimal, parse_decimal, stored_decimal
from farebox.tariff.meters import NO_USAGE, Meter, Usage
from farebox.tariff.rate_card import CallUnit


class MultiplierKind(StrEnum):
    TIER_DISCOUNT = "tier_discount"
    GROUP = "group"
    CONTRACT = "contract"
    PROMOTION = "promotion"


class Multiplier(msgspec.Struct, frozen=True):
    """A named factor on a whole charge, such as 0.9 for a tier. Zero must be written as zero."""

    kind: MultiplierKind
    name: str
    factor: str

    def __post_init__(self) -> None:
        parse_decimal(self.factor)


class Factor(msgspec.Struct, frozen=True, gc=False):
    """The product of multipliers, exact; work it out once per account and offer with `combine`."""

    numerator: int = 1
    denominator: int = 1
    text: str = "1"


ONE = Factor()
_BY_TOKENS = Method.TOKENS


class UsageSource(StrEnum):
    """Where usage came from."""

    PROVIDER = "provider"
    COUNTED = "counted"
    """Counted by us, because the provider reported none, or none that can be."""


class Basis(msgspec.Struct, frozen=True):
    """All that a charge follows from, beside its card version. Stored with it."""

    method: Method
    circumstances: Circumstances
    usage: Usage = NO_USAGE
    usage_source: UsageSource = UsageSource.PROVIDER
    units: int = 0
    """Units of the call price delivered: calls, images, clips. 0 where charged by meter."""
    multipliers: tuple[Multiplier, ...] = ()
    offer: str = ""
    """The offer that served."""
    at_most: Nano | None = None
    """A ceiling: what was held, where credits ran out; 0, where policy charges nothing for what was used."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One priced meter: credits = quantity ÷ per × price × multiplier, exactly, from these four alone."""

    meter: Meter
    quantity: int
    price: str
    per: int
    """In units of `quantity`: 1000 for a price per second, since seconds are counted in milliseconds."""
    multiplier: str
    unit: CallUnit | None = None
    """What was called for, where the line is a call price."""


class Charge(msgspec.Struct, frozen=True):
    """What a request costs the customer, with everything needed to work it out again."""

    amount: Nano
    card_id: str
    basis: Basis
    lines: tuple[Line, ...]
    upstream_cost: Nano | None = None
    """What we pay for the same work by the offer's cost card; None: not known."""


def amount_of(
    card: CompiledCard, *, usage: Usage, circumstances: Circumstances, factor: Factor = ONE
) -> Nano | Unpriced:
    """The charge by meter, without its lines. A meter counted 0 needs no price."""
    return _by_meter(card.prices(usage, circumstances), usage, factor)


def call_amount_of(
    card: CompiledCard, *, units: int, circumstances: Circumstances, usage: Usage = NO_USAGE, factor: Factor = ONE
) -> Nano | Unpriced:
    """The charge by call price for `units` of what was asked. `usage` only decides conditions on input."""
    return _by_call(card.prices(usage, circumstances), units, factor)


def rate(card: CompiledCard, basis: Basis) -> Charge | Unpriced:
    """Work out a charge with its lines.

    The sum over lines of quantity × rate × multipliers is exact, then rounded half-even to a
    nanocredit, then held to `basis.at_most`.
    """
    factor = combine(basis.multipliers) if basis.multipliers else ONE
    prices = card.prices(basis.usage, basis.circumstances)
    amount = _amount(prices, basis, factor)
    if isinstance(amount, Unpriced):
        return amount
    return Charge(amount, card.id, basis, _lines(prices, basis, factor.text))


@lru_cache(maxsize=4096)
def combine(multipliers: tuple[Multiplier, ...]) -> Factor:
    """The exact product of multipliers."""
    product = Fraction(1)
    for multiplier in multipliers:
        product *= parse_decimal(multiplier.factor)
    return Factor(product.numerator, product.denominator, format_decimal(product))


def recompute(charge: Charge, card: CompiledCard) -> Nano | Unpriced:
    """The amount a stored charge must have, from its basis and the card version it names."""
    basis = charge.basis
    return _amount(card.prices(basis.usage, basis.circumstances), basis, combine(basis.multipliers))


def recompute_from_lines(charge: Charge) -> Nano:
    """The amount a stored charge must have, from its own lines."""
    exact = sum((exact_amount(line) for line in charge.lines), Fraction(0)) * NANO_PER_CREDIT
    return _within(Nano(round_half_even(exact.numerator, exact.denominator)), charge.basis.at_most)


def exact_amount(line: Line) -> Fraction:
    """The credits of a line, before any rounding."""
    return line.quantity * stored_decimal(line.price) * stored_decimal(line.multiplier) / line.per


def encode_charge(charge: Charge) -> bytes:
    """A charge as JSON, for the books."""
    return _encoder.encode(charge)


def decode_charge(stored: bytes | str) -> Charge:
    """Read a stored charge back. Raises `msgspec.ValidationError` if it is none."""
    return _decoder.decode(stored)


def _amount(prices: Prices, basis: Basis, factor: Factor) -> Nano | Unpriced:
    if basis.method is _BY_TOKENS:
        amount = _by_meter(prices, basis.usage, factor)
    else:
        amount = _by_call(prices, basis.units, factor)
    return amount if isinstance(amount, Unpriced) else _within(amount, basis.at_most)


def _by_meter(prices: Prices, usage: Usage, factor: Factor) -> Nano | Unpriced:
    numerators = prices.numerators
    total = 0
    for meter, quantity in usage.items():
        if quantity:
            if meter not in numerators:
                return Unpriced(meter)
            total += quantity * numerators[meter]
    return Nano(round_half_even(total * factor.numerator, prices.denominator * factor.denominator))


def _by_call(prices: Prices, units: int, factor: Factor) -> Nano | Unpriced:
    if prices.call_numerator is None:
        return Unpriced(None)
    total = units * prices.call_numerator * factor.numerator
    return Nano(round_half_even(total, prices.denominator * factor.denominator))


def _within(amount: Nano, at_most: Nano | None) -> Nano:
    return amount if at_most is None or amount <= at_most else at_most


def _lines(prices: Prices, basis: Basis, multiplier: str) -> tuple[Line, ...]:
    if basis.method is not _BY_TOKENS:
        return (Line(Meter.CALLS, basis.units, prices.call_written, 1, multiplier, prices.call_unit),)
    lines: list[Line] = []
    for meter, quantity in basis.usage.items():
        if quantity:
            price, per = prices.written[meter]
            lines.append(Line(meter, quantity, price, per, multiplier))
    return tuple(lines)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Charge)
