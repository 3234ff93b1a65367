"""A wire between asyncpg and PostgreSQL that can be cut at a chosen step, or go silent.

It reads what the client says (PostgreSQL's protocol, version 3) only to know which step a message
belongs to: simple queries by their text, prepared ones by the text they were prepared with. A cut
`BEFORE` a step means the server never hears of it; a cut `AFTER` means the server has done it and the
client does not hear of that. A silent wire passes nothing either way and stays connected, as a
frozen machine or a lost route does.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import msgspec


class Step(StrEnum):
    """What the ledger writer says in one group commit, by words that stand in no other step."""

    BEGIN = "BEGIN"
    LOCK = "FOR NO KEY UPDATE"
    WRITE = "EXECUTE batch_"
    COMMIT = "COMMIT"


class Moment(StrEnum):
    BEFORE = "before"
    AFTER = "after"


class Cut(msgspec.Struct):
    """A cut to come: at the first step from now on whose text has `words` in it."""

    words: str
    moment: Moment


class CutWire:
    """See the module. Made by `open_wire`; `dsn` leads through it."""

    def __init__(self, server_socket: str, dsn: str) -> None:
        self.dsn = dsn
        self.cuts: list[Cut] = []
        """Pending cuts, in order; each is used once."""
        self.made = 0
        """How many cuts were made."""
        self.connections = 0
        self.refusing = False
        """True: the wire takes no new connections."""
        self._server_socket = server_socket
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._lines: set[_Line] = set()
        self._closed = asyncio.Event()

    def cut(self, step: str, moment: Moment) -> None:
        """Cut once at the next such step."""
        self.cuts.append(Cut(str(step), moment))

    def silence(self) -> None:
        """Pass nothing more, either way, until `resume`."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def mute_open(self) -> None:
        """Silence the connections that are open now, for good; new ones pass."""
        for line in self._lines:
            line.mute = True

    def cut_now(self) -> None:
        """Cut every connection at once."""
        for writer in list(self._open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, from its first byte to its end."""
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_unix_connection(self._server_socket)
        ends = {writer, server_writer}
        self._open |= ends
        line = _Line(self, reader, server_writer)
        self._lines.add(line)
        back = asyncio.create_task(line.back(server_reader, writer))
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await line.forth()
        finally:
            if line.deaf:
                await asyncio.wait({back}, timeout=5)
            back.cancel()
            self._lines.discard(line)
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def until_flowing(self, line: _Line) -> None:
        await (self._closed.wait() if line.mute else self._flowing.wait())

    def close(self) -> None:
        """The end of it: whoever is silenced goes on, to find itself cut."""
        self._closed.set()
        self._flowing.set()
        self.cut_now()


class _Line:
    """Both directions of one connection."""

    def __init__(self, wire: CutWire, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        self._wire = wire
        self._client = client
        self._server = server
        self._prepared: dict[bytes, str] = {}
        self.mute = False
        self.deaf = False
        """Cut after a step: what the server answers goes nowhere."""

    async def forth(self) -> None:
        """Client to server, message by message; returns when the wire is cut or the client leaves."""
        length = await self._client.readexactly(4)
        self._server.write(length + await self._client.readexactly(int.from_bytes(length, "big") - 4))
        while True:
            head = await self._client.readexactly(5)
            body = await self._client.readexactly(int.from_bytes(head[1:], "big") - 4)
            await self._wire.until_flowing(self)
            cut = self._cut_at(head[:1], body)
            if cut is not None and cut.moment is Moment.BEFORE:
                return
            self._server.write(head + body)
            if cut is not None:
                await self._rest_of_step(head[:1])
                return
            await self._server.drain()

    async def back(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Server to client; what it answers to a step that is cut after shows that the step is done."""
        while chunk := await server.read(65536):
            await self._wire.until_flowing(self)
            if self.deaf:
                return
            client.write(chunk)
        client.close()

    async def _rest_of_step(self, kind: bytes) -> None:
        """A prepared step has more messages up to its Sync; without them the server would not begin."""
        self.deaf = True
        while kind not in b"QS":
            head = await self._client.readexactly(5)
            self._server.write(head + await self._client.readexactly(int.from_bytes(head[1:], "big") - 4))
            kind = head[:1]
        await self._server.drain()

    def _cut_at(self, kind: bytes, body: bytes) -> Cut | None:
        text = self._text_of(kind, body)
        if text is None or not self._wire.cuts or self._wire.cuts[0].words not in text:
            return None
        self._wire.made += 1
        return self._wire.cuts.pop(0)

    def _text_of(self, kind: bytes, body: bytes) -> str | None:
        """The SQL that this message has the server execute."""
        match kind:
            case b"Q":
                return body.rstrip(b"\0").decode()
            case b"P":
                name, text, _ = body.split(b"\0", 2)
                self._prepared[name] = text.decode()
                return None
            case b"B":
                _, name, _ = body.split(b"\0", 2)
                return self._prepared.get(name)
            case _:
                return None


@asynccontextmanager
async def open_wire(dsn: str) -> AsyncIterator[CutWire]:
    """A wire to the server behind `dsn`, on a unix socket of its own."""
    parts = urlsplit(dsn)
    folder = parse_qs(parts.query)["host"][0]
    with tempfile.TemporaryDirectory(prefix="farebox-wire-", dir="/tmp") as own:
        through = dsn.replace(quote(folder, safe=""), quote(own, safe="")).replace(folder, own)
        assert through != dsn
        wire = CutWire(str(Path(folder) / ".s.PGSQL.5432"), through)
        server = await asyncio.start_unix_server(wire.serve, str(Path(own) / ".s.PGSQL.5432"))
        try:
            yield wire
        finally:
            wire.close()
            server.close()
            await server.wait_closed()
