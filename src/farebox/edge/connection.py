"""A client's connection as the relay sees it: server-sent events out, and word when it leaves.

Silence is broken by a comment (`: ping`) so that proxies and clients do not give up; one timer
for all streams of the process. A client that does not read is cut off after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from farebox.edge.headers import standing_headers
from farebox.edge.protocol import Exchange
from farebox.relay.ask import Headers, Standing, TooSlow

Send = Callable[[dict[str, Any]], Awaitable[None]]

PING = b": ping\n\n"
SLOW_READER_S = 60.0
_EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class LiveStreams:
    """The streams under way in this process."""

    __slots__ = ("_began", "_ended", "_streams")

    def __init__(self, began: Callable[[], None], ended: Callable[[], None]) -> None:
        self._streams: set[Connection] = set()
        self._began = began
        self._ended = ended

    def add(self, stream: Connection) -> None:
        self._streams.add(stream)
        self._began()

    def discard(self, stream: Connection) -> None:
        if stream in self._streams:
            self._streams.remove(stream)
            self._ended()

    async def keep_alive(self, interval_s: float) -> None:
        """Ping silent streams, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(1.0, interval_s / 4))
            now = loop.time()
            for stream in list(self._streams):
                await stream.ping(now, interval_s)


class Connection:
    """One request's client."""

    __slots__ = ("_last", "_live", "_loop", "_protocol", "_send", "base", "began", "ended", "exchange")

    def __init__(self, send: Send, exchange: Exchange | None, base: Headers, live: LiveStreams) -> None:
        self._send = send
        self.exchange = exchange
        self._protocol = None if exchange is None else exchange.connection
        self.base = base
        """Headers of whatever is answered."""
        self._live = live
        self._loop = asyncio.get_running_loop()
        self._last = 0.0
        self.began = False
        self.ended = False

    @property
    def left(self) -> bool:
        return self._protocol is not None and self._protocol.lost

    def when_left(self, act: Callable[[], None] | None) -> None:
        if self._protocol is not None:
            self._protocol.when_left(act)

    async def begin(self, standing: Standing, queue_wait_ms: int, headers: Headers) -> None:
        waited = (b"x-queue-wait-ms", b"%d" % queue_wait_ms)
        head = [*_EVENT_STREAM, *self.base, *standing_headers(standing), waited, *headers]
        self.began = True
        self._last = self._loop.time()
        self._live.add(self)
        await self._send({"type": "http.response.start", "status": 200, "headers": head})

    @property
    def takes_at_once(self) -> bool:
        exchange = self.exchange
        return exchange is not None and exchange.is_quick and not exchange.connection.lost

    def write_at_once(self, events: bytes) -> None:
        self._last = self._loop.time()
        if self.exchange is not None:
            self.exchange.write(events)

    async def write(self, events: bytes) -> None:
        if not events or self.left:
            return
        if self.takes_at_once:
            self.write_at_once(events)
            return
        self._last = self._loop.time()
        await self._wait_for_reader()
        await self._send({"type": "http.response.body", "body": events, "more_body": True})

    async def end(self) -> None:
        self._live.discard(self)
        self.ended = True
        if not self.left:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def forget(self) -> None:
        """The request is over, however it ended."""
        self._live.discard(self)

    async def ping(self, now: float, interval_s: float) -> None:
        """Say something if nothing was said for the interval."""
        protocol = self._protocol
        if now - self._last < interval_s or self.left or self.ended:
            return
        if protocol is not None and protocol.flow.write_paused:
            return
        self._last = now
        await self._send({"type": "http.response.body", "body": PING, "more_body": True})

    async def _wait_for_reader(self) -> None:
        protocol = self._protocol
        if protocol is None:
            return
        try:
            async with asyncio.timeout(SLOW_READER_S):
                await protocol.flow.drain()
        except TimeoutError:
            protocol.cut()
            raise TooSlow("the client does not read its answer") from None
