"""The HTTP/1.1 side of a client connection: requests in, one after the other, each as an `Exchange`.

Enters: bytes. Leaves: an exchange for each request, in a task of its own, as soon as its head is whole; requests that
came before their predecessor was answered wait in line. uvicorn listens, counts connections and shuts down; its own
protocol and the messages of ASGI are not on the path of a request, because they cost as much as everything else here.

The application learns at once when a client leaves. Heads have a size limit, and whoever takes too long to send a
request is cut off. Errors of the HTTP layer itself have the same shape as all others. An answer under way is never
mixed with them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

import uvicorn
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState

from farebox.edge.exchange import Exchange
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

Application = Callable[[Exchange], Coroutine[Any, Any, None]]


class EdgeProtocol(asyncio.Protocol):
    """One client connection. Made by uvicorn; the application it is configured with answers exchanges."""

    __slots__ = (
        "_act_when_left", "_app", "_expects", "_flooded", "_head_bytes", "_headers", "_idle_limit_s", "_idle_since",
        "_in_head", "_latest", "_line", "_loop", "_most_connections", "_parser", "_reading_since", "_received",
        "_refused", "_state", "_under_way", "_url", "flow", "lost", "peer", "transport",
    )  # fmt: skip
    transport: asyncio.Transport
    flow: FlowControl

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._app = cast(Application, config.app)
        self._state = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._most_connections = config.limit_concurrency
        self._idle_limit_s = config.timeout_keep_alive
        self._parser: HttpRequestParser | None = _parser_for(self)
        self.peer: str | None = None
        """The address at the other end."""
        self.lost = False
        self._act_when_left: Callable[[], None] | None = None
        self._latest: Exchange | None = None
        self._under_way: Exchange | None = None
        """The request whose head came last; the one whose answer is not out yet."""
        self._line: deque[Exchange] = deque()
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects = False
        self._head_bytes = 0
        """Since the last request, or piece of a body, was whole."""
        self._in_head = True
        self._flooded = False
        self._refused = False
        self._reading_since: float | None = None
        self._received = 0
        self._idle_since: float | None = None
        """Since the last answer was out, until something arrives; the sweep ends what idles too long."""

    # For the event loop ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.flow = FlowControl(self.transport)
        address = get_remote_addr(self.transport)
        self.peer = address[0] if address else None
        self._state.connections.add(cast(Any, self))
        self._reading_since = self._loop.time()
        if self._most_connections is not None and len(self._state.connections) > self._most_connections:
            self._refuse(503, "Service Unavailable", "There are too many connections. Try again shortly.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._state.connections.discard(cast(Any, self))
        self.flow.resume_writing()
        self._parser = self._latest = self._under_way = None  # they hold us and we hold them
        self._line.clear()
        act, self._act_when_left = self._act_when_left, None
        if act is not None:
            act()

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if self._refused or parser is None:
            return
        self._head_bytes += len(data)
        self._idle_since = None
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            pass  # answered as if it had not asked for another protocol
        except HttpParserError:
            self._refuse_unreadable()
        self._received += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, "Request Header Fields Too Large", TOO_LARGE)

    def pause_writing(self) -> None:
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        self.flow.resume_writing()

    # For the parser -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._reading_since = self._loop.time()
        self._received = 0
        self._url = b""
        self._headers = []
        self._expects = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._head_bytes > MAX_HEAD_BYTES and self._size_of_head() > MAX_HEAD_BYTES:
            self._flooded = True
            raise ValueError(TOO_LARGE)  # ends in _refuse_unreadable
        parser = self._parser
        if parser is None:
            return
        path, query = _path_and_query(self._url)  # raises if the address cannot be read
        exchange = Exchange(self, parser.get_method().decode("ascii"), path, query, self._headers)
        exchange.keep_alive = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        exchange.awaits_continue = self._expects
        self._headers = []  # trailers go nowhere: they must not pass for headers
        self._in_head = False
        self._head_bytes = 0
        self._latest = exchange
        if self._under_way is None:
            self._start(exchange)
        else:
            self.flow.pause_reading()
            self._line.append(exchange)

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        exchange = self._latest
        if exchange is not None:
            exchange.take(body)
            if exchange.ended and self._received > MAX_DISCARDED_BYTES:
                self.transport.abort()

    def on_message_complete(self) -> None:
        self._reading_since = None
        self._head_bytes = 0
        self._in_head = True
        exchange = self._latest
        if exchange is not None:
            exchange.whole = True
            exchange.wake()

    # For the exchange and the application ---------------------------------------------------

    @property
    def standing_lines(self) -> bytes:
        """Header lines of every answer: the date."""
        return _DATE.lines(self._state.default_headers)

    def answered(self) -> None:
        """The answer is out: the next request's turn."""
        self._under_way = None
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._line:
            self._start(self._line.popleft())
        else:
            self._idle_since = self._loop.time()

    def when_left(self, act: Callable[[], None] | None) -> None:
        """Call this when the client leaves; at once if it has."""
        self._act_when_left = act
        if act is not None and self.lost:
            self._act_when_left = None
            act()

    def cut(self) -> None:
        """Have done with this client: what it was sent and did not read is lost."""
        self._leave()
        self.transport.abort()

    # For uvicorn and the sweep --------------------------------------------------------------

    def shutdown(self) -> None:
        """The server stops: an idle connection ends now, a busy one with its answer."""
        if self._under_way is None or self._latest is None:
            self.transport.close()
        else:
            self._latest.keep_alive = False

    def cut_if_slow(self, now: float) -> None:
        """Close the connection if it idles, or its sender takes longer than anyone honest needs."""
        idle_since = self._idle_since
        if idle_since is not None and now - idle_since > self._idle_limit_s:
            self.transport.close()
        since = self._reading_since
        if since is None or self.transport.is_closing():
            return
        if self.flow.read_paused or (self._in_head and self._under_way is not None):
            self._reading_since = now  # it is us who do not read, or not yet
        elif now - since <= HEAD_PATIENCE_S + self._received / SLOWEST_BODY_BYTES_PER_S:
            return
        elif not self._received:
            self.transport.close()  # it asked for nothing
        else:
            self._refuse(408, "Request Timeout", "The request did not arrive in time.")

    # Our own --------------------------------------------------------------------------------

    def _start(self, exchange: Exchange) -> None:
        self._under_way = exchange
        task = self._loop.create_task(self._app(exchange))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _leave(self) -> None:
        self.lost = True
        for exchange in (self._under_way, self._latest):
            if exchange is not None:
                exchange.leave()

    def _size_of_head(self) -> int:
        return len(self._url) + sum(len(name) + len(value) for name, value in self._headers)

    def _refuse_unreadable(self) -> None:
        if self._flooded:
            self._refuse(431, "Request Header Fields Too Large", TOO_LARGE)
        else:
            self._refuse(400, "Bad Request", "This is no HTTP request that can be read.")

    def _refuse(self, status: int, reason: str, message: str) -> None:
        """Answer for the request that is arriving, read no further, and close."""
        self._refused = True
        self._reading_since = None
        latest = self._latest
        if latest is not None and self._in_head and self._under_way is not None:
            latest.keep_alive = False  # the answer under way is another request's: it may end, nothing follows
            return
        if latest is not None and not self._in_head:
            if self._line or latest.started:
                self.transport.abort()
                return
            latest.leave()
        self._write_refusal(status, reason, message)

    def _write_refusal(self, status: int, reason: str, message: str) -> None:
        kind = "service_unavailable" if status == 503 else "invalid_request_error"
        body = openai_errors.render(kind, "invalid_http", message)
        head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        head += f"x-request-id: {new_id('req')}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._loop.call_later(LINGER_S, self.transport.close)


class _DateLines:
    """uvicorn's headers of every answer, as text: made anew when they are, once a second."""

    def __init__(self) -> None:
        self._of: list[tuple[bytes, bytes]] = []
        self._text = b""

    def lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        if headers is not self._of:
            self._of, self._text = headers, b"".join(b"%b: %b\r\n" % pair for pair in headers)
        return self._text


_DATE = _DateLines()
TOO_LARGE = "The headers of this request are too large."


def _parser_for(protocol: EdgeProtocol) -> HttpRequestParser:
    parser = HttpRequestParser(protocol)
    # A request that says it is its connection's last is answered, whatever follows it.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _path_and_query(url: bytes) -> tuple[str, bytes]:
    return _known_address(url) if len(url) <= 128 else _address(url)


def _address(url: bytes) -> tuple[str, bytes]:
    parsed = parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.query or b""


_known_address = lru_cache(maxsize=1024)(_address)


async def sweep(connections: Callable[[], Iterable[Any]]) -> None:
    """Look for slow senders every second, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        now = loop.time()
        for connection in list(connections()):
            if isinstance(connection, EdgeProtocol):
                connection.cut_if_slow(now)
