"""What a rate card refuses at the entrance, and what its prices become."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from tests.pure.tariff import cards

from farebox.tariff.compiled import CompiledCard, compile_card
from farebox.tariff.conditions import Circumstances
from farebox.tariff.decimals import PriceError, format_decimal, parse_decimal
from farebox.tariff.meters import NO_USAGE, Meter
from farebox.tariff.rate_card import CardRefusal, RateCard, read_card


@pytest.mark.parametrize("price", ["-1", "-0.01", "1e3", "NaN", "Infinity", "", " 1", "1.", ".5", "1_0", "+1", "١"])
def test_d18_only_plain_non_negative_decimals_are_prices(price: str) -> None:
    with pytest.raises(PriceError):
        parse_decimal(price)
    for raw in (
        {"rates": {"input": price}},
        {"rates": {"input": {"price": price}}},
        {"call_price": {"price": price}},
        {"rates": {"input": "1"}, "overrides": [{"when": {"batch": True}, "multiply": price}]},
        {"rates": {"input": "1"}, "overrides": [{"when": {"batch": True}, "rates": {"input": price}}]},
    ):
        assert isinstance(read_card(raw), CardRefusal), raw


WHEN = {"when": {"batch": True}}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"rates": {"input": 2.5}}, "float"),
        ({"rates": {"input": None}}, "null"),
        ({"rates": {"input": {"price": 5, "per": 1}}}, "int"),
        ({"rates": {"input": {"price": "5", "per": 0}}}, "one unit or more"),
        ({"rates": {"input": {"price": "5", "per": -1000}}}, "one unit or more"),
        ({"rates": {"tokens": "5"}}, "tokens"),
        ({"rates": {"input": "-5"}}, "input: '-5' is not a price"),
        ({"rate": {"input": "5"}}, "unknown field `rate`"),
        ({"rates": {}, "call_price": {"price": "1", "unit": "banana"}}, "banana"),
        ({"call_price": {"price": "1", "input_covered": -1}}, "input_covered"),
        ({"overrides": [{"when": {}, "multiply": "2"}]}, "needs a condition"),
        ({"overrides": [{"multiply": "2"}]}, "when"),
        ({"overrides": [WHEN]}, "needs rates"),
        ({"overrides": [{**WHEN, "multiply": "0"}]}, "zero"),
        ({"overrides": [{**WHEN, "multiply": 0.5}]}, "float"),
        ({"overrides": [{"when": {"region": "eu"}, "multiply": "2"}]}, "region"),
        ({"overrides": [{"when": {"input_above": -1}, "multiply": "2"}]}, "negative"),
        ({"overrides": [{"when": {"service_tier": []}, "multiply": "2"}]}, "empty"),
        ({"overrides": [{"when": {"parameters": {"size": []}}, "multiply": "2"}]}, "empty"),
        ({"overrides": [{"when": {"parameters": {"fps": 29.97}}, "multiply": "2"}]}, "float"),
        ({"overrides": [{"when": {"utc_window": "24:00-01:00"}, "multiply": "2"}]}, "window"),
        ({"overrides": [{"when": {"utc_window": "09:00-09:00"}, "multiply": "2"}]}, "never"),
    ],
)
def test_a_card_that_is_not_sound_is_refused_with_the_reason(raw: dict[str, Any], says: str) -> None:
    refusal = read_card(raw)
    assert isinstance(refusal, CardRefusal)
    assert says in refusal.problem


@settings(max_examples=100, deadline=None)
@given(cards.raw_cards())
def test_a_card_survives_the_way_out_and_back(raw: dict[str, Any]) -> None:
    card = read_card(raw)
    assert isinstance(card, RateCard)
    assert read_card(msgspec.to_builtins(card)) == card


@settings(max_examples=100)
@given(cards.prices)
def test_a_decimal_is_written_as_short_as_it_is_exact(price: str) -> None:
    written = format_decimal(parse_decimal(price))
    assert parse_decimal(written) == parse_decimal(price)
    assert written == "0" or not written.endswith((".", "0")) or "." not in written


def written(card: CompiledCard, meter: Meter) -> tuple[str, int] | None:
    return card.plain.written.get(meter)


def test_missing_rates_come_from_the_nearest_ancestor() -> None:
    card = cards.card_of({"rates": {"input": "2", "output": "8", "input_audio": "40"}})
    for meter, price in {
        Meter.CACHED_INPUT: "2",
        Meter.CACHE_WRITE_5M: "2",
        Meter.CACHE_WRITE_1H: "2",
        Meter.INPUT_IMAGE: "2",
        Meter.CACHED_AUDIO: "40",
        Meter.REASONING: "8",
        Meter.OUTPUT_AUDIO: "8",
        Meter.OUTPUT_IMAGE: "8",
    }.items():
        assert written(card, meter) == (price, 1_000_000), meter
    assert written(card, Meter.SEARCHES) is None


def test_law_10_a_price_of_zero_is_a_price_and_a_missing_one_is_not() -> None:
    free = cards.card_of({"rates": {"input": "0"}})
    assert free.plain.numerators[Meter.INPUT] == 0
    assert Meter.OUTPUT not in free.plain.numerators


def test_every_price_shares_one_denominator_exactly() -> None:
    card = cards.card_of({"rates": {"input": {"price": "0.1", "per": 3}, "output": {"price": "0.1", "per": 7}}})
    assert card.plain.denominator == 21
    assert card.plain.numerators[Meter.INPUT] == 700_000_000
    assert card.plain.numerators[Meter.OUTPUT] == 300_000_000


def test_an_overridden_parent_lends_its_new_rate() -> None:
    raw = {"rates": {"input": "1", "cached_input": "0.1"}, "overrides": [{**WHEN, "rates": {"input": "9"}}]}
    prices = cards.card_of(raw).prices(NO_USAGE, Circumstances(at_us=0, batch=True))
    assert prices.written[Meter.CACHE_WRITE_1H][0] == "9"
    assert prices.written[Meter.CACHED_INPUT][0] == "0.1"


def test_a_card_without_prices_can_be_read_and_offers_nothing() -> None:
    assert compile_card(RateCard(), "empty").methods == frozenset()
