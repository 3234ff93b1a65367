"""One request of a connection, and the bytes of its answer.

Enters: what the parser read. Leaves: a body that is whole, within its limit, or refused, or one that is read as it
arrives; an answer written at once, in chunks, or piece by piece under its length. Half a body is never taken for a
whole one, nor half an answer given for one, and no more than the limit is kept in memory. It reads no header and knows
no route.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from farebox.relay.ask import Headers

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientGone(Exception):
    """The client left before its request was whole: there is nobody to answer and nothing to do."""


class Wire(Protocol):
    """What an exchange needs of its connection."""

    transport: asyncio.Transport
    flow: FlowControl
    peer: str | None
    """The address at the other end."""
    lost: bool
    """The client has left."""

    @property
    def standing_lines(self) -> bytes:
        """Header lines of every answer of this server."""
        ...

    def answered(self) -> None:
        """The answer is out, to its end."""
        ...

    def when_left(self, act: Callable[[], None] | None) -> None:
        """Call this, once, when the client leaves (or has left). None: no longer."""
        ...

    def cut(self) -> None:
        """Have done with this client: what it was sent and did not read is lost."""
        ...


class Exchange:
    """One request and its answer. Header lines are given as bytes, each with its line end.

    They are our own, or came through a parser that lets no line break pass.
    """

    __slots__ = (
        "_limit", "_pieces", "_reader", "_size", "awaits_continue", "base", "ended", "flow", "gone", "headers",
        "keep_alive", "method", "path", "query", "sized", "started", "transport", "whole", "wire",
    )  # fmt: skip

    def __init__(self, wire: Wire, method: str, path: str, query: bytes, headers: Headers) -> None:
        self.wire = wire
        self.transport = wire.transport
        self.flow = wire.flow
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        """As received, names in lower case."""
        self.base = b""
        """Header lines of whatever is answered."""
        self.keep_alive = True
        self.awaits_continue = False
        self.whole = False
        """The request has arrived, to its end."""
        self.gone = False
        """Nobody is there to be answered."""
        self.started = False
        self.ended = False
        """The answer has begun; it has been given to its end, which may still be on its way out."""
        self.sized = False
        """It is sent piece by piece under a length that was told before: nothing else can be put into it."""
        self._pieces: list[bytes] = []
        self._size = 0
        self._limit = -1
        self._reader: asyncio.Future[None] | None = None

    # The request ----------------------------------------------------------------------------

    async def body(self, limit: int) -> bytes | None:
        """The whole body; None as soon as it is known to be longer than `limit`. Raises `ClientGone`."""
        if not self.whole:
            await self._arrival(limit)
        if self.gone:
            raise ClientGone
        if self._size > limit:
            return None
        pieces = self._pieces
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def arriving(self) -> AsyncGenerator[bytes, None]:
        """The body in the pieces it comes in, however long it is. Raises `ClientGone` in place of its end.

        The client is read no faster than this is: of what waits here, a little more than `HIGH_WATER_LIMIT` is kept.
        """
        self._go_ahead()
        while not self.gone:
            if self._pieces:
                piece, self._pieces, self._size = b"".join(self._pieces), [], 0
                self.flow.resume_reading()
                yield piece
            elif self.whole:
                return
            else:
                await self._news()
        raise ClientGone

    def take(self, piece: bytes) -> None:
        """A piece of the body arrived. What nobody reads yet, or will not read, is not taken without end."""
        if self.ended:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._limit:
            if self._size > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            self.wake()

    def wake(self) -> None:
        """Whoever waits for the body looks again."""
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def leave(self) -> None:
        """The client has gone, or gets no other answer than the one it has."""
        self.gone = True
        self.wake()

    async def _arrival(self, limit: int) -> None:
        self._limit = limit
        self._go_ahead()
        while not (self.whole or self.gone or self._size > limit):
            await self._news()

    def _go_ahead(self) -> None:
        if self.awaits_continue and not self.transport.is_closing():
            self.transport.write(_CONTINUE)
        self.awaits_continue = False
        self.flow.resume_reading()

    async def _news(self) -> None:
        self._reader = asyncio.get_running_loop().create_future()
        await self._reader

    # The answer -----------------------------------------------------------------------------

    async def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """A whole answer, in one write; not before the client has read what it was sent earlier.

        It goes out in the loop's next turn: requests that were charged in one commit are answered in one turn, and
        writes that follow each other closely cost the kernel, and whoever reads them, less than scattered ones.
        """
        if self.flow.write_paused:
            await self.flow.drain()
        if self.gone:
            return
        self.started = self.ended = True
        end = b"\r\n" if status == 204 else b"content-length: %d\r\n\r\n" % len(body)
        if self.method == "HEAD":
            body = b""
        answer = b"".join((*self._head(status), lines, end, body))
        asyncio.get_running_loop().call_soon(self._send_last, answer)

    def begin(self, lines: bytes) -> None:
        """The head of an answer that is sent in chunks."""
        self.started = True
        if not self.gone:
            self.transport.write(b"".join((*self._head(200), lines, b"transfer-encoding: chunked\r\n\r\n")))

    def write(self, piece: bytes) -> None:
        """A chunk of it; not an empty one, which would end it."""
        if not self.gone:
            self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def begin_sized(self, lines: bytes, size: int) -> None:
        """The head of an answer of so many bytes, which `write_on` sends piece by piece and `end` ends."""
        self.started = self.sized = True
        if not self.gone:
            self.transport.write(b"".join((*self._head(200), lines, b"content-length: %d\r\n\r\n" % size)))

    def write_on(self, piece: bytes) -> None:
        """The next piece of it."""
        if not self.gone:
            self.transport.write(piece)

    def end(self) -> None:
        """The end of it."""
        if not self.gone:
            self.ended = True
            self._send_last(b"" if self.sized else b"0\r\n\r\n")

    def close(self) -> None:
        """Whoever answers is done: without the end of an answer the connection can serve nobody else."""
        if not self.ended and not self.gone:
            self.transport.close()

    def _head(self, status: int) -> tuple[bytes, ...]:
        closing = b"" if self.keep_alive else b"connection: close\r\n"
        return STATUS_LINE[status], self.wire.standing_lines, closing, self.base

    def _send_last(self, piece: bytes) -> None:
        if self.gone:
            return
        self.transport.write(piece)
        if not self.keep_alive:
            self.transport.close()
        self.wire.answered()
