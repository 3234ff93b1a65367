"""GET /v1/receipts/{id}: every ending of a request explained, its lines adding up, to its own account alone."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import pytest
from tests.support.gateway import Answer, Customer, Gateway, chat, running_gateway
from tests.support.openai_answers import chat_answer, usage
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import model_for_sale, sell, until

from farebox.money import parse_credits
from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import CallPrice, CallUnit, RateCard

CHAT = "/v1/chat/completions"
AWKWARD = RateCard(
    rates={Meter.INPUT: "0.333333", Meter.CACHED_INPUT: "0.1111", Meter.OUTPUT: "1.7", Meter.REASONING: "3.1"}
)
CALL = RateCard(call_price=CallPrice("0.05", CallUnit.CALL, 60_000))


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        sell(gateway, model_for_sale("awkward", AWKWARD), model_for_sale("calls", CALL))
        gateway.sandbox()
        yield gateway


def receipt_of(gateway: Gateway, who: Customer, answer: Answer) -> dict[str, Any]:
    return gateway.receipt(who, answer.headers["x-request-id"])


def test_lines_add_up_to_the_charge(gateway: Gateway) -> None:
    """Quantity × price ÷ per, each exact; the sum is rounded once."""
    with ScriptedUpstream() as upstream:
        upstream.always(chat_answer(usage=usage(101, 53, cached=37, reasoning=11)))
        sell(gateway, model_for_sale("summed", AWKWARD))
        channel = gateway.channel(upstream.base_url, models={"summed": "x"}, priority=9)
        who = gateway.customer(credits="1")
        answer = gateway.post(CHAT, who, chat("summed"))
        gateway.call(gateway.books.changes.remove_channel(channel))
    receipt = receipt_of(gateway, who, answer)
    by_meter = {line["meter"]: line for line in receipt["lines"]}
    assert {meter: line["quantity"] for meter, line in by_meter.items()} == {
        "input": 64,
        "cached_input": 37,
        "output": 42,
        "reasoning": 11,
    }
    exact = Fraction(0)
    for line in receipt["lines"]:
        worth = line["quantity"] * Fraction(line["price"]) / line["per"] * Fraction(line["multiplier"])
        assert Fraction(line["amount_nanocredits"]) == worth * 10**9
        exact += worth * 10**9
    charged = parse_credits(receipt["charged"])
    assert abs(charged - exact) < 1
    used = {meter: quantity for meter, quantity in receipt["usage"].items() if quantity}
    assert used == {meter: line["quantity"] for meter, line in by_meter.items()}
    assert (receipt["usage_source"], receipt["reason"], receipt["status"]) == ("provider", "provider", "captured")


def test_what_was_held_is_charged_or_given_back(gateway: Gateway) -> None:
    who = gateway.customer(credits="1")
    receipt = receipt_of(gateway, who, gateway.post(CHAT, who, chat("awkward", max_tokens=50)))
    assert parse_credits(receipt["held"]) == parse_credits(receipt["charged"]) + parse_credits(receipt["released"])
    assert (receipt["from_available"], receipt["shortfall"]) == ("0", "0")
    assert gateway.available(who) == parse_credits("1") - parse_credits(receipt["charged"])


def test_a_call_has_one_line_with_its_unit(gateway: Gateway) -> None:
    who = gateway.customer()
    receipt = receipt_of(gateway, who, gateway.post(CHAT, who, chat("calls")))
    (line,) = receipt["lines"]
    assert (line["unit"], line["quantity"], line["price"], line["amount"]) == ("call", 1, "0.05", "0.05")
    assert receipt["charged"] == "0.05"
    assert receipt["billing_method"] == "call"


def test_a_stream_has_the_receipt_of_an_answer(gateway: Gateway) -> None:
    who = gateway.customer()
    receipt = receipt_of(gateway, who, gateway.post(CHAT, who, chat("awkward", stream=True, max_tokens=50)))
    assert receipt["stream"] is True
    assert receipt["attempts"] == 1
    assert parse_credits(receipt["charged"]) > 0


@pytest.mark.parametrize(
    ("sandbox", "reason", "charged"),
    [
        ("status=400", "caller_refused", False),
        ("empty", "empty", False),
        ("usage=none", "counted", True),
        ("usage=negative", "counted", True),
    ],
)
def test_every_ending_names_its_row_of_the_failure_policy(
    gateway: Gateway, sandbox: str, reason: str, charged: bool
) -> None:
    who = gateway.customer()
    answer = gateway.post(CHAT, who, chat("awkward", max_tokens=50), {"x-sandbox": sandbox})
    receipt = receipt_of(gateway, who, answer)
    assert receipt["reason"] == reason
    assert receipt["status"] == ("captured" if charged else "voided")
    assert (receipt["charged"] != "0") is charged
    assert bool(receipt["flags"]) is (reason == "counted")
    assert gateway.held(who) == 0


def test_a_refused_request_has_no_receipt(gateway: Gateway) -> None:
    who = gateway.customer()
    answer = gateway.post(CHAT, who, chat("nobody"))
    assert gateway.get(f"/v1/receipts/{answer.headers['x-request-id']}", who).status == 404


def test_a_request_under_way_shows_its_hold(gateway: Gateway) -> None:
    who = gateway.customer()
    with _streaming(gateway, who, chat("awkward", stream=True), "chunks=10,pace_ms=60") as request_id:
        receipt = gateway.receipt(who, request_id)
        assert (receipt["status"], receipt["request_id"]) == ("running", request_id)
        assert parse_credits(receipt["held"]) == gateway.held(who) > 0
    until(lambda: gateway.receipt(who, request_id)["status"] == "captured")


def test_a_charge_after_its_hold_had_expired_is_told_as_late(module_database: str, gateway: Gateway) -> None:
    key_file = str(gateway.books.settings.secret_key_path)
    with running_gateway(module_database, secret_key_file=key_file, hold_ttl_s=1) as hurried:
        who = hurried.customer(credits="1")
        with _streaming(
            hurried, who, chat("awkward", stream=True, max_tokens=60), "chunks=30,pace_ms=120"
        ) as request_id:
            until(lambda: hurried.receipt(who, request_id)["status"] == "expired")
            assert hurried.available(who) == parse_credits("1")
        until(lambda: hurried.receipt(who, request_id)["late"])
        receipt = hurried.receipt(who, request_id)
    assert receipt["status"] == "expired"
    assert receipt["charged"] == receipt["from_available"] != "0"
    assert gateway.available(who) == parse_credits("1") - parse_credits(receipt["charged"])


def test_another_accounts_receipt_is_not_found(gateway: Gateway) -> None:
    """d55: as unknown as one that never was."""
    who, other = gateway.customer(), gateway.customer()
    request_id = gateway.post(CHAT, who, chat("awkward", max_tokens=5)).headers["x-request-id"]
    stranger, never = (
        gateway.get(f"/v1/receipts/{request_id}", other),
        gateway.get("/v1/receipts/req_" + "0" * 26, other),
    )
    assert stranger.status == never.status == 404
    assert stranger.body == never.body
    assert gateway.get(f"/v1/receipts/{request_id}", gateway.key(who.account_id)).status == 200


STRANGE_IDS = [
    *("req_x", "hold_" + "0" * 26, "req_" + "0" * 25 + "%00", "req_" + "U" * 26),
    *("%F0%9F%98%80", "..", "req_" + "0" * 4_000),
]


@pytest.mark.parametrize("name", STRANGE_IDS)
def test_what_is_no_request_id_is_not_found(gateway: Gateway, name: str) -> None:
    answer = gateway.get(f"/v1/receipts/{name}", gateway.customer())
    assert (answer.status, answer.error["code"]) == (404, "not_found")


@contextmanager
def _streaming(gateway: Gateway, who: Customer, body: dict[str, Any], sandbox: str) -> Iterator[str]:
    """A stream under way, read to its end afterwards; its request id."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    headers = {"authorization": f"Bearer {who.secret}", "content-type": "application/json", "x-sandbox": sandbox}
    connection.request("POST", CHAT, json.dumps(body), headers)
    response = connection.getresponse()
    reading = threading.Thread(target=response.read)
    reading.start()
    yield response.headers["x-request-id"]
    reading.join()
    connection.close()
