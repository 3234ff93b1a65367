"""Law 10: no price, no call. A price of zero is written as zero.

d36: a model nobody priced costs nothing elsewhere, and switches budgets off with it. Here it is not served.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.gateway import Gateway, chat, running_gateway
from tests.support.openai_answers import chat_answer, usage
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import model_for_sale, sell

from farebox.money import parse_credits
from farebox.tariff.conditions import When
from farebox.tariff.meters import Meter
from farebox.tariff.price_list import read_price_list
from farebox.tariff.rate_card import CallPrice, CallUnit, Override, RateCard

CHAT = "/v1/chat/completions"
CARDS = {
    "nothing": RateCard(),
    "no-output": RateCard(rates={Meter.INPUT: "1"}),
    "no-input": RateCard(rates={Meter.OUTPUT: "1"}),
    "pictures-only": RateCard(rates={Meter.IMAGES: "0.04"}),
    "batches-only": RateCard(overrides=(Override(When(batch=True), rates={Meter.INPUT: "1", Meter.OUTPUT: "1"}),)),
    "zero": RateCard(rates={Meter.INPUT: "0", Meter.OUTPUT: "0"}),
    "zero-call": RateCard(call_price=CallPrice("0", CallUnit.CALL, 60_000)),
    "text": RateCard(rates={Meter.INPUT: "1", Meter.OUTPUT: "1"}),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(module_database: str, upstream: ScriptedUpstream) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        sell(gateway, *[model_for_sale(name, card) for name, card in CARDS.items()])
        names = dict.fromkeys((*CARDS, "from-later", "withdrawn", "nobodys", "text-embedding-3-small"), "x")
        gateway.channel(upstream.base_url, models=names)
        yield gateway


@pytest.fixture(autouse=True)
def forgetting(upstream: ScriptedUpstream) -> None:
    upstream.forget()


UNPRICED: list[tuple[str, dict[str, Any]]] = [
    ("nothing", {}),
    ("no-output", {}),
    ("no-output", {"max_tokens": 1}),
    ("no-output", {"stream": True}),
    ("no-input", {}),
    ("pictures-only", {}),
    ("batches-only", {}),
]


@pytest.mark.parametrize(("model", "fields"), UNPRICED)
def test_a_call_that_could_use_what_has_no_price_is_refused(
    gateway: Gateway, upstream: ScriptedUpstream, model: str, fields: dict[str, Any]
) -> None:
    who = gateway.customer()
    answer = gateway.post(CHAT, who, chat(model, **fields))
    assert (answer.status, answer.error["code"]) == (503, "model_unpriced")
    assert upstream.seen == []
    assert gateway.held(who) == 0
    assert gateway.post("/v1/quote", who, chat(model, **fields)).json["would_be_refused"]["code"] == "model_unpriced"


def test_a_model_nobody_listed_is_refused_though_a_channel_offers_it(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    assert gateway.post(CHAT, gateway.customer(), chat("nobodys")).error["code"] == "invalid_model"
    assert upstream.seen == []


def test_a_price_that_starts_later_is_no_price_yet(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    later = time.time_ns() // 1000 + 3_600_000_000
    entry = model_for_sale("from-later", CARDS["text"])
    gateway.call(gateway.books.changes.import_models([entry], starts_us=later, source="test"))
    assert gateway.post(CHAT, gateway.customer(), chat("from-later")).error["code"] == "model_unpriced"
    assert upstream.seen == []


def test_a_model_taken_out_of_sale_is_refused_at_once(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    sell(gateway, model_for_sale("withdrawn", CARDS["text"]))
    who = gateway.customer()
    assert gateway.post(CHAT, who, chat("withdrawn")).status == 200
    gateway.call(gateway.books.changes.disable_model("withdrawn"))
    upstream.forget()
    assert gateway.post(CHAT, who, chat("withdrawn")).error["code"] == "invalid_model"
    assert upstream.seen == []


@pytest.mark.parametrize("model", ["zero", "zero-call"])
def test_a_price_of_zero_is_written_as_zero_and_charged_as_zero(
    gateway: Gateway, upstream: ScriptedUpstream, model: str
) -> None:
    who = gateway.customer(credits="0")
    answer = gateway.post(CHAT, who, chat(model))
    assert answer.status == 200
    receipt = gateway.receipt(who, answer.headers["x-request-id"])
    assert (receipt["held"], receipt["charged"], receipt["reason"]) == ("0", "0", "provider")
    assert receipt["lines"], "what was used is on the receipt all the same"


def test_a_rate_that_is_not_written_is_inherited_and_never_zero(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.always(chat_answer(usage=usage(40, 8, cached=5, reasoning=3)))
    who = gateway.customer()
    answer = gateway.post(CHAT, who, chat("text"))
    receipt = gateway.receipt(who, answer.headers["x-request-id"])
    by_meter = {line["meter"]: (line["quantity"], line["price"]) for line in receipt["lines"]}
    assert by_meter == {
        "input": (35, "1"),
        "cached_input": (5, "1"),
        "output": (5, "1"),
        "reasoning": (3, "1"),
    }
    assert parse_credits(receipt["charged"]) == 48_000


@pytest.mark.parametrize("price", [None, "", "-1", "free", "1e-9", "NaN", 0.5])
def test_what_is_no_price_does_not_enter_the_catalogue(price: Any) -> None:
    """d18: negative and unreadable prices are turned away at the door."""
    entry = {
        "id": "odd", "display_name": "odd", "provider": "test", "type": "chat", "min_tier": "free",
        "price": {"rates": {"input": price, "output": "1"}}, "source": "test", "as_of": "2026-01-01",
    }  # fmt: skip
    reading = read_price_list({"name": "test", "models": [entry]})
    assert reading.refused
    assert reading.price_list.models == ()
