"""Meters a Responses stream as it passes, and holds its end back until the charge is committed (Law 3).

Events pass as they came, but for those with a response object in them, which is shown under our id
and the name asked for. `response.completed` or `response.incomplete` completes an answer and waits
for `finish`; `response.failed` and `error` are no output and never passed on as they came (d22, d50).
"""

from __future__ import annotations

import msgspec

from farebox.tariff.meters import Usage
from farebox.wire.call import ABSENT, Call, is_present, raw
from farebox.wire.json_object import read_as
from farebox.wire.passing import PassingMeter
from farebox.wire.payloads import UNREADABLE, fields_of
from farebox.wire.responses.answer import OutputItem, Response, add_item, item_decoder, response_decoder
from farebox.wire.responses.closing import Cut, failure_events
from farebox.wire.responses.open_item import event_bytes
from farebox.wire.responses.shown import Shown
from farebox.wire.responses.usage import usage_shown

_ENDS = frozenset({"response.completed", "response.incomplete"})
_FAILURES = frozenset({"response.failed", "error"})
_DONE = b"[DONE]"


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    sequence_number: int = 0
    delta: str | None = None
    response: msgspec.Raw = ABSENT
    item: msgspec.Raw = ABSENT


class _Kind(msgspec.Struct, gc=False):
    type: str = ""
    sequence_number: int = 0
    response: msgspec.Raw = ABSENT
    item: msgspec.Raw = ABSENT


_read_event = msgspec.json.Decoder(_Event).decode
_kind = msgspec.json.Decoder(_Kind).decode


class ResponsesMeter(PassingMeter):
    """One stream of response events for the client of `call`."""

    __slots__ = ("_created", "_cut", "_end", "_end_kind", "_number", "_shown", "whole")

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._shown = Shown(call)
        self._created = b""
        """The first event with a response object: what one of ours is made in the likeness of."""
        self._cut = Cut()
        self._end = b""
        self._end_kind = ""
        self._number = 0
        """Of the last event that passed."""
        self.whole: msgspec.Raw | None = None
        """The response object that ended the stream, as the provider wrote it."""

    def look(self, event: bytes, payload: bytes, name: bytes | None) -> bytes:
        """Note what an event says; deltas pass as the bytes they came in."""
        try:
            read = _read_event(payload)
        except UNREADABLE:
            odd = _read_kind(payload)
            if odd is None:
                return b"" if payload.strip() == _DONE else event
            read = odd
        if self.holding:
            return b""  # nothing follows the end of an answer
        if read.delta is None:
            return self._look_closer(event, payload, name, read)
        self._number = read.sequence_number
        cut = self._cut
        cut.streamed = True
        cut.pieces.append(read.delta)
        if read.type == "response.output_text.delta":
            self.output.add(read.delta)
        else:
            self._add(read.type, read.delta)
        return event

    def _add(self, kind: str, delta: str) -> None:
        if kind.startswith("response.reasoning"):
            self.output.add_reasoning(delta)
        elif kind == "response.audio.delta":
            self.output.add_sealed(len(delta))
        else:
            self.output.add(delta)

    def _look_closer(self, event: bytes, payload: bytes, name: bytes | None, read: _Event) -> bytes:
        kind = read.type or (name or b"").decode(errors="replace")
        if kind not in _FAILURES:
            self._number = read.sequence_number
        if read.response is not ABSENT or kind in _FAILURES:
            return self._look_at_response(kind, payload, read)
        if read.item is not ABSENT:
            return self._look_at_item(kind, event, payload, read.item)
        self._cut.note(kind, payload)
        return event

    def _look_at_response(self, kind: str, payload: bytes, read: _Event) -> bytes:
        if kind in _FAILURES:
            self.upstream_error = payload
            return b""
        if kind in _ENDS:
            self._end_kind = kind
            self._take_end(payload, read)
            return b""
        shown = self._shown.event(payload)
        self._created = self._created or shown
        return event_bytes(kind, shown)

    def _take_end(self, payload: bytes, read: _Event) -> None:
        response = read_as(read.response, response_decoder)
        self._end, self.whole = payload, read.response
        self.holding = self.finished = True
        if not isinstance(response, Response):
            self.finish_reasons[0] = "stop"
            return
        if not is_present(response.output) or bytes(response.output) == b"[]":
            # some servers say what they produced once, item by item
            response.output = self._cut.items()
            self.whole = raw((fields_of(read.response) or {}) | {"output": response.output})
        self.usage = response.metered
        self.finish_reasons[0] = response.reason
        self.service_tier = response.service_tier

    def _look_at_item(self, kind: str, event: bytes, payload: bytes, item: msgspec.Raw) -> bytes:
        read = read_as(item, item_decoder)
        if kind == "response.output_item.added":
            if isinstance(read, OutputItem) and read.name:
                self.output.add(read.name)
            self._cut.begin(payload, item)
        elif kind == "response.output_item.done":
            if not self._cut.streamed and isinstance(read, OutputItem):
                add_item(read, self.output)
            elif isinstance(read, OutputItem) and read.encrypted_content:
                self.output.add_sealed(len(read.encrypted_content))
            self._cut.done(item)
        if self._shown.hides_reasoning and b'"encrypted_content"' in payload:
            return event_bytes(kind, self._shown.item_event(payload))
        return event

    def finish(self, charge: str | None, *, counted: Usage | None = None) -> bytes:
        """The end of a complete answer, to be sent after the commit. `charge` is in credits, as a decimal string."""
        usage = usage_shown(self.usage, counted, charge)
        return event_bytes(self._end_kind, self._shown.event(self._end, usage=usage))

    def cut_short(self, charge: str | None, *, counted: Usage | None = None, reason: str = "length") -> bytes:
        """A well-formed end for an answer we cut: what is open is closed, then `response.incomplete`."""
        if self.finished:
            return self.finish(charge, counted=counted)
        usage = usage_shown(self.usage, counted, charge)
        return self._cut.short(self._created, number=self._number, usage=usage, reason=reason)

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle of a stream: `response.failed`, then `error`, which official clients raise."""
        return failure_events(self._created, number=self._number, code=code, message=message)


def _read_kind(payload: bytes) -> _Event | None:
    """An event with fields of odd types, read leniently. None if it is no JSON object."""
    try:
        kind = _kind(payload)
    except UNREADABLE:
        return None
    return _Event(kind.type, kind.sequence_number, None, kind.response, kind.item)
