"""The dearest prices that could come to apply, while some conditions are still open.

Enters: a compiled card and, of its overrides, which must match and which may. Leaves:
`WorstPrices`, remembered by the card. The step that makes this exact and cheap: applying an
override never turns a dearer price into a cheaper one than it makes of a cheaper price, so the
dearest outcome of a sequence follows from the dearest price before each step, and 2ⁿ
combinations need not be tried. Serves Law 1: the hold covers all the request can be charged.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import msgspec

from farebox.tariff.compiled import CompiledCard, WorstPrices, common_denominator, whole
from farebox.tariff.conditions import Possibility, Prospect
from farebox.tariff.decimals import parse_decimal
from farebox.tariff.meters import INPUT_TOKENS, OUTPUT_TOKENS, PARENT, Meter
from farebox.tariff.rate_card import CallPrice


class _Reach(msgspec.Struct, frozen=True):
    """What a price could have become so far."""

    dearest: Fraction | None = None
    """Credits for one unit; None: no price in any case."""
    may_be_missing: bool = True


_MISSING = _Reach()
_CERTAIN, _POSSIBLE = Possibility.CERTAIN, Possibility.POSSIBLE


def worst_prices(card: CompiledCard, prospect: Prospect, input_bound: int) -> WorstPrices:
    """The dearest prices for a request of at most `input_bound` input tokens, of which only the prospect is known."""
    must, may, bit = 0, 0, 1
    for condition in card.conditions:
        possibility = condition.possibility(prospect, input_bound)
        if possibility is _CERTAIN:
            must |= bit
        elif possibility is _POSSIBLE:
            may |= bit
        bit <<= 1
    found = card.worst.get((must, may))
    if found is None:
        found = card.worst[must, may] = _work_out(card, must, may)
    return found


def _work_out(card: CompiledCard, must: int, may: int) -> WorstPrices:
    reach = {meter: _reach_of_meter(card, meter, must, may) for meter in Meter}
    dearest = {meter: _effective(reach, meter) for meter in Meter}
    call = _reach_of_call(card, must, may)
    call_exact = None if call.may_be_missing else call.dearest
    denominator = common_denominator([price for price in (*dearest.values(), call_exact) if price is not None])
    numerators = {meter: whole(price, denominator) for meter, price in dearest.items() if price is not None}
    return WorstPrices(
        denominator=denominator,
        numerators=numerators,
        dearest_input=_dearest_first(numerators, INPUT_TOKENS),
        dearest_output=_dearest_first(numerators, OUTPUT_TOKENS),
        call_numerator=None if call_exact is None else whole(call_exact, denominator),
        input_covered=_input_covered(card, must | may),
    )


def _reach_of_meter(card: CompiledCard, meter: Meter, must: int, may: int) -> _Reach:
    own = card.base_rates.get(meter)
    reach = _MISSING if own is None else _Reach(own.each, may_be_missing=False)
    for place, step in enumerate(card.steps):
        replaced = step.rates.get(meter)
        after = _scaled(reach, step.factor) if replaced is None else _Reach(replaced.each, may_be_missing=False)
        reach = _after(reach, after, must >> place & 1, may >> place & 1)
    return reach


def _reach_of_call(card: CompiledCard, must: int, may: int) -> _Reach:
    reach = _call_reach(card.card.call_price)
    for place, step in enumerate(card.steps):
        after = _scaled(reach, step.factor) if step.call_price is None else _call_reach(step.call_price)
        reach = _after(reach, after, must >> place & 1, may >> place & 1)
    return reach


def _call_reach(call_price: CallPrice | None) -> _Reach:
    return _MISSING if call_price is None else _Reach(parse_decimal(call_price.price), may_be_missing=False)


def _scaled(reach: _Reach, factor: Fraction) -> _Reach:
    return reach if reach.dearest is None else _Reach(reach.dearest * factor, reach.may_be_missing)


def _after(before: _Reach, after: _Reach, must: int, may: int) -> _Reach:
    """One override further: applied, left out, or either."""
    if must:
        return after
    if not may:
        return before
    either = [price for price in (before.dearest, after.dearest) if price is not None]
    return _Reach(max(either, default=None), before.may_be_missing or after.may_be_missing)


def _effective(reach: dict[Meter, _Reach], meter: Meter) -> Fraction | None:
    """The dearest of a meter's own rate and, where that may be missing, its parent's. None: may be unpriced."""
    own, parent = reach[meter], PARENT.get(meter)
    if not own.may_be_missing:
        return own.dearest
    lent = None if parent is None else _effective(reach, parent)
    if lent is None or own.dearest is None:
        return lent
    return max(own.dearest, lent)


def _dearest_first(numerators: dict[Meter, int], meters: Iterable[Meter]) -> tuple[tuple[Meter, int | None], ...]:
    rows = [(meter, numerators.get(meter)) for meter in meters]
    return tuple(sorted(rows, key=lambda row: (row[1] is not None, -(row[1] or 0), row[0].value)))


def _input_covered(card: CompiledCard, reachable: int) -> int | None:
    steps = [step.call_price for place, step in enumerate(card.steps) if reachable >> place & 1]
    prices = [price for price in (card.card.call_price, *steps) if price is not None]
    covered = [price.input_covered for price in prices]
    if None in covered:
        return None
    return max((bound for bound in covered if bound is not None), default=None)
