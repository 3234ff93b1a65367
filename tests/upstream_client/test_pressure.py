"""Large bodies both ways: what is slow on one side is felt on the other, and little is kept in between."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc

import pytest
from tests.upstream_client.reading import ask, fetch
from tests.upstream_client.scripted import CHUNKED, Peer, Scripted, chunk, plain

from farebox.upstream.client import HttpClient
from farebox.upstream.response import BUFFER_BYTES

MEGABYTE = 1 << 20


async def test_a_reader_that_never_reads_stops_the_upstream(client: HttpClient) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send(chunk(b"x" * 100_000))
            sent += 100_000

    async with Scripted(script) as server:
        response = await ask(client, server.url)
        await asyncio.sleep(0.3)
        before = sent
        await asyncio.sleep(0.2)
        assert sent == before, "the upstream goes on producing what nobody reads"
        assert 0 < response.buffered <= BUFFER_BYTES
        assert sent < 16 * MEGABYTE  # what the kernel's socket buffers took
        response.close()


async def test_a_paused_upstream_goes_on_when_the_reader_does(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(b"0123456789" * 2_000_000)
        await peer.answer()

    async with Scripted(script) as server:
        response = await ask(client, server.url)
        await asyncio.sleep(0.1)
        size = 0
        while (piece := await response.next_chunk()) is not None:
            assert piece.startswith(b"0123456789"[size % 10 :][: len(piece)])
            size += len(piece)
            assert len(piece) <= BUFFER_BYTES
        assert size == 20_000_000
        assert await fetch(client, server.url) == b"ok"
        assert server.connections == 1


async def test_thirty_two_megabytes_to_a_slow_reader_need_no_memory(client: HttpClient) -> None:
    piece = b"y" * 65536

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (32 * MEGABYTE))
        for _ in range(512):
            peer.writer.write(piece)
            await peer.writer.drain()

    async with Scripted(script) as server:
        response = await ask(client, server.url)
        tracemalloc.start()
        try:
            size = 0
            while (arrived := await response.next_chunk()) is not None:
                size += len(arrived)
                if size % 37 == 0:
                    await asyncio.sleep(0.001)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size == 32 * MEGABYTE
        assert peak < 2 * MEGABYTE


async def test_thirty_two_megabytes_go_to_a_slow_upstream_without_a_copy(client: HttpClient) -> None:
    body = b"z" * (32 * MEGABYTE)

    async def script(peer: Peer) -> None:
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        _, headers = await peer.head()
        left = int(headers[b"content-length"])
        turn = 0
        while left:
            left -= len(await peer.reader.read(MEGABYTE))
            turn += 1
            if turn % 20 == 0:
                await asyncio.sleep(0.001)
        await peer.send(plain(b"all of it"))

    async with Scripted(script) as server:
        tracemalloc.start()
        try:
            assert await fetch(client, server.url, body=body) == b"all of it"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 6 * MEGABYTE
        assert client.idle_connections() == 1


@pytest.mark.parametrize("closing", [b"", b"connection: close\r\n"], ids=["kept open", "closed"])
async def test_an_answer_that_comes_before_the_body_was_sent_is_read(client: HttpClient, closing: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(plain(b"too large", status=b"413 Content Too Large", extra=closing))
        if not closing:
            await asyncio.sleep(5)

    async with Scripted(script) as server:
        response = await ask(client, server.url, body=b"x" * 16 * MEGABYTE)
        assert response.status == 413
        assert await response.read(100) == b"too large"
        assert client.open_connections() == 0, "half a request was sent: the connection is spoilt"


async def test_an_early_answer_that_accepts_lets_the_body_go_on(client: HttpClient) -> None:
    body = b"x" * 8 * MEGABYTE

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(CHUNKED + chunk(b"going "))
        await peer.reader.readexactly(len(body))
        await peer.send(chunk(b"on") + b"0\r\n\r\n")
        await peer.answer()

    async with Scripted(script) as server:
        assert await fetch(client, server.url, body=body) == b"going on"
        assert await fetch(client, server.url) == b"ok"
        assert server.connections == 1


async def test_a_connection_that_still_owes_a_part_of_the_body_is_not_used_again(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(plain(b"enough"))
        await peer.gone()

    async with Scripted(script) as server:
        assert await fetch(client, server.url, body=b"x" * 16 * MEGABYTE) == b"enough"
        assert client.open_connections() == 0


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 262_144, 262_145, 1_000_000])
async def test_a_body_of_any_size_arrives_as_it_was(client: HttpClient, size: int) -> None:
    body = bytes(n % 251 for n in range(size))

    async def script(peer: Peer) -> None:
        seen = await peer.request()
        await peer.send(plain(b"same" if seen.body == body else b"other"))

    async with Scripted(script) as server:
        assert await fetch(client, server.url, body=body) == b"same"


async def test_nagle_is_off(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer()
        await peer.gone()

    async with Scripted(script) as server:
        await fetch(client, server.url)
        (pool,) = client._pools.values()
        sock = pool._idle[0]._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
