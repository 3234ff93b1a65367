"""Law 1, d06 and d07: whatever the card, the usage and the circumstances, the hold covers the charge."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pure.tariff import cards

from farebox.money import Nano
from farebox.tariff.compiled import CompiledCard, Method, Unpriced
from farebox.tariff.conditions import Circumstances, Prospect
from farebox.tariff.estimate import TEXT_ONLY, Bounds, Estimate, NotCovered, dearest, estimate, likely
from farebox.tariff.meters import Meter, output_tokens
from farebox.tariff.rate import amount_of, call_amount_of, combine

OPEN = Prospect()
EXAMPLES = settings(max_examples=200, deadline=None)


def estimated(card: CompiledCard, bounds: Bounds, prospect: Prospect = OPEN, **more: Any) -> Estimate:
    found = estimate(card, method=more.pop("method", Method.TOKENS), prospect=prospect, bounds=bounds, **more)
    assert isinstance(found, Estimate), found
    return found


@EXAMPLES
@given(cards.cases())
def test_d06_d07_the_hold_covers_every_charge_by_meter(case: cards.Case) -> None:
    factor = combine(case.multipliers)
    charge = amount_of(case.card, usage=case.usage, circumstances=case.served, factor=factor)
    found = estimate(case.card, method=Method.TOKENS, prospect=case.prospect, bounds=case.bounds, factor=factor)
    if isinstance(charge, Unpriced):
        assert isinstance(found, Unpriced), "a request that ends unpriced must be refused beforehand (Law 10)"
    if isinstance(found, Estimate):
        assert not isinstance(charge, Unpriced)
        assert charge <= found.price(output_tokens(case.usage)) <= found.worst


@EXAMPLES
@given(cards.cases(), st.integers(1, 10))
def test_d06_the_hold_covers_every_charge_by_call(case: cards.Case, units: int) -> None:
    card, factor = case.card, combine(case.multipliers)
    charge = call_amount_of(card, units=units, circumstances=case.served, usage=case.usage, factor=factor)
    bounds = Bounds(input_tokens=case.bounds.input_tokens, units=units)
    found = estimate(card, method=Method.CALL, prospect=case.prospect, bounds=bounds, factor=factor)
    if isinstance(charge, Unpriced):
        assert isinstance(found, Unpriced)
    if isinstance(found, Estimate):
        assert not isinstance(charge, Unpriced)
        assert charge <= found.worst


@EXAMPLES
@given(cards.cases(), st.integers(0, 10**8).map(Nano))
def test_the_output_within_an_amount_is_the_most_it_pays_for(case: cards.Case, amount: Nano) -> None:
    found = estimate(case.card, method=Method.TOKENS, prospect=case.prospect, bounds=case.bounds)
    if not isinstance(found, Estimate):
        return
    output = found.output_tokens_within(amount)
    if output is None:
        assert found.price(0) > amount
    else:
        assert found.price(output) <= amount
        assert output == found.largest_output or found.price(output + 1) > amount


@EXAMPLES
@given(st.lists(cards.cards, min_size=2, max_size=3), st.integers(0, 9000), st.integers(0, 9000))
def test_the_dearest_of_several_offers_is_above_each(offers: list[CompiledCard], into: int, out: int) -> None:
    bounds = Bounds(input_tokens=into, output_max=out)
    lines = [estimate(card, method=Method.TOKENS, prospect=Prospect(), bounds=bounds) for card in offers]
    priced = [line for line in lines if isinstance(line, Estimate)]
    if priced:
        above = dearest(*priced)
        assert all(above.price(output) >= line.price(output) for line in priced for output in (0, 1, out))


CLAUDE = cards.card_of(
    {
        "rates": {
            "input": "3",
            "cached_input": "0.30",
            "cache_write_5m": "3.75",
            "cache_write_1h": "6",
            "output": "15",
        },
        "overrides": [
            {"when": {"input_above": 200_000}, "rates": {"input": "6", "output": "22.50"}},
            {"when": {"service_tier": "priority"}, "multiply": "2"},
            {"when": {"batch": True}, "multiply": "0.5"},
        ],
    }
)
STANDARD = Prospect(service_tiers=frozenset({"standard", None}))


def test_d06_input_is_held_at_the_cache_write_rate_unless_writes_are_ruled_out() -> None:
    million = Bounds(input_tokens=100_000)
    assert estimated(CLAUDE, million, STANDARD).worst == 600_000_000
    no_hour = Bounds(input_tokens=100_000, at_most={Meter.CACHE_WRITE_1H: 0})
    assert estimated(CLAUDE, no_hour, STANDARD).worst == 375_000_000


def test_d06_a_priority_request_is_held_at_priority_rates() -> None:
    open_tier = Prospect(service_tiers=frozenset({"priority", "standard"}))
    out = Bounds(output_max=1000)
    assert estimated(CLAUDE, out, open_tier).worst == 2 * estimated(CLAUDE, out, STANDARD).worst


def test_d06_a_long_prompt_is_held_at_long_context_rates() -> None:
    short = Bounds(input_tokens=200_000, output_max=1000, at_most={Meter.CACHE_WRITE_1H: 0, Meter.CACHE_WRITE_5M: 0})
    longer = Bounds(input_tokens=200_001, output_max=1000, at_most=short.at_most)
    assert estimated(CLAUDE, short, STANDARD).worst == 600_000_000 + 15_000_000
    assert estimated(CLAUDE, longer, STANDARD).worst == 1_200_006_000 + 22_500_000


def test_a_batch_is_held_at_batch_rates_because_it_is_certain() -> None:
    batch = Prospect(batch=True, service_tiers=frozenset({None}))
    assert estimated(CLAUDE, Bounds(output_max=1000), batch).worst == 7_500_000


def test_d07_without_an_output_limit_the_whole_output_of_every_choice_is_held() -> None:
    found = estimated(CLAUDE, Bounds(input_tokens=10, output_max=8192, choices=3, at_most=TEXT_ONLY), STANDARD)
    assert (found.output_limit, found.output_max, found.largest_output) == (None, 24_576, 24_576)
    limited = estimated(CLAUDE, Bounds(input_tokens=10, output_limit=100, output_max=8192, choices=3), STANDARD)
    assert (limited.output_limit, limited.output_max) == (300, 24_576)
    assert limited.worst == limited.price(300)


AUDIO = cards.card_of({"rates": {"input": "2.50", "output": "10", "input_audio": "40", "output_audio": "80"}})


def test_audio_is_held_only_as_far_as_its_bound_reaches() -> None:
    assert estimated(AUDIO, Bounds(input_tokens=1000, at_most=TEXT_ONLY)).worst == 2_500_000
    some = Bounds(input_tokens=1000, at_most={Meter.INPUT_AUDIO: 100, Meter.CACHED_AUDIO: 0})
    assert estimated(AUDIO, some).worst == 100 * 40_000 + 900 * 2_500
    assert estimated(AUDIO, Bounds(input_tokens=1000)).worst == 40_000_000


def test_bounded_audio_output_lies_on_top_of_the_text_line() -> None:
    found = estimated(AUDIO, Bounds(output_max=1000, at_most={Meter.OUTPUT_AUDIO: 10}))
    assert found.price(0) == 10 * 70_000
    assert found.price(1000) == 1000 * 10_000 + 10 * 70_000


def test_law_10_a_meter_that_could_be_counted_and_has_no_price_refuses_beforehand() -> None:
    searching = Bounds(input_tokens=1, at_most={Meter.SEARCHES: 2})
    assert estimate(AUDIO, method=Method.TOKENS, prospect=Prospect(), bounds=searching) == Unpriced(Meter.SEARCHES)
    embedding = cards.card_of({"rates": {"input": "0.02"}})
    writes = Bounds(input_tokens=10, output_max=1)
    assert isinstance(estimate(embedding, method=Method.TOKENS, prospect=Prospect(), bounds=writes), Unpriced)
    assert estimated(embedding, Bounds(input_tokens=100)).worst == 2_000


SOMETIMES = cards.card_of(
    {"rates": {"input": "1", "output": "1"}, "overrides": [{"when": {"batch": True}, "rates": {"searches": "0.01"}}]}
)


def test_law_10_a_price_that_may_be_missing_refuses_beforehand() -> None:
    searching = Bounds(at_most={Meter.SEARCHES: 1})
    assert isinstance(estimate(SOMETIMES, method=Method.TOKENS, prospect=Prospect(), bounds=searching), Unpriced)
    assert estimated(SOMETIMES, searching, Prospect(batch=True)).worst == 10_000_000


def test_a_meter_whose_own_rate_may_not_apply_is_held_at_the_dearer_of_both() -> None:
    card = cards.card_of(
        {
            "rates": {"input": "1"},
            "overrides": [
                {"when": {"service_tier": "flex"}, "rates": {"cached_input": "0.10"}},
                {"when": {"service_tier": "fast"}, "rates": {"cached_input": "3"}},
            ],
        }
    )
    only_cached = Bounds(
        input_tokens=1000,
        at_most={**TEXT_ONLY, Meter.INPUT: 0, Meter.CACHE_WRITE_5M: 0, Meter.CACHE_WRITE_1H: 0},
    )
    for tiers, worst in (({"flex"}, 100_000), ({"flex", None}, 1_000_000), ({"flex", "fast"}, 3_000_000)):
        assert estimated(card, only_cached, Prospect(service_tiers=frozenset(tiers))).worst == worst


CLIP = cards.card_of(
    {
        "call_price": {"price": "0.15", "unit": "clip", "input_covered": 4000},
        "overrides": [
            {"when": {"parameters": {"duration": [15, 20]}}, "call_price": {"price": "0.30", "unit": "clip"}},
            {"when": {"parameters": {"resolution": "1080p"}}, "multiply": "2"},
        ],
    }
)


def test_a_clip_is_held_at_the_dearest_of_what_was_left_open() -> None:
    def worst(**parameters: str | None) -> int:
        return estimated(CLIP, Bounds(units=2), Prospect(parameters=dict(parameters)), method=Method.CALL).worst

    assert worst() == 1_200_000_000
    assert worst(duration="10") == 600_000_000
    assert worst(duration="20", resolution=None) == 600_000_000
    assert worst(duration="10", resolution="720p") == 300_000_000


def test_a_call_price_refuses_input_that_it_does_not_cover() -> None:
    wordy = Bounds(input_tokens=4001)
    short_clip = Prospect(parameters={"duration": "10"})
    assert estimate(CLIP, method=Method.CALL, prospect=short_clip, bounds=wordy) == NotCovered(4000)
    assert estimated(CLIP, wordy, method=Method.CALL).output_max == 0


def test_d08_a_small_amount_buys_some_output_of_a_large_model() -> None:
    found = estimated(CLAUDE, Bounds(input_tokens=100, output_max=65_536, at_most=TEXT_ONLY), STANDARD)
    assert found.worst > 900_000_000
    assert found.output_tokens_within(100_000_000) == 6626


def test_the_likely_case_is_plain_input_and_a_typical_output() -> None:
    at = Circumstances(at_us=0)
    bounds = Bounds(input_tokens=1000, output_max=8192, at_most={**TEXT_ONLY})
    assert likely(CLAUDE, method=Method.TOKENS, circumstances=at, bounds=bounds) == 3_000_000 + 7_500_000
    short = Bounds(input_tokens=1000, output_limit=10, output_max=8192, choices=2)
    assert likely(CLAUDE, method=Method.TOKENS, circumstances=at, bounds=short) == 3_000_000 + 300_000
    assert likely(CLIP, method=Method.CALL, circumstances=at, bounds=Bounds(units=2)) == 300_000_000
