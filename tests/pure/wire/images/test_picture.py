"""Images by their first bytes: what they are and how large they say they are. Nothing is decoded."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.upstream.sandbox_images import png
from farebox.wire.images.picture import Picture, look

JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    + b"\xff\xe1\x00\x08Exif\x00\x00"
    + b"\xff\xdb\x00\x43\x00"
    + bytes(64)
    + b"\xff\xff\xc2\x00\x11\x08"
    + struct.pack(">HH", 300, 400)
    + b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xda"
)
GIF = b"GIF89a" + struct.pack("<HH", 20, 10) + b"\xf0\x00\x00" + bytes(10)
LOSSY = b"RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00\x30\x01\x00\x9d\x01\x2a" + struct.pack("<HH", 550, 368)
LOSSLESS = b"RIFF\x24\x00\x00\x00WEBPVP8L\x18\x00\x00\x00\x2f" + struct.pack("<I", 385 | 394 << 14) + bytes(8)
EXTENDED = b"RIFF\x24\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x10\x00\x00\x00" + bytes([0x8F, 1, 0, 0x2B, 1, 0])

SAMPLES = [
    ("png", png(1792, 1024, b"abc"), Picture("image/png", 1792, 1024)),
    ("progressive jpeg", JPEG, Picture("image/jpeg", 400, 300)),
    ("gif", GIF, Picture("image/gif", 20, 10)),
    ("lossy webp", LOSSY, Picture("image/webp", 550, 368)),
    ("lossless webp", LOSSLESS, Picture("image/webp", 386, 395)),
    ("extended webp", EXTENDED, Picture("image/webp", 400, 300)),
    ("text", b"a cat", None),
    ("nothing", b"", None),
    ("pdf", b"%PDF-1.7", None),
    ("svg", b"<svg width='10'/>", None),
    ("png cut short", png(10, 10, b"abc")[:20], None),
    ("png of no size", png(1, 1, b"abc").replace(struct.pack(">II", 1, 1), bytes(8)), None),
    ("jpeg without a frame", b"\xff\xd8\xff\xda\x00\x02", None),
    ("jpeg of fillers", b"\xff\xd8" + b"\xff" * 10_000, None),
]


@pytest.mark.parametrize(("content", "picture"), [row[1:] for row in SAMPLES], ids=[row[0] for row in SAMPLES])
def test_an_image_is_known_by_its_beginning(content: bytes, picture: Picture | None) -> None:
    assert look(content) == picture


def test_a_bomb_is_seen_by_what_its_header_says() -> None:
    """A gigabyte of zeros packs into a megabyte; only its header is read."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    seen = look(bomb)
    assert seen is not None
    assert seen.pixels == 3_600_000_000


@given(
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\x00\x00\x00\x00WEBPVP8L", b""]),
    st.binary(max_size=200),
)
def test_no_bytes_break_it(beginning: bytes, rest: bytes) -> None:
    seen = look(beginning + rest)
    assert seen is None or (seen.width > 0 and seen.height > 0)


@given(st.integers(1, 4096), st.integers(1, 64))
def test_the_sandbox_makes_what_it_says(width: int, height: int) -> None:
    made = png(width, height, b"abc")
    assert look(made) == Picture("image/png", width, height)
    at = made.index(b"IDAT")
    size = struct.unpack(">I", made[at - 4 : at])[0]
    assert len(zlib.decompress(made[at + 4 : at + 4 + size])) == height * (1 + -(-width // 8))
