"""The walking skeleton: one billed request, whole and streamed, with its receipt."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.gateway import Gateway, chat, running_gateway

from farebox.money import parse_credits


@pytest.fixture
def gateway(database: str) -> Iterator[Gateway]:
    with running_gateway(database) as gateway:
        gateway.sandbox()
        yield gateway


def test_a_request_is_held_metered_charged_and_explained(gateway: Gateway) -> None:
    customer = gateway.customer(credits="10")
    answer = gateway.post("/v1/chat/completions", customer, chat())
    assert answer.status == 200
    receipt = gateway.receipt(customer, answer.headers["x-request-id"])
    usage = answer.json["usage"]
    by_hand = usage["prompt_tokens"] * 5_000 + usage["completion_tokens"] * 15_000  # nanocredits a token
    assert parse_credits(receipt["charged"]) == by_hand
    assert answer.headers["x-credits-charged"] == receipt["charged"]
    assert gateway.available(customer) == parse_credits("10") - by_hand
    assert gateway.held(customer) == 0


def test_a_stream_carries_its_charge_in_the_usage_event(gateway: Gateway) -> None:
    customer = gateway.customer(credits="10")
    body = chat(stream=True, stream_options={"include_usage": True})
    answer = gateway.post("/v1/chat/completions", customer, body)
    events = [line for line in answer.body.decode().split("\n\n") if line]
    assert events[-1] == "data: [DONE]"
    receipt = gateway.receipt(customer, answer.headers["x-request-id"])
    assert f'"cost":"{receipt["charged"]}"' in events[-2]
    assert gateway.available(customer) == parse_credits("10") - parse_credits(receipt["charged"])
