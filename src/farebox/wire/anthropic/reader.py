"""Reads Messages answers, streamed and whole, into the events of the neutral form.

Payloads of events enter; nothing is raised for what a server sends. What the provider's own tools
did, and citations, have no word there and are skipped. Usage is kept as written, the last word on
each figure counting (d24).
"""

from __future__ import annotations

import msgspec

from farebox.wire.anthropic.events import STOP_REASONS, Block, StreamEvent, read_event, read_message, tier_in, usage_in
from farebox.wire.anthropic.read_blocks import ORIGIN
from farebox.wire.anthropic.usage import merged
from farebox.wire.call import is_present
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSigned,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.speech import Whole

_REASONS = {name: StopReason(reason) for name, reason in STOP_REASONS.items()}
_REASONS["refusal"] = StopReason.CONTENT_FILTER  # a classifier stopped the model: that is what others call it
_NO_ARGUMENTS = (b"", b"{}", b"null")


class EventReader:
    """One stream of events."""

    __slots__ = ("_arguments", "_block", "_id", "_signature", "complete", "error", "service_tier", "usage")

    def __init__(self) -> None:
        self._block: Block | None = None
        """The block under way, as it began."""
        self._id = ""
        self._arguments = False
        """Arguments of the call under way have come."""
        self._signature = ""
        self.usage: msgspec.Raw | None = None
        self.service_tier: str | None = None
        self.complete = False
        self.error: bytes | None = None

    def read(self, payload: bytes, name: bytes | None) -> list[ChatEvent]:
        """The events of one server-sent event."""
        read = read_event(payload)
        if name == b"error" or (read is not None and read.type == "error"):
            self.error = None if self.complete else payload
            return []
        if read is None or self.complete:
            return []
        if read.type == "content_block_delta":
            return self._delta(read)
        return self._frame(payload, read)

    def _delta(self, read: StreamEvent) -> list[ChatEvent]:
        delta = read.delta
        if delta is None:
            return []
        if delta.text:
            return [TextDelta(delta.text)]
        if delta.thinking:
            return [ThinkingDelta(delta.thinking)]
        if delta.signature:
            self._signature += delta.signature
        elif delta.partial_json and self._block is not None and self._block.type == "tool_use":
            self._arguments = True
            return [ToolArguments(delta.partial_json)]
        return []

    def _frame(self, payload: bytes, read: StreamEvent) -> list[ChatEvent]:
        match read.type:
            case "message_start":
                return self._start(read)
            case "content_block_start" if read.content_block is not None:
                return self._open(read.content_block)
            case "content_block_stop":
                return self._close()
            case "message_delta":
                return self._end(payload, read)
            case "message_stop":
                self.complete = True
                return []
            case _:
                return []

    def _start(self, read: StreamEvent) -> list[ChatEvent]:
        message = read.message
        if message is None:
            return []
        if is_present(message.usage):
            self._note_usage(message.usage)
        self._id = message.id or ""
        return [Started(self._id)]

    def _open(self, block: Block) -> list[ChatEvent]:
        self._block, self._arguments, self._signature = block, False, block.signature or ""
        return opened(block, self._id)

    def _close(self) -> list[ChatEvent]:
        block, self._block = self._block, None
        if block is None:
            return []
        if block.type == "thinking" and self._signature:
            return [ThinkingSigned(ORIGIN, signature=self._signature)]
        if block.type == "tool_use" and not self._arguments:
            return [ToolArguments(arguments_of(block))]
        return []

    def _end(self, payload: bytes, read: StreamEvent) -> list[ChatEvent]:
        if read.usage is not None:
            self._note_usage(usage_in(payload))
        delta = read.delta
        if delta is None or not delta.stop_reason:
            return []
        return [*self._close(), ended_by(delta.stop_reason, delta.stop_sequence)]

    def _note_usage(self, stated: msgspec.Raw) -> None:
        self.usage = merged(self.usage, stated)
        self.service_tier = tier_in(self.usage) or self.service_tier


def read_whole(body: bytes) -> Whole | None:
    """A buffered answer; None if it is an error or something else."""
    read = read_message(body)
    if read is None:
        return None
    identifier = read.id or ""
    events: list[ChatEvent] = [Started(identifier)]
    for block in read.content or ():
        events += opened(block, identifier)
        if block.type == "thinking" and block.signature:
            events.append(ThinkingSigned(ORIGIN, signature=block.signature))
        elif block.type == "tool_use":
            events.append(ToolArguments(arguments_of(block)))
    usage = read.usage if is_present(read.usage) else None
    ended = ended_by(read.stop_reason or "end_turn", read.stop_sequence)
    return Whole(events, ended, usage, None if usage is None else tier_in(usage))


def opened(block: Block, identifier: str) -> list[ChatEvent]:
    """What the start of a block says, or all of a whole one but its signature and arguments."""
    match block.type:
        case "text" if block.text:
            return [TextDelta(block.text)]
        case "thinking" if block.thinking:
            return [ThinkingDelta(block.thinking)]
        case "redacted_thinking" if block.data:
            return [ThinkingSigned(ORIGIN, sealed=block.data)]
        case "tool_use":
            return [ToolStart(block.id or f"toolu_{identifier}_{block.name or ''}", block.name or "")]
        case _:
            return []


def arguments_of(block: Block) -> str:
    """The arguments a call of a tool was stated with."""
    written = bytes(block.input).strip()
    return "{}" if written in _NO_ARGUMENTS else written.decode(errors="replace")


def ended_by(reason: str, sequence: str | None) -> Ended:
    """How it ended; a reason not known here is an ordinary end."""
    return Ended(_REASONS.get(reason, StopReason.STOP), sequence)
