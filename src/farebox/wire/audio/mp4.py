"""How long the sound of an MP4 file is: by the tables that list its samples, which are what a decoder goes by.

A whole file enters; milliseconds leave, None if it has no sound that can be measured. What the file's headers say of
their length is believed only where it is more. Of several tracks the longest counts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf"})
_AAC_FRAME = 1024
_MOST_BOXES = 200_000
Box = tuple[bytes, int, int]


class _Track:
    """One track of sound."""

    __slots__ = ("default", "id", "is_aac", "is_sound", "rate", "samples", "scale", "stated", "ticks")

    def __init__(self) -> None:
        self.id = 0
        self.is_sound = False
        self.is_aac = False
        self.rate = 0
        self.scale = 0
        self.stated = 0
        self.ticks = 0
        self.samples = 0
        self.default = 0
        """How long a sample is where nothing else is said, in ticks."""

    @property
    def ms(self) -> int:
        ticks = max(self.stated, self.ticks)
        by_table = -(-ticks * 1000 // self.scale) if self.scale else 0
        by_frames = -(-self.samples * _AAC_FRAME * 1000 // self.rate) if self.is_aac and self.rate else 0
        return max(by_table, by_frames)


class Mp4:
    """One file's tracks."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._tracks: dict[int, _Track] = {}
        self._now = _Track()
        self._default = 0
        self._boxes = 0

    def ms(self) -> int | None:
        """The length of the sound in milliseconds; None if none is found."""
        try:
            self._walk(0, len(self._content), 0)
        except (struct.error, IndexError):
            return None
        if self._boxes >= _MOST_BOXES:
            return None
        return max([track.ms for track in self._tracks.values() if track.is_sound], default=0) or None

    def _walk(self, at: int, end: int, depth: int) -> None:
        for name, start, stop in self._boxes_in(at, end):
            if name == b"trak":
                self._now = _Track()
            if name in _CONTAINERS and depth < 8:
                self._walk(start, stop, depth + 1)
            else:
                self._look(name, start, stop)

    def _look(self, name: bytes, at: int, end: int) -> None:
        match name:
            case b"tkhd":
                self._tkhd(at)
            case b"mdhd":
                self._mdhd(at)
            case b"hdlr":
                self._now.is_sound = bytes(self._content[at + 8 : at + 12]) == b"soun"
            case b"stsd":
                self._stsd(at)
            case b"stts":
                self._stts(at, end)
            case b"stsz":
                self._stsz(at, end)
            case b"trex":
                self._trex(at)
            case b"tfhd":
                self._tfhd(at)
            case b"trun":
                self._trun(at, end)
            case _:
                pass

    def _boxes_in(self, at: int, end: int) -> Iterator[Box]:
        while at + 8 <= end and self._boxes < _MOST_BOXES:
            self._boxes += 1
            size, name = struct.unpack_from(">I4s", self._content, at)
            head = 8
            if size == 1:
                (size,), head = struct.unpack_from(">Q", self._content, at + 8), 16
            elif size == 0:
                size = end - at
            if size < head:
                return
            yield name, at + head, min(at + size, end)
            at += size

    def _number(self, at: int) -> int:
        return int(struct.unpack_from(">I", self._content, at)[0])

    def _tkhd(self, at: int) -> None:
        self._now.id = self._number(at + (20 if self._content[at] else 12))
        self._tracks[self._now.id] = self._now

    def _mdhd(self, at: int) -> None:
        if self._content[at]:
            self._now.scale, self._now.stated = struct.unpack_from(">IQ", self._content, at + 20)
        else:
            self._now.scale, self._now.stated = struct.unpack_from(">II", self._content, at + 12)
        if self._now.stated in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF):
            self._now.stated = 0  # not known

    def _stsd(self, at: int) -> None:
        self._now.is_aac = bytes(self._content[at + 12 : at + 16]) == b"mp4a"
        self._now.rate = self._number(at + 40) >> 16 if self._now.is_sound else 0

    def _stts(self, at: int, end: int) -> None:
        count = min(self._number(at + 4), (end - at - 8) // 8)
        told = struct.unpack_from(f">{2 * count}I", self._content, at + 8)
        self._now.ticks = sum([many * each for many, each in zip(told[::2], told[1::2], strict=True)])

    def _stsz(self, at: int, end: int) -> None:
        size, count = self._number(at + 4), self._number(at + 8)
        self._now.samples = count if size else min(count, (end - at - 12) // 4)

    def _trex(self, at: int) -> None:
        track = self._tracks.get(self._number(at + 4))
        if track is not None:
            track.default = self._number(at + 12)

    def _tfhd(self, at: int) -> None:
        flags, named = self._number(at) & 0xFFFFFF, self._number(at + 4)
        self._now = self._tracks.get(named, _Track())
        place = at + 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
        self._default = self._number(place) if flags & 8 else self._now.default

    def _trun(self, at: int, end: int) -> None:
        flags, count = self._number(at) & 0xFFFFFF, self._number(at + 4)
        place = at + 8 + (4 if flags & 1 else 0) + (4 if flags & 4 else 0)
        step = 4 * bin(flags & 0xF00).count("1")
        if step:
            count = min(count, (end - place) // step)
        self._now.samples += count
        if flags & 0x100:
            words = struct.unpack_from(f">{count * step // 4}I", self._content, place)
            self._now.ticks += sum(words[:: step // 4])
        else:
            self._now.ticks += count * self._default
