"""Rating: exact sums, one rounding, and Law 8 from stored data alone."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pure.tariff import cards

from farebox.money import NANO_PER_CREDIT, Nano
from farebox.tariff.compiled import CompiledCard, Method, Unpriced, compile_card
from farebox.tariff.conditions import Circumstances
from farebox.tariff.decimals import parse_decimal
from farebox.tariff.meters import PARENT, SUBUNITS, Meter, Usage, default_per, input_tokens
from farebox.tariff.rate import (
    Basis,
    Charge,
    Factor,
    Line,
    Multiplier,
    MultiplierKind,
    amount_of,
    combine,
    decode_charge,
    encode_charge,
    exact_amount,
    rate,
    recompute,
    recompute_from_lines,
)
from farebox.tariff.rate_card import CallUnit, Rate

NOW = Circumstances(at_us=1_700_000_000_000_000)
GPT_4O = {"rates": {"input": "5", "output": "15", "cached_input": "2.50"}}


def charged(card: CompiledCard, method: Method = Method.TOKENS, **basis: Any) -> Charge:
    charge = rate(card, Basis(method, basis.pop("circumstances", NOW), **basis))
    assert isinstance(charge, Charge), charge
    return charge


def naive_amount(card: CompiledCard, usage: Usage, served: Circumstances, factor: Fraction) -> int | None:
    """The same rules, word by word: apply the matching overrides, look prices up, add fractions."""
    prices: dict[Meter, Fraction] = {}

    def put(rates: Any) -> None:
        for meter, written in rates.items():
            price, per = (written.price, written.per) if isinstance(written, Rate) else (written, None)
            per = per or default_per(meter)
            prices[meter] = parse_decimal(price) / per / SUBUNITS.get(meter, 1)

    put(card.card.rates)
    for condition, override in zip(card.conditions, card.card.overrides, strict=True):
        if condition.matches(served, input_tokens(usage)):
            for meter in prices:
                prices[meter] *= parse_decimal(override.multiply or "1")
            put(override.rates)
    total = Fraction(0)
    for meter, quantity in usage.items():
        while quantity and meter not in prices:
            if meter not in PARENT:
                return None
            meter = PARENT[meter]
        total += quantity * prices.get(meter, 0)
    return round(total * factor * NANO_PER_CREDIT)


@settings(max_examples=200, deadline=None)
@given(cards.cases())
def test_rating_equals_the_naive_sum_of_fractions(case: cards.Case) -> None:
    factor = combine(case.multipliers)
    expected = naive_amount(case.card, case.usage, case.served, Fraction(factor.numerator, factor.denominator))
    found = amount_of(case.card, usage=case.usage, circumstances=case.served, factor=factor)
    assert (None if isinstance(found, Unpriced) else found) == expected


@settings(max_examples=200, deadline=None)
@given(cards.cases(), st.sampled_from(Method), st.sampled_from([None, Nano(0), Nano(1_000_000)]), st.integers(0, 5))
def test_law_8_a_stored_charge_recomputes_from_its_card_and_from_its_lines(
    case: cards.Case, method: Method, ceiling: Nano | None, units: int
) -> None:
    basis = Basis(method, case.served, case.usage, units=units, multipliers=case.multipliers, at_most=ceiling)
    charge = rate(case.card, basis)
    if isinstance(charge, Unpriced):
        return
    stored = decode_charge(encode_charge(charge))
    assert stored == charge
    assert recompute_from_lines(stored) == charge.amount
    assert recompute(stored, compile_card(case.card.card, stored.card_id)) == charge.amount


@pytest.mark.parametrize(
    ("usage", "amount"),
    [
        ({Meter.INPUT: 1_000_000}, 5_000_000_000),
        ({Meter.INPUT: 12, Meter.OUTPUT: 25}, 435_000),
        ({Meter.INPUT: 2, Meter.CACHED_INPUT: 10, Meter.OUTPUT: 1}, 50_000),
        ({Meter.REASONING: 100, Meter.OUTPUT: 20}, 1_800_000),
        ({Meter.CACHE_WRITE_1H: 7}, 35_000),
        ({Meter.INPUT: 0, Meter.SEARCHES: 0}, 0),
        ({}, 0),
    ],
)
def test_tokens_are_charged_to_the_nanocredit(usage: dict[Meter, int], amount: int) -> None:
    assert charged(cards.card_of(GPT_4O), usage=Usage(usage)).amount == amount


def test_d33_small_amounts_have_no_floor_and_twenty_thousand_tokens_are_not_one() -> None:
    tiny = cards.card_of({"rates": {"input": "0.02"}})
    assert charged(tiny, usage=Usage({Meter.INPUT: 1})).amount == 20
    assert charged(tiny, usage=Usage({Meter.INPUT: 20_000})).amount == 400_000


def test_d34_a_charge_of_a_billion_credits_is_exact() -> None:
    card = cards.card_of({"rates": {"input": {"price": "1", "per": 1}}})
    assert charged(card, usage=Usage({Meter.INPUT: 10**9})).amount == 10**18


@pytest.mark.parametrize(("quantity", "amount"), [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)])
def test_half_a_nanocredit_goes_to_the_even_neighbour(quantity: int, amount: int) -> None:
    card = cards.card_of({"rates": {"input": "0.0005"}})
    assert charged(card, usage=Usage({Meter.INPUT: quantity})).amount == amount


def test_the_sum_is_rounded_once_and_not_line_by_line() -> None:
    card = cards.card_of({"rates": {"input": "0.0004", "output": "0.0004"}})
    assert charged(card, usage=Usage({Meter.INPUT: 1, Meter.OUTPUT: 1})).amount == 1


def test_a_meter_without_rate_and_parent_makes_the_usage_unpriced() -> None:
    basis = Basis(Method.TOKENS, NOW, Usage({Meter.INPUT: 1, Meter.SEARCHES: 1}))
    assert rate(cards.card_of(GPT_4O), basis) == Unpriced(Meter.SEARCHES)
    assert rate(cards.card_of(GPT_4O), Basis(Method.CALL, NOW, units=1)) == Unpriced(None)


def test_seconds_are_counted_in_milliseconds_and_priced_by_the_second() -> None:
    charge = charged(cards.card_of({"rates": {"video_seconds": "0.10"}}), usage=Usage({Meter.VIDEO_SECONDS: 8_500}))
    assert charge.amount == 850_000_000
    assert charge.lines == (Line(Meter.VIDEO_SECONDS, 8_500, "0.1", 1000, "1"),)


def test_d29_every_image_of_a_call_is_charged() -> None:
    flux = cards.card_of({"call_price": {"price": "0.04", "unit": "image"}})
    charge = charged(flux, Method.CALL, units=8)
    assert charge.amount == 320_000_000
    assert charge.lines == (Line(Meter.CALLS, 8, "0.04", 1, "1", CallUnit.IMAGE),)


def test_d37_each_tool_has_a_line_of_its_own() -> None:
    card = cards.card_of({"rates": {"input": "1", "output": "2", "searches": "0.01", "tool_calls": "0.003"}})
    charge = charged(card, usage=Usage({Meter.INPUT: 1000, Meter.SEARCHES: 2, Meter.TOOL_CALLS: 1}))
    assert [line.meter for line in charge.lines] == [Meter.INPUT, Meter.SEARCHES, Meter.TOOL_CALLS]
    assert charge.amount == 1_000_000 + 20_000_000 + 3_000_000


def test_multipliers_multiply_and_stand_on_every_line() -> None:
    tier = Multiplier(MultiplierKind.TIER_DISCOUNT, "pro", "0.9")
    promotion = Multiplier(MultiplierKind.PROMOTION, "spring", "0.5")
    charge = charged(cards.card_of(GPT_4O), usage=Usage({Meter.INPUT: 1000}), multipliers=(tier, promotion))
    assert charge.amount == 2_250_000
    assert charge.lines[0].multiplier == "0.45"
    assert exact_amount(charge.lines[0]) == Fraction(225, 100_000)
    assert combine(()) == Factor()


def test_a_waived_charge_keeps_what_was_used_and_charges_nothing() -> None:
    charge = charged(cards.card_of(GPT_4O), usage=Usage({Meter.INPUT: 1000}), at_most=Nano(0))
    assert (charge.amount, recompute_from_lines(charge)) == (0, 0)
    assert charge.lines[0].quantity == 1000


DEEPSEEK = cards.card_of(
    {
        "rates": {"input": "0.27", "cached_input": "0.07", "output": "1.10"},
        "overrides": [
            {"when": {"utc_window": "16:30-00:30"}, "multiply": "0.5"},
            {"when": {"utc_window": "16:30-00:30", "batch": True}, "rates": {"output": "0.20"}},
        ],
    }
)
MINUTE_US = 60_000_000


@pytest.mark.parametrize(
    ("minute_of_day", "batch", "million_output"),
    [
        (16 * 60 + 29, False, "1.10"),
        (16 * 60 + 30, False, "0.55"),
        (0, False, "0.55"),
        (29, False, "0.55"),
        (30, False, "1.10"),
        (30, True, "1.10"),
        (17 * 60, True, "0.20"),
    ],
)
def test_a_window_may_pass_midnight_and_later_matches_win(minute_of_day: int, batch: bool, million_output: str) -> None:
    served = Circumstances(at_us=20 * 24 * 60 * MINUTE_US + minute_of_day * MINUTE_US, batch=batch)
    charge = charged(DEEPSEEK, usage=Usage({Meter.OUTPUT: 1_000_000}), circumstances=served)
    assert charge.amount == parse_decimal(million_output) * NANO_PER_CREDIT


def test_the_whole_request_moves_above_the_threshold() -> None:
    card = cards.card_of(
        {
            "rates": {"input": "1.25", "output": "10", "cached_input": "0.125"},
            "overrides": [{"when": {"input_above": 200_000}, "rates": {"input": "2.50", "output": "15"}}],
        }
    )
    at = charged(card, usage=Usage({Meter.INPUT: 150_000, Meter.CACHED_INPUT: 50_000, Meter.OUTPUT: 10}))
    above = charged(card, usage=Usage({Meter.INPUT: 150_000, Meter.CACHED_INPUT: 50_001, Meter.OUTPUT: 10}))
    assert at.amount == 187_500_000 + 6_250_000 + 100_000
    assert above.amount == 375_000_000 + 6_250_125 + 150_000


def test_a_later_factor_scales_what_earlier_overrides_set() -> None:
    card = cards.card_of(
        {
            "rates": {"input": "1"},
            "overrides": [
                {"when": {"input_above": 10}, "rates": {"input": "4"}},
                {"when": {"batch": True}, "multiply": "0.5"},
            ],
        }
    )
    batch = Circumstances(at_us=0, batch=True)
    assert charged(card, usage=Usage({Meter.INPUT: 11}), circumstances=batch).amount == 22_000
