"""An answer as its reader sees it: status, headers, then the body in whatever pieces it arrived.

The connection fills it, the reader empties it; between them lie at most `BUFFER_BYTES`, after which the
connection stops reading and the provider feels it. `None` from `next_chunk` means that the body ended the way
HTTP says it must; every other end is a fault, raised after the pieces that came before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from farebox.upstream.trouble import AnswerCut, AnswerTooLarge, UpstreamFault

BUFFER_BYTES = 64 * 1024
AtOnce = Callable[[bytes], bytes | None]


class Source(Protocol):
    """What a response needs of the connection that fills it."""

    def read_on(self) -> None:
        """There is room again."""
        ...

    def abandon(self) -> None:
        """Nobody reads any more."""
        ...


class Response:
    """One answer. One reader at a time; `close` it in a `finally`, whatever happened.

    `pieces`, `buffered`, `paused`, `complete` and `fault` are the connection's side of it.
    """

    __slots__ = (
        "_at_once",
        "_source",
        "_waiter",
        "buffered",
        "complete",
        "fault",
        "headers",
        "paused",
        "pieces",
        "status",
    )

    def __init__(self, source: Source, waiter: asyncio.Future[None]) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.buffered = 0
        self.paused = False
        self.complete = False
        self.fault: UpstreamFault | None = None
        self._source = source
        self._waiter: asyncio.Future[None] | None = waiter
        self._at_once: AtOnce | None = None

    async def next_chunk(self, at_once: AtOnce | None = None) -> bytes | None:
        """All that arrived since the last call, waiting if that is nothing; `None` at the end of the body.

        `at_once` is offered what arrives meanwhile, in the moment of its arrival, which spares the reader to
        be woken: it answers what of it the reader must look at, or None to go on waiting. It may not raise.
        Raises `AnswerCut`, `AnswerInvalid` or `TimedOut` when there will be no proper end.
        """
        while not self.pieces:
            if self.fault is not None:
                raise self.fault
            if self.complete:
                return None
            self._at_once = at_once
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._take()

    async def read(self, limit_bytes: int) -> bytes:
        """The rest of the body as one. Raises `AnswerTooLarge` beyond `limit_bytes`, and as `next_chunk`."""
        if self.complete and self.buffered <= limit_bytes:
            return self._take()
        chunks: list[bytes] = []
        size = 0
        while (chunk := await self.next_chunk()) is not None:
            chunks.append(chunk)
            size += len(chunk)
            if size > limit_bytes:
                self.close()
                raise AnswerTooLarge(f"the upstream's answer is longer than {limit_bytes} bytes")
        return b"".join(chunks)

    def close(self) -> None:
        """Done with it. An unfinished answer's connection is aborted at once, so that the provider stops."""
        self.pieces.clear()
        self.buffered = 0
        if not self.complete and self.fault is None:
            self.fault = AnswerCut("the answer was closed before its end")
            self._source.abandon()
            self.wake()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self.next_chunk()) is not None:
            yield chunk

    def wake(self) -> None:
        """Tell the reader, if one waits, that there is news."""
        waiter = self._waiter
        if waiter is None:
            return
        at_once = self._at_once
        if at_once is not None and self.pieces and not self.complete and self.fault is None:
            left = at_once(self._take())
            if left is None:
                return
            self.pieces.append(left)
            self.buffered += len(left)
        self._waiter = self._at_once = None
        if not waiter.done():
            waiter.set_result(None)

    def runs_until_close(self) -> bool:
        """Whether only the end of the connection ends this body (RFC 9112, 6.3: neither length nor chunks)."""
        framing = [(name, value) for name, value in self.headers if name in (b"content-length", b"transfer-encoding")]
        return all(name == b"transfer-encoding" and not value.lower().endswith(b"chunked") for name, value in framing)

    def _take(self) -> bytes:
        pieces = self.pieces
        chunk = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.buffered = 0
        if self.paused:
            self._source.read_on()
        return chunk
