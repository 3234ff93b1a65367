"""Reads Responses answers, streamed and whole, into the events of the neutral form.

Payloads of events enter; nothing is raised for what a server sends. What a server did not stream in
deltas is taken from the item once it is done, so that nothing is lost and nothing comes twice.
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT
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
from farebox.wire.json_object import read_as
from farebox.wire.responses.answer import (
    OutputItem,
    Response,
    item_decoder,
    output_items,
    read_response,
    response_decoder,
)
from farebox.wire.responses.envelope import unwrap
from farebox.wire.responses.read_items import NAME

_REASONS = {"length": StopReason.LENGTH, "content_filter": StopReason.CONTENT_FILTER}
_GLUE = "\n\n"
_ENDS = frozenset({"response.completed", "response.incomplete"})
_FAILURES = frozenset({"response.failed", "error"})
_DELTAS: dict[str, type[TextDelta | RefusalDelta | ThinkingDelta | ToolArguments]] = {
    "response.output_text.delta": TextDelta,
    "response.refusal.delta": RefusalDelta,
    "response.reasoning_summary_text.delta": ThinkingDelta,
    "response.reasoning_text.delta": ThinkingDelta,
    "response.function_call_arguments.delta": ToolArguments,
    "response.custom_tool_call_input.delta": ToolArguments,
}


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: str | None = None
    response: msgspec.Raw = ABSENT
    item: msgspec.Raw = ABSENT
    summary_index: int = 0


_event = msgspec.json.Decoder(_Event)


class EventReader:
    """One stream of response events."""

    __slots__ = ("_called", "_started", "_streamed", "complete", "error", "service_tier", "usage")

    def __init__(self) -> None:
        self._started = False
        self._called = False
        self._streamed = False
        """Deltas came for the item under way."""
        self.usage: msgspec.Raw | None = None
        self.service_tier: str | None = None
        self.complete = False
        self.error: bytes | None = None

    def read(self, payload: bytes, name: bytes | None) -> list[ChatEvent]:
        """The events of one server-sent event."""
        event = read_as(payload, _event)
        if not isinstance(event, _Event) or self.complete or self.error is not None:
            return []
        kind = event.type or (name or b"").decode(errors="replace")
        made = _DELTAS.get(kind)
        if made is not None:
            self._streamed = self._streamed or bool(event.delta)
            return [made(event.delta)] if event.delta else []
        return self._other(kind, payload, event)

    def _other(self, kind: str, payload: bytes, event: _Event) -> list[ChatEvent]:
        if kind in _FAILURES:
            self.error = payload
        elif kind in _ENDS:
            return self._end(event.response)
        elif kind == "response.created":
            return self._start(event.response)
        elif kind == "response.output_item.added":
            return self._begin(event.item)
        elif kind == "response.output_item.done":
            return self._finish(event.item)
        elif kind == "response.reasoning_summary_part.added" and event.summary_index:
            return [ThinkingDelta(_GLUE)]
        return []

    def _start(self, written: msgspec.Raw) -> list[ChatEvent]:
        response = read_as(written, response_decoder)
        if self._started:
            return []
        self._started = True
        return [Started(response.id if isinstance(response, Response) else "")]

    def _begin(self, written: msgspec.Raw) -> list[ChatEvent]:
        item = read_as(written, item_decoder)
        self._streamed = False
        start = tool_start(item) if isinstance(item, OutputItem) else None
        if start is None:
            return []
        self._called = True
        return [start]

    def _finish(self, written: msgspec.Raw) -> list[ChatEvent]:
        item = read_as(written, item_decoder)
        if not isinstance(item, OutputItem):
            return []
        events = [] if self._streamed else said_in(item)
        self._streamed = False
        signed = _signed(item)
        return events if signed is None else [*events, signed]

    def _end(self, written: msgspec.Raw) -> list[ChatEvent]:
        response = read_as(written, response_decoder)
        self.complete = True
        if not isinstance(response, Response):
            return [Ended(StopReason.STOP)]
        self.usage = response.metered
        self.service_tier = response.service_tier
        return [Ended(reason_of(response, called=self._called))]


def read_whole(body: bytes) -> Whole | None:
    """A whole response; None if it is an error or something else."""
    response = read_response(body)
    if response is None:
        return None
    events: list[ChatEvent] = [Started(response.id)]
    called = False
    for item in output_items(response.output):
        start, signed = tool_start(item), _signed(item)
        called = called or start is not None
        events += [] if start is None else [start]
        events += said_in(item)
        events += [] if signed is None else [signed]
    ended = Ended(reason_of(response, called=called))
    return Whole(events, ended, response.metered, response.service_tier)


def reason_of(response: Response, *, called: bool) -> StopReason:
    """Why it ended: this dialect has no word for the caller's tools being due."""
    reason = _REASONS.get(response.reason, StopReason.STOP)
    return StopReason.TOOL_CALLS if called and reason is StopReason.STOP else reason


def tool_start(item: OutputItem) -> ToolStart | None:
    """The beginning of a call of the caller's tools; None for any other item."""
    if item.type not in ("function_call", "custom_tool_call"):
        return None
    google = item.extra_content.google if item.extra_content is not None else None
    signature = google.thought_signature if google is not None else None
    identifier = item.call_id or item.id or "call_0"
    return ToolStart(identifier, item.name or "", custom=item.type == "custom_tool_call", signature=signature)


def said_in(item: OutputItem) -> list[ChatEvent]:
    """What an item holds in whole, without the start of a tool call."""
    match item.type:
        case "message":
            return _words(item)
        case "reasoning":
            thoughts = [part.text for part in item.summary or item.content or () if part.text]
            return [ThinkingDelta(_GLUE.join(thoughts))] if thoughts else []
        case "function_call" | "custom_tool_call":
            text = item.arguments if item.type == "function_call" else item.input
            return [ToolArguments(text)] if text else []
        case "image_generation_call" if item.result:
            return [ImageMade(f"image/{item.output_format or 'png'}", item.result)]
        case _:
            return []


def _words(item: OutputItem) -> list[ChatEvent]:
    events: list[ChatEvent] = []
    for part in item.content or ():
        if part.refusal:
            events.append(RefusalDelta(part.refusal))
        elif part.text:
            events.append(TextDelta(part.text))
    return events


def _signed(item: OutputItem) -> ThinkingSigned | None:
    """What the provider needs to have this reasoning back."""
    if item.type != "reasoning" or not item.encrypted_content:
        return None
    envelope = unwrap(item.encrypted_content)
    if envelope is not None:
        return ThinkingSigned(envelope.origin, envelope.signature, envelope.sealed)
    return ThinkingSigned(NAME, sealed=item.encrypted_content, id=item.id)
