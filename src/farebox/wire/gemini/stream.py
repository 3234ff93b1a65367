"""Meters a Gemini stream as it passes, and holds its end back until the charge is committed.

Chunks go on as they came but for the name of the model. An answer is complete when every candidate has its finish
reason, or when the provider declined to answer the prompt; there is no end mark. From the chunk on that leaves no
candidate open everything waits for `finish` (Law 3). Usage is cumulative and stands in every chunk: the last word
counts (d24), and carries the charge as `cost`.
"""

from __future__ import annotations

import msgspec

from farebox.tariff.meters import Meter, Usage
from farebox.wire.call import ABSENT, Call, is_present
from farebox.wire.gemini import errors
from farebox.wire.gemini.chunks import (
    FILTERED,
    Candidate,
    Chunk,
    count_output,
    ending_chunk,
    finish_reason,
    queries_in,
    read_chunk,
    tier_in,
    usage_in,
    usage_shown,
)
from farebox.wire.passing import PassingMeter
from farebox.wire.payloads import changed, on_a_line, with_name

_REASONS = {"length": "MAX_TOKENS", "stop": "STOP"}
_PREFIX, _END = b"data: ", b"\n\n"


class GeminiMeter(PassingMeter):
    """One stream of chunks, for a caller of this dialect."""

    __slots__ = (
        "_choices", "_first", "_model", "_new_name", "_old_name", "_queries", "_searches", "_seen", "_upstream_model",
    )  # fmt: skip

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._model = call.model
        self._choices = call.choices
        self._searches = call.at_most.get(Meter.SEARCHES)
        self._queries: set[str] = set()
        self._first = b""
        self._seen: set[int] = set()
        self._upstream_model = call.model
        self._old_name = self._new_name = b""

    def look(self, event: bytes, payload: bytes, name: bytes | None) -> bytes:
        chunk = read_chunk(payload)
        if chunk is None:
            return b""
        if chunk.error is not ABSENT and is_present(chunk.error):
            self.upstream_error = None if self.finished else payload  # what is complete stays complete
            return b""
        if not self._first:
            self._first = payload
        was_holding = self.holding
        self._meter(chunk, payload)
        if chunk.model_version is not None and chunk.model_version != self._model:
            event = self._rename(event, payload, chunk.model_version)
        if was_holding and not self.holding:  # a candidate began after all others had ended
            event = b"".join([*self.held, event])
            self.held.clear()
        return event

    def end(self) -> bytes:
        """The upstream closed: for servers that ignore `candidateCount`, what appeared is all there is."""
        rest = super().end()
        self.finished = self.finished or self.holding
        return rest

    def _meter(self, chunk: Chunk, payload: bytes) -> None:
        reasons = self.finish_reasons
        for candidate in chunk.candidates or ():
            content = candidate.content
            if content is not None and content.parts:
                count_output(content.parts, self.output)
            self._seen.add(candidate.index)
            if candidate.finish_reason is not None:
                self._note_end(candidate)
            if candidate.grounding_metadata is not None and self._searches is not None:
                self._queries |= queries_in(payload)
        if chunk.prompt_feedback is not None and chunk.is_blocked:
            reasons.setdefault(0, FILTERED)
            self.finished = True
        if reasons:
            self.holding = self._seen <= reasons.keys()
            self.finished = self.finished or len(reasons) >= self._choices
        if chunk.usage_metadata is not None and reasons:
            self._take_usage(payload)

    def _note_end(self, candidate: Candidate) -> None:
        reason = finish_reason(candidate)
        if reason is not None:
            self.finish_reasons[candidate.index] = reason

    def _take_usage(self, payload: bytes) -> None:
        searches = None if self._searches is None else min(len(self._queries), self._searches)
        self.usage = usage_in(payload, searches=searches)
        self.service_tier = tier_in(self.usage)

    def _rename(self, event: bytes, payload: bytes, upstream_model: str) -> bytes:
        """The event with the name asked for. An upstream's name, and its way to write it, change rarely."""
        if upstream_model != self._upstream_model or event.count(self._old_name) != 1:
            self._upstream_model = upstream_model
            self._old_name, self._new_name = self._spelled(event, upstream_model)
            if not self._old_name:
                return _event(with_name(payload, upstream_model, self._model, field="modelVersion"))
        return event.replace(self._old_name, self._new_name)

    def _spelled(self, event: bytes, upstream_model: str) -> tuple[bytes, bytes]:
        """The name as it stands in the event, once, and what is shown in its place; empty if it does not."""
        old, new = msgspec.json.encode(upstream_model), msgspec.json.encode(self._model)
        for start in (b'"modelVersion":', b'"modelVersion": '):
            if event.count(start + old) == 1:
                return start + old, start + new
        return b"", b""

    def finish(self, charge: str | None, *, counted: Usage | None = None) -> bytes:
        """The end of a complete answer, to be sent after the commit: the chunks withheld, the last with the charge.

        `charge` is in credits as a decimal string; `counted` replaces usage that was not believed.
        """
        held = self.held or [_event(self._ending(()))]
        self.held = []
        shown = usage_shown(self.usage, counted, charge)
        last = max([at for at, event in enumerate(held) if b'"usageMetadata"' in event], default=len(held) - 1)
        held[last] = _event(changed(_payload(held[last]), {"usageMetadata": shown}))
        return b"".join(held)

    def cut_short(self, charge: str | None, *, counted: Usage | None = None, reason: str = "length") -> bytes:
        """A well-formed end for an answer we cut: every open candidate ends with `MAX_TOKENS`."""
        if self.finished:
            return self.finish(charge, counted=counted)
        opened = [index for index in range(self._choices) if index not in self.finish_reasons]
        self.held.append(_event(self._ending(opened, _REASONS.get(reason, "OTHER"))))
        return self.finish(charge, counted=counted)

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle of a stream."""
        return _event(errors.render("upstream_error", code, message))

    def _ending(self, indexes: list[int] | tuple[()], reason: str = "STOP") -> bytes:
        return ending_chunk(self._first, model=self._model, indexes=indexes, reason=reason)


def _event(payload: bytes) -> bytes:
    return _PREFIX + on_a_line(payload) + _END


def _payload(event: bytes) -> bytes:
    """The JSON of an event as it came; a payload on several lines is joined again."""
    lines = event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"\n".join([line.removeprefix(b"data:") for line in lines if line.startswith(b"data:")])
