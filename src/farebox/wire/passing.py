"""Meters a stream that is passed on as it came, and holds back its end: what such meters share.

A dialect's own meter looks at each event and says what of it the client gets. From the event that
ends the answer on, everything waits for `finish`, which is called when the charge is committed (Law 3).
"""

from __future__ import annotations

import msgspec

from farebox.faults import Fault
from farebox.wire.output import OutputText
from farebox.wire.sse import SseSplitter

MAX_WITHHELD_BYTES = 16 * 1024 * 1024


class EndlessEnding(Fault):
    """An upstream went on for more than `MAX_WITHHELD_BYTES` after its answer had ended."""


class PassingMeter:
    """One stream of events of one dialect. A subclass gives `look`, `finish`, `cut_short` and `error_event`."""

    __slots__ = (
        "_held_bytes", "_sse", "finish_reasons", "finished", "held", "holding", "output", "service_tier",
        "upstream_error", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self._sse = SseSplitter()
        self._held_bytes = 0
        self.held: list[bytes] = []
        """Events withheld, as the client will get them."""
        self.holding = False
        """The answer is ending: nothing goes to the client before its charge is committed."""
        self.output = OutputText()
        self.usage: msgspec.Raw | None = None
        """The last word on usage, as one object of the dialect's convention."""
        self.service_tier: str | None = None
        self.finish_reasons: dict[int, str] = {}
        """By choice, under OpenAI's names."""
        self.finished = False
        """The dialect's own terminal event was seen: the answer is complete."""
        self.upstream_error: bytes | None = None
        """The payload of an error event. Nothing is forwarded after it."""

    @property
    def saw_output(self) -> bool:
        return self.output.seen

    def look(self, event: bytes, payload: bytes, name: bytes | None) -> bytes:
        """Note what an event says; what the client gets of it: `event` as it came, or other bytes, or none."""
        raise NotImplementedError

    def feed(self, data: bytes) -> bytes:
        """Bytes that may go to the client now. Raises a `Fault` if the stream breaks its bounds."""
        payload = self._sse.whole(data)
        if payload is not None:
            return self._pass(data, payload, None)
        named = self._sse.whole_named(data)
        if named is not None:
            return self._pass(data, named[1], named[0])
        passed = [self._pass(event.raw, event.payload, event.name) for event in self._sse.feed(data)]
        return passed[0] if len(passed) == 1 else b"".join(passed)

    def end(self) -> bytes:
        """The upstream closed: take what came without its last blank line."""
        return b"".join([self._pass(event.raw, event.payload, event.name) for event in self._sse.end()])

    def _pass(self, event: bytes, payload: bytes | None, name: bytes | None) -> bytes:
        if self.upstream_error is not None:
            return b""
        if payload is None:
            return event if event.startswith(b":") and not self.holding else b""
        shown = self.look(event, payload, name)
        if not self.holding:
            return shown
        return self._withhold(shown)

    def _withhold(self, shown: bytes) -> bytes:
        self._held_bytes += len(shown)
        if self._held_bytes > MAX_WITHHELD_BYTES:
            raise EndlessEnding("the upstream does not stop after its last event")
        self.held.append(shown)
        return b""
