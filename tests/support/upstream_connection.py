"""One connection of a scripted upstream: reads requests, plays scripts, notices when the peer leaves."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, cast

import httptools
import msgspec
from tests.support.script import Ending, Framing, Script, wire


class Seen(msgspec.Struct):
    """A request as it arrived, and what became of it. Times are monotonic seconds."""

    connection: int
    """Which connection it came on, counted from 1."""
    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    """Names in lower case; repeated ones joined by a comma."""
    raw_headers: list[tuple[str, str]]
    body: bytes
    at: float
    bytes_sent: int = 0
    """Of the answer, handed to the socket; what the peer has not taken stops this from growing."""
    answered_at: float | None = None
    """When the whole script was written; `None` while it plays, and for ever if it was cut off by the peer."""
    peer_closed_at: float | None = None
    """When the peer closed the connection this request came on."""

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def left_early(self) -> bool:
        """True if the peer closed before the whole script was written."""
        return self.peer_closed_at is not None and self.answered_at is None

    @property
    def api_key(self) -> str:
        """The key it came with, wherever providers expect it."""
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return bearer or self.headers.get("x-api-key", "") or self.headers.get("x-goog-api-key", "")


class UpstreamConnection(asyncio.Protocol):
    """Plays one script after another. Writes only as fast as the peer reads, so that back-pressure shows."""

    def __init__(self, number: int, script_for: Callable[[Seen], Script], others: set[UpstreamConnection]) -> None:
        self.serving: asyncio.Task[None] | None = None
        self._number = number
        self._script_for = script_for
        self._others = others
        self._requests: asyncio.Queue[Seen] = asyncio.Queue()
        self._all_seen: list[Seen] = []
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._hanging_up = False
        self._start()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)
        self._socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser = httptools.HttpRequestParser(self)
        self._others.add(self)
        self.serving = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            self._hang_up(Ending.CLOSE)

    def eof_received(self) -> None:
        self._peer_left()

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer_left()
        self._others.discard(self)
        if self.serving is not None:
            self.serving.cancel()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def drop(self) -> None:
        """Close from our side, whatever is going on."""
        self._hang_up(Ending.CLOSE)
        if self.serving is not None:
            self.serving.cancel()

    # what the parser calls
    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        joined: dict[str, str] = {}
        for name, value in self._headers:
            known = joined.get(name.lower())
            joined[name.lower()] = value if known is None else f"{known}, {value}"
        method = self._parser.get_method().decode()
        path, body = self._path.decode("latin-1"), bytes(self._body)
        seen = Seen(self._number, method, path, joined, self._headers, body, time.monotonic())
        self._all_seen.append(seen)
        self._requests.put_nowait(seen)
        self._start()

    def _start(self) -> None:
        self._path, self._headers, self._body = b"", list[tuple[str, str]](), bytearray()

    async def _serve(self) -> None:
        while not self._hanging_up:
            seen = await self._requests.get()
            script = self._script_for(seen)
            await self._play(script, seen)
            if script.ending is Ending.HANG:
                await asyncio.Event().wait()
            if script.ending is not Ending.KEEP or script.framing is Framing.UNTIL_CLOSE:
                self._hang_up(script.ending)

    async def _play(self, script: Script, seen: Seen) -> None:
        for piece in wire(script):
            if piece.pause_s:
                await asyncio.sleep(piece.pause_s)
            for at in range(0, len(piece.data), 65536):
                await self._may_write.wait()
                part = piece.data[at : at + 65536]
                self._transport.write(part)
                seen.bytes_sent += len(part)
        await self._may_write.wait()
        if script.ending is not Ending.HANG:
            seen.answered_at = time.monotonic()

    def _hang_up(self, ending: Ending) -> None:
        self._hanging_up = True
        if ending is Ending.RESET:
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()

    def _peer_left(self) -> None:
        if self._hanging_up:
            return
        for seen in self._all_seen:
            seen.peer_closed_at = seen.peer_closed_at or time.monotonic()

    def _socket(self) -> socket.socket:
        return cast(socket.socket, self._transport.get_extra_info("socket"))
