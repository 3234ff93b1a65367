"""How long audio is, by its samples as they pass: what every counter of a format shares.

Bytes enter in any pieces; leaves the length in milliseconds, rounded up. What counts is what a decoder would play, not
what a header says of it: a file is as long as the frames in it. Nothing is decoded, and of the audio no more is kept
than one frame's head (of Ogg one page). A file that makes reading dear (nothing but broken heads) is given up.
"""

from __future__ import annotations

from functools import lru_cache

LONGEST_MS = 24 * 3_600_000
"""Nothing longer is counted on: a file that claims it is refused."""
MOST_FRAMES = 1_500_000
"""Nor anything in more pieces, of whatever kind: ten hours of the shortest MP3 frames."""
MOST_RESYNCS = 20_000
"""Searches for the next frame after broken ones, before a file is given up as no audio."""
OPENING_BYTES = 48
"""What of a first frame is looked at."""
_TAG_BYTES = 10


class SampleCount:
    """One stream of audio. `feed` what arrives, then `end`; `ms` is right at any time."""

    __slots__ = ("frames", "given_up", "rest", "resyncs", "samples", "skip")

    def __init__(self) -> None:
        self.samples: dict[int, int] = {}
        """By the rate they are played at, in hertz."""
        self.frames = 0
        self.resyncs = 0
        self.rest = b""
        self.skip = 0
        """Bytes that are passed over before the next head."""
        self.given_up = False
        """What comes is not of this format."""

    @property
    def ms(self) -> int:
        """The length so far in milliseconds, rounded up."""
        return sum([-(-count * 1000 // rate) for rate, count in self.samples.items()])

    def add(self, count: int, rate: int) -> None:
        """So many samples were found."""
        self.samples[rate] = self.samples.get(rate, 0) + count
        self.frames += 1
        if self.frames > MOST_FRAMES or self.samples[rate] > LONGEST_MS // 1000 * rate:
            self.given_up = True

    def missed(self) -> None:
        """Nothing of use stood where it should."""
        self.resyncs += 1
        self.given_up = self.given_up or self.resyncs > MOST_RESYNCS

    def feed(self, piece: bytes) -> None:
        """The next bytes."""
        if self.given_up:
            return
        if self.skip >= len(piece):
            self.skip -= len(piece)
            return
        held = self.rest + piece[self.skip :] if self.skip or self.rest else piece
        self.skip = 0
        at = self.read(held)
        self.rest = held[at:]
        self.skip = max(0, at - len(held))

    def end(self) -> None:
        """The audio is over."""

    def read(self, held: bytes) -> int:
        """Count what is there; up to where it was read, which may be beyond its end."""
        raise NotImplementedError


class PcmCount(SampleCount):
    """Samples without any head: 16 bits, one channel, as speech endpoints send them."""

    __slots__ = ()
    RATE = 24_000
    _SAMPLE_BYTES = 2

    def read(self, held: bytes) -> int:
        count = len(held) // self._SAMPLE_BYTES
        self.add(count, self.RATE)
        return count * self._SAMPLE_BYTES


class FrameCount(SampleCount):
    """Formats that are frames in a row, each with a head that says how long it is."""

    __slots__ = ("_stage",)
    HEAD_BYTES = 4

    def __init__(self) -> None:
        super().__init__()
        self._stage = 0

    def frame_at(self, held: bytes, at: int) -> tuple[int, int, int] | None:
        """Bytes, samples and rate of the frame whose head stands there; None if none does."""
        raise NotImplementedError

    def begin(self, held: bytes, at: int) -> int:
        """Where the first frame stands that is played."""
        return at

    def read(self, held: bytes) -> int:
        at, end = 0, len(held) - self.HEAD_BYTES
        if self._stage == 0:
            if len(held) < _TAG_BYTES:
                return 0
            at, self._stage = tag_bytes(held), 1
        if self._stage == 1:
            if at + OPENING_BYTES > len(held):
                return at
            at, self._stage = self.begin(held, at), 2
        while at <= end and not self.given_up:
            frame = self.frame_at(held, at)
            if frame is None:
                at = self._resync(held, at)
                continue
            self.add(frame[1], frame[2])
            at += frame[0]
        return at

    def end(self) -> None:
        if self._stage < 2:
            self.feed(bytes(OPENING_BYTES))

    def _resync(self, held: bytes, at: int) -> int:
        self.missed()
        found = held.find(b"\xff", at + 1)
        return len(held) if found < 0 else found


class Mp3Count(FrameCount):
    """MPEG audio, all versions and layers."""

    __slots__ = ()

    def frame_at(self, held: bytes, at: int) -> tuple[int, int, int] | None:
        return mpeg_frame(held[at + 1] << 8 | held[at + 2]) if held[at] == 0xFF else None

    def begin(self, held: bytes, at: int) -> int:
        frame, opening = self.frame_at(held, at), held[at + 4 : at + OPENING_BYTES]
        if frame is not None and any(mark in opening for mark in (b"Xing", b"Info", b"VBRI")):
            at += frame[0]  # a table of contents, which is not played
        return at


class AdtsCount(FrameCount):
    """AAC in ADTS frames."""

    __slots__ = ()
    HEAD_BYTES = 7

    def frame_at(self, held: bytes, at: int) -> tuple[int, int, int] | None:
        place = held[at + 2] >> 2 & 15
        if held[at] != 0xFF or held[at + 1] & 0xF6 != 0xF0 or place >= len(_AAC_RATES):
            return None
        size = (held[at + 3] & 3) << 11 | held[at + 4] << 3 | held[at + 5] >> 5
        if size < self.HEAD_BYTES:
            return None
        return size, 1024 * ((held[at + 6] & 3) + 1), _AAC_RATES[place]


_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_MPEG_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_V1_L1 = (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_V1_L2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1_L3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2_L1 = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBPS = {(True, 3): _V1_L1, (True, 2): _V1_L2, (True, 1): _V1_L3, (False, 3): _V2_L1, (False, 2): _V2, (False, 1): _V2}


@lru_cache(maxsize=4096)
def mpeg_frame(head: int) -> tuple[int, int, int] | None:
    """Bytes, samples and rate of an MPEG audio frame by the second and third byte of its head; None if it is none."""
    version, layer = head >> 11 & 3, head >> 9 & 3
    kbps, rate_place, padding = head >> 4 & 15, head >> 2 & 3, head >> 1 & 1
    if head >> 13 != 7 or version == 1 or layer == 0 or kbps in (0, 15) or rate_place == 3:
        return None
    first, rate = version == 3, _MPEG_RATES[version][rate_place]
    bits = _KBPS[first, layer][kbps - 1] * 1000
    if layer == 3:
        return (12 * bits // rate + padding) * 4, 384, rate
    samples = 1152 if first or layer == 2 else 576
    return samples // 8 * bits // rate + padding, samples, rate


def tag_bytes(held: bytes | memoryview) -> int:
    """How long the ID3 tag is that begins here."""
    if held[:3] != b"ID3" or len(held) < _TAG_BYTES:
        return 0
    a, b, c, d = held[6:10]
    return 10 + ((a & 127) << 21 | (b & 127) << 14 | (c & 127) << 7 | d & 127) + (10 if held[5] & 0x10 else 0)
