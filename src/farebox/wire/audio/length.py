"""How long an audio file is, whatever it is called: the format is told by its first bytes, its length by its frames.

A whole file enters; leaves its length in milliseconds, rounded up, or None for what is no audio of a format known
here, has no frame, or is longer than a day.
"""

from __future__ import annotations

from farebox.wire.audio.flac import FlacCount
from farebox.wire.audio.mp4 import Mp4
from farebox.wire.audio.ogg import OggCount
from farebox.wire.audio.samples import LONGEST_MS, AdtsCount, Mp3Count, SampleCount, mpeg_frame, tag_bytes
from farebox.wire.audio.wav import WavCount
from farebox.wire.audio.webm import Webm

FORMATS = "flac, m4a, mp3, mp4, mpeg, mpga, oga, ogg, wav, webm and aac"
_BRANDS = frozenset({b"ftyp", b"moov", b"styp"})
_PIECE_BYTES = 1 << 20


def length_ms(content: memoryview) -> int | None:
    """See the module. Costs about a second for the longest that 25 MB can hold."""
    if bytes(content[4:8]) in _BRANDS:
        measured = Mp4(content).ms()
    elif bytes(content[:4]) == b"\x1a\x45\xdf\xa3":
        measured = Webm(content).ms()
    else:
        measured = _counted(content)
    return measured if measured is not None and 0 < measured <= LONGEST_MS else None


def _counted(content: memoryview) -> int | None:
    count = count_for(content)
    if count is None:
        return None
    for at in range(0, len(content), _PIECE_BYTES):
        count.feed(bytes(content[at : at + _PIECE_BYTES]))
    count.end()
    return None if count.given_up else count.ms


def count_for(content: memoryview) -> SampleCount | None:
    """The counter for a file that begins so; None if it is none of the formats that are counted as they pass."""
    opening = bytes(content[:12])
    if opening[:4] in (b"RIFF", b"RF64") and opening[8:] == b"WAVE":
        return WavCount()
    if opening[:4] == b"fLaC":
        return FlacCount()
    if opening[:4] == b"OggS":
        return OggCount()
    return _of_frames(content, tag_bytes(content))


def _of_frames(content: memoryview, at: int) -> SampleCount | None:
    """MPEG audio or ADTS: where a frame stands, another follows."""
    if bytes(content[at : at + 4]) == b"fLaC":
        return None
    head = bytes(content[at : at + 7])
    if len(head) < 7 or head[0] != 0xFF:
        return Mp3Count() if at else None
    frame = mpeg_frame(head[1] << 8 | head[2])
    if frame is not None:
        following = bytes(content[at + frame[0] : at + frame[0] + 3])
        if len(following) < 3 or (following[0] == 0xFF and mpeg_frame(following[1] << 8 | following[2])):
            return Mp3Count()
        return None
    return AdtsCount() if AdtsCount().frame_at(head, 0) is not None else None
