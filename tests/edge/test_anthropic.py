"""`POST /v1/messages` before a provider of the same dialect: what passes, what is charged, how it fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.anthropic_answers import failure, message_answer, message_stream, usage
from tests.support.gateway import Answer, Customer
from tests.support.openai_answers import chat_answer, chat_stream
from tests.support.openai_answers import usage as openai_usage
from tests.support.script import Script
from tests.support.shop import CACHED, INPUT, OUTPUT, Line, Shop, model_for_sale, remove_channel, sell, until
from tests.support.sse import chunks_of, ends_with_done, finish_of, read_events
from tests.support.sse import text_of as chat_text_of

from farebox.tariff.meters import Meter
from farebox.tariff.price_list import Model
from farebox.tariff.rate_card import RateCard

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


CACHING = model_for_sale(
    "caching",
    RateCard(
        rates={
            Meter.INPUT: "1", Meter.CACHED_INPUT: "0.1", Meter.OUTPUT: "3", Meter.CACHE_WRITE_5M: "1.25",
            Meter.CACHE_WRITE_1H: "2", Meter.SEARCHES: "0.01",
        }
    ),
)  # fmt: skip
A_SEARCH = 10_000_000
HOUR = {"type": "ephemeral", "ttl": "1h"}


@pytest.fixture
def caching(shop: Shop) -> Iterator[Model]:
    """A model whose card has a price for each cache lifetime, and for searches."""
    sell(shop.gateway, CACHING)
    channel_id = shop.gateway.channel(shop.upstream.base_url, models={"caching": "up"}, dialect="anthropic")
    yield CACHING
    remove_channel(shop.gateway, channel_id)


@FORMS
@pytest.mark.parametrize(
    ("split", "asked", "price"),
    [
        (None, None, 50 * 1_250),
        (None, HOUR, 50 * 2_000),
        ((30, 20), HOUR, 30 * 1_250 + 20 * 2_000),
        ((50, 0), HOUR, 50 * 1_250),
    ],
    ids=["unsplit, 5 minutes", "unsplit, 1 hour", "split", "split, asked for longer"],
)
def test_d27_tokens_written_to_a_cache_have_their_price(
    shop: Shop, caching: Model, stream: bool, split: tuple[int, int] | None, asked: Any, price: int
) -> None:
    stated = usage(30, 10, cache_creation_input_tokens=50, cache_read_input_tokens=20)
    del stated["cache_creation"]
    if split is not None:
        stated["cache_creation"] = dict(
            zip(("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"), split, strict=True)
        )
    fields = {} if asked is None else {"cache_control": asked}
    charge = charged(shop, stated, stream=stream, model=caching.id, **fields)
    assert (charge.stamp, charge.amount) == ("provider", 30 * 1_000 + 20 * 100 + price + 10 * 3_000)


@FORMS
def test_d28_negative_usage_credits_nobody(shop: Shop, stream: bool) -> None:
    charge = charged(shop, usage(-12, 8), stream=stream)
    assert (charge.stamp, charge.flags) == ("counted", ["usage_negative"])
    assert charge.amount > 0


@FORMS
def test_d37_searches_are_held_and_charged_each(shop: Shop, caching: Model, stream: bool) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    stated = usage(10_000, 10, server_tool_use={"web_search_requests": 2, "web_fetch_requests": 0})
    charge = charged(shop, stated, stream=stream, model=caching.id, tools=[search])
    assert (charge.stamp, charge.usage["searches"]) == ("provider", 2)
    assert charge.amount == 10_000 * 1_000 + 10 * 3_000 + 2 * A_SEARCH
    assert charge.held >= 4 * 128_000 * 1_000 + 3 * A_SEARCH


@FORMS
@pytest.mark.parametrize(("made", "charged_for"), [(2, 2), (5, 3)])
def test_d37_searches_seen_are_charged_where_no_usage_can_be_believed(
    shop: Shop, caching: Model, stream: bool, made: int, charged_for: int
) -> None:
    customer = shop.customer()
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    shop.upstream.play(good(stream, usage=None, searches=made))
    answer = ask(shop, customer, stream=stream, model=caching.id, tools=[search])
    assert answer.status == 200
    charge = shop.charge(customer)
    assert (charge.stamp, charge.usage["searches"]) == ("counted", charged_for)
    assert charge.amount > charged_for * A_SEARCH


def test_d37_more_searches_than_were_allowed_are_not_believed(shop: Shop, caching: Model) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}
    stated = usage(100, 10, server_tool_use={"web_search_requests": 2})
    charge = charged(shop, stated, model=caching.id, tools=[search])
    assert (charge.stamp, charge.flags) == ("counted", ["usage_more_than_held"])


# How it fails -----------------------------------------------------------------------------------------


@FORMS
def test_d56_what_the_provider_refuses_stays_its_400_in_its_shape(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(failure(400, "prompt is too long: 208310 tokens > 200000 maximum"))
    answer = ask(shop, customer, stream=stream)
    assert (answer.status, answer.json["type"]) == (400, "error")
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["message"] == "prompt is too long: 208310 tokens > 200000 maximum"
    assert (shop.charge(customer).stamp, shop.charge(customer).amount) == ("caller_refused", 0)


def test_an_empty_account_of_ours_is_no_fault_of_the_customer(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.always(failure(400, "Your credit balance is too low to access the Anthropic API."))
    answer = ask(shop, customer)
    assert answer.status == 503
    assert b"balance" not in answer.body
    assert shop.charge(customer).attempts[0]["verdict"] == "key_rejected"


def test_no_customer_names_an_account_of_the_provider(shop: Shop) -> None:
    names = {"anthropic-workspace-id": "wrkspc_1", "anthropic-user-profile-id": "uprof_1"}
    ask(shop, shop.customer(), headers=names | {"anthropic-beta": "context-1m-2025-08-07"})
    (seen,) = shop.upstream.seen
    assert names.keys().isdisjoint(seen.headers)
    assert seen.headers["anthropic-beta"] == "context-1m-2025-08-07"


def test_our_own_refusals_have_the_dialects_shape(shop: Shop) -> None:
    customer = shop.customer(credits="0")
    answer = ask(shop, customer)
    assert (answer.status, answer.json["type"], answer.error["type"]) == (402, "error", "billing_error")
    assert answer.error["code"] == "insufficient_credits"
    assert answer.error["available"] == "0"
    unknown = ask(shop, shop.customer(), model="no-such-model")
    assert (unknown.status, unknown.error["type"], unknown.error["code"]) == (404, "not_found_error", "invalid_model")
    missing = ask(shop, shop.customer(), max_tokens=None)
    assert (missing.status, missing.error["code"], missing.error["param"]) == (400, "missing_parameter", "max_tokens")
    assert shop.upstream.seen == []


def test_d22_a_stream_that_fails_before_output_is_no_answer(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.always(message_stream(error_after=0))
    answer = ask(shop, customer, stream=True)
    assert answer.status == 502
    assert answer.error["type"] == "api_error"
    assert (shop.charge(customer).stamp, shop.charge(customer).amount) == ("upstream_failed", 0)


def test_d22_an_error_in_the_middle_is_the_dialects_error_event(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(message_stream(text=LONG_TEXT, error_after=20))
    events = said(ask(shop, customer, stream=True).body)
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["code"] == "upstream_error"
    assert "upstream broke" not in str(events)
    assert (shop.charge(customer).stamp, shop.charge(customer).amount) == ("upstream_died", 0)


def test_a_message_without_its_stop_is_not_complete(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(message_stream(stop=False))
    events = said(ask(shop, customer, stream=True).body)
    assert events[-1]["type"] == "error"
    assert shop.charge(customer).stamp == "upstream_died"


@pytest.mark.parametrize("words", [1, 40])
def test_d20_a_stream_left_is_charged_what_was_produced(shop: Shop, words: int) -> None:
    customer = shop.customer()
    shop.upstream.play(message_stream(text=LONG_TEXT, pause_s=0.002))
    line = Line(shop.gateway.port, customer, body_of(stream=True), {})
    line.path = MESSAGES
    with line as stream:
        stream.until(f"word{words} ".encode())
        stream.leave()
    charge = shop.charge(customer)
    assert charge.stamp == "client_left_cancelled"
    assert words * 2 * OUTPUT <= charge.amount < 400 * 2 * OUTPUT
    (seen,) = shop.upstream.seen
    until(lambda: seen.peer_closed_at is not None)


def test_credits_that_run_out_end_the_message_well_formed(shop: Shop) -> None:
    customer = shop.customer(credits="0.005")
    shop.upstream.play(message_stream(text=LONG_TEXT * 4, pause_s=0.001))
    events = said(ask(shop, customer, stream=True, max_tokens=4_000).body)
    assert [event["type"] for event in events[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    charge = shop.charge(customer)
    assert charge.stamp == "credits_exhausted"
    assert 0 < charge.amount <= charge.held <= 5_000_000
    assert shop.gateway.available(customer) >= 0


@FORMS
def test_a_limit_that_reached_its_end_is_charged_though_nothing_was_said(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream, text="", stop_reason="max_tokens", usage=usage(12, 0)))
    ask(shop, customer, stream=stream, max_tokens=0)
    assert (shop.charge(customer).stamp, shop.charge(customer).amount) == ("provider", 12 * INPUT)


# Between dialects -------------------------------------------------------------------------------------


@pytest.fixture
def chat_only(shop: Shop) -> Iterator[Model]:
    """A model that only a channel of OpenAI's dialect serves."""
    model = model_for_sale("chatty", RateCard(rates={Meter.INPUT: "1", Meter.CACHED_INPUT: "0.25", Meter.OUTPUT: "3"}))
    sell(shop.gateway, model)
    channel_id = shop.gateway.channel(shop.upstream.base_url, models={"chatty": "gpt-up"})
    yield model
    remove_channel(shop.gateway, channel_id)


