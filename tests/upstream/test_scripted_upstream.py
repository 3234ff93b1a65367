"""The scripted upstream itself: a test that trusts it must be able to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.openai_answers import UsageIn, chat_answer, chat_stream, failure, usage
from tests.support.script import Ending, Framing, Script, answer, hang_up, silence, wire
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.sse import chunks_of, ends_with_done, events_of, finish_of, read_events, text_of, usage_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(server: ScriptedUpstream) -> ScriptedUpstream:
    server.forget()
    return server


@pytest.fixture
async def http(upstream: ScriptedUpstream) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(upstream.base_url) as session:
        yield session


async def ask(http: aiohttp.ClientSession, path: str = "/v1/chat/completions", **body: object) -> bytes:
    async with http.post(path, json={"model": "m", **body}) as response:
        return await response.read()


async def wire_bytes(upstream: ScriptedUpstream, *, until_close: bool = True) -> bytes:
    """Everything a bare socket gets for one request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        return await asyncio.wait_for(reader.read() if until_close else reader.read(65536), 5)
    finally:
        writer.close()


async def test_unscripted_it_answers_as_the_official_client_expects(upstream: ScriptedUpstream) -> None:
    async with openai.AsyncOpenAI(base_url=f"{upstream.base_url}/v1", api_key="sk-x") as client:
        whole = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        vectors = await client.embeddings.create(model="m", input=["a", "b"])
        stream = await client.chat.completions.create(
            model="m", messages=[], stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (12, 8)
    assert len(vectors.data) == 2
    assert chunks[-1].usage == whole.usage
    assert upstream.seen[0].api_key == "sk-x"


async def test_without_being_asked_a_stream_carries_no_usage(http: aiohttp.ClientSession) -> None:
    assert usage_of(chunks_of(await ask(http, stream=True))) is None


async def test_answers_are_played_in_order_then_rules_then_the_good_one(
    upstream: ScriptedUpstream, http: aiohttp.ClientSession
) -> None:
    upstream.play(answer(b"1"), lambda seen: answer(seen.json()["model"].encode()))
    upstream.when(lambda seen: seen.json().get("n") == 7, answer(b"rule"))
    assert [await ask(http), await ask(http), await ask(http, n=7)] == [b"1", b"m", b"rule"]
    assert b"chatcmpl-scripted" in await ask(http)


@pytest.mark.parametrize("framing", list(Framing))
@given(cut_at=st.integers(0, 30))
async def test_a_body_is_cut_at_exactly_the_byte_named(framing: Framing, cut_at: int) -> None:
    body = bytes(range(65, 65 + 26))
    script = answer(body).in_pieces_of(7).framed(framing).cut(cut_at)
    sent = b"".join(piece.data for piece in wire(script)).partition(b"\r\n\r\n")[2]
    letters = bytes(byte for byte in sent if 65 <= byte <= 90)
    assert letters == body[:cut_at]
    assert (framing is Framing.CHUNKED and sent.endswith(b"0\r\n\r\n")) == (
        framing is Framing.CHUNKED and cut_at > len(body)
    )


@given(cut_at=st.integers(0, 200))
def test_an_answer_is_cut_anywhere_on_the_wire(cut_at: int) -> None:
    script = chat_stream(text="a b c")
    whole = b"".join(piece.data for piece in wire(script))
    assert b"".join(piece.data for piece in wire(script.cut_wire(cut_at))) == whole[:cut_at]


async def test_a_cut_answer_arrives_cut_and_the_connection_closes(upstream: ScriptedUpstream) -> None:
    upstream.play(answer(b"0123456789").cut(4))
    assert (await wire_bytes(upstream)).endswith(b"Content-Length: 10\r\n\r\n0123")


@pytest.mark.parametrize("script", [hang_up(), hang_up(Ending.RESET), answer(b"x" * 10).cut_wire(12, Ending.RESET)])
async def test_it_hangs_up(upstream: ScriptedUpstream, http: aiohttp.ClientSession, script: Script) -> None:
    upstream.always(script)
    with pytest.raises(aiohttp.ClientError):
        await ask(http)


async def test_a_reset_is_a_reset(upstream: ScriptedUpstream) -> None:
    upstream.play(hang_up(Ending.RESET))
    with pytest.raises(ConnectionResetError):
        await wire_bytes(upstream)


async def test_silence_lasts_and_the_peers_leaving_is_seen(
    upstream: ScriptedUpstream, http: aiohttp.ClientSession
) -> None:
    upstream.play(silence())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(http), 0.1)
    left_at = time.monotonic()
    seen = upstream.seen[0]
    assert abs(await upstream.closed(seen) - left_at) < 1
    assert seen.left_early


async def test_a_stream_the_peer_leaves_is_not_played_to_the_end(
    upstream: ScriptedUpstream, http: aiohttp.ClientSession
) -> None:
    upstream.play(chat_stream(text="word " * 50, pause_s=0.02))
    async with http.post("/v1/chat/completions", json={}) as response:
        async for event in events_of(response.content.iter_any()):
            assert event.json()["choices"]
            break
        response.close()
    await upstream.closed(upstream.seen[0])
    assert upstream.seen[0].left_early
    assert upstream.seen[0].bytes_sent < 5000


