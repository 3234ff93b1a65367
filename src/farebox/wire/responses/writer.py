"""Writes answers of the neutral form as Responses events, in the order the official accumulators expect.

Events enter in the order they were produced; whole server-sent events leave. Each kind of content is an item
of its own: reasoning, a message, a tool call, an image. An item ends when another kind begins.
"""

from __future__ import annotations

import msgspec

from farebox.tariff.meters import Usage
from farebox.wire.call import Call, Fields, raw
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    ImageMade,
    RefusalDelta,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSigned,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.speech import Whole
from farebox.wire.responses.closing import failure_events
from farebox.wire.responses.envelope import Envelope, wrap
from farebox.wire.responses.forward import includes_sealed
from farebox.wire.responses.likeness import answer_id, likeness
from farebox.wire.responses.open_item import Ending, OpenItem, event_of
from farebox.wire.responses.read_items import NAME
from farebox.wire.responses.usage import usage_shown, usage_written

_INCOMPLETE = {StopReason.LENGTH: "max_output_tokens", StopReason.CONTENT_FILTER: "content_filter"}
"""Everything else is a completed answer."""
_DELTAS = {
    "output_text": b"response.output_text.delta",
    "refusal": b"response.refusal.delta",
    "summary_text": b"response.reasoning_summary_text.delta",
    "function_call": b"response.function_call_arguments.delta",
    "custom_tool_call": b"response.custom_tool_call_input.delta",
}
_encode = msgspec.json.Encoder().encode


