"""Load at a fixed rate, and streams kept open: what wrk cannot do.

wrk is a closed loop: a connection asks again when it was answered, so a server that stalls is asked less, and its
stall counts as one slow answer instead of hundreds (coordinated omission). wrk's `delay()` only slows that loop down;
the rate then still depends on the answers. Here a clock decides: every request leaves when it is due, on an idle
connection or a new one, whoever still waits, and its latency counts from that moment. It runs in the process of the
benchmark, whose own CPU time is not measured.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

MOST_CONNECTIONS = 1024
_EVENT = b"data: {"


class Steady(msgspec.Struct, frozen=True):
    """What a fixed rate found, latencies in microseconds."""

    sent: int
    took_s: float
    """Until the last request was sent."""
    answered: int
    refused: int
    p50_us: int
    p99_us: int
    connections: int
    """How many it took; more than a handful means answers were slower than requests."""


class _Connection(asyncio.Protocol):
    """Asks one thing at a time; says when the answer is complete."""

    def __init__(self, idle: list[_Connection], waits_us: list[int]) -> None:
        self._idle = idle
        self._waits_us = waits_us
        self._received = b""
        self.refused = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        _no_delay(self.transport)

    def ask(self, request: bytes, due: float) -> None:
        self._due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n") + 4
        if head_end < 4 or len(self._received) < head_end + _content_length(self._received[:head_end]):
            return
        self._waits_us.append(int((time.monotonic() - self._due) * 1_000_000))
        self.refused += not self._received.startswith(b"HTTP/1.1 200")
        self._received = b""
        self._idle.append(self)


async def steady(port: int, requests: Sequence[bytes], *, per_second: int, seconds: float) -> Steady:
    """Send `per_second` requests a second, in turn, for so long, and wait at most 5 s for the last answers."""
    loop = asyncio.get_running_loop()
    idle: list[_Connection] = []
    everyone: list[_Connection] = []
    waits_us: list[int] = []
    started, sent, total = time.monotonic(), 0, int(per_second * seconds)
    while sent < total:
        now = time.monotonic()
        while sent < min(total, (now - started) * per_second):
            if not idle and len(everyone) < MOST_CONNECTIONS:
                _, fresh = await loop.create_connection(lambda: _Connection(idle, waits_us), "127.0.0.1", port)
                everyone.append(fresh)
                idle.append(fresh)
            if not idle:
                break
            idle.pop().ask(requests[sent % len(requests)], now)
            sent += 1
        await asyncio.sleep(0.0005)
    took_s = time.monotonic() - started
    await _settle(lambda: len(waits_us) == sent)
    for connection in everyone:
        connection.transport.close()
    waits_us.sort()
    p50, p99 = (waits_us[int(len(waits_us) * share)] if waits_us else 0 for share in (0.5, 0.99))
    return Steady(sent, took_s, len(waits_us), sum(one.refused for one in everyone), p50, p99, len(everyone))


class Streams:
    """So many streams open at once; one that ends is asked for again."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.chunks = 0
        """Events with content received, over all streams, so far."""
        self.flowing = 0
        """Streams that have received something."""
        self.broken = 0
        self._port = port
        self._requests = requests
        self._transports: list[asyncio.Transport] = []

    async def open(self, count: int, *, within_s: float = 60.0) -> None:
        """Open the streams a few at a time, and return when all of them flow."""
        for number in range(count):
            await self._open_one(number)
            if number % 50 == 49:
                await asyncio.sleep(0.02)
        await _settle(lambda: self.flowing >= count, within_s)
        if self.flowing < count or self.broken:
            raise ConnectionError(f"{self.flowing} of {count} streams flow, {self.broken} broke")

    async def chunks_in(self, seconds: float) -> int:
        """The chunks that come in so many seconds. Raises `ConnectionError` if a stream breaks meanwhile."""
        before = self.chunks
        await asyncio.sleep(seconds)
        if self.broken:
            raise ConnectionError(f"{self.broken} streams broke")
        return self.chunks - before

    def close(self) -> None:
        for transport in self._transports:
            transport.abort()

    async def _open_one(self, number: int) -> None:
        request = self._requests[number % len(self._requests)]
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: _Stream(self, request), "127.0.0.1", self._port
        )
        self._transports.append(transport)
        transport.write(request)


class _Stream(asyncio.Protocol):
    def __init__(self, streams: Streams, request: bytes) -> None:
        self._streams = streams
        self._request = request
        self._flows = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        _no_delay(self._transport)

    def data_received(self, data: bytes) -> None:
        if not self._flows:
            self._flows = True
            self._streams.flowing += 1
            self._streams.broken += not data.startswith(b"HTTP/1.1 200")
        self._streams.chunks += data.count(_EVENT)
        if data.endswith(b"0\r\n\r\n"):  # only the end of a chunked body looks like this: our events end in \n\n
            self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.broken += exc is not None


async def _settle(done: Callable[[], bool], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not done() and time.monotonic() < deadline:  # noqa: ASYNC110 (a poll every 10 ms is precise enough)
        await asyncio.sleep(0.01)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 : head.index(b"\r\n", at + 2)]) if at >= 0 else 0


def _no_delay(transport: asyncio.Transport) -> None:
    peer = cast(socket.socket, transport.get_extra_info("socket"))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
