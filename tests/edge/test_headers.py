"""Headers of answers: an id on each, where the caller stands, what was charged, what browsers may see."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.gateway import Answer, Gateway, chat, running_gateway
from tests.support.openai_answers import chat_answer
from tests.support.raw_http import request, wire_to
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import model_for_sale, sell

from farebox.admission.state import Limits
from farebox.money import format_credits, parse_credits
from farebox.store.ledger_rows import KeySettings
from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import CallPrice, CallUnit, RateCard

CHAT = "/v1/chat/completions"
APP = "https://app.example.com"
READS = (
    "/v1/models",
    "/v1/models/gpt-4o",
    "/v1/key",
    "/api/auth/me",
    "/v1/dashboard/billing/subscription",
    "/v1/dashboard/billing/usage",
    "/v1/dashboard/billing/credit_grants",
)
PUBLIC = ("/", "/livez", "/readyz", "/metrics")
RATES = ("limit", "remaining", "used", "reset", "resource")


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database, cors_origins=APP) as gateway:
        gateway.sandbox()
        yield gateway


def test_every_answer_has_an_id_of_ours_and_no_two_the_same(gateway: Gateway) -> None:
    """d32: the id a client sends is the client's business."""
    who = gateway.customer()
    sent = {"x-request-id": "req_chosen_by_the_client"}
    asked = [(path, who) for path in READS] + [(path, None) for path in (*PUBLIC, "/nowhere", CHAT, *READS)]

    def ask(number: int) -> Answer:
        path, caller = asked[number % len(asked)]
        return gateway.get(path, caller, sent)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(6 * len(asked))))
        answers += pool.map(lambda _: gateway.post(CHAT, who, chat(max_tokens=5), sent), range(20))
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert all(one.startswith("req_") and len(one) == 30 for one in ids)


def test_the_id_of_an_answer_is_that_of_its_receipt(gateway: Gateway) -> None:
    who = gateway.customer()
    answer = gateway.post(CHAT, who, chat(max_tokens=5))
    assert gateway.receipt(who, answer.headers["x-request-id"])["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", READS)
def test_whoever_is_known_learns_where_it_stands(gateway: Gateway, path: str) -> None:
    who = gateway.customer(tier="basic")
    headers = gateway.get(path, who).headers
    assert [headers[f"x-ratelimit-{name}"] for name in RATES[:3]] == ["50", "50", "0"]
    assert headers["x-ratelimit-resource"] == "account"
    assert headers["x-request-priority"] == "2"


TIERS = [("free", "1", "10"), ("basic", "2", "50"), ("pro", "3", "100"), ("enterprise", "4", "unlimited")]


@pytest.mark.parametrize(("tier", "priority", "limit"), TIERS)
def test_limits_and_priority_are_those_of_the_tier(gateway: Gateway, tier: str, priority: str, limit: str) -> None:
    headers = gateway.post(CHAT, gateway.customer(tier=tier), chat("gpt-4o-mini", max_tokens=5)).headers
    assert headers["x-request-priority"] == priority
    assert headers["x-ratelimit-limit"] == limit
    assert headers["x-ratelimit-remaining"] == ("unlimited" if limit == "unlimited" else str(int(limit) - 1))
    assert headers["x-ratelimit-used"] == "1"


def test_the_resource_is_that_of_the_route(gateway: Gateway) -> None:
    who = gateway.customer()
    embedding = {"model": "text-embedding-3-small", "input": "Hello"}
    assert gateway.post(CHAT, who, chat(max_tokens=5)).headers["x-ratelimit-resource"] == "chat"
    assert gateway.post("/v1/embeddings", who, embedding).headers["x-ratelimit-resource"] == "embeddings"


