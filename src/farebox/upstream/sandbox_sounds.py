"""Silence of any length as a file of each format: small, and real enough for any player.

Milliseconds enter, pieces of a file leave, which together are as long, rounded up to whole frames. One channel at
24 kHz, Opus at 48.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cache

RATE = 24_000
_PIECE_MS = 200
_FLAC_BLOCK = 4096
_AAC_SILENCE = b"\x00\xc8\x00\x80\x23\x80"
_OPUS_SILENCE = b"\xf8\xff\xfe"


def silence(name: str, ms: int) -> Iterator[bytes]:
    """A file of the format, piece by piece."""
    return _MAKERS[name](ms)


def _mp3(ms: int) -> Iterator[bytes]:
    frame = b"\xff\xf3\x44\xc4" + bytes(92)  # MPEG 2, layer III, 32 kbit/s: 24 ms
    yield from _repeated(frame, frames=-(-ms // 24), frame_ms=24)


def _aac(ms: int) -> Iterator[bytes]:
    size = 7 + len(_AAC_SILENCE)
    head = bytes([0xFF, 0xF1, 0x40 | 6 << 2, 0x40 | size >> 11, size >> 3 & 255, (size & 7) << 5 | 0x1F, 0xFC])
    yield from _repeated(head + _AAC_SILENCE, frames=-(-ms * RATE // 1_024_000), frame_ms=43)


def _repeated(frame: bytes, *, frames: int, frame_ms: int) -> Iterator[bytes]:
    each = _PIECE_MS // frame_ms
    for begun in range(0, frames, each):
        yield frame * min(each, frames - begun)


def _pcm(ms: int) -> Iterator[bytes]:
    for begun in range(0, ms, _PIECE_MS):
        yield bytes(2 * RATE * min(_PIECE_MS, ms - begun) // 1000)


def _wav(ms: int) -> Iterator[bytes]:
    size = 2 * RATE * ms // 1000
    shape = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    yield struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + shape + struct.pack("<4sI", b"data", size)
    yield from _pcm(ms)


def _flac(ms: int) -> Iterator[bytes]:
    frames = -(-ms * RATE // (1000 * _FLAC_BLOCK))
    shape = (RATE << 44 | 15 << 36 | frames * _FLAC_BLOCK).to_bytes(8, "big")
    yield b"fLaC\x80\x00\x00\x22" + struct.pack(">HH", _FLAC_BLOCK, _FLAC_BLOCK) + bytes(6) + shape + bytes(16)
    for number in range(frames):
        head = b"\xff\xf8\xc0\x08" + chr(number).encode()
        frame = head + bytes([_crc(head, bits=8, polynomial=0x07)]) + bytes(3)
        yield frame + _crc(frame, bits=16, polynomial=0x8005).to_bytes(2, "big")


def _opus(ms: int) -> Iterator[bytes]:
    yield _page([b"OpusHead\x01\x01\x00\x00\x80\xbb\x00\x00\x00\x00\x00"], number=0, position=0, flags=2)
    yield _page([b"OpusTags\x07\x00\x00\x00sandbox\x00\x00\x00\x00"], number=1, position=0, flags=0)
    packets, each = -(-ms // 20), _PIECE_MS // 20
    for begun in range(0, packets, each):
        count = min(each, packets - begun)
        last = begun + count == packets
        position = (begun + count) * 960
        yield _page([_OPUS_SILENCE] * count, number=2 + begun // each, position=position, flags=4 if last else 0)


def _page(packets: list[bytes], *, number: int, position: int, flags: int) -> bytes:
    table = bytes([len(packet) for packet in packets])
    page = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, 1, number, 0, len(table)) + table + b"".join(packets)
    return page[:22] + _crc(page, bits=32, polynomial=0x04C11DB7).to_bytes(4, "little") + page[26:]


def _crc(content: bytes, *, bits: int, polynomial: int) -> int:
    """A checksum without reflection, begun with zero."""
    table, mask, crc = _table(bits, polynomial), (1 << bits) - 1, 0
    for byte in content:
        crc = crc << 8 & mask ^ table[crc >> bits - 8 ^ byte]
    return crc


@cache
def _table(bits: int, polynomial: int) -> tuple[int, ...]:
    rows: list[int] = []
    for byte in range(256):
        crc = byte << bits - 8
        for _ in range(8):
            crc = crc << 1 ^ (polynomial if crc >> bits - 1 else 0)
            crc &= (1 << bits) - 1
        rows.append(crc)
    return tuple(rows)


_MAKERS: Mapping[str, Callable[[int], Iterator[bytes]]] = {
    "mp3": _mp3,
    "opus": _opus,
    "aac": _aac,
    "flac": _flac,
    "wav": _wav,
    "pcm": _pcm,
}
