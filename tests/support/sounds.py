"""Small audio files of silence, made byte by byte: what a test measures, it knows the length of."""

from __future__ import annotations

import struct

RATE = 8_000


def wav(ms: int, *, rate: int = RATE, channels: int = 1, claimed: int | None = None, after: bytes = b"") -> bytes:
    """16-bit PCM; `claimed` is the size its header states."""
    samples = bytes(2 * channels * (rate * ms // 1000))
    size = len(samples) if claimed is None else claimed
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + size & 0xFFFFFFFF, b"WAVE", b"fmt ", 16, 1, channels, rate,
                       rate * channels * 2, channels * 2, 16)  # fmt: skip
    return head + struct.pack("<4sI", b"data", size) + samples + after


def mp3(frames: int, *, tag: bytes = b"", table: bool = False) -> bytes:
    """MPEG 2 layer III, 24 kHz, 32 kbit/s: 24 ms a frame."""
    frame = b"\xff\xf3\x44\xc4" + bytes(92)
    opening = frame[:13] + b"Info" + frame[17:] if table else b""
    return tag + opening + frame * frames


def adts(frames: int) -> bytes:
    """AAC at 24 kHz: 1,024 samples a frame."""
    size = 17
    head = bytes([0xFF, 0xF1, 6 << 2 | 0x40, 0x40 | size >> 11, size >> 3 & 255, (size & 7) << 5 | 0x1F, 0xFC])
    return (head + bytes(size - 7)) * frames


def crc8(content: bytes) -> int:
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 255 if crc & 0x80 else crc << 1
    return crc


def flac(frames: int, *, rate: int = 24_000, stated: int = 0) -> bytes:
    """Silent frames of 4,096 samples; `stated` is the total its first block claims."""
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + (rate << 44 | 15 << 36 | stated).to_bytes(8, "big") + bytes(16)
    made = b"fLaC\x80" + len(info).to_bytes(3, "big") + info
    for number in range(frames):
        head = b"\xff\xf8\xc0\x08" + chr(number).encode()
        made += head + bytes([crc8(head)]) + b"\x00\x00\x00" + b"\x00\x00"
    return made


def ogg_page(packets: list[bytes], *, position: int = 0, flags: int = 0, serial: int = 7) -> bytes:
    table = b"".join(b"\xff" * (len(each) // 255) + bytes([len(each) % 255]) for each in packets)
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, serial, 0, 0, len(table))
    return head + table + b"".join(packets)


def opus(packets: int, *, skipped: int = 0, claimed: int = 0) -> bytes:
    """Packets of 20 ms; `claimed` is the position its last page states."""
    head = b"OpusHead\x01\x01" + struct.pack("<HIhB", skipped, 48_000, 0, 0)
    made = ogg_page([head], flags=2) + ogg_page([b"OpusTags" + bytes(8)])
    for at in range(0, packets, 50):
        made += ogg_page([b"\xf8\xff\xfe"] * min(50, packets - at), position=claimed)
    return made


def vorbis(samples: int, *, rate: int = 24_000, content: int = 40) -> bytes:
    """Two pages: a head, and `content` bytes that end at a position."""
    head = b"\x01vorbis" + bytes(4) + b"\x01" + rate.to_bytes(4, "little") + bytes(14)
    return ogg_page([head], flags=2) + ogg_page([bytes(content)], position=samples, flags=4)


def box(name: bytes, *content: bytes) -> bytes:
    inside = b"".join(content)
    return struct.pack(">I4s", 8 + len(inside), name) + inside


def m4a(frames: int, *, rate: int = 24_000, claimed: int | None = None) -> bytes:
    """AAC of 1,024 samples a frame; `claimed` is what every length in its headers says, in samples."""
    stated = frames * 1024 if claimed is None else claimed
    entry = box(b"mp4a", bytes(16) + struct.pack(">HHI", 1, 16, 0) + struct.pack(">I", rate << 16))
    each = stated // frames if frames else 0
    table = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1) + entry),
        box(b"stts", struct.pack(">IIII", 0, 1, frames, each)),
        box(b"stsz", struct.pack(">III", 0, 10, frames)),
    )
    media = box(
        b"mdia",
        box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, rate, stated, 0)),
        box(b"hdlr", struct.pack(">II4s", 0, 0, b"soun") + bytes(13)),
        box(b"minf", table),
    )
    track = box(b"trak", box(b"tkhd", struct.pack(">IIII", 0, 0, 0, 1) + bytes(68)), media)
    return box(b"ftyp", b"M4A \0\0\0\0") + box(b"moov", track) + box(b"mdat", bytes(10 * frames))


def element(name: bytes, content: bytes, *, endless: bool = False) -> bytes:
    return (
        name + (b"\x01\xff\xff\xff\xff\xff\xff\xff" if endless else struct.pack(">Q", 1 << 56 | len(content))) + content
    )


def webm(packets: int, *, codec: bytes = b"A_OPUS", step_ms: int = 20) -> bytes:
    """Opus of 20 ms a packet in one cluster without a stated length, as browsers record it."""
    entry = element(b"\xd7", b"\x01") + element(b"\x83", b"\x02") + element(b"\x86", codec)
    blocks = b"".join(
        element(b"\xa3", b"\x81" + struct.pack(">h", at * step_ms % 30_000) + b"\x80\xf8\xff\xfe")
        for at in range(packets)
    )
    cluster = element(b"\x1f\x43\xb6\x75", element(b"\xe7", b"\x00") + blocks, endless=True)
    tracks = element(b"\x16\x54\xae\x6b", element(b"\xae", entry))
    return element(b"\x1a\x45\xdf\xa3", b"") + element(b"\x18\x53\x80\x67", tracks + cluster, endless=True)
