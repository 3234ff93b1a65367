"""Reads `multipart/form-data` as it arrives: bytes in any pieces → heads of parts, pieces of their content, ends.

The same body gives the same parts however it was cut, and no more of it is kept than one delimiter or one head.
Strict where readers disagree, because what another reader would take for a second part must not pass as content of
the first: nothing before the first delimiter, nothing after the last, line ends are CRLF, headers are not folded, a
content transfer encoding is refused. Limits bound the number of parts, the size of heads and of fields; how large a
file may be is its taker's to say. It knows no field by name.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from farebox.wire.call import Malformed, MalformedCode

MAX_BOUNDARY = 70
"""RFC 2046, 5.1.1."""


class PartHead(msgspec.Struct, frozen=True, gc=False):
    """A part begins. One with a file name is a file, one without is a field."""

    name: str
    filename: str | None = None
    """As it was sent: maybe a path, maybe empty, never with control characters."""
    content_type: str | None = None
    """Without its parameters, in lower case."""


class PartEnd(Enum):
    """A part is whole."""

    END = "end"


Event = PartHead | bytes | PartEnd


class Limits(NamedTuple):
    """The most a form may hold."""

    parts: int = 64
    head_bytes: int = 8 * 1024
    """Of one part's headers."""
    field_bytes: int = 64 * 1024
    """Of one field's content; files are not fields."""


LIMITS = Limits()


class _State(Enum):
    BEGIN = "before the first delimiter"
    DELIMITED = "after a delimiter"
    HEAD = "in the headers of a part"
    CONTENT = "in its content"
    CLOSED = "after the last delimiter"


_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_PARAMETER = re.compile(r';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s;"]*)[ \t]*')
_ESCAPED = re.compile(r'\\(["\\])')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BROWSERS_ESCAPE = (("%0D", "\r"), ("%0A", "\n"), ("%22", '"'))
"""How browsers write these three, and only these, inside a quoted name."""


def boundary_of(content_type: str) -> bytes | Malformed | None:
    """The boundary a `Content-Type` announces; None when it is not `multipart/form-data`."""
    media_type, _, _ = content_type.partition(";")
    if media_type.strip().lower() != "multipart/form-data":
        return None
    parameters = _parameters(content_type[len(media_type) :])
    boundary = (parameters or {}).get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        return _malformed(f"The content type names no boundary that can be used: 1 to {MAX_BOUNDARY} characters.")
    return boundary.encode("ascii")


