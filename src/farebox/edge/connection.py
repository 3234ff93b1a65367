"""A client's connection as the relay sees it: server-sent events out, and word when it leaves.

Silence is broken so that proxies and clients do not give up, by what clients of the dialect take for nothing; one
timer for all streams of the process. A client that does not read is cut off after a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing

from farebox.edge.exchange import Exchange
from farebox.edge.headers import lines_of, standing_lines
from farebox.edge.replies import Download
from farebox.relay.ask import Headers, Standing, TooSlow

SLOW_READER_S = 60.0
_EVENTS = b"text/event-stream"
_STREAM = b"content-type: %b\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"


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
        while True:
            await asyncio.sleep(min(1.0, interval_s / 4))
            now = time.monotonic()
            for stream in list(self._streams):
                stream.ping(now, interval_s)


class Connection:
    """One request's client."""

    __slots__ = ("_exchange", "_live", "_spoke_at", "_write", "silence", "speaks_events")

    def __init__(self, exchange: Exchange, live: LiveStreams) -> None:
        self._exchange = exchange
        self._write = exchange.write
        self._live = live
        self._spoke_at = 0.0
        self.silence = b""
        """What a silence is broken with; nothing where it cannot be."""
        self.speaks_events = True
        """What it is sent is events, so that a failure can be told in one."""

    @property
    def left(self) -> bool:
        return self._exchange.wire.lost

    def when_left(self, act: Callable[[], None] | None) -> None:
        self._exchange.wire.when_left(act)

    async def begin(self, standing: Standing, queue_wait_ms: int, headers: Headers, *, content_type: bytes) -> None:
        self.speaks_events = content_type.startswith(_EVENTS)
        waited = b"x-queue-wait-ms: %d\r\n" % queue_wait_ms
        self._spoke_at = time.monotonic()
        self._live.add(self)
        self._exchange.begin(_STREAM % content_type + standing_lines(standing) + waited + lines_of(headers))

    @property
    def takes_at_once(self) -> bool:
        exchange = self._exchange
        return not (exchange.flow.write_paused or exchange.gone)

    def write_at_once(self, events: bytes) -> None:
        self._spoke_at = time.monotonic()
        self._write(events)

    async def write(self, events: bytes) -> None:
        if events and not self.left:
            if not self.takes_at_once:
                await self._wait_for_reader()
            self.write_at_once(events)

    async def end(self) -> None:
        self._live.discard(self)
        self._exchange.end()

    async def send(self, download: Download) -> None:
        """Give a long answer, no faster than the client reads. Raises `TooSlow` when it does not."""
        exchange = self._exchange
        exchange.begin_sized(download.lines, download.size)
        async with aclosing(download.blocks) as blocks:
            if exchange.method != "HEAD":
                exchange.write_on(download.first)
                async for block in blocks:
                    await self._wait_for_reader()
                    if exchange.gone:
                        return
                    exchange.write_on(block)
        exchange.end()

    def forget(self) -> None:
        """The request is over, however it ended."""
        self._live.discard(self)

    def ping(self, now: float, interval_s: float) -> None:
        """Say something if nothing was said for the interval."""
        if not (self.silence and self.speaks_events):
            return
        if now - self._spoke_at >= interval_s and self.takes_at_once and self._exchange.started:
            self.write_at_once(self.silence)

    async def _wait_for_reader(self) -> None:
        flow = self._exchange.flow
        if not flow.write_paused:
            return
        try:
            async with asyncio.timeout(SLOW_READER_S):
                await flow.drain()
        except TimeoutError:
            self._exchange.wire.cut()
            raise TooSlow("the client does not read its answer") from None