@FORMS
def test_a_message_is_served_by_a_chat_provider(shop: Shop, chat_only: Model, stream: bool) -> None:
    customer = shop.customer()
    calls = (("get_weather", '{"city":"Bern"}'),)
    stated = openai_usage(100, 10, cached=60)
    play = chat_stream if stream else chat_answer
    shop.upstream.play(play(tool_calls=calls, finish="tool_calls", usage=stated))
    tool = {"name": "get_weather", "input_schema": {"type": "object"}}
    answer = ask(shop, customer, model="chatty", stream=stream, system="Be brief.", tools=[tool], text="long " * 100)
    (seen,) = shop.upstream.seen
    assert (seen.path, seen.json()["model"]) == ("/chat/completions", "gpt-up")
    assert seen.json()["messages"][0] == {"role": "system", "content": "Be brief."}
    assert shop.charge(customer).amount == 40 * INPUT + 60 * CACHED + 10 * OUTPUT
    if stream:
        events = said(answer.body)
        (started,) = [event for event in events if event["type"] == "content_block_start"]
        assert (started["content_block"]["name"], events[-2]["delta"]["stop_reason"]) == ("get_weather", "tool_use")
        stated = events[-2]["usage"]
    else:
        (block,) = answer.json["content"]
        assert (block["input"], answer.json["stop_reason"]) == ({"city": "Bern"}, "tool_use")
        stated = answer.json["usage"]
    assert (stated["input_tokens"], stated["cache_read_input_tokens"], stated["output_tokens"]) == (40, 60, 10)


@FORMS
def test_a_chat_is_served_by_a_provider_of_messages(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream, thinking="Hm.", usage=usage(40, 10, cache_read_input_tokens=60)))
    fields: dict[str, Any] = {"temperature": 1.5, "reasoning_effort": "low", "max_tokens": 3_000}
    if stream:
        fields["stream_options"] = {"include_usage": True}
    answer = shop.chat(customer, stream=stream, text="long " * 100, **fields)
    (seen,) = shop.upstream.seen
    body = seen.json()
    assert (seen.path, body["max_tokens"]) == ("/messages", 3_000)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2_048}
    assert "temperature" not in body
    assert shop.charge(customer).amount == 40 * INPUT + 60 * CACHED + 10 * OUTPUT
    if stream:
        chunks = chunks_of(answer.body)
        assert (chat_text_of(chunks), finish_of(chunks)) == ("A short answer from upstream.", "stop")
        assert ends_with_done(answer.body)
        assert chunks[-1]["usage"]["prompt_tokens"] == 100
    else:
        message = answer.json["choices"][0]["message"]
        assert (message["content"], message["reasoning_content"]) == ("A short answer from upstream.", "Hm.")
        assert answer.json["usage"]["prompt_tokens_details"]["cached_tokens"] == 60
