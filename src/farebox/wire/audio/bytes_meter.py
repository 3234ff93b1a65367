"""Meters speech that is nothing but audio: bytes pass as they come, but for the last one, which waits for the charge.

Such an answer is complete when the provider's body ended as HTTP says it must. Nothing can be said inside of audio, so
one that fails or is cut has no tail: its client sees a body without an end.
"""

from __future__ import annotations

import msgspec

from farebox.tariff.meters import Usage
from farebox.wire.audio.spoken import Spoken
from farebox.wire.output import OutputText

_ERRORS = (b'{"error"', b'{"detail', b'{"messag')
"""How an error begins that comes with a good status."""


class BytesMeter:
    """One answer of audio."""

    __slots__ = ("_held", "_spoken", "finish_reasons", "finished", "output", "service_tier", "upstream_error", "usage")

    def __init__(self, asked: str, ms_a_token: int) -> None:
        self.output = OutputText()
        self._spoken = Spoken(asked, ms_a_token, self.output)
        self._held = b""
        self.finish_reasons: dict[int, str] = {}
        self.finished = False
        self.usage: msgspec.Raw | None = None
        """None: audio states none."""
        self.service_tier: str | None = None
        self.upstream_error: bytes | None = None

    @property
    def saw_output(self) -> bool:
        return self._spoken.size > 0

    def feed(self, data: bytes) -> bytes:
        """All that came, but its last byte, which goes with what comes next."""
        if not data or self.upstream_error is not None:
            return b""
        if not self._spoken.size and data.lstrip()[:8] in _ERRORS:
            self.upstream_error = data
            return b""
        self._spoken.feed(data)
        ready, self._held = self._held + data[:-1], data[-1:]
        return ready

    def end(self) -> bytes:
        """The body ended properly: what came is all there is. An empty one is no answer."""
        self._spoken.end()
        self.finished = self._spoken.size > 0 and self.upstream_error is None
        return b""

    def finish(self, charge: str | None, *, counted: Usage | None = None) -> bytes:
        """What was held back."""
        return self._held

    def cut_short(self, charge: str | None, *, counted: Usage | None = None, reason: str = "length") -> None:
        """There is no end to give to half an answer."""

    def error_event(self, code: str, message: str) -> None:
        """Nothing can be said in audio."""
