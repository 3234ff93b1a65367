"""What an image file says of itself: its format and its size, read from its first bytes.

Bytes enter, a `Picture` leaves, or None for what is no PNG, JPEG, WebP or GIF. Nothing is decoded, so a file that
would unpack to a wall of pixels costs nothing here; what is refused for its size is refused by its header.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

_PNG = b"\x89PNG\r\n\x1a\n"
_GIFS = (b"GIF87a", b"GIF89a")
_JPEG = b"\xff\xd8\xff"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers that begin a frame, and with it the size; the three left out are tables."""
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers without a length."""
_SCANS = 0xDA
MOST_SEGMENTS = 4096
"""Of a JPEG before its frame; colour profiles and thumbnails take a few dozen."""


class Picture(msgspec.Struct, frozen=True, gc=False):
    """An image by its header: what it says, which is what whoever decodes it will make room for."""

    media_type: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


def look(content: bytes | memoryview) -> Picture | None:
    """The image that begins so; None if it is none of the four formats, or says no size. Never raises."""
    for media_type, size_of in _READERS.items():
        try:
            size = size_of(memoryview(content))
        except (struct.error, IndexError):
            return None
        if size is not None:
            return Picture(media_type, *size) if min(size) > 0 else None
    return None


Size = tuple[int, int]


def _png(view: memoryview) -> Size | None:
    if bytes(view[:8]) != _PNG or bytes(view[12:16]) != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", view, 16)
    return width, height


def _gif(view: memoryview) -> Size | None:
    if bytes(view[:6]) not in _GIFS:
        return None
    width, height = struct.unpack_from("<HH", view, 6)
    return width, height


def _jpeg(view: memoryview) -> Size | None:
    """Walk the segments to the frame; what fills the gaps between them is skipped, as decoders do."""
    if bytes(view[:3]) != _JPEG:
        return None
    at = 2
    for _ in range(MOST_SEGMENTS):
        if view[at] != 0xFF:
            return 0, 0
        marker = view[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker == _SCANS:
            return 0, 0
        elif marker in _FRAMES:
            height, width = struct.unpack_from(">HH", view, at + 5)
            return width, height
        else:
            at += 2 + struct.unpack_from(">H", view, at + 2)[0]
    return 0, 0


def _webp(view: memoryview) -> Size | None:
    if bytes(view[:4]) != b"RIFF" or bytes(view[8:12]) != b"WEBP":
        return None
    kind = bytes(view[12:16])
    if kind == b"VP8X":
        return 1 + int.from_bytes(view[24:27], "little"), 1 + int.from_bytes(view[27:30], "little")
    if kind == b"VP8L" and view[20] == 0x2F:
        bits = struct.unpack_from("<I", view, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and bytes(view[23:26]) == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", view, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


_READERS: dict[str, Callable[[memoryview], Size | None]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
    "image/gif": _gif,
}
