"""The sandbox over a real socket: plausible, repeatable, and failing exactly as asked."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from array import array
from typing import Any

import aiohttp
import httpx2
import openai
import pytest

from farebox.upstream.sandbox_script import Script, UsageShape, read_script
from farebox.upstream.sandbox_words import WORDS, count_tokens
from farebox.wire.usage import OPENAI_CHAT, ReportedUsage, UsageFault, read_usage

HELLO = {"model": "any-model", "messages": [{"role": "user", "content": "hello"}]}


def text_of(events: list[Any]) -> str:
    deltas = [choice["delta"] for event in events if event != "[DONE]" for choice in event["choices"]]
    return "".join(delta.get("content", "") for delta in deltas)


async def test_the_same_request_gives_the_same_answer(client: Any) -> None:
    status, first = await client.ask(HELLO)
    assert (status, first) == await client.ask(HELLO)
    assert status == 200
    assert first["model"] == "any-model"
    assert (await client.ask(HELLO | {"model": "other"}))[1]["choices"] != first["choices"]


async def test_usage_is_true_to_the_text(client: Any) -> None:
    for tokens in (1, 7, 300):
        _, answer = await client.ask(HELLO, f"tokens={tokens}")
        (choice,) = answer["choices"]
        assert count_tokens(choice["message"]["content"]) == answer["usage"]["completion_tokens"] == tokens
        assert choice["finish_reason"] == "stop"
        assert isinstance(read_usage(json.dumps(answer["usage"]).encode(), OPENAI_CHAT), ReportedUsage)


def test_every_word_is_one_token() -> None:
    assert [word for word in WORDS if count_tokens(" " + word) != 1] == []


async def test_a_limit_ends_the_answer_early(client: Any) -> None:
    _, answer = await client.ask(HELLO | {"max_tokens": 3}, "tokens=50")
    assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == ("length", 3)


async def test_each_choice_is_its_own_answer(client: Any) -> None:
    _, answer = await client.ask(HELLO | {"n": 3}, "tokens=20")
    assert len({choice["message"]["content"] for choice in answer["choices"]}) == 3
    assert answer["usage"]["completion_tokens"] == 60


async def test_d60_hidden_reasoning_eats_the_limit_first(client: Any) -> None:
    _, answer = await client.ask(HELLO | {"max_tokens": 16}, "reasoning=200")
    assert answer["choices"][0]["message"]["content"] == ""
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 16


async def test_a_stream_says_what_the_buffered_answer_says(client: Any) -> None:
    _, answer = await client.ask(HELLO | {"n": 2})
    events = await client.events(HELLO | {"n": 2, "stream_options": {"include_usage": True}})
    assert text_of(events) == "".join(choice["message"]["content"] for choice in answer["choices"])
    assert events[-2]["usage"] == answer["usage"]
    assert events[-1] == "[DONE]"
    reasons = [choice["finish_reason"] for event in events[:-1] for choice in event["choices"]]
    assert len([reason for reason in reasons if reason]) == 2


async def test_usage_comes_only_when_asked_for(client: Any) -> None:
    assert not [event for event in await client.events(HELLO) if event != "[DONE]" and "usage" in event]


async def test_chunks_and_pace_are_chosen(client: Any) -> None:
    started = time.monotonic()
    events = await client.events(HELLO, "tokens=100, chunks=5, pace_ms=20")
    assert len([event for event in events if event != "[DONE]" and event["choices"][0]["delta"].get("content")]) == 5
    assert time.monotonic() - started > 0.1


@pytest.mark.parametrize(
    ("shape", "fault"),
    [("negative", UsageFault.NEGATIVE), ("none", None), ("zero", None), ("wrong", None)],
)
async def test_usage_can_be_bad(client: Any, shape: str, fault: UsageFault | None) -> None:
    _, answer = await client.ask(HELLO, f"usage={shape}")
    if shape == "none":
        assert "usage" not in answer
    elif fault:
        assert read_usage(json.dumps(answer["usage"]).encode(), OPENAI_CHAT) is fault
    elif shape == "zero":
        assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (0, 0)
        assert answer["choices"][0]["message"]["content"]
    else:
        assert answer["usage"]["completion_tokens"] > 10_000_000


async def test_an_answer_can_be_empty(client: Any) -> None:
    _, answer = await client.ask(HELLO, "empty")
    assert (answer["choices"][0]["message"]["content"], answer["usage"]["completion_tokens"]) == ("", 0)
    assert text_of(await client.events(HELLO, "empty")) == ""


async def test_a_status_can_be_asked_for(client: Any) -> None:
    async with client.post("/v1/chat/completions", HELLO, "status=429, retry_after=3, delay_ms=30") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
        assert (await answer.json())["error"]["code"] == "sandbox_failure"


async def test_a_stream_can_be_cut(client: Any) -> None:
    async with client.post("/v1/chat/completions", HELLO | {"stream": True}, "tokens=20, cut=3") as answer:
        received = bytearray()
        with pytest.raises(aiohttp.ClientPayloadError):
            await _read_into(answer, received)
    assert received.count(b"data: ") == 1 + 3
    assert b"[DONE]" not in received


async def _read_into(answer: Any, received: bytearray) -> None:
    async for piece in answer.content.iter_any():
        received += piece


async def test_a_buffered_answer_can_be_cut(client: Any) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.ask(HELLO, "cut=0")


async def test_an_error_event_ends_a_stream(client: Any) -> None:
    events = await client.events(HELLO, "tokens=20, error_event=2")
    assert len(events) == 1 + 2 + 1
    assert "error" in events[-1]


async def test_production_stops_when_the_client_leaves(client: Any) -> None:
    async with client.post("/v1/chat/completions", HELLO | {"stream": True}, "tokens=5000, pace_ms=5") as answer:
        await answer.content.readany()
        answer.close()
    for _ in range(100):
        if client.sandbox.stats.open == 0:
            break
        await asyncio.sleep(0.01)
    async with client.session.get("http://sandbox/sandbox/stats") as answer:
        stats = await answer.json()
    assert (stats["client_left"], stats["open"], stats["finished"]) == (1, 0, 0)
    assert stats["chunks"] < 500


async def test_without_a_pace_a_leaving_client_is_noticed_too(client: Any) -> None:
    async with client.post("/v1/chat/completions", HELLO | {"stream": True, "n": 100}, "tokens=5000") as answer:
        await answer.content.readany()
        answer.close()
    for _ in range(200):
        if client.sandbox.stats.open == 0:
            break
        await asyncio.sleep(0.01)
    assert client.sandbox.stats.client_left == 1
    assert client.sandbox.stats.chunks < 500_000


async def test_a_bad_directive_is_named(client: Any) -> None:
    status, answer = await client.ask(HELLO, "staus=500")
    assert (status, answer["error"]["code"]) == (400, "invalid_sandbox_header")
    assert "staus" in answer["error"]["message"]


async def test_bad_requests_and_places_are_refused(client: Any) -> None:
    assert (await client.ask({"model": "m"}))[0] == 400
    assert (await client.ask(HELLO, path="/v1/other"))[0] == 404


SCRIPTS: list[tuple[str, Script | None]] = [
    ("", Script()),
    (" , ", Script()),
    ("tokens=4,empty", Script(tokens=4, empty=True)),
    ("usage = none, pace_ms = 5", Script(usage=UsageShape.NONE, pace_ms=5)),
    ("status=200", None),
    ("status=600", None),
    ("tokens=-1", None),
    ("tokens=1.5", None),
    ("tokens=", None),
    ("tokens", None),
    ("tokens=٣", None),
    ("tokens=99999999999", None),
    ("tokens=1,tokens=2", None),
    ("usage=odd", None),
    ("empty=1", None),
    ("chunks=0", None),
]


@pytest.mark.parametrize(("header", "script"), SCRIPTS)
def test_directives_are_read_strictly(header: str, script: Script | None) -> None:
    read = read_script(header)
    assert read == script if script is not None else isinstance(read, str)


async def test_the_official_client_reads_streams_and_failures(client: Any) -> None:
    transport = httpx2.AsyncHTTPTransport(uds=client.socket)
    async with httpx2.AsyncClient(transport=transport) as http:
        sdk = openai.AsyncOpenAI(api_key="x", base_url="http://sandbox/v1", http_client=http, max_retries=0)
        stream = await sdk.chat.completions.create(**HELLO, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert chunks[-1].usage is not None
        assert count_tokens(text) == chunks[-1].usage.completion_tokens
        with pytest.raises(openai.RateLimitError):
            await sdk.embeddings.create(model="e", input="x", extra_headers={"X-Sandbox": "status=429"})


async def test_embeddings_are_unit_vectors_of_their_input(client: Any) -> None:
    body = {"model": "e", "input": ["one", "two", "one"], "dimensions": 64}
    status, answer = await client.ask(body, path="/v1/embeddings")
    vectors = [row["embedding"] for row in answer["data"]]
    assert status == 200
    assert vectors[0] == vectors[2] != vectors[1]
    assert [len(vector) for vector in vectors] == [64, 64, 64]
    assert sum(number * number for number in vectors[0]) == pytest.approx(1, abs=1e-5)
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


async def test_embeddings_come_in_base64_too(client: Any) -> None:
    plain = (await client.ask({"model": "e", "input": "x"}, path="/v1/embeddings"))[1]
    packed = (await client.ask({"model": "e", "input": "x", "encoding_format": "base64"}, path="/v1/embeddings"))[1]
    unpacked = array("f", base64.b64decode(packed["data"][0]["embedding"]))
    assert len(unpacked) == 1536
    assert unpacked.tolist() == pytest.approx(plain["data"][0]["embedding"])


async def test_token_numbers_are_counted_one_by_one(client: Any) -> None:
    answers = [(await client.ask({"model": "e", "input": i}, path="/v1/embeddings"))[1] for i in ([5, 6], [[5], [6]])]
    assert [len(answer["data"]) for answer in answers] == [1, 2]
    assert [answer["usage"]["prompt_tokens"] for answer in answers] == [2, 2]