async def test_a_peer_that_does_not_read_stops_the_answer(
    upstream: ScriptedUpstream, http: aiohttp.ClientSession
) -> None:
    upstream.play(answer(b"x" * 50_000_000))
    async with http.post("/v1/chat/completions", json={}) as response:
        (seen,) = await upstream.arrived(1)
        await asyncio.sleep(0.3)
        assert seen.answered_at is None
        assert seen.bytes_sent < 20_000_000
        assert len(await response.read()) == 50_000_000
    await upstream.answered(seen)


async def test_pauses_and_waits_are_kept(upstream: ScriptedUpstream, http: aiohttp.ClientSession) -> None:
    upstream.play(answer(b"12345").in_pieces_of(1, pause_s=0.02).after(0.1))
    started = time.monotonic()
    assert await ask(http) == b"12345"
    assert 0.19 < time.monotonic() - started < 2


async def test_interim_statuses_and_trailers_go_on_the_wire(upstream: ScriptedUpstream) -> None:
    script = answer(b"x").framed(Framing.CHUNKED).ending_with(Ending.CLOSE)
    upstream.play(msgspec.structs.replace(script, interim=(103,), trailers=(("X-End", "yes"),)))
    sent = await wire_bytes(upstream)
    assert sent.startswith(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert sent.endswith(b"0\r\nX-End: yes\r\n\r\n")


async def test_connections_are_kept_counted_and_dropped(
    upstream: ScriptedUpstream, http: aiohttp.ClientSession
) -> None:
    before = upstream.accepted_connections
    await ask(http)
    await ask(http)
    assert upstream.seen[0].connection == upstream.seen[1].connection
    assert upstream.accepted_connections == before + 1
    upstream.drop_connections()
    await asyncio.sleep(0.05)
    await ask(http)
    assert upstream.seen[2].connection != upstream.seen[0].connection


async def test_an_error_has_its_status_headers_and_shape(
    upstream: ScriptedUpstream, http: aiohttp.ClientSession
) -> None:
    upstream.play(failure(429, code="slow_down").with_headers(retry_after="7"))
    async with http.post("/v1/chat/completions", json={}) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")
        assert (await response.json())["error"]["code"] == "slow_down"


STREAMS: list[tuple[UsageIn, int]] = [
    (UsageIn.LAST_CHUNK, 1),
    (UsageIn.FINISHING_CHUNK, 1),
    (UsageIn.TWICE, 2),
    (UsageIn.NOWHERE, 0),
    (UsageIn.EVERY_CHUNK, 6),
]


@pytest.mark.parametrize(("where", "times"), STREAMS)
def test_a_stream_carries_its_usage_where_it_is_told(where: UsageIn, times: int) -> None:
    reported = usage(12, -8)
    chunks = chunks_of(chat_stream(text="one two three", usage=reported, usage_in=where).body)
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert len(usages) == times
    assert not usages or usages[-1] == reported
    assert text_of(chunks) == "one two three"


def test_a_stream_has_choices_reasoning_and_tool_calls() -> None:
    body = chat_stream(choices=2, reasoning="hm well", tool_calls=(("add", '{"a":1,"b":2}'),), finish="tool_calls").body
    chunks = chunks_of(body)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == 1]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "hm well"
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a":1,"b":2}'
    assert finish_of(chunks, 1) == "tool_calls"
    assert ends_with_done(body)


def test_a_stream_can_end_in_an_error_event() -> None:
    events = read_events(chat_stream(text="a b c", error_after=2).body)
    assert [next(iter(event.json())) for event in events] == ["id", "id", "error"]


def test_a_whole_answer_can_lack_usage() -> None:
    assert b"usage" not in chat_answer(usage=None).body


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
async def test_events_are_read_whatever_ends_their_lines_and_wherever_they_are_cut(line_end: str) -> None:
    text = "event: a\n: hello\ndata: 1\ndata: 2\u2028\n\ndata:3\n\n".replace("\n", line_end).encode()
    whole = read_events(text)
    assert [(event.name, event.data, event.comments) for event in whole] == [
        ("a", "1\n2\u2028", ("hello",)),
        ("", "3", ()),
    ]

    async def bytewise() -> AsyncIterator[bytes]:
        for byte in text:
            yield bytes([byte])

    assert [event async for event in events_of(bytewise())] == whole


@pytest.fixture
def process_url() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.support.scripted_upstream"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


async def test_it_runs_as_a_process_and_is_told_over_http(process_url: str) -> None:
    async with aiohttp.ClientSession(process_url) as http:
        async with http.post("/_play", data=msgspec.json.encode([chat_answer(text="told")])) as told:
            assert told.status == 204
        assert b"told" in await ask(http)
        async with http.get("/_seen") as response:
            (seen,) = await response.json()
    assert seen["path"] == "/v1/chat/completions"
