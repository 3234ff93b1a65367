"""One connection to one upstream: writes a request, reads its answer, and says whether it can serve another.

Enters: a composed request. Leaves: a `Response`, filled as bytes arrive. It starts no task and sets
no timer: `check` is called by the client's one periodic sweep. All connections of a client read into one shared
64 KiB buffer, which is safe because the loop fills it and hands it over in the same breath, and the parser copies
what it keeps.

A connection serves again only if the answer ended by its own framing, neither side asked to close, the request was
sent completely and not one byte came after the end: such a byte could be taken for the next customer's answer.

Known limit: a body that only the end of the connection ends cannot be told from one cut short there, not even over
TLS (the loop does not say whether the peer said goodbye). Completeness is the dialect's own terminal event.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import msgspec
from httptools import HttpParserError, HttpResponseParser

from farebox.upstream.response import BUFFER_BYTES, Response
from farebox.upstream.timeouts import Stage, Timeouts
from farebox.upstream.trouble import AnswerCut, AnswerInvalid, ClosedBeforeAnswer, TimedOut, UpstreamFault

HEAD_LIMIT_BYTES = 64 * 1024
_SLICE_BYTES = 256 * 1024


class Owner(Protocol):
    """Who keeps a connection between requests."""

    def finished(self, connection: Connection) -> None:
        """It may serve another request."""
        ...

    def lost(self, connection: Connection) -> None:
        """It is gone. Called once."""
        ...


class Terms(msgspec.Struct, gc=False):
    """What holds for one request: its time-outs, when it ends at the latest, and whether its answer has no body."""

    timeouts: Timeouts
    ends_at: float
    headless: bool = False


class Connection(asyncio.BufferedProtocol):
    """An asyncio protocol around httptools' parser. Times are the loop's clock, in seconds."""

    __slots__ = (
        "_buffer",
        "_dirty",
        "_finished",
        "_gone",
        "_headers",
        "_heard_at",
        "_host",
        "_keep",
        "_loop",
        "_now",
        "_owner",
        "_parser",
        "_progress_at",
        "_response",
        "_silent",
        "_terms",
        "_transport",
        "_unsent",
        "_write_paused",
        "idle_since",
        "served",
    )
    _transport: asyncio.Transport
    _terms: Terms

    def __init__(self, owner: Owner, buffer: memoryview, host: str) -> None:
        self._owner = owner
        self._buffer = buffer
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._response: Response | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._unsent: memoryview | None = None
        self._write_paused = False
        self._gone = False
        self._finished = self._dirty = self._keep = False
        self._heard_at = self._progress_at = self.idle_since = 0.0
        self._silent = 0
        self.served = 0

    # -- for the client and the pool

    async def ask(self, message: bytes, rest: bytes, terms: Terms) -> Response:
        """Send a request and wait for the head of its final answer. Cancelled or failed, the connection is gone.

        `rest` is a body too long to be copied behind its head; it follows in slices as the upstream takes them.
        """
        head: asyncio.Future[None] = self._loop.create_future()
        response = Response(self, head)
        self._terms = terms
        self._headers = []
        self._finished = self._dirty = self._keep = False
        self._silent = 0
        self.served += 1
        self._heard_at = self._progress_at = self._now()
        self._loop.call_soon(self._send, response, message, rest)
        try:
            await head
        except asyncio.CancelledError:
            response.close()
            raise
        if not response.status and response.fault is not None:
            raise response.fault
        return response

    def check(self, now: float) -> None:
        """Fail the request if a stage has run out."""
        response = self._response
        if response is None:
            return
        limits = self._terms.timeouts
        if now >= self._terms.ends_at:
            self._lose(TimedOut(Stage.TOTAL, host=self._host))
        elif response.status == 0:
            if now - self._progress_at >= limits.first_byte:
                self._lose(TimedOut(Stage.FIRST_BYTE, host=self._host))
        elif not response.paused and now - self._heard_at >= limits.idle:
            self._lose(TimedOut(Stage.IDLE, host=self._host))

    def drop(self) -> None:
        """End it at once; a running request fails."""
        self._lose(AnswerCut("the connection was closed by us", host=self._host))

    # -- for the response (`Source`)

    def read_on(self) -> None:
        response = self._response
        if response is not None and response.paused:
            response.paused = False
            self._heard_at = self._now()
            self._transport.resume_reading()

    def abandon(self) -> None:
        self._response = None
        self._lose(None)

    # -- for the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        response = self._response
        if response is None or not response.buffered:
            return self._buffer
        return self._buffer[: max(BUFFER_BYTES - response.buffered, 1)]

    def buffer_updated(self, nbytes: int) -> None:
        response, parser = self._response, self._parser
        if response is None or parser is None:
            self._lose(None)  # bytes that nobody asked for
            return
        self._heard_at = self._now()
        before = response.buffered
        try:
            parser.feed_data(self._buffer[:nbytes])
        except HttpParserError as error:
            if not self._finished:
                self._lose(AnswerInvalid("the upstream's answer is not HTTP", host=self._host, detail=str(error)))
                return
            self._dirty = True
        if self._finished or response.buffered == before:
            self._after_other(response, nbytes)
            return
        self._silent = 1  # never 0 again: the answer has begun
        if response.buffered >= BUFFER_BYTES:
            response.paused = True
            self._transport.pause_reading()
        response.wake()

    def eof_received(self) -> None:
        response = self._response
        if response is not None and response.status and response.runs_until_close():
            self._finished = True
            self._keep = False
            self._end(response)
            response.wake()
        else:
            self._lose(self._ended_early(None))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._gone:
            self._lose(self._ended_early(exc))
        self._parser = None  # it holds us and we hold it

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._send_on()

    # -- for the parser

    def on_message_begin(self) -> None:
        if self._finished:
            self._dirty = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        response, parser = self._response, self._parser
        if response is None or parser is None or self._finished:
            return
        status = parser.get_status_code()
        if status == 101 or status < 100:
            raise ValueError("a status that was not asked for")
        if status < 200:
            self._headers.clear()
            return
        response.status = status
        response.headers = self._headers
        self._headers = []  # trailers, which nobody asked for
        if status >= 400 and self._unsent is not None:  # RFC 9112, 9.5: refused, so stop sending
            self._unsent = None
            self._dirty = True
        if self._terms.headless:
            self._finished = True
            self._keep = parser.should_keep_alive()
            self._parser = HttpResponseParser(self)  # the old one waits for a body

    def on_body(self, body: bytes) -> None:
        response = self._response
        if self._finished or response is None:
            self._dirty = True
            return
        response.pieces.append(body)
        response.buffered += len(body)

    def on_message_complete(self) -> None:
        response, parser = self._response, self._parser
        if response is not None and parser is not None and response.status and not self._finished:
            self._finished = True
            self._keep = parser.should_keep_alive()

    # -- our own

    def _send(self, response: Response, message: bytes, rest: bytes) -> None:
        """In the loop's next turn: requests admitted by one commit leave together, which costs less than one by one.

        Until then nothing is expected, so whatever arrives ends the connection before the request was on it.
        """
        if self._gone:
            response.fault = response.fault or self._ended_early(None)
            response.wake()
            return
        self._response = response
        self._transport.write(message)
        if rest:
            self._unsent = memoryview(rest)
            self._send_on()

    def _after_other(self, response: Response, nbytes: int) -> None:
        """What arrived was the end of an answer, or nothing of its body."""
        if self._finished:
            self._end(response)
        else:
            self._silent += nbytes
            if self._silent >= HEAD_LIMIT_BYTES:
                self._lose(AnswerInvalid("the upstream's headers are too long", host=self._host))
                return
        if response.status:
            response.wake()

    def _end(self, response: Response) -> None:
        self._response = None
        response.complete = True
        response.paused = False
        transport = self._transport
        if self._keep and not self._dirty and self._unsent is None and not transport.get_write_buffer_size():
            self.idle_since = self._heard_at
            self._owner.finished(self)
        else:
            self._lose(None)

    def _send_on(self) -> None:
        while self._unsent is not None and not self._write_paused and not self._gone:
            piece, rest = self._unsent[:_SLICE_BYTES], self._unsent[_SLICE_BYTES:]
            self._unsent = rest if rest else None
            self._progress_at = self._now()
            self._transport.write(piece)

    def _ended_early(self, exc: Exception | None) -> UpstreamFault:
        detail = repr(exc) if exc else "closed"
        if self._silent:
            return AnswerCut("the upstream closed the connection mid-answer", host=self._host, detail=detail)
        after_s = self._now() - self._progress_at
        return ClosedBeforeAnswer(reused=self.served > 1, after_s=after_s, host=self._host, detail=detail)

    def _lose(self, fault: UpstreamFault | None) -> None:
        if self._gone:
            return
        self._gone = True
        self._unsent = None
        response, self._response = self._response, None
        if response is not None:
            response.fault = fault
            response.wake()
        self._transport.abort()
        self._owner.lost(self)
