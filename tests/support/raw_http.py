"""HTTP by hand over a socket, for what no client library would send: half requests, floods, two at once.

with wire_to(gateway.port) as wire:
    wire.send(b"GET /livez HT")
    answer = wire.answer()
    assert answer.status == 408 and wire.is_closed()
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

LINE_END = b"\r\n"


@dataclass(frozen=True)
class RawAnswer:
    """One answer as it stood on the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that may stand once only."""
        values = [value for known, value in self.headers if known == name]
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


class Wire:
    """A connection; reading waits at most `patience_s`."""

    def __init__(self, port: int, patience_s: float) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def send(self, raw: bytes) -> bool:
        """False if the other side no longer takes anything."""
        try:
            self.socket.sendall(raw)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def answer(self, *, bodiless: bool = False) -> RawAnswer:
        """The next answer. `bodiless`: it answers HEAD."""
        head = self._until(LINE_END * 2)
        status_line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        status = int(status_line.split(" ")[1])
        known = dict(headers)
        if bodiless or status in (100, 204):
            body = b""
        elif known.get("transfer-encoding") == "chunked":
            body = b"".join(self._chunks())
        else:
            body = self._exactly(int(known["content-length"]))
        return RawAnswer(status, headers, body)

    def has_answered(self) -> bool:
        """Something has come and was not read yet."""
        return bool(self._read) or bool(select.select([self.socket], [], [], 0)[0])

    def is_closed(self) -> bool:
        """The other side has closed, and said nothing more."""
        try:
            return self._read == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(LINE_END), 16):
            yield self._exactly(size)
            self._until(LINE_END)
        self._until(LINE_END)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            self._more()
        whole, _, self._read = self._read.partition(mark)
        return whole + mark

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        whole, self._read = self._read[:size], self._read[size:]
        return whole

    def _more(self) -> None:
        got = self.socket.recv(65536)
        if not got:
            raise ConnectionError(f"closed in the middle of an answer: {self._read[-200:]!r}")
        self._read += got


@contextmanager
def wire_to(port: int, *, patience_s: float = 20) -> Iterator[Wire]:
    """A connection of its own, closed at the end."""
    wire = Wire(port, patience_s)
    try:
        yield wire
    finally:
        with contextlib.suppress(OSError):
            wire.socket.close()


def request(
    method: str, path: str, secret: str | None = None, body: bytes | None = None, headers: tuple[str, ...] = ()
) -> bytes:
    """The bytes of a request; `headers` as whole lines."""
    lines = [f"{method} {path} HTTP/1.1", "host: test", *headers]
    if secret is not None:
        lines.append(f"authorization: Bearer {secret}")
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
