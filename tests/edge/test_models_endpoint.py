"""GET /v1/models and /v1/models/{id}: who sells what at which price, by filter, by alias, by name with slashes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.gateway import Gateway, chat, running_gateway
from tests.support.shop import model_for_sale, sell

from farebox.tariff.conditions import When
from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import CallPrice, CallUnit, Override, RateCard

FIELDS = {
    *("id", "object", "created", "owned_by", "provider", "model_type", "display_name", "context_length"),
    *("max_output_tokens", "capabilities", "input_price", "output_price", "pricing_unit", "min_tier"),
}
"""What the public interface of this kind of service has."""

BOTH = RateCard(
    rates={Meter.INPUT: "2.50", Meter.CACHED_INPUT: "1.25", Meter.OUTPUT: "10"},
    call_price=CallPrice("0.05", CallUnit.CALL, 32_000),
    overrides=(Override(When(input_above=200_000), rates={Meter.INPUT: "5", Meter.OUTPUT: "22.50"}),),
)


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        sell(gateway, model_for_sale("org/family/name-7b:free", BOTH, aliases=("short", "org/old")))
        gateway.sandbox()
        yield gateway


@pytest.fixture(scope="module")
def secret(gateway: Gateway) -> str:
    return gateway.customer().secret


def listed(gateway: Gateway, secret: str, query: str = "") -> list[dict[str, Any]]:
    answer = gateway.get(f"/v1/models{query}", secret)
    assert answer.status == 200
    assert answer.json["object"] == "list"
    return answer.json["data"]


def test_the_list_has_every_model_in_the_usual_shape(gateway: Gateway, secret: str) -> None:
    models = listed(gateway, secret)
    assert len(models) > 30
    assert len({model["id"] for model in models}) == len(models)
    for model in models:
        assert not FIELDS - set(model)
        assert model["object"] == "model"
        assert isinstance(model["created"], int)
        assert model["owned_by"] == model["provider"]
        assert model["min_tier"] in ("free", "basic", "pro", "enterprise")
        assert model["billing_methods"]


def test_no_price_is_a_binary_float(gateway: Gateway, secret: str) -> None:
    def floats(value: Any, path: str) -> Iterator[str]:
        match value:
            case float():
                yield path
            case dict():
                for name, each in value.items():
                    yield from floats(each, f"{path}.{name}")
            case list():
                for each in value:
                    yield from floats(each, path)
            case _:
                pass

    assert not [path for model in listed(gateway, secret) for path in floats(model, model["id"])]


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("?provider=openai", lambda model: model["provider"] == "openai"),
        ("?type=embedding", lambda model: model["model_type"] == "embedding"),
        ("?capability=vision", lambda model: "vision" in model["capabilities"]),
        (
            "?provider=openai&type=chat&capability=thinking",
            lambda model: (
                (model["provider"], model["model_type"]) == ("openai", "chat") and "thinking" in model["capabilities"]
            ),
        ),
    ],
)
def test_filters_leave_what_fits_and_nothing_else(gateway: Gateway, secret: str, query: str, holds: Any) -> None:
    found = listed(gateway, secret, query)
    assert found
    assert [model["id"] for model in found] == [model["id"] for model in listed(gateway, secret) if holds(model)]


@pytest.mark.parametrize("query", ["?provider=nobody", "?type=smell", "?capability=%00", "?provider=OpenAI"])
def test_a_filter_that_fits_nothing_gives_an_empty_list(gateway: Gateway, secret: str, query: str) -> None:
    assert listed(gateway, secret, query) == []


def test_the_full_price_of_a_model_is_shown(gateway: Gateway, secret: str) -> None:
    shown = gateway.get("/v1/models/short", secret).json
    assert (shown["input_price"], shown["output_price"]) == ("2.5", "10")
    assert shown["pricing_unit"] == "per_million_tokens"
    assert sorted(shown["billing_methods"]) == ["call", "token"]
    price = shown["price"]
    assert isinstance(price["version"], int)
    text = str(price)
    for amount in ("1.25", "0.05", "32000", "200000", "22.5"):
        assert amount in text


@pytest.mark.parametrize("name", ["org/family/name-7b:free", "org%2Ffamily%2Fname-7b%3Afree", "short", "org/old"])
def test_a_model_is_found_by_id_with_slashes_and_by_alias(gateway: Gateway, secret: str, name: str) -> None:
    answer = gateway.get(f"/v1/models/{name}", secret)
    assert answer.status == 200
    assert answer.json["id"] == "org/family/name-7b:free"
    assert answer.json["aliases"] == ["short", "org/old"]


def test_a_model_called_by_alias_answers_with_the_name_asked_for(gateway: Gateway, secret: str) -> None:
    assert gateway.post("/v1/chat/completions", secret, chat("org/old", max_tokens=5)).json["model"] == "org/old"


@pytest.mark.parametrize("name", ["gone", "gpt-4o/", "gpt-4o%00", "%E4%BD%A0", "..", "gpt-4o:generateContent"])
def test_an_unknown_model_is_not_found(gateway: Gateway, secret: str, name: str) -> None:
    answer = gateway.get(f"/v1/models/{name}", secret)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "invalid_model", "model")


def test_a_model_appears_with_its_first_price_and_not_before(gateway: Gateway, secret: str) -> None:
    soon = time.time_ns() // 1000 + 1_000_000
    entry = model_for_sale("from-next-second", BOTH)
    gateway.call(gateway.books.changes.import_models([entry], starts_us=soon, source="test"))
    assert gateway.get("/v1/models/from-next-second", secret).status == 404
    assert gateway.post("/v1/chat/completions", secret, chat("from-next-second")).error["code"] == "model_unpriced"
    time.sleep(1.1)
    assert gateway.get("/v1/models/from-next-second", secret).status == 200


def test_the_list_asks_for_a_key(gateway: Gateway) -> None:
    assert gateway.get("/v1/models").error["code"] == "missing_api_key"
    assert gateway.get("/v1/models/gpt-4o", "sk-wrong").error["code"] == "invalid_api_key"
