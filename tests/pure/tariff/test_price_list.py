"""Price lists: read whole or reported, compared, exported, shown."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from tests.pure.tariff import cards

from farebox.tariff.price_diff import Change, diff
from farebox.tariff.price_list import PriceList, Severity, export_price_list, read_price_list
from farebox.tariff.public_price import public_price

GPT: dict[str, Any] = {
    "id": "gpt-4o",
    "display_name": "GPT-4o",
    "provider": "openai",
    "type": "chat",
    "min_tier": "pro",
    "aliases": ["gpt-4o-2024-05-13"],
    "context_length": 128_000,
    "max_output_tokens": 16_384,
    "price": {"rates": {"input": "5", "output": "15"}, "overrides": [{"when": {"batch": True}, "multiply": "0.5"}]},
    "source": "https://example.org/prices",
    "as_of": "2025-10-15",
}
FLUX: dict[str, Any] = {
    "id": "flux",
    "display_name": "Flux",
    "provider": "bfl",
    "type": "image_generation",
    "min_tier": "basic",
    "price": {"call_price": {"price": "0.04", "unit": "image", "input_covered": 4000}},
    "source": "https://example.org/prices",
    "as_of": "2025-10-15",
}


def listed(*models: dict[str, Any]) -> dict[str, Any]:
    return {"name": "test", "models": list(models)}


def changed(model: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return copy.deepcopy(model) | fields


def read(*models: dict[str, Any]) -> PriceList:
    reading = read_price_list(listed(*models))
    assert reading.findings == ()
    return reading.price_list


def test_a_list_survives_the_way_out_and_back_as_json() -> None:
    price_list = read(GPT, FLUX)
    again = read_price_list(json.loads(json.dumps(export_price_list(price_list))))
    assert (again.price_list, again.findings) == (price_list, ())


@settings(max_examples=100, deadline=None)
@given(cards.raw_cards())
def test_any_card_survives_the_way_out_and_back(raw: dict[str, Any]) -> None:
    price_list = read_price_list(listed(changed(GPT, price=raw, cost_card=raw))).price_list
    assert len(price_list.models) == 1
    assert read_price_list(export_price_list(price_list)).price_list == price_list


def test_every_field_nobody_understands_is_reported_at_any_depth() -> None:
    model = changed(GPT, mode="chat")
    model["price"]["rates"]["input_tokens"] = "1"
    model["price"]["rates"]["output"] = {"price": "15", "unit": "M"}
    model["price"]["overrides"][0]["when"]["region"] = "eu"
    reading = read_price_list({**listed(model, FLUX), "currency": "EUR"})
    assert {finding.problem for finding in reading.findings} == {
        "currency: unknown field",
        "price.rates.output.unit: unknown field",
        "price.rates.input_tokens: unknown field",
        "price.overrides[0].when.region: unknown field",
        "mode: unknown field",
    }
    assert [model.id for model in reading.price_list.models] == ["flux"]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (changed(FLUX, id="gpt-4o-2024-05-13"), "'gpt-4o-2024-05-13' is used twice"),
        (changed(FLUX, aliases=["gpt-4o"]), "'gpt-4o' is used twice"),
        (changed(FLUX, aliases=["flux"]), "'flux' is used twice"),
        (changed(FLUX, type="painting"), "painting"),
        (changed(FLUX, price={"call_price": {"price": "-1"}}), "price"),
        (changed(FLUX, price={"call_price": {"price": 0.04}}), "float"),
        (changed(FLUX, launched="2025-02-01", sunset="2025-01-01"), "sunset"),
        ({"id": "flux"}, "display_name"),
    ],
)
def test_a_model_that_cannot_be_understood_is_refused_and_the_rest_is_read(model: dict[str, Any], says: str) -> None:
    reading = read_price_list(listed(GPT, model))
    assert [found.id for found in reading.price_list.models] == ["gpt-4o"]
    assert [says in finding.problem for finding in reading.refused] == [True]


@pytest.mark.parametrize("raw", [{}, {"models": []}, {"name": "x"}, {"name": "x", "models": "gpt"}])
def test_what_is_no_price_list_is_refused(raw: dict[str, Any]) -> None:
    reading = read_price_list(raw)
    assert reading.refused
    assert reading.price_list.models == ()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (changed(FLUX, price={"call_price": {"price": "0.04"}}), "how much input"),
        (changed(FLUX, price={}), "no price"),
        (changed(GPT, max_output_tokens=None), "max_output_tokens"),
    ],
)
def test_what_is_odd_is_read_with_a_warning(model: dict[str, Any], says: str) -> None:
    reading = read_price_list(listed(model))
    assert len(reading.price_list.models) == 1
    assert [finding.severity for finding in reading.findings] == [Severity.WARNING]
    assert says in reading.findings[0].problem


def test_a_diff_shows_models_that_come_and_go_and_every_price_that_moves() -> None:
    dearer = changed(GPT, min_tier="basic", aliases=[], as_of="2026-01-01")
    dearer["price"]["rates"] = {"input": "5.00", "output": "20", "cached_input": "2.5"}
    dearer["price"]["overrides"][0]["multiply"] = "0.6"
    found = diff(read(GPT, FLUX), read(dearer, changed(FLUX, id="flux-2")))
    assert (found.added, found.removed) == (("flux-2",), ("flux",))
    assert set(found.changed) == {
        Change("gpt-4o", "price output", "15 per 1000000", "20 per 1000000"),
        Change("gpt-4o", "price cached_input", None, "2.5 per 1000000"),
        Change("gpt-4o", "price override (batch True) multiply", "0.5", "0.6"),
        Change("gpt-4o", "min_tier", "pro", "basic"),
        Change("gpt-4o", "aliases", "gpt-4o-2024-05-13", None),
    }


def test_the_same_prices_in_another_spelling_are_no_change() -> None:
    spelled = changed(GPT, source="elsewhere")
    spelled["price"]["rates"] = {"input": {"price": "5.0"}, "output": {"price": "15", "per": 1_000_000}}
    assert diff(read(GPT), read(spelled)).changed == ()


def test_the_order_of_overrides_is_a_change() -> None:
    first, second = {"when": {"batch": True}, "rates": {"input": "1"}}, {"when": {"input_above": 9}, "multiply": "2"}
    rates = {"input": "5"}
    one = read(changed(GPT, price={"rates": rates, "overrides": [first, second]}))
    other = read(changed(GPT, price={"rates": rates, "overrides": [second, first]}))
    (change,) = diff(one, other).changed
    assert (change.where, change.before) == ("price order of overrides", "batch True; input_above 9")


def test_one_override_more_moves_none_of_the_others() -> None:
    batch, long = {"when": {"batch": True}, "rates": {"input": "1"}}, {"when": {"input_above": 9}, "multiply": "2"}
    one = read(changed(GPT, price={"rates": {"input": "5"}, "overrides": [batch]}))
    two = read(changed(GPT, price={"rates": {"input": "5"}, "overrides": [long, batch]}))
    (change,) = diff(one, two).changed
    assert change == Change("gpt-4o", "price override (input_above 9) multiply", None, "2")
    twice = read(changed(GPT, price={"rates": {"input": "5"}, "overrides": [batch, batch]}))
    assert [each.where for each in diff(one, twice).changed] == ["price override (batch True again, 2) input"]


def test_a_price_for_more_units_is_the_same_where_it_comes_to_the_same() -> None:
    minute = changed(FLUX, price={"rates": {"audio_seconds": {"price": "0.006", "per": 60}}})
    hour = changed(FLUX, price={"rates": {"audio_seconds": {"price": "0.36", "per": 3600}}})
    second = changed(FLUX, price={"rates": {"audio_seconds": "0.0001"}})
    dearer = changed(FLUX, price={"rates": {"audio_seconds": "0.00011"}})
    assert diff(read(minute), read(hour)).changed == diff(read(minute), read(second)).changed == ()
    assert [(each.before, each.after) for each in diff(read(minute), read(dearer)).changed] == [
        ("0.006 per 60", "0.00011 per 1")
    ]


def test_costs_are_compared_price_by_price() -> None:
    costly = changed(GPT, cost_card={"rates": {"input": "1"}})
    dearer = changed(GPT, cost_card={"rates": {"input": "2"}})
    assert diff(read(costly), read(dearer)).changed == (
        Change("gpt-4o", "cost input", "1 per 1000000", "2 per 1000000"),
    )


def test_the_public_price_of_a_text_model_is_whole() -> None:
    shown = public_price(cards.card_of(GPT["price"]))
    assert (shown["input_price"], shown["output_price"]) == ("5", "15")
    assert (shown["pricing_unit"], shown["billing_methods"]) == ("per_million_tokens", ["token"])
    rates = {row["meter"]: row for row in shown["rates"]}
    assert rates["input"] == {"meter": "input", "price": "5", "per": 1_000_000, "unit": "token", "inherited": False}
    assert (rates["reasoning"]["price"], rates["reasoning"]["inherited"]) == ("15", True)
    assert shown["overrides"] == [{"when": {"batch": True}, "rates": [], "call_price": None, "multiply": "0.5"}]
    assert json.loads(json.dumps(shown)) == shown


@pytest.mark.parametrize(
    ("raw", "into", "out", "unit"),
    [
        ({"rates": {"input": "0.02"}}, "0.02", None, "per_million_tokens"),
        ({"rates": {"input": {"price": "0.001", "per": 1000}}}, "1", None, "per_million_tokens"),
        ({"rates": {"audio_seconds": {"price": "0.006", "per": 60}}}, "0.006", None, "per_minute"),
        ({"rates": {"video_seconds": "0.40"}}, None, "0.4", "per_second"),
        ({"rates": {"characters": {"price": "15", "per": 1_000_000}}}, "15", None, "per_million_characters"),
        ({"call_price": {"price": "0.04", "unit": "image"}}, None, "0.04", "per_image"),
        ({"rates": {"input": {"price": "1", "per": 3}}}, None, None, "per_million_tokens"),
        ({}, None, None, None),
    ],
)
def test_the_short_form_names_what_matters_most(
    raw: dict[str, Any], into: str | None, out: str | None, unit: str | None
) -> None:
    shown = public_price(cards.card_of(raw))
    assert (shown["input_price"], shown["output_price"], shown["pricing_unit"]) == (into, out, unit)


def test_seconds_are_shown_as_seconds() -> None:
    shown = public_price(cards.card_of({"rates": {"music_seconds": {"price": "0.06", "per": 30}}}))
    assert shown["rates"] == [
        {"meter": "music_seconds", "price": "0.06", "per": 30, "unit": "second", "inherited": False}
    ]
