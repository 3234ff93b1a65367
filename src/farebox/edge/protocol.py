"""uvicorn's HTTP protocol with what a gateway needs: who left, floods of headers, slow senders.

The application learns at once when a client leaves (uvicorn itself only tells who asks). Heads
have a size limit, and whoever takes too long to send a request is cut off. Errors of the HTTP
layer itself have the same shape as all others. An answer under way is never mixed with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from farebox.store.id_source import new_id
from farebox.wire import openai_errors

MAX_HEAD_BYTES = 64 * 1024
HEAD_PATIENCE_S = 20.0
SLOWEST_BODY_BYTES_PER_S = 8_000
SWEEP_EVERY_S = 1.0
LINGER_S = 2.0
"""How long a client that was refused in the middle of its request may go on sending: one that is cut
off at once loses the answer with its connection."""
MAX_DISCARDED_BYTES = 128 * 1024 * 1024
"""The same, for a request that was answered before its body was whole."""
SCOPE_KEY = "farebox.connection"


class EdgeProtocol(HttpToolsProtocol):
    """One client connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lost = False
        self._most_connections, self.limit_concurrency = self.limit_concurrency, None
        self._act_when_left: Callable[[], None] | None = None
        self._head_bytes = 0
        """Since the last request, or piece of a body, was whole."""
        self._in_head = True
        self._flooded = False
        self._refused = False
        self._reading_since: float | None = None
        self._received = 0
        self._idle_since: float | None = None
        """Since the last answer was out, until something arrives; the sweep ends what idles too long."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._reading_since = self.loop.time()
        if self._most_connections is not None and len(self.connections) > self._most_connections:
            self._refuse(503, "Service Unavailable", "There are too many connections. Try again shortly.")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        super().connection_lost(exc)
        act, self._act_when_left = self._act_when_left, None
        if act is not None:
            act()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._head_bytes += len(data)
        self._idle_since = None
        super().data_received(data)
        self._received += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, "Request Header Fields Too Large", TOO_LARGE)

    def on_message_begin(self) -> None:
        self._reading_since = self.loop.time()
        self._received = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._head_bytes > MAX_HEAD_BYTES and self._size_of_head() > MAX_HEAD_BYTES:
            self._flooded = True
            raise ValueError(TOO_LARGE)  # ends in send_400_response
        scope = cast("dict[str, object]", self.scope)
        super().on_headers_complete()  # raises if the address cannot be read
        self._in_head = False
        self._head_bytes = 0
        scope[SCOPE_KEY] = Exchange(self, self.cycle)
        self.headers = []  # trailers go nowhere: they must not pass for headers

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        if self._received > MAX_DISCARDED_BYTES and self.cycle.response_complete:
            self.transport.abort()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._reading_since = None
        self._head_bytes = 0
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()

    def send_400_response(self, msg: str) -> None:
        if self._flooded:
            self._refuse(431, "Request Header Fields Too Large", TOO_LARGE)
        else:
            self._refuse(400, "Bad Request", "This is no HTTP request that can be read.")

    def when_left(self, act: Callable[[], None] | None) -> None:
        """Call this when the client leaves; at once if it has."""
        self._act_when_left = act
        if act is not None and self.lost:
            self._act_when_left = None
            act()

    def cut(self) -> None:
        """Have done with this client: what it was sent and did not read is lost."""
        self.lost = True
        self.transport.abort()

    def cut_if_slow(self, now: float) -> None:
        """Close the connection if it idles, or its sender takes longer than anyone honest needs."""
        idle_since = self._idle_since
        if idle_since is not None and now - idle_since > self.timeout_keep_alive:
            self.transport.close()
        since = self._reading_since
        if since is None or self.transport.is_closing():
            return
        if self.flow.read_paused or (self._in_head and self._answering):
            self._reading_since = now  # it is us who do not read, or not yet
        elif now - since <= HEAD_PATIENCE_S + self._received / SLOWEST_BODY_BYTES_PER_S:
            return
        elif not self._received:
            self.transport.close()  # it asked for nothing
        else:
            self._refuse(408, "Request Timeout", "The request did not arrive in time.")

    @property
    def _answering(self) -> bool:
        """A request is under way; uvicorn has no cycle before the first one."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _refuse(self, status: int, reason: str, message: str) -> None:
        """Answer for the request that is arriving, read no further, and close."""
        self._refused = True
        self._reading_since = None
        if self._answering and self._in_head:
            self.cycle.keep_alive = False  # the answer under way is another request's: it may end, nothing follows
            return
        if not self._in_head and (self.pipeline or self.cycle.response_started):
            self.transport.abort()
            return
        self._write_refusal(status, reason, message)
        if not self._in_head:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _write_refusal(self, status: int, reason: str, message: str) -> None:
        kind = "service_unavailable" if status == 503 else "invalid_request_error"
        body = openai_errors.render(kind, "invalid_http", message)
        head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        head += f"x-request-id: {new_id('req')}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)


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
        lines = [b": ".join(pair) for pair in (*cycle.default_headers, *headers)]
        if not cycle.keep_alive:
            lines.append(b"connection: close")
        if status != 204:
            lines.append(b"content-length: %d" % len(body))
        if cycle.scope["method"] == "HEAD":
            body = b""
        cycle.transport.write(b"%b%b\r\n\r\n%b" % (STATUS_LINE[status], b"\r\n".join(lines), body))
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


TOO_LARGE = "The headers of this request are too large."


async def sweep(connections: Callable[[], Iterable[Any]]) -> None:
    """Look for slow senders every second, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        now = loop.time()
        for connection in list(connections()):
            if isinstance(connection, EdgeProtocol):
                connection.cut_if_slow(now)
