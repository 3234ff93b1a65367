"""Splits a byte stream into server-sent events, wherever it was cut.

Bytes enter in any pieces; whole events leave, each with the exact bytes it came in, so that the
joined `raw` of all events equals the stream. Lines end at LF, CR or CRLF and nowhere else (not at
Unicode separators). What is kept waiting for its end is bounded.
"""

from __future__ import annotations

import re

import msgspec

from farebox.faults import Fault

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Room for a base64 image in one event; beyond it the stream is at fault."""

_BOM = b"\xef\xbb\xbf"
_EVENT_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_DATA, _DATA_LENGTH = b"data: ", 6
_NAME, _NAME_LENGTH = b"event: ", 7
_LF = 10
_CRLFS = b"\r\n\r\n"


class EventTooLarge(Fault):
    """An upstream sent more than `MAX_EVENT_BYTES` without ending an event."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event. `payload` is its joined `data` lines, None for a comment."""

    raw: bytes
    payload: bytes | None
    name: bytes | None = None


class SseSplitter:
    """Feed it bytes, get whole events; `end` gives what an upstream left without its last blank line."""

    __slots__ = ("_limit", "_searched", "_waiting")

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._waiting = bytearray()
        self._searched = 0
        self._limit = max_event_bytes

    @property
    def waiting(self) -> int:
        """Bytes held back until their event ends."""
        return len(self._waiting)

    def whole(self, data: bytes) -> bytes | None:
        """The payload, if `data` is exactly one plain `data:` event and nothing was waiting; else `feed` it.

        This is what nearly every read of a stream is, and it spares the `Event`.
        """
        last = len(data) - 1
        if self._waiting or not data.startswith(_DATA):
            return None
        first = data.find(b"\n")
        if first == last - 1:
            return None if data[last] != _LF or data.find(b"\r") >= 0 else data[_DATA_LENGTH:-2]
        if first == last - 2 and data.endswith(_CRLFS) and data.find(b"\r") == last - 3:
            return data[_DATA_LENGTH:-4]  # as Google ends its lines
        return None

    def whole_named(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Name and payload, if `data` is exactly one event of a line with a name and a line of data; else `feed` it.

        The same for dialects that name their events.
        """
        if self._waiting or not data.startswith(_NAME):
            return None
        named = data.find(b"\n")
        last = len(data) - 1
        if not data.startswith(_DATA, named + 1) or data.find(b"\n", named + 1) != last - 1:
            return None
        if data[last] != _LF or data.find(b"\r") >= 0:
            return None
        return data[_NAME_LENGTH:named], data[named + 1 + _DATA_LENGTH : -2]

    def feed(self, data: bytes) -> list[Event]:
        """All events that are whole now. Raises `EventTooLarge`."""
        if not self._waiting and data.endswith(b"\n\n") and not data.endswith(b"\n\n\n") and b"\r" not in data:
            return _split_plain(data)
        self._waiting += data
        return self._split()

    def end(self) -> list[Event]:
        """The stream is over: what is left counts as an event if it has any bytes."""
        rest = bytes(self._waiting)
        self._waiting.clear()
        self._searched = 0
        return [read_event(rest)] if rest else []

    def _split(self) -> list[Event]:
        events: list[Event] = []
        start, waiting = 0, self._waiting
        # a CR at the very end may be half of a CRLF: its event waits for the next byte
        stop = len(waiting) - 1 if waiting.endswith(b"\r") else len(waiting)
        for match in _EVENT_END.finditer(waiting, self._searched, stop):
            events.append(read_event(bytes(waiting[start : match.end()])))
            start = match.end()
        del waiting[:start]
        if len(waiting) > self._limit:
            raise EventTooLarge(f"an event of more than {self._limit} bytes")
        self._searched = max(0, len(waiting) - 3)
        return events


def _split_plain(data: bytes) -> list[Event]:
    """The common case: whole events with LF line ends."""
    blocks = data.split(b"\n\n")
    del blocks[-1]
    if len(blocks) == 1:
        return [_read_block(data, blocks[0])]
    return [_read_block(block + b"\n\n", block) for block in blocks]


def _read_block(raw: bytes, block: bytes) -> Event:
    if block.startswith(_DATA) and b"\n" not in block:
        return Event(raw, block[_DATA_LENGTH:])
    return read_event(raw)


def read_event(raw: bytes) -> Event:
    """Read the lines of one event. Comments, `id` and `retry` have no payload."""
    payload: list[bytes] = []
    name: bytes | None = None
    for line in _LINE_END.split(raw.removeprefix(_BOM)):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            payload.append(value)
        elif field == b"event":
            name = value
    return Event(raw, b"\n".join(payload) if payload else None, name)
