"""Counts speech as it passes: its length by its frames, and the tokens that length stands for.

Audio in pieces enters; what leaves stands in an `OutputText`: milliseconds, and tokens that are counted like text that
was never kept. Audio of a format nobody here can read counts as if it had 128 kbit/s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from farebox.wire.audio.flac import FlacCount
from farebox.wire.audio.length import count_for
from farebox.wire.audio.ogg import OggCount
from farebox.wire.audio.samples import AdtsCount, Mp3Count, PcmCount, SampleCount
from farebox.wire.audio.wav import WavCount
from farebox.wire.output import OutputText

_UNREADABLE_BYTES_A_MS = 16
_OPENING_BYTES = 12
_COUNTERS: Mapping[str, Callable[[], SampleCount]] = {
    "mp3": Mp3Count,
    "opus": OggCount,
    "aac": AdtsCount,
    "flac": FlacCount,
    "wav": WavCount,
    "pcm": PcmCount,
}


class Spoken:
    """The audio of one answer."""

    __slots__ = ("_asked", "_count", "_ms_a_token", "_opening", "_output", "_tokens", "size")

    def __init__(self, asked: str, ms_a_token: int, output: OutputText) -> None:
        self._asked = asked
        self._ms_a_token = ms_a_token
        self._output = output
        self._count: SampleCount | None = None
        self._opening = b""
        self._tokens = 0
        self.size = 0
        """Bytes so far."""

    def feed(self, piece: bytes) -> None:
        """The next piece."""
        self.size += len(piece)
        if self._count is None:
            self._opening += piece
            if len(self._opening) < _OPENING_BYTES:
                return
            piece, self._opening = self._opening, b""
            self._count = (None if self._asked == "pcm" else count_for(memoryview(piece))) or _COUNTERS[self._asked]()
        self._count.feed(piece)
        self._tell()

    def end(self) -> None:
        """The audio is over."""
        if self._count is not None:
            self._count.end()
        self._tell()

    @property
    def ms(self) -> int:
        """Its length so far in milliseconds."""
        counted = 0 if self._count is None or self._count.given_up else self._count.ms
        return counted or -(-self.size // _UNREADABLE_BYTES_A_MS)

    def _tell(self) -> None:
        output, tokens = self._output, -(-self.ms // self._ms_a_token)
        more = max(0, tokens - self._tokens)
        self._tokens += more
        output.bytes_so_far += more
        output.dropped_bytes += more
        output.audio_ms = self.ms
