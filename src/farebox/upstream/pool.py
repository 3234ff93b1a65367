"""The connections to one origin: idle ones to lend again, busy ones to watch, at most so many in all.

Last in, first out: the connection that came back last is the least likely to have been closed by the other side,
and the rest can grow old and go. Who finds no free place waits in line; whoever is first gets the next connection
that comes back, or the right to open one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from farebox.upstream.connection import Connection


class PoolLimits(msgspec.Struct, frozen=True):
    """`max_idle` and `max_open` are per origin (`None`: no limit); `idle_s` is how long an unused one is kept."""

    max_idle: int = 256
    idle_s: float = 30.0
    max_open: int | None = None


class Pool:
    """All connections to one origin."""

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._opening = 0
        self._line: deque[asyncio.Future[Connection | None]] = deque()

    @property
    def idle_count(self) -> int:
        return len(self._idle)

    @property
    def open_count(self) -> int:
        """Idle, busy and just being opened."""
        return len(self._idle) + len(self._busy) + self._opening

    def take(self) -> Connection | None:
        """An idle connection, if there is one. Lost ones are not among them (`lost`)."""
        if not self._idle:
            return None
        connection = self._idle.pop()
        self._busy.add(connection)
        return connection

    async def open(self, dial: Callable[[], Awaitable[Connection]]) -> Connection:
        """A new connection; at the limit, an idle one makes room, or the next that comes back serves."""
        if (connection := await self._place()) is not None:
            return connection
        try:
            connection = await dial()
            self._busy.add(connection)
            return connection
        finally:
            self._opening -= 1
            self._let_in_next()

    def finished(self, connection: Connection) -> None:
        """Take a connection back; part of its `Owner`."""
        self._busy.discard(connection)
        while self._line:
            waiter = self._line.popleft()
            if not waiter.done():
                self._busy.add(connection)
                waiter.set_result(connection)
                return
        self._idle.append(connection)
        if len(self._idle) > self._limits.max_idle:
            self._idle.pop(0).drop()

    def lost(self, connection: Connection) -> None:
        """Forget a connection; part of its `Owner`."""
        self._busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._let_in_next()

    def sweep(self, now: float) -> None:
        """Fail what is overdue, close what has been idle too long."""
        for connection in list(self._busy):
            connection.check(now)
        while self._idle and now - self._idle[0].idle_since >= self._limits.idle_s:
            self._idle.pop(0).drop()

    def close(self) -> None:
        """Drop every connection; running requests fail."""
        for connection in [*self._idle, *self._busy]:
            connection.drop()

    async def _place(self) -> Connection | None:
        """Reserve the right to open a connection (counted in `_opening`), or get one that came back."""
        if self._limits.max_open is not None and self.open_count >= self._limits.max_open:
            if not self._idle:
                return await self._wait_in_line()
            self._idle.pop(0).drop()
        self._opening += 1
        return None

    async def _wait_in_line(self) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._line.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # served in the moment of giving up: pass it on
                connection = waiter.result()
                if connection is None:
                    self._opening -= 1
                    self._let_in_next()
                else:
                    self.finished(connection)
            raise

    def _let_in_next(self) -> None:
        limit = self._limits.max_open
        while self._line and (limit is None or self.open_count < limit):
            waiter = self._line.popleft()
            if not waiter.done():
                self._opening += 1
                waiter.set_result(None)
