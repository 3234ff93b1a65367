"""Every stage has its own time-out, and only the stage that ran out is blamed."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from tests.upstream_client.reading import ask, fetch
from tests.upstream_client.scripted import CHUNKED, Peer, Scripted, chunk, plain

from farebox.upstream.client import HttpClient
from farebox.upstream.response import BUFFER_BYTES
from farebox.upstream.timeouts import Stage, Timeouts
from farebox.upstream.trouble import TimedOut

LONG = 5.0


async def silent(peer: Peer) -> None:
    await peer.gone()


async def half_a_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n")
    await peer.gone()


async def a_head_that_trickles(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n", *[b"x-a: b\r\n"] * 100, pause_s=0.02)


async def one_chunk_then_silence(peer: Peer) -> None:
    await peer.request()
    await peer.send(CHUNKED + chunk(b"hello"))
    await peer.gone()


async def chunks_without_end(peer: Peer) -> None:
    await peer.request()
    await peer.send(CHUNKED)
    while True:
        await peer.send(chunk(b"hello"), pause_s=0.05)


@pytest.mark.parametrize(
    ("script", "timeouts", "stage"),
    [
        (silent, Timeouts(first_byte=0.2, idle=LONG, total=LONG), Stage.FIRST_BYTE),
        (silent, Timeouts(first_byte=LONG, idle=0.1, total=0.2), Stage.TOTAL),
        (half_a_head, Timeouts(first_byte=0.2, idle=LONG, total=LONG), Stage.FIRST_BYTE),
        (a_head_that_trickles, Timeouts(first_byte=0.2, idle=LONG, total=LONG), Stage.FIRST_BYTE),
        (one_chunk_then_silence, Timeouts(first_byte=LONG, idle=0.2, total=LONG), Stage.IDLE),
        (one_chunk_then_silence, Timeouts(first_byte=0.1, idle=LONG, total=0.2), Stage.TOTAL),
        (chunks_without_end, Timeouts(first_byte=LONG, idle=0.2, total=0.6), Stage.TOTAL),
    ],
)
async def test_the_stage_that_ran_out_is_named(
    client: HttpClient, script: object, timeouts: Timeouts, stage: Stage
) -> None:
    async with Scripted(script) as server:  # type: ignore[arg-type]
        began = time.monotonic()
        with pytest.raises(TimedOut) as caught:
            await fetch(client, server.url, timeouts=timeouts)
        took = time.monotonic() - began
        assert caught.value.stage is stage
        assert not caught.value.retry_is_safe
        assert min(timeouts.first_byte, timeouts.idle, timeouts.total) - 0.01 <= took < 2
        await asyncio.sleep(0.2)
        assert client.open_connections() == server.open_connections == 0


async def test_a_name_that_does_not_resolve_in_time_is_the_stage_of_connecting() -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    client = HttpClient(resolver=never)
    with pytest.raises(TimedOut) as caught:
        await fetch(client, "http://upstream.example", timeouts=Timeouts(connect=0.1))
    assert caught.value.stage is Stage.CONNECT
    assert caught.value.retry_is_safe
    assert client.open_connections() == 0
    client.close()


async def test_a_tls_handshake_that_never_ends_is_the_stage_of_connecting(client: HttpClient) -> None:
    async with Scripted(silent) as server:
        with pytest.raises(TimedOut) as caught:
            await fetch(client, f"https://127.0.0.1:{server.port}", timeouts=Timeouts(connect=0.2))
        assert caught.value.stage is Stage.CONNECT
        await asyncio.sleep(0.1)
        assert server.open_connections == client.open_connections() == 0


async def test_a_steady_trickle_never_times_out(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, *(chunk(b"%d" % n) for n in range(10)), b"0\r\n\r\n", pause_s=0.05)
        await peer.answer()

    async with Scripted(script) as server:
        timeouts = Timeouts(first_byte=0.2, idle=0.2, total=5)
        assert await fetch(client, server.url, timeouts=timeouts) == b"0123456789"
        assert await fetch(client, server.url, timeouts=timeouts) == b"ok"


async def test_a_slow_reader_is_not_a_silent_upstream(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(b"x" * 8_000_000)

    async with Scripted(script) as server:
        response = await ask(client, server.url, timeouts=Timeouts(idle=0.1))
        await asyncio.sleep(0.4)
        assert len(await response.read(1 << 30)) == 8_000_000


async def test_the_time_a_reader_took_is_not_counted_when_it_goes_on(client: HttpClient) -> None:
    read_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (BUFFER_BYTES + 4), b"x" * BUFFER_BYTES)
        await read_on.wait()
        await asyncio.sleep(0.15)
        await peer.send(b"rest")

    async with Scripted(script) as server:
        response = await ask(client, server.url, timeouts=Timeouts(idle=0.3))
        await asyncio.sleep(0.5)
        assert response.paused
        assert len(await response.next_chunk() or b"") == BUFFER_BYTES
        read_on.set()
        assert await response.read(10) == b"rest"


async def test_the_time_before_the_request_does_not_count(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.answer()

    async with Scripted(script) as server:
        timeouts = Timeouts(first_byte=0.1, idle=0.1, total=0.1)
        for _ in range(2):
            assert await fetch(client, server.url, timeouts=timeouts) == b"ok"
            await asyncio.sleep(0.2)


async def test_an_upstream_that_takes_a_long_body_slowly_but_steadily_is_not_late(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        _, headers = await peer.head()
        left = int(headers[b"content-length"])
        while left:
            left -= len(await peer.reader.read(1 << 20))
            await asyncio.sleep(0.01)
        await peer.send(plain())

    async with Scripted(script) as server:
        timeouts = Timeouts(first_byte=0.5)
        assert await fetch(client, server.url, body=b"x" * 16_000_000, timeouts=timeouts) == b"ok"
