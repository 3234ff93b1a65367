"""How long a WAV file is: by the samples that are there, whatever its header says of their number.

A header that does not know (0, or all ones, as those who stream write it) is not asked; one that says less than there
is, is believed only where what follows is a chunk.
"""

from __future__ import annotations

import struct

from farebox.wire.audio.samples import Mp3Count, SampleCount

_UNKNOWN = frozenset({0, 0xFFFFFFFF})
_PCM, _FLOAT, _ALAW, _MULAW, _MP3, _EXTENSIBLE = 1, 3, 6, 7, 0x55, 0xFFFE
_ENDLESS = 1 << 62
_HEADER_LIMIT = 1 << 20


class WavCount(SampleCount):
    """See the module."""

    __slots__ = ("_began", "_block", "_frames", "_left", "_over", "_padded", "_rate", "_read")

    def __init__(self) -> None:
        super().__init__()
        self._began = False
        self._rate = 0
        self._block = 0
        """Bytes of one sample of all channels; 0: not known yet, or not of a fixed size."""
        self._frames: Mp3Count | None = None
        self._left = 0
        """Bytes of samples still to come."""
        self._padded = False
        self._over = 0
        """Bytes of a sample cut in two."""
        self._read = 0

    @property
    def ms(self) -> int:
        return super().ms if self._frames is None else self._frames.ms

    def read(self, held: bytes) -> int:
        at = 0
        if not self._began:
            if len(held) < 12:
                return 0
            at, self._began = 12, True
        while at < len(held) and not self.given_up:
            if self._left:
                at += self._take(held[at : at + self._left])
                continue
            after = self._chunk(held, at)
            if after is None:
                break
            at = after
        return at

    def _take(self, samples: bytes) -> int:
        self._left -= len(samples)
        if self._frames is not None:
            self._frames.feed(samples)
        else:
            whole, self._over = divmod(len(samples) + self._over, self._block)
            self.add(whole, self._rate)
        return len(samples)

    def _chunk(self, held: bytes, at: int) -> int | None:
        """Read the head of a chunk; where it ends, None if more must arrive."""
        if self._padded and len(held) - at >= 9 and not _is_name(held[at : at + 4]):
            at += 1
        if len(held) - at < 8:
            return None
        name, size = held[at : at + 4], int.from_bytes(held[at + 4 : at + 8], "little")
        if not _is_name(name):
            return self._no_chunk(at)
        if name == b"data":
            self.given_up = self.given_up or not (self._block or self._frames)
            self._left = _ENDLESS if size in _UNKNOWN else size
            self._padded = bool(size & 1)
            return at + 8
        self.missed()
        self._padded = False
        if name == b"fmt ":
            if size < 16 or size > _HEADER_LIMIT:
                self.given_up = True
            elif len(held) - at < 8 + size:
                return None
            else:
                self._format(held[at + 8 : at + 8 + size])
        return at + 8 + size + (size & 1)

    def _no_chunk(self, at: int) -> int:
        """Samples go on where their header said that they end, or this is no WAV at all."""
        if not self._rate:
            self.given_up = True
        self._left = _ENDLESS
        return at

    def _format(self, told: bytes) -> None:
        tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", told)
        if tag == _EXTENSIBLE and len(told) >= 26:
            tag = int.from_bytes(told[24:26], "little")
        if tag == _MP3:
            self._frames = Mp3Count()
            self._rate = rate
        elif tag in (_PCM, _FLOAT, _ALAW, _MULAW) and 0 < bits <= 64 and 0 < channels <= 64 and 0 < rate <= 1_000_000:
            self._block, self._rate = channels * ((bits + 7) // 8), rate
        else:
            self.given_up = True


def _is_name(name: bytes) -> bool:
    return all(32 <= letter < 127 for letter in name)
