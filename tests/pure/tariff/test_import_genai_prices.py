"""genai-prices' file, read into a list of ours. What its figures cost is held against its own package elsewhere."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
import pytest
from tests.support.price_sources import decoded

from farebox.tariff.foreign_prices import Terms, Wish
from farebox.tariff.genai_figures import ANNOTATED, UNITS, WITHOUT_METER
from farebox.tariff.import_genai_prices import MODEL_FIELDS, NO_PRICE, PROVIDER_FIELDS, named, read_genai_prices
from farebox.tariff.price_list import Model, Reading, Severity

FILE: list[dict[str, Any]] = decoded("genai-prices")
ON = date(2026, 11, 21)
REFUSED, WARNING = Severity.REFUSED, Severity.WARNING


def terms(on: date = ON, markup: str = "1", **wish: Any) -> Terms:
    return Terms(source="genai-prices", as_of=ON, on=on, markup=markup, wish=Wish(**wish))


@cache
def everything() -> Reading:
    return read_genai_prices(FILE, terms(providers=frozenset(provider["id"] for provider in FILE)))


@cache
def models() -> dict[str, Model]:
    return {model.id: model for model in everything().price_list.models}


def reading_of(prices: Any, on: date = ON, markup: str = "1", **fields: Any) -> Reading:
    model = {"id": "m", "match": {"equals": "m"}, "context_window": 1000, "prices": prices, **fields}
    file = [{"id": "openai", "name": "OpenAI", "pricing_urls": ["https://example.com"], "models": [model]}]
    return read_genai_prices(file, terms(on, markup, providers=frozenset({"openai"})))


def card_of(prices: Any, on: date = ON, **fields: Any) -> dict[str, Any]:
    (model,) = reading_of(prices, on, **fields).price_list.models
    return msgspec.json.decode(msgspec.json.encode(model.price))


def test_every_field_and_unit_of_the_file_has_a_place() -> None:
    providers = {name for provider in FILE for name in provider}
    fields = {name for provider in FILE for model in provider["models"] for name in model}
    assert providers | fields <= PROVIDER_FIELDS | MODEL_FIELDS | set(NO_PRICE)
    prices = [prices for provider in FILE for model in provider["models"] for prices in prices_of(model)]
    units = {unit for each in prices for unit in each}
    refused = units - {*UNITS, *WITHOUT_METER, ANNOTATED}
    assert refused == {"input_text_messages_kcount"}
    tiers = [value for each in prices for value in each.values() if isinstance(value, dict)]
    assert {tuple(sorted(tier)) for tier in tiers} == {("base", "tiers")}
    assert {tuple(sorted(step)) for tier in tiers for step in tier["tiers"]} == {("price", "start")}


def prices_of(model: dict[str, Any]) -> list[dict[str, Any]]:
    prices = model.get("prices", {})
    every = [prices] if isinstance(prices, dict) else [each["prices"] for each in prices]
    return every + [variant["prices"] for variant in model.get("price_variants") or ()]


def test_every_model_is_imported_or_refused_by_name() -> None:
    refused = {finding.model for finding in everything().refused}
    assert set(named(FILE)) == set(models()) | refused
    assert {finding.problem.split(":")[0] for finding in everything().refused} == {"input_text_messages_kcount"}
    assert len(named(FILE)) == sum(len(provider["models"]) for provider in FILE)


BASE = {"input_mtok": 3, "cache_read_mtok": Decimal("0.3"), "output_mtok": 15}


def test_a_tier_moves_the_whole_request() -> None:
    tiered = {"base": 3, "tiers": [{"start": 200_000, "price": 6}]}
    assert card_of(BASE | {"input_mtok": tiered})["overrides"] == [
        {"when": {"input_above": 200_000}, "rates": {"input": "6"}}
    ]


def test_prices_have_dates_and_those_to_come_are_said() -> None:
    prices = [{"prices": BASE}, {"constraint": {"start_date": "2027-01-01"}, "prices": BASE | {"input_mtok": 2}}]
    assert card_of(prices)["rates"]["input"] == "3"
    assert card_of(prices, date(2027, 1, 1))["rates"]["input"] == "2"
    assert any("from 2027-01-01 on" in finding.problem for finding in reading_of(prices).findings)
    assert not any("2027" in finding.problem for finding in reading_of(prices, date(2027, 1, 1)).findings)


def test_hours_of_the_day_replace_every_price() -> None:
    constraint = {"start_time": "00:30:00Z", "end_time": "16:30:00Z"}
    prices = [{"prices": BASE}, {"constraint": constraint, "prices": {"input_mtok": 6, "output_mtok": 30}}]
    (override,) = card_of(prices)["overrides"]
    assert override["when"] == {"utc_window": "00:30-16:30"}
    assert override["rates"] == {"input": "6", "output": "30", "cached_input": "6"}, (
        "cached is input where it has no price"
    )


def test_the_first_variant_that_matches_wins() -> None:
    variants = [
        {"when": {"processing": "batch"}, "prices": {"input_mtok": 1}},
        {"when": {"service_tier": "flex"}, "prices": {"input_mtok": 2}},
        {"when": {"speed": "fast"}, "prices": {"input_mtok": 4}},
    ]
    assert card_of(BASE, price_variants=variants)["overrides"] == [
        {"when": {"parameters": {"speed": "fast"}}, "rates": {"input": "4"}},
        {"when": {"service_tier": "flex"}, "rates": {"input": "2"}},
        {"when": {"batch": True}, "rates": {"input": "1"}},
    ]


def test_a_write_is_of_either_lifetime_unless_the_hour_has_its_own_price() -> None:
    rates = card_of(BASE | {"cache_write_mtok": Decimal("3.75")})["rates"]
    assert (rates["cache_write_5m"], rates["cache_write_1h"]) == ("3.75", "3.75")
    rates = card_of(BASE | {"cache_write_mtok": Decimal("3.75"), "cache_write_1h_mtok": 6})["rates"]
    assert (rates["cache_write_5m"], rates["cache_write_1h"]) == ("3.75", "6")


@pytest.mark.parametrize(
    ("prices", "fields", "expected"),
    [
        (BASE | {"input_moons": 1}, {}, (REFUSED, "input_moons")),
        (BASE | {"input_mtok": "3"}, {}, (REFUSED, "input_mtok")),
        (BASE | {"input_mtok": 0.5}, {}, (REFUSED, "input_mtok")),
        (BASE | {"input_mtok": {"base": 3, "tiers": [{"start": 1}]}}, {}, (REFUSED, "input_mtok")),
        (BASE | {"web_searches_kcount": 1, "rerank_searches_kcount": 2}, {}, (REFUSED, "rerank_searches_kcount")),
        (BASE | {"output_citation_mtok": 2}, {}, (WARNING, "output_citation_mtok")),
        (BASE, {"surcharge": 1}, (REFUSED, "surcharge")),
        (BASE, {"deprecated": True}, (WARNING, "deprecated")),
        ([{"constraint": {"weekday": 1}, "prices": BASE}], {}, (REFUSED, "constraint {'weekday'")),
        (BASE, {"price_variants": [{"when": {}, "prices": BASE}]}, (REFUSED, "not as genai-prices writes a model")),
        (BASE, {"price_variants": [{"when": {"a": "b"}, "then": 1, "prices": BASE}]}, (REFUSED, "price_variants.then")),
    ],
)
def test_what_is_not_understood_is_reported_with_its_field(
    prices: Any, fields: dict[str, Any], expected: tuple[Severity, str]
) -> None:
    found = [(finding.severity, finding.problem.split(":")[0]) for finding in reading_of(prices, **fields).findings]
    assert expected in found


def test_a_markup_is_on_the_price_and_not_on_the_cost() -> None:
    (model,) = reading_of(BASE, markup="1.2").price_list.models
    assert model.cost_card is not None
    assert [msgspec.to_builtins(card.rates) for card in (model.cost_card, model.price)] == [
        {"input": "3", "cached_input": "0.3", "output": "15"},
        {"input": "3.6", "cached_input": "0.36", "output": "18"},
    ]


@pytest.mark.parametrize("markup", ["0", "-1", "1e3", "a fifth"])
def test_a_markup_is_a_plain_decimal_above_zero(markup: str) -> None:
    with pytest.raises(ValueError, match="price"):
        terms(markup=markup)


def test_models_are_found_by_whatever_name_the_file_knows_them() -> None:
    wished = {
        "claude-opus-4-5-20251101": "claude-opus-4-5-20251101",
        "there": "openrouter/openai/gpt-4o",
        "none": "no-such-model",
    }
    reading = read_genai_prices(FILE, terms(models=wished))
    assert [(model.id, model.provider) for model in reading.price_list.models] == [
        ("claude-opus-4-5-20251101", "anthropic"),
        ("there", "openrouter"),
    ]
    assert [finding.model for finding in reading.refused] == ["none"]


def test_what_is_no_such_file_is_refused() -> None:
    for wrong in ({"models": []}, "text", None, 3):
        assert [finding.severity for finding in read_genai_prices(wrong, terms()).findings] == [REFUSED]
