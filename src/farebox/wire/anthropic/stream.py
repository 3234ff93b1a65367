"""Meters a Messages stream as it passes, and holds its end back until the charge is committed.

Events pass on as they came, but for the name of the model in `message_start`. From the
`message_delta` that says why the answer ends on everything waits: `finish` releases it, with the
charge in its usage (Law 3). Complete is `message_stop`. Usage is stated at the start and, cumulative,
at the end, and the last word on each figure counts (d24). Error events are not output and are never
passed on as they came (d22, d50); any cut of the stream gives the same result (d39).
"""

from __future__ import annotations

from farebox.tariff.meters import Usage
from farebox.wire.anthropic import errors
from farebox.wire.anthropic.events import (
    MESSAGE_STOP,
    OUR_REASONS,
    STOP_REASONS,
    Block,
    StreamEvent,
    ending,
    event,
    is_search,
    message_of,
    read_event,
    started_as,
    tier_in,
    usage_counted,
    usage_in,
    written,
)
from farebox.wire.anthropic.usage import merged
from farebox.wire.call import Call, is_present
from farebox.wire.passing import PassingMeter
from farebox.wire.payloads import usage_shown


class StreamMeter(PassingMeter):
    """One stream of a Messages answer."""

    __slots__ = ("_ending", "_ending_at", "_message_started", "_model", "_open")

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._model = call.model
        self._message_started = False
        self._open: int | None = None
        """The block under way."""
        self._ending: bytes | None = None
        """The last payload that says how the answer ends, and where it stands among the events withheld."""
        self._ending_at = 0

    def look(self, event: bytes, payload: bytes, name: bytes | None) -> bytes:
        """See `PassingMeter`."""
        read = read_event(payload)
        if read is None:
            self.upstream_error = payload if name == b"error" and not self.finished else None
            return b""
        kind = read.type
        if kind == "content_block_delta":
            self._count(read)
            return event
        if kind == "error" or name == b"error":
            self.upstream_error = None if self.finished else payload  # what is complete stays complete
            return b""
        return self._look_at_frame(event, payload, read)

    def _count(self, read: StreamEvent) -> None:
        delta, output = read.delta, self.output
        if delta is None:
            return
        if delta.text:
            output.add(delta.text)
        elif delta.partial_json:
            output.add(delta.partial_json)
        elif delta.thinking:
            output.add_reasoning(delta.thinking)

    def _look_at_frame(self, event: bytes, payload: bytes, read: StreamEvent) -> bytes:
        match read.type:
            case "message_start" if read.message is not None:
                return self._start(event, payload, read)
            case "content_block_start":
                self._open = read.index
                if read.content_block is not None:
                    self._count_start(read.content_block)
            case "content_block_stop":
                self._open = None
            case "message_delta":
                self._note_ending(payload, read)
            case "message_stop":
                self.finished = self.holding = True
            case _:
                pass
        return event

    def _start(self, event: bytes, payload: bytes, read: StreamEvent) -> bytes:
        message = read.message
        self._message_started = True
        if message is None:
            return event
        if is_present(message.usage):
            self.usage = merged(self.usage, message.usage)
            self.service_tier = tier_in(self.usage)
        return event if message.model == self._model else started_as(payload, self._model)

    def _count_start(self, block: Block) -> None:
        if block.text:
            self.output.add(block.text)
        if block.name:
            self.output.add(block.name)
        if block.data:
            self.output.add_sealed(len(block.data))
        if is_search(block):
            self.output.searches += 1

    def _note_ending(self, payload: bytes, read: StreamEvent) -> None:
        if read.usage is not None:
            self.usage = merged(self.usage, usage_in(payload))
            self.service_tier = tier_in(self.usage) or self.service_tier
        if read.delta is not None and read.delta.stop_reason:
            self.finish_reasons[0] = STOP_REASONS.get(read.delta.stop_reason, read.delta.stop_reason)
            self.holding = True
            self._ending, self._ending_at = payload, len(self.held)

    def finish(self, charge: str | None, *, counted: Usage | None = None) -> bytes:
        """The end of a complete answer, to be sent after the commit: withheld events, the charge in their usage.

        `charge` is in credits as a decimal string; `counted` replaces usage that was not believed.
        """
        shown = usage_shown(self.usage, counted, charge, written=usage_counted)
        if self._ending is None:
            self.held.insert(0, _end_of("end_turn", shown))
        else:
            self.held[self._ending_at] = ending(self._ending, shown)
        tail = b"".join(self.held)
        self.held.clear()
        return tail

    def cut_short(self, charge: str | None, *, counted: Usage | None = None, reason: str = "length") -> bytes:
        """A well-formed end for an answer we cut: the block under way is closed, the message ends by `reason`."""
        if self.finished:
            return self.finish(charge, counted=counted)
        if self._ending is not None:
            return self.finish(charge, counted=counted) + MESSAGE_STOP
        shown = usage_shown(self.usage, counted, charge, written=usage_counted)
        started = b"" if self._message_started else written("message_start", message=message_of("", self._model))
        closed = b"" if self._open is None else written("content_block_stop", index=self._open)
        return started + closed + _end_of(OUR_REASONS.get(reason, "end_turn"), shown) + MESSAGE_STOP

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle of a stream. Nothing follows it."""
        return event("error", errors.render("upstream_error", code, message))


def _end_of(reason: str, usage: dict[str, object]) -> bytes:
    return written("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)
