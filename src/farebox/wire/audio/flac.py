"""How long FLAC is: by the heads of its frames, each proved by its own checksum.

The total in the file's first block is not asked: those who stream leave it out, and it binds no decoder.
"""

from __future__ import annotations

from farebox.wire.audio.samples import SampleCount

_LONGEST_HEAD = 16
_SYNC = b"\xff\xf8", b"\xff\xf9"
_RATES = {
    1: 88200, 2: 176400, 3: 192000, 4: 8000, 5: 16000, 6: 22050, 7: 24000, 8: 32000, 9: 44100, 10: 48000, 11: 96000,
}  # fmt: skip


class FlacCount(SampleCount):
    """See the module."""

    __slots__ = ("_in_frames", "_rate", "_sync")

    def __init__(self) -> None:
        super().__init__()
        self._in_frames = False
        self._rate = 0
        self._sync = b""

    def read(self, held: bytes) -> int:
        at = 0
        if not self._in_frames:
            at = self._blocks(held)
            if not self._in_frames:
                return at
        while not self.given_up:
            found = self._next_sync(held, at)
            if found < 0:
                return max(at, len(held) - 1)
            if len(held) - found < _LONGEST_HEAD:
                return found
            head = self._frame(held, found)
            at = found + (head or 1)
            if head is None:
                self.missed()
        return at

    def end(self) -> None:
        self.feed(bytes(_LONGEST_HEAD))

    def _blocks(self, held: bytes) -> int:
        """Pass over the blocks before the frames. They are read from `fLaC` on until all of one head is there."""
        at = 4 if not self._rate else 0
        while len(held) - at >= 4:
            size, last = int.from_bytes(held[at + 1 : at + 4], "big"), held[at] & 0x80
            if not self._rate:
                if len(held) - at < 22:
                    return 0
                self._rate = int.from_bytes(held[at + 14 : at + 17], "big") >> 4
                self.given_up = not self._rate
            at += 4 + size
            if last:
                self._in_frames = True
                return at
        return at if self._rate else 0

    def _next_sync(self, held: bytes, at: int) -> int:
        if self._sync:
            return held.find(self._sync, at)
        found = [place for place in (held.find(sync, at) for sync in _SYNC) if place >= 0]
        return min(found, default=-1)

    def _frame(self, held: bytes, at: int) -> int | None:
        """Count the frame whose head stands there; the bytes of its head, None if it is none."""
        size_code, rate_code = held[at + 2] >> 4, held[at + 2] & 15
        number = _number_bytes(held[at + 4])
        if not size_code or rate_code == 15 or held[at + 3] & 1 or not number:
            return None
        place = at + 4 + number
        size_bytes = {6: 1, 7: 2}.get(size_code, 0)
        samples = int.from_bytes(held[place : place + size_bytes], "big") + 1 if size_bytes else _SIZES[size_code]
        place += size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
        if _checksum(held[at:place]) != held[place]:
            return None
        self._sync = held[at : at + 2]
        self.add(samples, _RATES.get(rate_code, self._rate))
        return place + 1 - at


_SIZES = {1: 192} | {code: 576 << code - 2 for code in range(2, 6)} | {code: 256 << code - 8 for code in range(8, 16)}


def _number_bytes(first: int) -> int:
    """How long a number is that is written as UTF-8 writes characters; 0 if none begins so."""
    if first < 0x80:
        return 1
    return next((size for size in range(2, 8) if first >> 7 - size == (1 << size + 1) - 2), 0)


def _checksum(head: bytes) -> int:
    """CRC-8 of a frame's head, polynomial x⁸ + x² + x + 1."""
    crc = 0
    for byte in head:
        crc = _CHECKSUMS[crc ^ byte]
    return crc


def _checksum_of(byte: int) -> int:
    for _ in range(8):
        byte = byte << 1 ^ 0x107 if byte & 0x80 else byte << 1
    return byte


_CHECKSUMS = tuple(_checksum_of(byte) for byte in range(256))
