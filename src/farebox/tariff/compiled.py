"""Rate cards as integers: every price over one denominator, one set of prices per set of matching overrides.

Enters: a readable `RateCard`. Leaves: a `CompiledCard`, which answers "the prices in force for
this usage in these circumstances" from a small cache, so that rating is a few integer
multiplications. The cache only remembers what the card implies: the same question has the same
answer forever (Law 8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from fractions import Fraction
from math import lcm

import msgspec

from farebox.money import NANO_PER_CREDIT
from farebox.tariff.conditions import Circumstances, Condition
from farebox.tariff.decimals import format_decimal, parse_decimal
from farebox.tariff.meters import INPUT_TOKENS, PARENT, Meter, Usage
from farebox.tariff.rate_card import CallPrice, CallUnit, ExactRate, Override, RateCard, exact_rates


class Method(StrEnum):
    """How a request is charged: by what its meters counted, or by the call price."""

    TOKENS = "token"
    CALL = "call"


class Unpriced(msgspec.Struct, frozen=True):
    """Law 10: something has no price, so the call is refused."""

    meter: Meter | None
    """The meter without a rate; None: no call price, or no price at all."""


class Prices(msgspec.Struct, frozen=True):
    """The prices in force for one set of matching overrides."""

    denominator: int
    numerators: dict[Meter, int]
    """Nanocredits × denominator for one unit of each priced meter, inherited rates included."""
    written: dict[Meter, tuple[str, int]]
    """The same as exact decimal credits and the number of units they are for: what lines show."""
    call_numerator: int | None
    """Nanocredits × denominator for one unit of a call; None: no call price."""
    call_written: str
    call_unit: CallUnit | None


class WorstPrices(msgspec.Struct, frozen=True):
    """The dearest each meter can be, over every set of overrides that could match."""

    denominator: int
    numerators: dict[Meter, int]
    """A meter that may turn out to have no price is not among them."""
    dearest_input: tuple[tuple[Meter, int | None], ...]
    """The input meters, dearest first; before them those that may have no price, as None."""
    dearest_output: tuple[tuple[Meter, int | None], ...]
    call_numerator: int | None
    """None: there may be no call price."""
    input_covered: int | None
    """The most input that a call price in reach covers; None: any."""


class Step(msgspec.Struct, frozen=True):
    """An override, made exact."""

    factor: Fraction
    rates: dict[Meter, ExactRate]
    call_price: CallPrice | None


class CompiledCard:
    """A rate card ready for the path of a request."""

    __slots__ = (
        "_by_matches",
        "_sums_input",
        "base_rates",
        "card",
        "conditions",
        "id",
        "methods",
        "plain",
        "steps",
        "worst",
    )

    def __init__(self, card: RateCard, card_id: str) -> None:
        self.id = card_id
        """The version of the card, stored with each charge."""
        self.card = card
        self.base_rates = exact_rates(card.rates)
        self.steps = tuple(map(_step, card.overrides))
        self.conditions = tuple(Condition(override.when) for override in card.overrides)
        self._sums_input = any(condition.input_above is not None for condition in self.conditions)
        self._by_matches: dict[int, Prices] = {}
        self.methods = _methods(card)
        """How the model can be charged at all; empty: it has no price."""
        self.plain = self._resolve(0)
        """The prices when no override matches."""
        self.worst: dict[tuple[int, int], WorstPrices] = {}
        """Memo of `worst_case`: by the overrides that must match, and those that may."""

    def prices(self, usage: Usage, circumstances: Circumstances) -> Prices:
        """The prices in force; later matching overrides win, meter by meter."""
        if not self.conditions:
            return self.plain
        total = 0
        if self._sums_input:
            for meter, quantity in usage.items():
                if meter in INPUT_TOKENS:
                    total += quantity
        matches, bit = 0, 1
        for condition in self.conditions:
            if condition.matches(circumstances, total):
                matches |= bit
            bit <<= 1
        found = self._by_matches.get(matches)
        return self._resolve(matches) if found is None else found

    def _resolve(self, matches: int) -> Prices:
        rates, call_price, call_exact = dict(self.base_rates), self.card.call_price, _call_exact(self.card.call_price)
        for place, step in enumerate(self.steps):
            if matches >> place & 1:
                rates = {meter: rate.times(step.factor) for meter, rate in rates.items()} | step.rates
                call_exact = None if call_exact is None else call_exact * step.factor
                if step.call_price is not None:
                    call_price, call_exact = step.call_price, _call_exact(step.call_price)
        prices = self._by_matches[matches] = _prices(inherited(rates), call_price, call_exact)
        return prices


def compile_card(card: RateCard, card_id: str) -> CompiledCard:
    """Make a card ready for use. `card_id` names this version of it, forever."""
    return CompiledCard(card, card_id)


def inherited(rates: Mapping[Meter, ExactRate]) -> dict[Meter, ExactRate]:
    """Every priced meter with its own rate or the nearest ancestor's."""
    found: dict[Meter, ExactRate] = {}
    for meter in Meter:
        source: Meter | None = meter
        while source is not None and source not in rates:
            source = PARENT.get(source)
        if source is not None:
            found[meter] = rates[source]
    return found


def common_denominator(prices: Iterable[Fraction]) -> int:
    """The least integer that makes every one of these prices, in credits, a whole number of nanocredits."""
    return lcm(*[(price * NANO_PER_CREDIT).denominator for price in prices])


def whole(price: Fraction, denominator: int) -> int:
    """A price in credits as nanocredits × `denominator`, exactly."""
    return int(price * NANO_PER_CREDIT * denominator)


def _prices(rates: Mapping[Meter, ExactRate], call_price: CallPrice | None, call_exact: Fraction | None) -> Prices:
    each = {meter: rate.each for meter, rate in rates.items()}
    denominator = common_denominator([*each.values(), call_exact or Fraction(0)])
    return Prices(
        denominator=denominator,
        numerators={meter: whole(price, denominator) for meter, price in each.items()},
        written={meter: (format_decimal(rate.price), rate.per) for meter, rate in rates.items()},
        call_numerator=None if call_exact is None else whole(call_exact, denominator),
        call_written="" if call_exact is None else format_decimal(call_exact),
        call_unit=None if call_price is None else call_price.unit,
    )


def _call_exact(call_price: CallPrice | None) -> Fraction | None:
    return None if call_price is None else parse_decimal(call_price.price)


def _step(override: Override) -> Step:
    factor = Fraction(1) if override.multiply is None else parse_decimal(override.multiply)
    return Step(factor, exact_rates(override.rates), override.call_price)


def _methods(card: RateCard) -> frozenset[Method]:
    metered = bool(card.rates) or any(override.rates for override in card.overrides)
    called = card.call_price is not None or any(override.call_price for override in card.overrides)
    return frozenset(method for method, offered in ((Method.TOKENS, metered), (Method.CALL, called)) if offered)