class EventWriter:
    """One stream of events for the client that made `call`."""

    __slots__ = ("_begun", "_call", "_delta", "_done", "_id", "_item", "_number", "_response", "_shows_sealed")

    def __init__(self, call: Call) -> None:
        turn = call.turn
        self._call = call
        self._shows_sealed = includes_sealed(call) or (turn is not None and turn.kept)
        self._begun = False
        self._number = 0
        self._id = ""
        self._response: dict[str, object] = {}
        self._item: OpenItem | None = None
        self._done: list[Fields] = []
        self._delta = (b"", b"", b"")
        """What stands before its number, between number and text, and after the text in a delta of what is open."""

    def write(self, event: ChatEvent) -> bytes:
        """The events for one of the neutral form."""
        if type(event) is TextDelta and self._item is not None and self._item.part == "output_text":
            return self._text(event.text)  # what nearly every event is
        match event:
            case TextDelta(text=text):
                return self._into("message", "output_text") + self._text(text)
            case ThinkingDelta(text=text):
                return self._into("reasoning", "summary_text") + self._text(text)
            case ToolArguments(text=text):
                return self._text(text) if self._item is not None and self._item.type in _DELTAS else b""
            case ToolStart():
                return self._call_tool(event)
            case RefusalDelta(text=text):
                return self._into("message", "refusal") + self._text(text)
            case ThinkingSigned():
                return self._sign(event)
            case ImageMade():
                return self._show_image(event)
            case Started(id=identifier):
                return self._start(identifier)
            case Ended():
                return b""

    def finish(self, ended: Ended, usage: Usage, charge: str | None) -> bytes:
        """Everything that is still open, then the response with its usage and charge."""
        status = "incomplete" if ended.reason in _INCOMPLETE else "completed"
        events = self._start("") + self._close(status)
        response = self.response(ended, usage_shown(None, usage, charge))
        return events + self._send([(f"response.{status}", {"response": response})])

    def response(self, ended: Ended, usage: dict[str, object]) -> dict[str, object]:
        """The response object of an answer whose items are all done."""
        reason = _INCOMPLETE.get(ended.reason)
        status = "completed" if reason is None else "incomplete"
        details = None if reason is None else {"reason": reason}
        changes = {"status": status, "incomplete_details": details, "output": self._done, "usage": usage}
        return self._response | changes

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle, told in every way clients look for."""
        created = _encode({"response": self._response}) if self._begun else b""
        return failure_events(created, number=self._number - 1, code=code, message=message)

    def _start(self, identifier: str) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        self._id = answer_id(self._call, identifier)
        self._response = likeness(self._call, self._id)
        kinds = ("response.created", "response.in_progress")
        return self._send([(kind, {"response": self._response}) for kind in kinds])

    def _send(self, due: list[Ending]) -> bytes:
        events = b"".join([event_of(ending, self._number + place) for place, ending in enumerate(due)])
        self._number += len(due)
        return events

    # Items ------------------------------------------------------------------------------------

    def _into(self, type_: str, part: str) -> bytes:
        """Make sure such an item, with such a part, is open."""
        item = self._item
        if item is not None and item.type == type_ and item.part == part:
            return b""
        events = b""
        if item is None or item.type != type_:
            prefix = "msg" if type_ == "message" else "rs"
            filled: dict[str, object] = (
                {"summary": []} if type_ == "reasoning" else {"role": "assistant", "content": []}
            )
            events = self._open(type_, prefix, filled)
        else:
            events = self._send(list(item.end_part()))
        return events + self._open_part(part)

    def _open(self, type_: str, prefix: str, filled: dict[str, object]) -> bytes:
        """End the item before, and announce a new one."""
        events = self._start("") + self._close("completed")
        index = len(self._done)
        identifier = f"{prefix}_{self._id.removeprefix('resp_')}{index}"
        fields = Fields(id=raw(identifier), type=raw(type_), status=raw("in_progress"))
        fields |= {name: raw(value) for name, value in filled.items()}
        self._item = OpenItem(type_, index, fields)
        self._delta = self._around(type_, b"")
        return events + self._send([("response.output_item.added", {"output_index": index, "item": fields})])

    def _open_part(self, type_: str) -> bytes:
        item = self._item
        if item is None:
            return b""
        item.open_part(type_)
        place = "summary_index" if type_ == "summary_text" else "content_index"
        name = "response.reasoning_summary_part.added" if type_ == "summary_text" else "response.content_part.added"
        part: dict[str, object] = {"type": type_, "refusal" if type_ == "refusal" else "text": ""}
        if type_ == "output_text":
            part |= {"annotations": [], "logprobs": []}
        self._delta = self._around(type_, f',"{place}":{item.place}'.encode())
        at = {"item_id": item.id, "output_index": item.index, place: item.place}
        return self._send([(name, at | {"part": part})])

    def _around(self, kind: str, place: bytes) -> tuple[bytes, bytes, bytes]:
        """See `_delta`."""
        name, item = _DELTAS.get(kind), self._item
        if name is None or item is None:
            return b"", b"", b""
        head = b"event: " + name + b'\ndata: {"type":"' + name + b'","sequence_number":'
        at = b',"item_id":' + _encode(item.id) + b',"output_index":%d' % item.index
        end = b',"logprobs":[]}\n\n' if kind == "output_text" else b"}\n\n"
        return head, at + place + b',"delta":', end

    def _text(self, text: str) -> bytes:
        item = self._item
        if item is None or not text:
            return b""
        item.pieces.append(text)
        number = self._number
        self._number = number + 1
        head, at, end = self._delta
        return b"%b%d%b%b%b" % (head, number, at, _encode(text), end)

    def _close(self, status: str, **more: object) -> bytes:
        """End the open item, if there is one."""
        item, self._item = self._item, None
        if item is None:
            return b""
        events = self._send(list(item.end(status, **more)))
        self._done.append(item.fields)
        return events

    def _call_tool(self, start: ToolStart) -> bytes:
        field = "input" if start.custom else "arguments"
        filled: dict[str, object] = {"call_id": start.id, "name": start.name, field: ""}
        if start.signature is not None:
            filled["extra_content"] = {"google": {"thought_signature": start.signature}}
        type_, prefix = ("custom_tool_call", "ctc") if start.custom else ("function_call", "fc")
        return self._open(type_, prefix, filled)

    def _sign(self, signed: ThinkingSigned) -> bytes:
        """End the reasoning, with what its provider needs back if the client is to keep it."""
        events = b""
        sealed = _sealed(signed) if self._shows_sealed else None
        if self._item is None or self._item.type != "reasoning":
            if sealed is None:
                return b""
            events = self._open("reasoning", "rs", {"summary": []})
        return events + self._close("completed", encrypted_content=sealed)

    def _show_image(self, image: ImageMade) -> bytes:
        form = image.media_type.rpartition("/")[2]
        events = self._open("image_generation_call", "ig", {"result": None})
        return events + self._close("completed", result=image.base64, output_format=form)


def _sealed(signed: ThinkingSigned) -> str | None:
    if signed.origin == NAME:
        return signed.sealed
    if signed.signature is None and signed.sealed is None:
        return None
    return wrap(Envelope(signed.origin, signed.signature, signed.sealed))


def write_whole(call: Call, whole: Whole, usage: Usage) -> bytes:
    """The body of an answer that is not streamed: what a stream of it would have ended with."""
    writer = EventWriter(call)
    for event in whole.events:
        writer.write(event)
    writer.finish(whole.ended, usage, None)
    response = writer.response(whole.ended, usage_written(usage))
    if whole.service_tier is not None:
        response["service_tier"] = whole.service_tier
    return _encode(response)
