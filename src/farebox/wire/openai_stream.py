"""Meters an OpenAI chat stream as it passes, and holds its end back until the charge is committed.

Bytes of the upstream enter through `feed`, bytes for the client leave at once, unchanged where
nothing must change. From the event that completes the answer on (`finish_reason` on every choice)
everything waits: `finish` releases it, with the charge in the usage event (Law 3). Error events
are not output and are never passed on as they came (d22, d50); repeated or cumulative usage is
read as a last word, not added up (d24); any cut of the stream gives the same result (d39).
"""

from __future__ import annotations

import msgspec

from farebox.tariff.meters import Usage
from farebox.wire import openai_errors
from farebox.wire.call import ABSENT
from farebox.wire.openai_chat_speech.usage import usage_written
from farebox.wire.openai_chunks import (
    DONE,
    DONE_EVENT,
    Chunk,
    finish_chunk,
    is_error,
    read_chunk,
    renamed,
    usage_chunk,
    usage_in,
    without_usage,
)
from farebox.wire.passing import PassingMeter
from farebox.wire.payloads import on_a_line, usage_shown


class StreamMeter(PassingMeter):
    """One stream of chat chunks. `model` is the name asked for, `choices` the `n` asked for."""

    __slots__ = (
        "_choices", "_first", "_model", "_new_name", "_old_name", "_seen", "_upstream_model", "_wants_usage", "done",
    )  # fmt: skip

    def __init__(self, *, model: str, choices: int = 1, wants_usage: bool = False) -> None:
        super().__init__()
        self._model = model
        self._choices = choices
        self._wants_usage = wants_usage
        self._upstream_model = model
        self._old_name = self._new_name = b""
        self._first = b""
        self._seen: set[int] = set()
        self.done = False
        """`[DONE]` was seen, which alone completes nothing."""

    def _pass(self, event: bytes, payload: bytes | None, name: bytes | None) -> bytes:
        """In place of `look`, and a call less for each chunk: payloads are withheld, and written when the end is."""
        if self.upstream_error is not None:
            return b""
        if payload is None:
            return event if event.startswith(b":") else b""  # a comment; anything else is no event of this dialect
        chunk = read_chunk(payload)
        if chunk is None or not chunk.choices or chunk.error is not ABSENT or name is not None:
            chunk = self._set_aside(payload, chunk, name)
            if chunk is None:
                return b""
        usage = self._meter(chunk, payload)
        if self.finished:
            return self._hold(payload)
        if usage is not None and not self._wants_usage:
            return _event(renamed(without_usage(payload), self._model))
        if chunk.model is not None and chunk.model != self._model:
            return self._rename(event, payload, chunk.model)
        return event

    def _set_aside(self, payload: bytes, chunk: Chunk | None, event_name: bytes | None) -> Chunk | None:
        """Take what the client must not see now: the end mark, errors, usage alone, what is no JSON."""
        if payload.strip() == DONE:
            self.done = True
            self.finished = self.finished or self._all_seen_ended()
        elif is_error(payload, chunk, event_name):
            self.upstream_error = None if self.finished else payload  # what is complete stays complete
        elif chunk is not None:
            if chunk.choices or chunk.usage is None:
                return chunk
            self._meter(chunk, payload)
        return None

    def _all_seen_ended(self) -> bool:
        """For servers that ignore `n`: every choice that ever appeared has its finish reason."""
        return bool(self.finish_reasons) and self._seen <= self.finish_reasons.keys()

    def _meter(self, chunk: Chunk, payload: bytes) -> msgspec.Raw | None:
        """Count a chunk and note its usage, which is returned if it states any."""
        stated = chunk.usage
        for choice in chunk.choices or ():
            if choice.delta is not None:
                self.output.add_delta(choice.delta)
            if choice.finish_reason:
                self.finish_reasons[choice.index] = choice.finish_reason
                self.finished = len(self.finish_reasons) >= self._choices
            if self._choices > 1:
                self._seen.add(choice.index)
            stated = stated or choice.usage
        if not self._first:
            self._first = payload
        if chunk.service_tier is not None:
            self.service_tier = chunk.service_tier
        if stated is None:
            return None
        self.usage = usage_in(chunk, payload)
        return self.usage

    def _rename(self, event: bytes, payload: bytes, upstream_model: str) -> bytes:
        """The event with the name asked for. An upstream's name rarely changes within a stream."""
        if upstream_model != self._upstream_model:
            self._upstream_model = upstream_model
            self._old_name = b'"model":' + msgspec.json.encode(upstream_model)
            self._new_name = b'"model":' + msgspec.json.encode(self._model)
        if event.count(self._old_name) == 1:
            return event.replace(self._old_name, self._new_name)
        return _event(renamed(payload, self._model))

    def finish(self, charge: str | None, *, counted: Usage | None = None) -> bytes:
        """The end of a complete answer, to be sent after the commit: withheld events, usage, `[DONE]`.

        `charge` is in credits as a decimal string; `counted` replaces usage that was not believed. Both
        appear only if the client asked for usage.
        """
        tail = [_event(renamed(without_usage(payload), self._model)) for payload in self.held]
        self.held.clear()
        return b"".join(tail) + self._usage_event(charge, counted) + DONE_EVENT

    def cut_short(self, charge: str | None, *, counted: Usage | None = None, reason: str = "length") -> bytes:
        """A well-formed end for an answer we cut: every open choice gets `reason`."""
        if self.finished:
            return self.finish(charge, counted=counted)
        indexes = [index for index in range(self._choices) if index not in self.finish_reasons]
        return _event(self._finishing(indexes, reason)) + self._usage_event(charge, counted) + DONE_EVENT

    def _finishing(self, indexes: list[int], reason: str) -> bytes:
        return finish_chunk(self._first, model=self._model, indexes=indexes, reason=reason)

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle of a stream. No `[DONE]` follows it."""
        return _event(openai_errors.render("upstream_error", code, message))

    def _usage_event(self, charge: str | None, counted: Usage | None) -> bytes:
        if not self._wants_usage:
            return b""
        shown = usage_shown(self.usage, counted, charge, written=usage_written)
        return _event(usage_chunk(self._first, model=self._model, usage=shown))

    def _hold(self, payload: bytes) -> bytes:
        if "error" in self.finish_reasons.values():
            self.upstream_error, self.finished = payload, False
            return b""
        return self._withhold(payload)


def _event(payload: bytes) -> bytes:
    return b"data: " + on_a_line(payload) + b"\n\n"
