"""What a scripted upstream answers to one request: every byte, every pause, and how it ends.

A `Script` is a value: it is built, changed by its methods into another one, and sent as JSON to an upstream that
runs in a process of its own. `wire` turns it into the bytes to write and the pauses before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from http import HTTPStatus

import msgspec


class Framing(StrEnum):
    """How the end of the body is told."""

    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until_close"


class Ending(StrEnum):
    """What happens to the connection after the last byte."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"
    """Stays open and says nothing more."""


class Piece(msgspec.Struct, frozen=True):
    """Bytes, and the seconds to wait before they are written."""

    data: bytes
    pause_s: float = 0.0


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. Headers are sent as given; the framing adds its own."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[Piece, ...] = ()
    """The body; with chunked framing each piece is one chunk."""
    framing: Framing = Framing.LENGTH
    trailers: tuple[tuple[str, str], ...] = ()
    """After a chunked body."""
    interim: tuple[int, ...] = ()
    """Statuses such as 103 that are sent before the real one."""
    wait_s: float = 0.0
    """Before the first byte."""
    ending: Ending = Ending.KEEP
    cut_body_after: int | None = None
    cut_wire_after: int | None = None
    raw: bytes | None = None
    """Sent instead of everything above; it need not be HTTP."""

    @property
    def body(self) -> bytes:
        return b"".join(piece.data for piece in self.pieces)

    def after(self, seconds: float) -> Script:
        """Say nothing for so long."""
        return msgspec.structs.replace(self, wait_s=seconds)

    def with_headers(self, **headers: str) -> Script:
        """Add headers; `_` in a name becomes `-`."""
        added = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return msgspec.structs.replace(self, headers=self.headers + added)

    def framed(self, framing: Framing) -> Script:
        return msgspec.structs.replace(self, framing=framing)

    def cut(self, body_bytes: int, ending: Ending = Ending.CLOSE) -> Script:
        """Stop after so many bytes of the body, framing not counted."""
        return msgspec.structs.replace(self, cut_body_after=body_bytes, ending=ending)

    def cut_wire(self, wire_bytes: int, ending: Ending = Ending.CLOSE) -> Script:
        """Stop after so many bytes of the whole answer: status line, headers, framing and all."""
        return msgspec.structs.replace(self, cut_wire_after=wire_bytes, ending=ending)

    def ending_with(self, ending: Ending) -> Script:
        """Send all of it, then end like this."""
        return msgspec.structs.replace(self, ending=ending)

    def in_pieces_of(self, size: int, pause_s: float = 0.0) -> Script:
        """The same body, trickling: `size` bytes at a time, with a pause before each."""
        body = self.body
        pieces = tuple(Piece(body[at : at + size], pause_s) for at in range(0, len(body), size))
        return msgspec.structs.replace(self, pieces=pieces)

    def cut_into(self, sizes: Iterable[int]) -> Script:
        """The same body in pieces of these sizes, the rest as one piece."""
        body, pieces = self.body, list[Piece]()
        for size in sizes:
            if size > 0 and body:
                pieces.append(Piece(body[:size]))
                body = body[size:]
        return msgspec.structs.replace(self, pieces=(*pieces, *([Piece(body)] if body else [])))


def answer(body: bytes = b"", *, status: int = 200, content_type: str = "application/json") -> Script:
    """An ordinary answer with a `Content-Length`."""
    return Script(status=status, headers=(("Content-Type", content_type),), pieces=(Piece(body),) if body else ())


def events(data: Iterable[bytes], *, pause_s: float = 0.0) -> Script:
    """A chunked stream of server-sent events, one piece for each, with a pause before each but the first."""
    pieces = tuple(Piece(event, pause_s if at else 0.0) for at, event in enumerate(data))
    headers = (("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-cache"))
    return Script(headers=headers, pieces=pieces, framing=Framing.CHUNKED)


def silence() -> Script:
    """Never answers, and keeps the connection."""
    return Script(raw=b"", ending=Ending.HANG)


def hang_up(ending: Ending = Ending.CLOSE) -> Script:
    """Closes instead of answering."""
    return Script(raw=b"", ending=ending)


def wire(script: Script) -> Iterator[Piece]:
    """The bytes to write, each piece with the pause before it, up to where the script cuts."""
    room = script.cut_wire_after
    for piece in _pieces(script):
        if room is None:
            yield piece
            continue
        yield Piece(piece.data[:room], piece.pause_s)
        room -= len(piece.data)
        if room <= 0:
            return


def _pieces(script: Script) -> Iterator[Piece]:
    if script.raw is not None:
        yield Piece(script.raw, script.wait_s)
        return
    yield Piece(_head(script), script.wait_s)
    room = script.cut_body_after
    for piece in script.pieces:
        if room is not None and room <= 0:
            return
        cut_short = room is not None and room < len(piece.data)
        yield Piece(_framed(piece.data, script.framing, room if cut_short else None), piece.pause_s)
        if room is not None:
            room -= len(piece.data)
    if script.framing is Framing.CHUNKED and (room is None or room > 0):
        yield Piece(b"0\r\n" + _lines(script.trailers) + b"\r\n")


def _head(script: Script) -> bytes:
    interim = b"".join(_status_line(status) + b"\r\n" for status in script.interim)
    framing: tuple[tuple[str, str], ...] = ()
    if script.framing is Framing.CHUNKED:
        framing = (("Transfer-Encoding", "chunked"),)
    elif script.framing is Framing.LENGTH:
        framing = (("Content-Length", str(len(script.body))),)
    else:
        framing = (("Connection", "close"),)
    return interim + _status_line(script.status) + _lines(script.headers + framing) + b"\r\n"


def _framed(data: bytes, framing: Framing, cut_at: int | None) -> bytes:
    """One piece of the body on the wire; a cut chunk still announces its whole size."""
    if framing is not Framing.CHUNKED:
        return data[:cut_at]
    start = b"%x\r\n" % len(data)
    return start + data + b"\r\n" if cut_at is None else start + data[:cut_at]


def _status_line(status: int) -> bytes:
    known = status in {known.value for known in HTTPStatus}
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase if known else 'Something'}\r\n".encode()


def _lines(headers: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers)
