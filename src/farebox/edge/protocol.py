"""uvicorn's HTTP protocol with what a gateway needs: who left, floods of headers, slow senders.

The application learns at once when a client leaves (uvicorn itself only tells who asks).
Heads have a size limit, and whoever takes too long to send a request is cut off. Errors of the
HTTP layer itself have the same shape as all others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from farebox.wire import openai_errors

MAX_HEAD_BYTES = 64 * 1024
HEAD_PATIENCE_S = 20.0
SLOWEST_BODY_BYTES_PER_S = 8_000
SWEEP_EVERY_S = 1.0
SCOPE_KEY = "farebox.connection"


class EdgeProtocol(HttpToolsProtocol):
    """One client connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lost = False
        self._act_when_left: Callable[[], None] | None = None
        self._head_bytes = 0
        self._in_head = True
        self._reading_since: float | None = None
        self._received = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._reading_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        super().connection_lost(exc)
        act, self._act_when_left = self._act_when_left, None
        if act is not None:
            act()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, "Request Header Fields Too Large", "The headers of this request are too large.")

    def on_message_begin(self) -> None:
        self._reading_since = self.loop.time()
        self._received = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        scope = cast("dict[str, object]", self.scope)
        super().on_headers_complete()
        scope[SCOPE_KEY] = Exchange(self, self.cycle)

    def on_message_complete(self) -> None:
        self._reading_since = None
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "Bad Request", "This is no HTTP request that can be read.")

    def when_left(self, act: Callable[[], None] | None) -> None:
        """Call this when the client leaves; at once if it has."""
        self._act_when_left = act
        if act is not None and self.lost:
            self._act_when_left = None
            act()

    def cut_if_slow(self, now: float) -> None:
        """Close the connection if its sender takes longer than anyone honest needs."""
        since = self._reading_since
        if since is None or self.transport.is_closing():
            return
        if now - since > HEAD_PATIENCE_S + self._received / SLOWEST_BODY_BYTES_PER_S:
            self._refuse(408, "Request Timeout", "The request did not arrive in time.")

    def _refuse(self, status: int, reason: str, message: str) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None until the first request
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.close()
            return
        body = openai_errors.render("invalid_request_error", "invalid_http", message)
        head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()


class Exchange:
    """One request of a connection, and the short way to answer it: one write instead of uvicorn's two."""

    __slots__ = ("connection", "cycle")

    def __init__(self, connection: EdgeProtocol, cycle: RequestResponseCycle) -> None:
        self.connection = connection
        self.cycle = cycle

    @property
    def is_quick(self) -> bool:
        """Whether the client reads as fast as we write; else the answer has to wait for it."""
        return not self.connection.flow.write_paused

    def respond(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole answer. `headers` are our own or came through an HTTP parser, so they need no checking."""
        cycle = self.cycle
        if cycle.disconnected:
            return
        parts = [STATUS_LINE[status]]
        for name, value in *cycle.default_headers, *headers:
            parts += name, b": ", value, b"\r\n"
            if name == b"connection":
                cycle.keep_alive = False
        if not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"content-length: %d\r\n\r\n" % len(body))
        if cycle.scope["method"] != "HEAD":
            parts.append(body)
        cycle.transport.write(b"".join(parts))
        cycle.waiting_for_100_continue = False
        cycle.response_started = True
        self._complete()

    def write(self, data: bytes) -> None:
        """A piece of a body that is sent in chunks."""
        self.cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _complete(self) -> None:
        cycle = self.cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


async def sweep(connections: Callable[[], Iterable[Any]]) -> None:
    """Look for slow senders every second, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        now = loop.time()
        for connection in list(connections()):
            if isinstance(connection, EdgeProtocol):
                connection.cut_if_slow(now)
