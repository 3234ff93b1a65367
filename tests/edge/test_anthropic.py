"""`POST /v1/messages` before a provider of the same dialect: what passes, what is charged, how it fails."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.anthropic_answers import message_answer, message_stream, usage
from tests.support.gateway import Answer, Customer
from tests.support.script import Script
from tests.support.shop import CACHED, INPUT, OUTPUT, Shop
from tests.support.sse import read_events

CHANNEL = {"dialect": "anthropic"}
MESSAGES = "/v1/messages"
FORMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
REPORTED = 12 * INPUT + 8 * OUTPUT
LONG_TEXT = " ".join(f"word{number}" for number in range(400))


def body_of(text: str = "Say something short.", **fields: Any) -> dict[str, Any]:
    return {"model": "words", "max_tokens": 2_000, "messages": [{"role": "user", "content": text}], **fields}


def ask(shop: Shop, who: Customer, **fields: Any) -> Answer:
    headers = fields.pop("headers", None)
    return shop.gateway.post(MESSAGES, who, body_of(**fields), headers)


def good(stream: bool, **shape: Any) -> Script:
    return message_stream(**shape) if stream else message_answer(**shape)


def charged(shop: Shop, stated: dict[str, Any] | None, *, stream: bool = False, **fields: Any) -> Any:
    """What one answer with this usage comes to."""
    customer = shop.customer()
    shop.upstream.play(good(stream, usage=stated))
    answer = ask(shop, customer, stream=stream, **({"text": "long " * 200} | fields))
    assert answer.status == 200, answer.body
    return shop.charge(customer)


def said(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each checked to carry its own name."""
    events = [event for event in read_events(body) if event.data]
    assert [event.name for event in events] == [event.json()["type"] for event in events]
    return [event.json() for event in events]


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


# What passes ------------------------------------------------------------------------------------------


def test_an_answer_is_passed_on_under_the_name_asked_for_and_charged(shop: Shop) -> None:
    customer = shop.customer()
    answer = ask(shop, customer, model="words-latest")
    assert (answer.status, answer.json["model"]) == (200, "words-latest")
    assert answer.json["content"] == [{"type": "text", "text": "A short answer from upstream."}]
    (seen,) = shop.upstream.seen
    assert (seen.path, seen.json()["model"]) == ("/messages", "upstream-words")
    assert seen.headers["anthropic-version"] == "2023-06-01"
    assert seen.headers["x-api-key"] == "sk-upstream-1"
    assert "authorization" not in seen.headers
    assert (shop.charge(customer).stamp, shop.charge(customer).amount) == ("provider", REPORTED)
    assert answer.headers["x-credits-charged"] == "0.000036"


def test_a_stream_is_passed_on_and_its_last_usage_says_the_charge(shop: Shop) -> None:
    customer = shop.customer()
    answer = ask(shop, customer, stream=True)
    events = said(answer.body)
    assert [events[0]["type"], events[-2]["type"], events[-1]["type"]] == [
        "message_start", "message_delta", "message_stop",
    ]  # fmt: skip
    assert events[0]["message"]["model"] == "words"
    assert text_of(events) == "A short answer from upstream."
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert (events[-2]["usage"]["output_tokens"], events[-2]["usage"]["cost"]) == (8, "0.000036")
    assert shop.charge(customer).amount == REPORTED


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_sampling_parameters_go_to_versions_that_know_them(shop: Shop, version: str) -> None:
    customer = shop.customer()
    ask(shop, customer, headers={"anthropic-version": version}, temperature=0.5, top_p=0.9, top_k=40)
    (seen,) = shop.upstream.seen
    assert seen.headers["anthropic-version"] == version
    assert ("temperature" in seen.json()) is (version == "2023-06-01")
    assert seen.json()["max_tokens"] == 2_000


# What was used ----------------------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize("present", [True, False], ids=["stated", "unstated"])
def test_d23_usage_is_known_stated_or_not(shop: Shop, stream: bool, *, present: bool) -> None:
    charge = charged(shop, usage(12, 8) if present else None, stream=stream)
    assert charge.stamp == ("provider" if present else "counted")
    assert charge.usage["output"] == (8 if present else 6)
    assert charge.amount > 0


def test_d24_usage_at_the_start_and_at_the_end_counts_once(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(message_stream(usage=usage(12, 8), ending_usage=usage(12, 8)))
    ask(shop, customer, stream=True)
    assert shop.charge(customer).amount == REPORTED


@FORMS
def test_d26_cached_tokens_stand_beside_the_input_and_are_priced_once(shop: Shop, stream: bool) -> None:
    charge = charged(shop, usage(40, 10, cache_read_input_tokens=60), stream=stream)
    assert charge.amount == 40 * INPUT + 60 * CACHED + 10 * OUTPUT
