"""How a Responses stream ends that its provider did not end: cut short by us, or broken off.

Keeps what is open as a stream passes: the items that are done, and the text of the one that is not.
"""

from __future__ import annotations

from typing import Any

import msgspec

from farebox.wire.call import ABSENT, Fields, is_present, raw
from farebox.wire.json_object import read_as
from farebox.wire.payloads import fields_of
from farebox.wire.responses.open_item import Ending, OpenItem, event_of
from farebox.wire.responses.shown import without_sealed

_PART_ADDED = frozenset({"response.content_part.added", "response.reasoning_summary_part.added"})
_PART_DONE = frozenset({"response.content_part.done", "response.reasoning_summary_part.done"})
_REASONS = {"length": "max_output_tokens"}


class _Placed(msgspec.Struct, gc=False):
    output_index: int = 0
    part: msgspec.Raw = ABSENT


class _Typed(msgspec.Struct, gc=False):
    type: str = ""


_placed = msgspec.json.Decoder(_Placed)
_typed = msgspec.json.Decoder(_Typed)


class Cut:
    """What a stream has shown so far, ready to be ended at any event."""

    __slots__ = ("_done", "_open", "pieces", "streamed")

    def __init__(self) -> None:
        self._done: list[msgspec.Raw] = []
        self._open: OpenItem | None = None
        self.pieces: list[str] = []
        """The text of what is open, where the meter puts each delta."""
        self.streamed = False
        """Deltas came for the item that began last."""

    def begin(self, payload: bytes, item: msgspec.Raw) -> None:
        """An item was added."""
        placed, fields = read_as(payload, _placed), fields_of(item)
        type_ = _type_of(item)
        self.streamed = False
        self._open = None
        self.pieces = []
        if isinstance(placed, _Placed) and fields is not None and type_:
            self._open = OpenItem(type_, placed.output_index, fields)
            self.pieces = self._open.pieces

    def note(self, kind: str, payload: bytes) -> None:
        """A part began or ended."""
        if self._open is None or (kind not in _PART_ADDED and kind not in _PART_DONE):
            return
        placed = read_as(payload, _placed)
        if not isinstance(placed, _Placed) or not is_present(placed.part):
            return
        if kind in _PART_ADDED:
            self._open.open_part(_type_of(placed.part))
        else:
            self._open.part_done(placed.part)

    def done(self, item: msgspec.Raw) -> None:
        """An item ended."""
        self._done.append(item)
        self._open = None
        self.pieces = []

    def items(self) -> msgspec.Raw:
        """The items that ended, as an output."""
        return raw(self._done)

    def short(self, created: bytes, *, number: int, usage: dict[str, object], reason: str) -> bytes:
        """End what is open, then the answer, as if a limit had been reached."""
        due: list[Ending] = []
        if self._open is not None:
            due += self._open.end("incomplete")
            self._done.append(raw(self._open.fields))
        details = {"reason": _REASONS.get(reason, reason)}
        changes = {"status": "incomplete", "incomplete_details": details, "output": self._shown(), "usage": usage}
        due.append(("response.incomplete", {"response": response_in(created) | changes}))
        return numbered(due, number)

    def _shown(self) -> list[msgspec.Raw]:
        return [without_sealed(item) for item in self._done]


def failure_events(created: bytes, *, number: int, code: str, message: str) -> bytes:
    """What tells every official client that there will be no more."""
    due: list[Ending] = []
    response = response_in(created)
    if response:
        error = {"code": "server_error", "message": message}
        due.append(("response.failed", {"response": response | {"status": "failed", "error": error}}))
    flat: dict[str, Any] = {"code": code, "message": message, "param": None}
    due.append(("error", flat | {"error": {"type": "upstream_error"} | flat}))
    return numbered(due, number)


def numbered(due: list[Ending], number: int) -> bytes:
    """The events, numbered on from `number`."""
    return b"".join([event_of(ending, number + place) for place, ending in enumerate(due, 1)])


def response_in(created: bytes) -> dict[str, object]:
    """The response object an event carries; empty if there is none."""
    fields = fields_of(created)
    response = None if fields is None else fields_of(fields.get("response", b""))
    return dict[str, object](response or Fields())


def _type_of(written: msgspec.Raw) -> str:
    read = read_as(written, _typed)
    return read.type if isinstance(read, _Typed) else ""
