"""The client for calls to providers: pooled HTTP/1.1 on httptools, one request at a time per connection.

Enters: a `Target`, an `Outgoing` request, `Timeouts`. Leaves: a `Response` as soon as the final head is
there, or an `UpstreamFault`. It follows no redirect, keeps no cookie, decodes no content, adds no header but `host`
and `content-length`, and starts no task. One per process and event loop.

**The one retry.** A provider may close an idle connection in the moment in which we send the next request on it.
Then, and only then, the request is sent once more, on a connection that is new: the connection was reused, it ended
without one byte of an answer, and it ended within `KEEP_ALIVE_RACE_S` of our last byte. HTTP gives no proof that a
POST was not begun in that case; but a server that has accepted a request answers or dies over it, and a server that
closes at once with nothing said has, in all but a crash of that very moment, not read it. The worst case is that
the operator buys one piece of work twice; the customer's hold is one either way, so nobody is charged twice. All
other ends (a new connection, a byte of an answer, a later end, a time-out) go to the caller, who knows what a second
attempt may cost.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import NamedTuple

from farebox.upstream.addresses import Resolver, resolve
from farebox.upstream.connection import Connection, Terms
from farebox.upstream.dial import Dialer, client_tls
from farebox.upstream.pool import Pool, PoolLimits
from farebox.upstream.response import BUFFER_BYTES, Response
from farebox.upstream.target import Headers, Target, compose
from farebox.upstream.timeouts import Stage, Timeouts
from farebox.upstream.trouble import ClosedBeforeAnswer, ConnectFailed, TimedOut

_ONE_WRITE_BYTES = 64 * 1024


class Outgoing(NamedTuple):
    """One request: what it is, where below the target's path, and what goes with it."""

    method: bytes
    path: bytes
    headers: Headers
    body: bytes


class HttpClient:
    """Sends requests and keeps the connections. Made inside the event loop that uses it; `close` it there."""

    def __init__(
        self,
        *,
        allow_private_upstreams: bool = False,
        tls: ssl.SSLContext | None = None,
        pool: PoolLimits | None = None,
        sweep_s: float = 0.1,
        resolver: Resolver = resolve,
    ) -> None:
        self._dialer = Dialer(tls=tls or client_tls(), allow_private=allow_private_upstreams, resolver=resolver)
        self._limits = pool or PoolLimits()
        self._sweep_s = sweep_s
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._pools: dict[str, Pool] = {}
        self._next_sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, target: Target, request: Outgoing, timeouts: Timeouts) -> Response:
        """Send one request and wait for the head of its final answer. Cancelling aborts the connection at once.

        Raises `RequestInvalid` or `ConnectFailed` when nothing was sent; `ClosedBeforeAnswer`, `AnswerCut`,
        `AnswerInvalid` or `TimedOut` after that.
        """
        method, path, headers, body = request
        message = compose(target, method, path, headers, len(body))
        rest = b""
        if len(body) > _ONE_WRITE_BYTES:
            rest = body
        elif body:
            message += body
        terms = Terms(timeouts, self._loop.time() + timeouts.total, method == b"HEAD")
        connection = self._pool(target).take()
        if connection is not None:
            try:
                return await connection.ask(message, rest, terms)
            except ClosedBeforeAnswer as fault:
                if not fault.is_keep_alive_race:
                    raise
        connection = await self._connect(target, terms)
        return await connection.ask(message, rest, terms)

    def close(self) -> None:
        """Drop every connection; running requests fail."""
        self._closed = True
        if self._next_sweep is not None:
            self._next_sweep.cancel()
            self._next_sweep = None
        for pool in list(self._pools.values()):
            pool.close()

    def open_connections(self) -> int:
        """How many connections there are, idle ones included."""
        return sum(pool.open_count for pool in self._pools.values())

    def idle_connections(self) -> int:
        """How many connections wait to be used again."""
        return sum(pool.idle_count for pool in self._pools.values())

    async def _connect(self, target: Target, terms: Terms) -> Connection:
        pool = self._pool(target)
        host = target.host
        left_s = terms.ends_at - self._loop.time()
        limit_s, stage = min((terms.timeouts.connect, Stage.CONNECT), (left_s, Stage.TOTAL))
        try:
            async with asyncio.timeout(limit_s):
                return await pool.open(lambda: self._dial(pool, target))
        except TimeoutError as error:
            raise TimedOut(stage, host=host) from error

    async def _dial(self, pool: Pool, target: Target) -> Connection:
        connection = await self._dialer.dial(target, lambda: Connection(pool, self._buffer, target.host))
        if self._closed:
            connection.drop()
            raise ConnectFailed("the client was closed", host=target.host)
        return connection

    def _pool(self, target: Target) -> Pool:
        pool = self._pools.get(target.origin)
        if pool is None:
            pool = self._pools[target.origin] = Pool(self._limits)
            if self._next_sweep is None:
                self._next_sweep = self._loop.call_later(self._sweep_s, self._sweep)
        return pool

    def _sweep(self) -> None:
        now = self._loop.time()
        for origin, pool in list(self._pools.items()):
            pool.sweep(now)
            if not pool.open_count:
                del self._pools[origin]
        self._next_sweep = self._loop.call_later(self._sweep_s, self._sweep) if self._pools else None
