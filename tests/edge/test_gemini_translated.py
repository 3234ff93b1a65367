"""Gemini's dialect joined to OpenAI's, over HTTP: either may be the caller's, the other the channel's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.pure.wire.gemini.calls import HELLO, payloads
from tests.support import gemini_answers, openai_answers
from tests.support.gateway import Answer, Customer, Gateway
from tests.support.gemini_answers import gemini_answer, gemini_stream
from tests.support.openai_answers import chat_answer, chat_stream
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import CACHED, INPUT, OUTPUT, UPSTREAM_NAMES, Shop, remove_channel
from tests.support.sse import chunks_of, ends_with_done, text_of

FORMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
STATED = {"include_usage": True}


@pytest.fixture
def google(shop_gateway: Gateway) -> Iterator[Shop]:
    """Before a channel that speaks Gemini."""
    with ScriptedUpstream() as upstream:
        channel = shop_gateway.channel(upstream.base_url + "/v1beta", models=UPSTREAM_NAMES, dialect="gemini")
        yield Shop(shop_gateway, upstream, channel)
        remove_channel(shop_gateway, channel)


def ask(shop: Shop, who: Customer, *, stream: bool = False, **fields: Any) -> Answer:
    action = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return shop.gateway.post(f"/v1beta/models/words:{action}", who, {"contents": HELLO} | fields)


# A caller of Gemini's dialect, a channel of OpenAI's ------------------------------------------------


@FORMS
def test_googles_callers_are_served_by_openais_channels(shop: Shop, stream: bool) -> None:
    customer, stated = shop.customer(), openai_answers.usage(12, 8, cached=4, reasoning=3)
    shop.upstream.play((chat_stream if stream else chat_answer)(text="one two", reasoning="hm", usage=stated))
    answer = ask(shop, customer, stream=stream, generationConfig={"maxOutputTokens": 50})
    chunks = payloads(answer.body) if stream else [answer.json]
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    assert "".join(part["text"] for part in parts if not part.get("thought")) == "one two"
    assert "".join(part["text"] for part in parts if part.get("thought")) == "hm"
    end = chunks[-1]
    assert (end["candidates"][0]["finishReason"], end["modelVersion"]) == ("STOP", "words")
    assert end["usageMetadata"]["candidatesTokenCount"] == 5
    assert end["usageMetadata"]["thoughtsTokenCount"] == 3
    assert shop.charge(customer).amount == 8 * INPUT + 4 * CACHED + 8 * OUTPUT
    sent = shop.upstream.seen[0]
    assert (sent.path, sent.json()["model"]) == ("/chat/completions", "upstream-words")
    assert "x-goog-api-key" not in sent.headers


def test_the_charge_is_in_the_last_chunk(shop: Shop) -> None:
    shop.upstream.play(chat_stream(text="one two"))
    *_, end = payloads(ask(shop, shop.customer(), stream=True).body)
    assert end["usageMetadata"]["cost"] == "0.000036"


def test_what_openai_has_no_word_for_is_refused(shop: Shop) -> None:
    answer = ask(shop, shop.customer(), generationConfig={"candidateCount": 2})
    assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT")
    assert answer.error["details"][0]["metadata"]["param"] == "n"
    assert shop.upstream.seen == []


def test_d56_a_400_of_openais_stays_400_in_googles_shape(shop: Shop) -> None:
    shop.upstream.play(openai_answers.failure(400, "too long", code="context_length_exceeded"))
    answer = ask(shop, shop.customer())
    assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT")
    assert answer.error["details"][0]["reason"] == "context_length_exceeded"


# A caller of OpenAI's dialect, a channel of Gemini's ------------------------------------------------


@FORMS
def test_openais_callers_are_served_by_googles_channels(google: Shop, stream: bool) -> None:
    customer, stated = google.customer(), gemini_answers.usage(12, 8, cached=4, thoughts=3)
    script = (gemini_stream if stream else gemini_answer)(text="one two", thoughts="hm", usage=stated)
    google.upstream.play(script)
    fields: dict[str, Any] = {"stream_options": STATED} if stream else {}
    answer = google.chat(customer, stream=stream, **fields)
    if stream:
        chunks = chunks_of(answer.body)
        assert text_of(chunks) == "one two"
        assert ends_with_done(answer.body)
        shown = chunks[-1]["usage"]
    else:
        assert answer.json["choices"][0]["message"]["content"] == "one two"
        assert answer.json["choices"][0]["message"]["reasoning_content"] == "hm"
        shown = answer.json["usage"]
    assert (shown["prompt_tokens"], shown["completion_tokens"], shown["total_tokens"]) == (12, 11, 23)
    assert google.charge(customer).amount == 8 * INPUT + 4 * CACHED + 11 * OUTPUT
    assert b"upstream-model" not in answer.body
    sent = google.upstream.seen[0]
    action = "streamGenerateContent?alt=sse" if stream else "generateContent"
    assert sent.path == f"/v1beta/models/upstream-words:{action}"
    assert sent.json() == {"contents": [{"role": "user", "parts": [{"text": "Say something short."}]}]}


@FORMS
def test_calls_of_functions_come_with_their_signature(google: Shop, stream: bool) -> None:
    parts = ({"functionCall": {"name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": "c2ln"},)
    google.upstream.play((gemini_stream if stream else gemini_answer)(parts=parts))
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    answer = google.chat(google.customer(), stream=stream, tools=[tool])
    pieces = [chunk["choices"][0] for chunk in chunks_of(answer.body)] if stream else answer.json["choices"]
    told = [piece["delta" if stream else "message"] for piece in pieces]
    calls = [call for piece in told for call in piece.get("tool_calls") or ()]
    assert calls[0]["function"]["name"] == "weather"
    assert calls[0]["extra_content"]["google"]["thought_signature"] == "c2ln"
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"city": "Paris"}
    assert pieces[-1]["finish_reason"] == "tool_calls"
    assert google.upstream.seen[0].json()["tools"] == [
        {"functionDeclarations": [{"name": "weather", "parametersJsonSchema": {"type": "object"}}]}
    ]


@FORMS
def test_d23_usage_that_is_missing_is_counted(google: Shop, stream: bool) -> None:
    customer = google.customer()
    google.upstream.play((gemini_stream if stream else gemini_answer)(usage=None))
    assert google.chat(customer, stream=stream).status == 200
    assert (google.charge(customer).stamp, google.charge(customer).usage["output"]) == ("counted", 6)


def test_d22_a_stream_that_dies_says_so_in_openais_words(google: Shop) -> None:
    customer = google.customer()
    google.upstream.play(gemini_stream(text="one two three", error_after=1))
    answer = google.chat(customer, stream=True)
    assert b"upstream broke" not in answer.body
    assert chunks_of(answer.body)[-1]["error"]["code"] == "upstream_error"
    assert google.charge(customer).stamp == "upstream_died"


def test_a_400_of_googles_stays_400_in_openais_shape(google: Shop) -> None:
    google.upstream.play(gemini_answers.failure(400, "INVALID_ARGUMENT", "The input token count exceeds the maximum."))
    answer = google.chat(google.customer())
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert answer.error["message"] == "The input token count exceeds the maximum."


# Embeddings -----------------------------------------------------------------------------------------


def test_openais_embeddings_are_served_by_googles_channels_and_counted(google: Shop) -> None:
    customer = google.customer()
    body = {"model": "text-embedding-3-small", "input": ["hello hello", "hello"]}
    answer = google.gateway.post("/v1/embeddings", customer, body)
    assert [row["index"] for row in answer.json["data"]] == [0, 1]
    charge = google.charge(customer)
    assert (charge.stamp, charge.usage["input"]) == ("counted", answer.json["usage"]["prompt_tokens"])
    assert google.upstream.seen[0].path == "/v1beta/models/upstream-embedding:batchEmbedContents"


def test_googles_embeddings_are_served_by_openais_channels(shop: Shop) -> None:
    customer = shop.customer()
    path = "/v1beta/models/text-embedding-3-small:embedContent"
    answer = shop.gateway.post(path, customer, {"content": {"parts": [{"text": "hello"}]}})
    assert len(answer.json["embedding"]["values"]) == 8
    assert shop.charge(customer).usage == {"input": 5}
    assert shop.upstream.seen[0].json()["model"] == "upstream-embedding"
