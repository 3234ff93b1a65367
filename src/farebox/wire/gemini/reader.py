"""Reads Gemini's answers, streamed and whole, into the events of the neutral form.

Payloads of events enter; nothing is raised for what a server sends. Only candidate 0 is read: a call for more is not
translated. Calls come whole, in one part each. Usage is the last word once the answer has ended (d24).
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT, is_present
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    ImageMade,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSigned,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.speech import Whole
from farebox.wire.gemini.chunks import FILTERED, Candidate, Chunk, Part, finish_reason, read_chunk, tier_in, usage_in
from farebox.wire.gemini.signatures import ORIGIN


class ChunkReader:
    """One stream of chunks."""

    __slots__ = ("_calls", "_id", "complete", "error", "service_tier", "usage")

    def __init__(self) -> None:
        self._id: str | None = None
        self._calls = 0
        self.usage: msgspec.Raw | None = None
        self.service_tier: str | None = None
        self.complete = False
        self.error: bytes | None = None

    def read(self, payload: bytes, name: bytes | None) -> list[ChatEvent]:
        """The events of one chunk."""
        chunk = read_chunk(payload)
        if chunk is None:
            return []
        if chunk.error is not ABSENT and is_present(chunk.error):
            self.error = None if self.complete else payload
            return []
        events: list[ChatEvent] = []
        if self._id is None:
            self._id = chunk.response_id or ""
            events.append(Started(self._id))
        for candidate in chunk.candidates or ():
            if candidate.index == 0 and not self.complete:
                self._take(candidate, events)
        if chunk.prompt_feedback is not None and chunk.is_blocked and not self.complete:
            self._end(FILTERED, events)
        if self.complete and chunk.usage_metadata is not None:
            self.usage = usage_in(payload)
            self.service_tier = tier_in(self.usage)
        return events

    def _take(self, candidate: Candidate, events: list[ChatEvent]) -> None:
        for part in candidate.parts:
            if part.text and part.thought_signature is None and part.function_call is None:
                events.append(ThinkingDelta(part.text) if part.thought else TextDelta(part.text))
            else:
                self._part(part, events)
        reason = None if candidate.finish_reason is None else finish_reason(candidate)
        if reason is not None:
            self._end(reason, events)

    def _part(self, part: Part, events: list[ChatEvent]) -> None:
        """Anything but plain text."""
        if part.text:
            events.append(ThinkingDelta(part.text) if part.thought else TextDelta(part.text))
        if part.thought and part.thought_signature:
            events.append(ThinkingSigned(ORIGIN, part.thought_signature))
        if part.function_call is not None:
            self._call(part, events)
        if part.inline_data is not None and part.inline_data.mime_type.startswith("image/"):
            events.append(ImageMade(part.inline_data.mime_type, part.inline_data.data))

    def _call(self, part: Part, events: list[ChatEvent]) -> None:
        called = part.function_call
        if called is None:
            return
        identifier = called.id or f"call_{_plain(self._id or '')}{self._calls}"
        self._calls += 1
        events.append(ToolStart(identifier, called.name, signature=part.thought_signature))
        arguments = bytes(called.args).decode(errors="replace") if is_present(called.args) else "{}"
        events.append(ToolArguments(arguments))

    def _end(self, reason: str, events: list[ChatEvent]) -> None:
        has_calls = self._calls and reason == StopReason.STOP.value
        events.append(Ended(StopReason.TOOL_CALLS if has_calls else StopReason(reason)))
        self.complete = True


def read_whole(body: bytes) -> Whole | None:
    """An answer; None if it is an error or something else. A declined prompt is an answer without words."""
    read = read_chunk(body)
    if read is None or is_present(read.error) or not (read.candidates or read.is_blocked):
        return None
    reader = ChunkReader()
    events = reader.read(body, None)
    ended = [event for event in events if isinstance(event, Ended)]
    rest: list[ChatEvent] = [event for event in events if not isinstance(event, Ended)]
    usage = _usage(body, read)
    return Whole(rest, ended[0] if ended else Ended(StopReason.STOP), usage, tier_in(usage))


def _usage(body: bytes, read: Chunk) -> msgspec.Raw | None:
    return None if read.usage_metadata is None else usage_in(body)


def _plain(stream_id: str) -> str:
    """Letters and digits of the stream's id, so that made-up ids differ from answer to answer."""
    letters = "".join([letter for letter in stream_id if letter.isalnum() and letter.isascii()])
    return f"{letters[-32:]}_" if letters else ""