class MultipartReader:
    """One body. `feed` what arrives, then `end`; after a `Malformed` it takes nothing more."""

    __slots__ = ("_delimiter", "_field_left", "_limits", "_parts", "_state", "_trouble", "_waiting")

    def __init__(self, boundary: bytes, limits: Limits = LIMITS) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._limits = limits
        self._state = _State.BEGIN
        self._waiting = b"\r\n"  # so that the first delimiter looks like all others
        self._parts = 0
        self._field_left: int | None = None
        """How much longer the present field may be; None in a file."""
        self._trouble: Malformed | None = None

    def feed(self, piece: bytes) -> list[Event] | Malformed:
        """What this piece completes, in order. Content comes in pieces of any size, none of them empty."""
        self._waiting += piece
        events: list[Event] = []
        while self._trouble is None and self._step(events):
            pass
        return events if self._trouble is None else self._trouble

    def end(self) -> Malformed | None:
        """The body has ended: whether the form was whole."""
        if self._trouble is None and self._state is not _State.CLOSED:
            self._trouble = _malformed("The form ends before its last delimiter.")
        return self._trouble

    def _step(self, events: list[Event]) -> bool:
        """Go on by one delimiter, head or stretch of content; False when more must arrive first."""
        match self._state:
            case _State.BEGIN:
                return self._begin()
            case _State.DELIMITED:
                return self._delimited()
            case _State.HEAD:
                return self._head(events)
            case _State.CONTENT:
                return self._content(events)
            case _State.CLOSED:
                return self._closed()

    def _begin(self) -> bool:
        if self._delimiter.startswith(self._waiting[: len(self._delimiter)]):
            return self._waiting.startswith(self._delimiter) and self._pass_delimiter(0)
        return self._fail("The form does not begin with the boundary its content type names.")

    def _pass_delimiter(self, at: int) -> bool:
        self._waiting = self._waiting[at + len(self._delimiter) :]
        self._state = _State.DELIMITED
        return True

    def _delimited(self) -> bool:
        if len(self._waiting) < 2:
            return False
        mark, self._waiting = self._waiting[:2], self._waiting[2:]
        if mark == b"--":
            self._state = _State.CLOSED
            return bool(self._waiting)
        if mark != b"\r\n":
            return self._fail("The boundary stands inside a part, or is not followed by a line end.")
        if self._parts >= self._limits.parts:
            return self._fail(f"The form has more than {self._limits.parts} parts.")
        self._parts += 1
        self._state = _State.HEAD
        return True

    def _head(self, events: list[Event]) -> bool:
        end = self._waiting.find(b"\r\n\r\n")
        if max(end, len(self._waiting) - 4 if end < 0 else 0) > self._limits.head_bytes:
            return self._fail(f"The headers of a part are longer than {self._limits.head_bytes} bytes.")
        if end < 0:
            return False
        head = _read_head(self._waiting[:end])
        if isinstance(head, Malformed):
            self._trouble = head
            return False
        self._waiting = self._waiting[end + 4 :]
        self._field_left = self._limits.field_bytes if head.filename is None else None
        events.append(head)
        self._state = _State.CONTENT
        return True

    def _content(self, events: list[Event]) -> bool:
        at = self._waiting.find(self._delimiter)
        whole = at >= 0
        if not whole:
            at = _not_yet_a_delimiter(self._waiting, self._delimiter)
        if at and not self._give(events, self._waiting[:at]):
            return False
        if not whole:
            self._waiting = self._waiting[at:]
            return False
        events.append(PartEnd.END)
        return self._pass_delimiter(at)

    def _give(self, events: list[Event], content: bytes) -> bool:
        if self._field_left is not None:
            self._field_left -= len(content)
            if self._field_left < 0:
                return self._fail(f"A field of the form is longer than {self._limits.field_bytes} bytes.")
        events.append(content)
        return True

    def _closed(self) -> bool:
        if not b"\r\n".startswith(self._waiting):
            return self._fail("Something follows the last delimiter of the form.")
        return False

    def _fail(self, message: str) -> bool:
        self._trouble = _malformed(message)
        return False


def _not_yet_a_delimiter(content: bytes, delimiter: bytes) -> int:
    """Where the end of the content begins that may turn out to be a delimiter."""
    start = max(len(content) - len(delimiter) + 1, 0)
    while (start := content.find(b"\r", start)) >= 0:
        if delimiter.startswith(content[start:]):
            return start
        start += 1
    return len(content)


def _read_head(raw: bytes) -> PartHead | Malformed:
    try:
        lines = raw.decode("utf-8").split("\r\n")
    except UnicodeDecodeError:
        return _malformed("The headers of a part are not UTF-8.")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip() or name in headers or _CONTROL.search(line.replace("\t", " ")):
            return _malformed("The headers of a part cannot be read.")
        headers[name] = value.strip(" \t")
    if headers.get("content-transfer-encoding", "binary").lower() not in ("7bit", "8bit", "binary"):
        return _malformed("A part has a content transfer encoding. Send its bytes as they are.")
    return _described(headers)


def _described(headers: dict[str, str]) -> PartHead | Malformed:
    kind, _, _ = headers.get("content-disposition", "").partition(";")
    parameters = _parameters(headers.get("content-disposition", "")[len(kind) :])
    if kind.strip().lower() != "form-data" or parameters is None or "name" not in parameters:
        return _malformed("A part does not say which field it is: it has no content-disposition with a name.")
    filename = _extended(parameters["filename*"]) if "filename*" in parameters else parameters.get("filename")
    name = _unescaped(parameters["name"])
    filename = None if filename is None else _unescaped(filename)
    if _CONTROL.search(name) or _CONTROL.search(filename or ""):
        return _malformed("The name of a part has control characters.")
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return PartHead(name, filename, media_type or None)


def _parameters(text: str) -> dict[str, str] | None:
    """`; name=value; name="value"`; None when it is not that, or a name stands twice."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is None or parameter[1].lower() in found:
            return None
        value = parameter[2]
        found[parameter[1].lower()] = _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
        at = parameter.end()
    return found


def _extended(value: str) -> str:
    """RFC 5987: `UTF-8''na%C3%AFve.txt`."""
    _, _, encoded = value.partition("''")
    return unquote(encoded or value, errors="replace")


def _unescaped(name: str) -> str:
    for written, meant in _BROWSERS_ESCAPE:
        name = name.replace(written, meant)
    return name


def _malformed(message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, "body")
