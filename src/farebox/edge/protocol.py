"""uvicorn's HTTP protocol with what a gateway needs: who left, floods of headers, slow senders.

The application learns at once when a client leaves (uvicorn itself only tells who asks).
Heads have a size limit, and whoever takes too long to send a request is cut off. Errors of the
HTTP layer itself have the same shape as all others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

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
        self.scope[SCOPE_KEY] = self  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

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


async def sweep(connections: Callable[[], Iterable[Any]]) -> None:
    """Look for slow senders every second, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        now = loop.time()
        for connection in list(connections()):
            if isinstance(connection, EdgeProtocol):
                connection.cut_if_slow(now)
