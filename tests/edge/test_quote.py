"""POST /v1/quote: what a call would hold and likely be charged, and what would refuse it. Nothing moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.gateway import Customer, Gateway, chat, running_gateway
from tests.support.shop import model_for_sale, sell

from farebox.admission.state import Budget, Limits
from farebox.money import parse_credits
from farebox.store.ledger_rows import KeySettings
from farebox.tariff.billing_mode import BillingMode
from farebox.tariff.meters import Meter
from farebox.tariff.price_list import Reasoning
from farebox.tariff.rate_card import CallPrice, CallUnit, RateCard

CHAT = "/v1/chat/completions"
RATES = RateCard(rates={Meter.INPUT: "100", Meter.OUTPUT: "300"})
CALL = RateCard(call_price=CallPrice("0.05", CallUnit.CALL, 2_000))
EMBEDDING = {"model": "text-embedding-3-small", "input": ["Hello there", "and again"]}
LONG = "word " * 3_000


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        sell(
            gateway,
            model_for_sale("words", RATES),
            model_for_sale("calls", CALL),
            model_for_sale("thinker", RATES, reasoning=Reasoning.INVISIBLE),
        )
        gateway.sandbox()
        yield gateway


def quote(gateway: Gateway, who: Customer, body: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
    answer = gateway.post("/v1/quote", who, body, headers)
    assert answer.status == 200, answer.body
    assert answer.json["object"] == "quote"
    return answer.json


CALLS = [
    ("with a limit", CHAT, chat("words", max_tokens=100), "10"),
    ("without a limit", CHAT, chat("words"), "10"),
    ("more than there is", CHAT, chat("words", max_tokens=4_000), "1"),
    ("two choices", CHAT, chat("words", max_tokens=100, n=2), "10"),
    ("a stream", CHAT, chat("words", stream=True), "10"),
    ("by the call", CHAT, chat("calls"), "10"),
    ("hidden reasoning", CHAT, chat("thinker"), "10"),
    ("bytes say too much, tokens do not", CHAT, chat("words", LONG, max_tokens=1_030), "1"),
    ("bytes exceed what the call price covers", CHAT, chat("calls", "words " * 500), "10"),
    ("an embedding", "/v1/embeddings", EMBEDDING, "10"),
    ("a response", "/v1/responses", {"model": "words", "input": "Hello", "max_output_tokens": 50}, "10"),
    ("a completion", "/v1/completions", {"model": "words", "prompt": "Hello"}, "10"),
    ("a ranking", "/v1/rerank", {"model": "rerank-v4.0-fast", "query": "Hello", "documents": ["a", "b"]}, "10"),
]


@pytest.mark.parametrize(("path", "body", "credits"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_a_quote_is_what_the_call_then_holds(gateway: Gateway, path: str, body: dict[str, Any], credits: str) -> None:
    who = gateway.customer(credits=credits)
    quoted = quote(gateway, who, body)
    answer = gateway.post(path, who, body, {"x-sandbox": "tokens=3"})
    assert answer.status == 200, answer.body
    receipt = gateway.receipt(who, answer.headers["x-request-id"])
    assert quoted["would_be_refused"] is None
    assert quoted["would_hold"] == receipt["held"]
    assert quoted["model"] == receipt["model"]
    assert quoted["billing_method"] == receipt["billing_method"]
    assert quoted["price_version"] == receipt["price_version"]
    assert parse_credits(receipt["charged"]) <= parse_credits(quoted["worst_case"])
    assert str(quoted["max_tokens_applied"]) == answer.headers.get("x-max-tokens-applied", "None")


def test_the_likely_case_lies_between_nothing_and_the_worst(gateway: Gateway) -> None:
    quoted = quote(gateway, gateway.customer(), chat("words", LONG))
    likely, worst = parse_credits(quoted["likely_case"]), parse_credits(quoted["worst_case"])
    assert 0 < likely < worst
    tokens = 3_000
    assert likely < (2 * tokens * 100 + 4_096 * 300) * 1_000, "the input is counted in tokens, not in bytes"


def test_quotes_charge_nothing_and_count_nothing(gateway: Gateway) -> None:
    who = gateway.customer(credits="10", settings=KeySettings(limits=Limits(requests_per_minute=2)))
    for _ in range(5):
        quote(gateway, who, chat("words"))
    assert gateway.available(who) == parse_credits("10")
    assert gateway.held(who) == 0
    assert gateway.get("/v1/key", who).headers["x-ratelimit-used"] == "0"
    assert gateway.post(CHAT, who, chat("words", max_tokens=5)).status == 200


BY_THE_CALL = KeySettings(billing_mode=BillingMode.PAY_PER_CALL)
SMALL = Budget(id="small", limit=parse_credits("0.000001"))
REFUSALS: list[tuple[str, str | None, dict[str, Any], Any]] = [
    ("invalid_model", "model", {}, chat("nobody")),
    ("invalid_parameter", "max_tokens", {}, chat("words", max_tokens=0)),
    ("invalid_json", None, {}, b"{"),
    ("missing_parameter", "messages", {}, {"model": "words"}),
    ("context_length_exceeded", "messages", {}, chat("calls", "0 1 2 3 " * 2_000)),
    ("model_not_allowed", "model", {"settings": KeySettings(models=("calls",))}, chat("words")),
    ("model_tier_restricted", "model", {"tier": "free"}, chat("gpt-4o")),
    ("billing_mode_unsupported", "model", {"settings": BY_THE_CALL}, chat("words")),
    ("insufficient_credits", None, {"credits": "0.000001"}, chat("words")),
    ("key_limit_reached", "small", {"cap": SMALL}, chat("words")),
    ("invalid_parameter", "input", {}, {"model": "text-embedding-3-small", "input": []}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "param", "customer", "body"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_a_quote_says_what_would_refuse_the_call(
    gateway: Gateway, code: str, param: str | None, customer: dict[str, Any], body: Any
) -> None:
    who = gateway.customer(**customer)
    refused = quote(gateway, who, body)["would_be_refused"]
    assert (refused["code"], refused["param"]) == (code, param)
    path = "/v1/embeddings" if isinstance(body, dict) and "input" in body else CHAT
    error = gateway.post(path, who, body).error
    assert (error["code"], error["param"], error["message"]) == (code, param, refused["message"])


def test_a_quote_sees_a_limit_that_is_reached(gateway: Gateway) -> None:
    who = gateway.customer(settings=KeySettings(limits=Limits(requests_per_minute=1)))
    assert gateway.post(CHAT, who, chat("words", max_tokens=5)).status == 200
    refused = quote(gateway, who, chat("words"))["would_be_refused"]
    assert (refused["code"], refused["param"]) == ("rate_limit_exceeded", "requests_per_minute")


def test_a_quote_keeps_to_the_requests_own_ceiling(gateway: Gateway) -> None:
    who = gateway.customer()
    refused = quote(gateway, who, chat("words"), {"x-max-credits": "0.000001"})["would_be_refused"]
    assert (refused["code"], refused["param"]) == ("budget_exceeded", "x-max-credits")
    assert gateway.post("/v1/quote", who, chat("words"), {"x-max-credits": "lots"}).status == 400


def test_a_quote_needs_a_key_that_may_be_used(gateway: Gateway) -> None:
    disabled = gateway.customer(settings=KeySettings(enabled=False))
    assert gateway.post("/v1/quote", None, chat("words")).error["code"] == "missing_api_key"
    assert gateway.post("/v1/quote", "sk-wrong", chat("words")).error["code"] == "invalid_api_key"
    assert gateway.post("/v1/quote", disabled, chat("words")).error["code"] == "key_disabled"
    assert gateway.get("/v1/quote", disabled).headers["allow"] == "POST, OPTIONS"
