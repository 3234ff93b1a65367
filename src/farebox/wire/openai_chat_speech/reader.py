"""Reads chat completion answers, streamed and whole, into the events of the neutral form.

Payloads of events enter; nothing is raised for what a server sends. Only choice 0 is read: a call
for more is not translated. Usage is kept as written, wherever it stood (d24).
"""

from __future__ import annotations

import msgspec

from farebox.wire import openai_chunks
from farebox.wire.call import ABSENT, is_present
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    ImageMade,
    RefusalDelta,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
)
from farebox.wire.chat.speech import Whole
from farebox.wire.openai_chat_speech.calls import ToolCalls
from farebox.wire.openai_chat_speech.chunks import Chunk, Delta, ImagePiece, Piece, ToolPiece, read_chunk
from farebox.wire.openai_chat_speech.parts import source_from
from farebox.wire.openai_chunks import DONE

_REASONS = {
    "length": StopReason.LENGTH,
    "max_tokens": StopReason.LENGTH,
    "tool_calls": StopReason.TOOL_CALLS,
    "function_call": StopReason.TOOL_CALLS,
    "content_filter": StopReason.CONTENT_FILTER,
}
"""Everything else is `stop`: servers have many words for it."""


class ChunkReader:
    """One stream of chunks."""

    __slots__ = ("_calls", "_id", "complete", "error", "service_tier", "usage")

    def __init__(self) -> None:
        self._id: str | None = None
        self._calls = ToolCalls()
        self.usage: msgspec.Raw | None = None
        self.service_tier: str | None = None
        self.complete = False
        self.error: bytes | None = None

    def read(self, payload: bytes, name: bytes | None) -> list[ChatEvent]:
        """The events of one chunk."""
        chunk = read_chunk(payload)
        if chunk is None or not chunk.choices or chunk.error is not ABSENT or name is not None:
            chunk = self._odd(payload, chunk, name)
            if chunk is None:
                return []
        events: list[ChatEvent] = []
        if self._id is None:
            self._id = chunk.id or ""
            events.append(Started(self._id))
        if chunk.service_tier is not None:
            self.service_tier = chunk.service_tier
        stated = chunk.usage
        for choice in chunk.choices or ():
            stated = stated or choice.usage
            if choice.index != 0 or self.complete:
                continue
            if choice.delta is not None:
                self._read_delta(choice.delta, events)
            if choice.finish_reason:
                self._end(choice.finish_reason, payload, events)
        if stated is not None:
            self.usage = usage_in(payload) or self.usage
        return events

    def _odd(self, payload: bytes, chunk: Chunk | None, name: bytes | None) -> Chunk | None:
        """What is left of an event that is no plain chunk: none of the end mark, of an error, of no JSON."""
        if chunk is None and payload.strip() == DONE:
            return None
        if openai_chunks.is_error(payload, openai_chunks.read_chunk(payload), name):
            self.error = None if self.complete else payload
            return None
        return chunk

    def _read_delta(self, delta: Delta, events: list[ChatEvent]) -> None:
        for event in said_in(delta):
            events += self._calls.beside(event)
        for piece in called_in(delta):
            events += self._calls.add(piece, self._id or "")

    def _end(self, reason: str, payload: bytes, events: list[ChatEvent]) -> None:
        if reason == "error":
            self.error = payload
            return
        events += self._calls.end(self._id or "")
        events.append(Ended(reason_of(reason, has_calls=self._calls.any)))
        self.complete = True


def read_whole(body: bytes) -> Whole | None:
    """A chat completion; None if it is an error or something else."""
    read = read_chunk(body)
    if read is None or not read.choices or is_present(read.error):
        return None
    choice = read.choices[0]
    message, calls, identifier = choice.message or Delta(), ToolCalls(), read.id or ""
    events: list[ChatEvent] = [Started(identifier), *said_in(message)]
    for piece in called_in(message):
        events += calls.add(piece, identifier)
    events += calls.end(identifier)
    ended = Ended(reason_of(choice.finish_reason or "stop", has_calls=calls.any))
    return Whole(events, ended, usage_in(body), read.service_tier)


def said_in(delta: Delta) -> list[ChatEvent]:
    """Everything but tool calls: reasoning before text, as it was thought before it was said."""
    events: list[ChatEvent] = []
    thought = delta.reasoning_content or delta.reasoning
    if thought:
        events.append(ThinkingDelta(thought))
    if isinstance(delta.content, str):
        if delta.content:
            events.append(TextDelta(delta.content))
    elif delta.content:
        events += _said_in_parts(delta.content)
    if delta.refusal:
        events.append(RefusalDelta(delta.refusal))
    if delta.images:
        events += _images(delta.images)
    return events


def called_in(delta: Delta) -> list[ToolPiece]:
    """The pieces of tool calls; the deprecated single call is one."""
    if delta.function_call is not None:
        return [ToolPiece(index=0, function=delta.function_call)]
    return delta.tool_calls or []


def reason_of(written: str, *, has_calls: bool) -> StopReason:
    """Why it ended. Servers say `stop` of calls they were told to make."""
    reason = _REASONS.get(written, StopReason.STOP)
    return StopReason.TOOL_CALLS if has_calls and reason is StopReason.STOP else reason


def usage_in(payload: bytes) -> msgspec.Raw | None:
    """The usage of a chunk or an answer, as written, wherever it stands."""
    chunk = openai_chunks.read_chunk(payload)
    return None if chunk is None else openai_chunks.usage_in(chunk, payload)


def _said_in_parts(pieces: list[Piece]) -> list[ChatEvent]:
    events: list[ChatEvent] = []
    for piece in pieces:
        if isinstance(piece.thinking, str):
            events.append(ThinkingDelta(piece.thinking))
        elif piece.thinking:
            events += [ThinkingDelta(inner.text) for inner in piece.thinking if inner.text]
        elif piece.text:
            events.append(TextDelta(piece.text))
    return events


def _images(pieces: list[ImagePiece]) -> list[ChatEvent]:
    found = [source_from(piece.image_url.url) for piece in pieces if piece.image_url is not None]
    return [ImageMade(source.media_type or "image/png", source.base64 or "") for source in found if source.base64]