def test_remaining_falls_to_nothing_and_reset_lies_ahead(gateway: Gateway) -> None:
    """d42: limits are told on every answer, not only once they are reached."""
    who = gateway.customer(settings=KeySettings(limits=Limits(requests_per_minute=3)))
    answers = [gateway.post(CHAT, who, chat(max_tokens=5)) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert [answer.headers["x-ratelimit-used"] for answer in answers] == ["1", "2", "3", "3"]
    for answer in answers:
        assert 55 <= int(answer.headers["x-ratelimit-reset"]) - time.time() <= 63
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 61


@pytest.mark.parametrize(("model", "method"), [("gpt-4o", "token"), ("by-the-call", "call")])
def test_a_charged_answer_says_what_it_took_and_what_is_left(gateway: Gateway, model: str, method: str) -> None:
    call = RateCard(call_price=CallPrice("0.05", CallUnit.CALL, 60_000))
    sell(gateway, model_for_sale("by-the-call", call))
    who = gateway.customer(credits="10")
    headers = gateway.post(CHAT, who, chat(model, max_tokens=5)).headers
    charged, remaining = headers["x-credits-charged"], headers["x-credits-remaining"]
    assert parse_credits(charged) > 0
    assert parse_credits(charged) + parse_credits(remaining) == parse_credits("10")
    assert remaining == format_credits(gateway.available(who))
    assert headers["x-billing-method"] == method
    assert headers["x-queue-wait-ms"] == "0"


def test_a_free_answer_is_charged_zero_in_so_many_words(gateway: Gateway) -> None:
    free = RateCard(rates={Meter.INPUT: "0", Meter.OUTPUT: "0"})
    sell(gateway, model_for_sale("free-of-charge", free))
    who = gateway.customer(credits="0")
    answer = gateway.post(CHAT, who, chat("free-of-charge", max_tokens=5))
    assert answer.status == 200
    assert (answer.headers["x-credits-charged"], answer.headers["x-credits-remaining"]) == ("0", "0")


def test_a_stream_is_kept_from_buffers_and_carries_its_charge_in_its_last_event(gateway: Gateway) -> None:
    answer = gateway.post(CHAT, gateway.customer(), chat(stream=True, max_tokens=5))
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-ratelimit-resource"] == "chat"
    assert "x-queue-wait-ms" in answer.headers
    assert "x-credits-charged" not in answer.headers


def test_of_a_providers_headers_only_the_harmless_pass(gateway: Gateway) -> None:
    leaky = chat_answer().with_headers(
        openai_organization="org-secret", set_cookie="session=1", x_ratelimit_limit_requests="9", via="1.1 inner",
        x_request_id="req_of_the_provider", server="provider", openai_processing_ms="12", openai_version="2020-10-01",
    )  # fmt: skip
    with ScriptedUpstream() as upstream:
        sell(gateway, model_for_sale("leaky", RateCard(rates={Meter.INPUT: "1", Meter.OUTPUT: "1"})))
        channel = gateway.channel(upstream.base_url, models={"leaky": "inner-name"}, priority=9)
        upstream.always(leaky)
        headers = gateway.post(CHAT, gateway.customer(), chat("leaky")).headers
        gateway.call(gateway.books.changes.remove_channel(channel))
    assert headers["openai-processing-ms"] == "12"
    assert headers["openai-version"] == "2020-10-01"
    assert headers["x-request-id"] != "req_of_the_provider"
    assert not {"openai-organization", "set-cookie", "x-ratelimit-limit-requests", "via", "server"} & set(headers)


def test_a_browser_on_an_allowed_origin_may_ask_and_read(gateway: Gateway) -> None:
    with wire_to(gateway.port) as wire:
        asks = ("origin: " + APP, "access-control-request-method: POST")
        wire.send(request("OPTIONS", CHAT, headers=asks))
        allowed = wire.answer()
    assert allowed.status == 204
    assert allowed.header("access-control-allow-origin") == APP
    assert "POST" in (allowed.header("access-control-allow-methods") or "")
    for name in ("authorization", "content-type", "x-api-key", "idempotency-key"):
        assert name in (allowed.header("access-control-allow-headers") or "")
    assert allowed.header("content-length") is None, "204 has no body and no length"


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/nowhere"])
def test_answers_and_errors_alike_can_be_read_across_origins(gateway: Gateway, path: str) -> None:
    answer = gateway.get(path, gateway.customer(), {"origin": APP})
    assert answer.headers["access-control-allow-origin"] == APP
    assert "origin" in answer.headers["vary"].lower()
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert {"x-request-id", "x-credits-charged", "x-ratelimit-remaining", "retry-after", "x-should-retry"} <= exposed


def test_a_stream_can_be_read_across_origins(gateway: Gateway) -> None:
    answer = gateway.post(CHAT, gateway.customer(), chat(stream=True, max_tokens=5), {"origin": APP})
    assert answer.headers["access-control-allow-origin"] == APP


def test_another_origin_is_told_nothing(gateway: Gateway) -> None:
    headers = gateway.get("/v1/models", gateway.customer(), {"origin": "https://evil.example.com"}).headers
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/key", "/livez", "/nowhere", CHAT])
def test_head_answers_what_get_would_without_the_body(gateway: Gateway, path: str) -> None:
    who = gateway.customer()
    get = gateway.get(path, who)
    with wire_to(gateway.port) as wire:
        wire.send(request("HEAD", path, who.secret))
        head = wire.answer(bodiless=True)
        wire.send(request("GET", "/livez"))
        assert wire.answer().status == 200, "the connection goes on"
    assert head.status == get.status
    assert {name for name, _ in head.headers} == set(get.headers)
    assert head.header("content-length") == get.headers["content-length"]
