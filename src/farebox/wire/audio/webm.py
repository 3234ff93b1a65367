"""How long WebM (Matroska) is: by its last block's time, and no shorter than its Opus packets are together.

A whole file enters; milliseconds leave, None if it has no block of sound. The length in its header, which a browser's
recorder leaves out, is not asked.
"""

from __future__ import annotations

from farebox.wire.audio.ogg import OPUS_RATE, opus_samples

_CONTAINERS = frozenset({0x18538067, 0x1654AE6B, 0xAE, 0x1F43B675, 0xA0, 0x1549A966})
"""Segment, Tracks, TrackEntry, Cluster, BlockGroup, Info."""
_SCALE, _TIME, _NUMBER, _KIND, _CODEC, _RATE_ENTRY = 0x2AD7B1, 0xE7, 0xD7, 0x83, 0x86, 0xAE
_BLOCKS = frozenset({0xA3, 0xA1})
_SOUND = 2
_MOST_ELEMENTS = 500_000
"""Nearly three hours of the usual 20 ms."""


class Webm:
    """One file's blocks of sound."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._scale_ns = 1_000_000
        self._cluster = 0
        self._track = [0, 0, 0]
        """Of the entry being read: number, kind, whether it is Opus."""
        self._sound: dict[int, int] = {}
        """Tracks of sound, and whether each is Opus."""
        self._last: dict[int, int] = {}
        self._opus: dict[int, int] = {}

    def ms(self) -> int | None:
        """The length of the sound in milliseconds; None if none is found."""
        at, end, elements = 0, len(self._content), 0
        while at < end:
            elements += 1
            if elements > _MOST_ELEMENTS:
                return None
            head = self._head(at)
            if head is None:
                break
            name, start, size = head
            if name in _CONTAINERS:
                self._track = [0, 0, 0] if name == _RATE_ENTRY else self._track
                at = start
                continue
            if start + size > end and name not in _BLOCKS:
                break
            self._read(name, self._content[start : start + size])
            at = start + size
        lengths = [-(-last * self._scale_ns // 1_000_000) for last in self._last.values()]
        lengths += [-(-count * 1000 // OPUS_RATE) for count in self._opus.values()]
        return max(lengths, default=0) or None

    def _head(self, at: int) -> tuple[int, int, int] | None:
        """An element's name, where its content begins, and how long it is; one of unknown length has none to pass."""
        name = self._vint(at, keep=True)
        size = None if name is None else self._vint(at + name[1], keep=False)
        if name is None or size is None:
            return None
        return name[0], at + name[1] + size[1], size[0]

    def _vint(self, at: int, *, keep: bool) -> tuple[int, int] | None:
        if at >= len(self._content) or not self._content[at]:
            return None
        length = 9 - self._content[at].bit_length()
        value = int.from_bytes(self._content[at : at + length], "big")
        return (value if keep else value & (1 << 7 * length) - 1), length

    def _read(self, name: int, content: memoryview) -> None:
        if name in _BLOCKS:
            self._block(content)
        elif name == _TIME:
            self._cluster = int.from_bytes(content[:8], "big")
        elif name == _SCALE:
            self._scale_ns = int.from_bytes(content[:8], "big") or 1_000_000
        elif name == _NUMBER:
            self._track[0] = int.from_bytes(content[:8], "big")
        elif name == _KIND:
            self._track[1] = int.from_bytes(content[:8], "big")
        elif name == _CODEC:
            self._track[2] = int(bytes(content[:6]) == b"A_OPUS")
        if name in (_NUMBER, _KIND, _CODEC) and self._track[1] == _SOUND and self._track[0]:
            self._sound[self._track[0]] = self._track[2]

    def _block(self, content: memoryview) -> None:
        head = self._track_of(content)
        if head is None or head[0] not in self._sound:
            return
        track, at = head
        time = self._cluster + int.from_bytes(content[at : at + 2], "big", signed=True)
        self._last[track] = max(self._last.get(track, 0), time)
        lacing = content[at + 2] >> 1 & 3
        frames = content[at + 3] + 1 if lacing and len(content) > at + 3 else 1
        if self._sound[track] and not lacing and len(content) > at + 3:
            count = opus_samples(bytes(content[at + 3 : at + 5]))
            self._opus[track] = self._opus.get(track, 0) + count
        elif self._sound[track]:
            self._opus[track] = self._opus.get(track, 0) + frames * (OPUS_RATE * 6 // 100)  # the longest there is

    def _track_of(self, content: memoryview) -> tuple[int, int] | None:
        if len(content) < 4 or not content[0]:
            return None
        length = 9 - content[0].bit_length()
        if len(content) < length + 3:
            return None
        return int.from_bytes(content[:length], "big") & (1 << 7 * length) - 1, length
