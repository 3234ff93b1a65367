"""A form that has arrived whole: its fields, its files, and the same form with some fields written anew.

Enters: a body and what its `Content-Type` said. Leaves: a `Form`, or why it is none. Contents are told by their place
in the body and never copied; what need not change goes on byte for byte. Strict as `multipart` is: a field that stands
twice, a file where a field is meant and a content type that two readers could read differently are refused, because
what is priced here must be what the provider reads (Law 1).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Self

import msgspec

from farebox.wire.call import Malformed, MalformedCode
from farebox.wire.multipart import LIMITS, Limits, MultipartReader, PartHead, boundary_of

_PIECE_BYTES = 64 * 1024
_PLAIN_TYPE = re.compile(r'multipart/form-data *(?:; *charset=[\w-]+ *)?; *boundary=("[^"]*"|[^;\s"]+) *', re.I | re.A)


class Part(msgspec.Struct, frozen=True, gc=False):
    """One part of a form; its content is `body[start:end]`."""

    head: PartHead
    start: int
    end: int


class Form(msgspec.Struct, frozen=True):
    """A whole form."""

    body: bytes
    boundary: bytes
    parts: tuple[Part, ...]

    def text(self, name: str) -> str | None:
        """The field's content, None if there is no such field."""
        for part in self.parts:
            if part.head.name == name and part.head.filename is None:
                return self.body[part.start : part.end].decode("utf-8", errors="replace")
        return None

    def texts(self, *names: str) -> Iterator[str]:
        """The contents of all fields with one of these names."""
        for part in self.parts:
            if part.head.name in names and part.head.filename is None:
                yield self.body[part.start : part.end].decode("utf-8", errors="replace")

    def files(self, *names: str) -> list[Part]:
        """The files in fields of these names."""
        return [part for part in self.parts if part.head.name in names and part.head.filename is not None]

    def content(self, part: Part) -> memoryview:
        """A part's bytes."""
        return memoryview(self.body)[part.start : part.end]

    def rewritten(self, changes: Mapping[str, str]) -> bytes:
        """The body with these fields as given here, added where they were not; nothing else differs."""
        if not changes:
            return self.body
        pieces: list[bytes | memoryview] = []
        at, body, missing = 0, memoryview(self.body), dict(changes)
        for part in self.parts:
            value = missing.pop(part.head.name, None) if part.head.filename is None else None
            if value is not None:
                pieces += [body[at : part.start], _safe(value, self.boundary)]
                at = part.end
        end = self.parts[-1].end if self.parts else 0
        pieces.append(body[at:end])
        pieces += [_field(name, _safe(value, self.boundary), self.boundary) for name, value in missing.items()]
        return b"".join([*pieces, body[end:]])


class FormDialect:
    """What dialects share whose bodies are forms: they are told the `Content-Type` before they read one."""

    content_type: str | None = None
    """As it was sent; None if it was not, or more than once."""
    form_limits: Limits = LIMITS

    def reading(self, content_types: list[bytes]) -> Self:
        """The dialect for one request with these `Content-Type` headers."""
        told = copy.copy(self)
        told.content_type = content_types[0].decode("latin-1") if len(content_types) == 1 else None
        return told

    def read_form(self, body: bytes) -> Form | Malformed:
        """The form, if body and `Content-Type` are those of one."""
        boundary = _boundary(self.content_type or "")
        return boundary if isinstance(boundary, Malformed) else read_form(body, boundary, self.form_limits)

    def told_apart_by(self, body: bytes) -> Iterator[bytes]:
        """By what two requests are the same: their forms, whatever boundary was chosen for each. Never raises."""
        boundary = _boundary(self.content_type or "")
        pieces = [body] if isinstance(boundary, Malformed) else body.split(b"--" + boundary)
        for piece in pieces:
            yield b"%d:" % len(piece)
            yield piece


def read_form(body: bytes, boundary: bytes, limits: Limits = LIMITS) -> Form | Malformed:
    """Read a whole form. Of fields whose names do not end in `[]`, each may stand once."""
    reader = MultipartReader(boundary, limits)
    heads: list[PartHead] = []
    sizes: list[int] = []
    for at in range(0, len(body), _PIECE_BYTES):
        events = reader.feed(body[at : at + _PIECE_BYTES])
        if isinstance(events, Malformed):
            return events
        for event in events:
            if isinstance(event, PartHead):
                heads.append(event)
                sizes.append(0)
            elif isinstance(event, bytes):
                sizes[-1] += len(event)
    return reader.end() or _repeated(heads) or Form(body, boundary, tuple(_placed(body, heads, sizes)))


def _placed(body: bytes, heads: list[PartHead], sizes: list[int]) -> Iterator[Part]:
    at = 0
    for head, size in zip(heads, sizes, strict=True):
        start = body.index(b"\r\n\r\n", at) + 4
        at = start + size
        yield Part(head, start, at)


def _repeated(heads: list[PartHead]) -> Malformed | None:
    seen: set[str] = set()
    for head in heads:
        if head.name in seen and not head.name.endswith("[]"):
            name = head.name[:64]
            return Malformed(MalformedCode.INVALID_PARAMETER, f"The field '{name}' is given more than once.", name)
        seen.add(head.name)
    return None


def _boundary(content_type: str) -> bytes | Malformed:
    boundary = boundary_of(content_type)
    if boundary is None:
        return Malformed(MalformedCode.UNSUPPORTED_MEDIA_TYPE, "The body must be multipart/form-data.", "content-type")
    if isinstance(boundary, bytes) and not _PLAIN_TYPE.fullmatch(content_type.strip()):
        message = "The content type must be multipart/form-data with one boundary, and say nothing else."
        return Malformed(MalformedCode.INVALID_PARAMETER, message, "content-type")
    return boundary


def _field(name: str, value: bytes, boundary: bytes) -> bytes:
    head = b'\r\n--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n' % (boundary, name.encode())
    return head + value


def _safe(value: str, boundary: bytes) -> bytes:
    written = value.encode()
    if b"\r\n--" + boundary in written:
        raise ValueError("a field's value holds the boundary of its form")
    return written
