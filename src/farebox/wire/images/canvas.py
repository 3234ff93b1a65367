"""How large an image is asked for and how well it is to be drawn; what that costs in output tokens at most.

`size` and `quality` as text enter; a `Canvas` leaves. The tokens: 5,000 for a square of 1024 pixels a side, and in
proportion to the area of a larger one (8,750 at 1792 × 1024), never less for a smaller one; twice that in high
quality. Where the model chooses for itself, the bound is the largest and the finest it makes by default. What cards
look at is the size and quality asked for, with the public defaults in the place of what was left out.
"""

from __future__ import annotations

import re

import msgspec

SQUARE_TOKENS = 5_000
SQUARE = 1024 * 1024
LARGEST_BY_DEFAULT = 1792 * 1024
FINE = 2
"""How many times more tokens an image of high quality has at most."""
PARTIAL_TOKENS = 100
"""For each image of the way there that is shown."""

DEFAULT_SIZE = "1024x1024"
DEFAULT_QUALITY = "standard"
AUTO = "auto"
LONGEST_SIDE = 8192
MOST_PIXELS = 4096 * 4096

_PIXELS = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
_RATIO = re.compile(r"\d{1,2}:\d{1,2}", re.ASCII)
_QUALITY = re.compile(r"[a-z0-9_.-]{1,32}", re.ASCII)
_STEPS = {"1K": SQUARE, "2K": 4 * SQUARE, "4K": MOST_PIXELS}
_LINES = {720: "720p", 1080: "1080p"}
_PLAIN = frozenset({"low", "medium", "standard"})


class Canvas(msgspec.Struct, frozen=True, gc=False):
    """What one image is drawn on."""

    size: str
    """As cards look at it."""
    quality: str
    """As cards look at it."""
    resolution: str
    """The step of the size some cards go by: `1K`, `2K`, `4K`, or the lines of a film."""
    width: int | None = None
    """In pixels; None: the model chooses."""
    height: int | None = None
    pixels: int | None = None
    finest: bool = False
    """It may be drawn in high quality."""

    @property
    def tokens_most(self) -> int:
        """Output tokens of one image at most."""
        tokens = _tokens(LARGEST_BY_DEFAULT if self.pixels is None else self.pixels)
        return tokens * FINE if self.finest else tokens

    @property
    def tokens_likely(self) -> int:
        """What to expect of one image."""
        tokens = _tokens(SQUARE if self.pixels is None else self.pixels)
        return tokens * FINE if self.quality in ("high", "hd") else tokens


def read_canvas(size: str | None, quality: str | None, resolution: str | None = None) -> Canvas | str:
    """What is asked for; the name of the field that cannot be served in its place."""
    wanted = (quality or "").lower()
    if wanted and not _QUALITY.fullmatch(wanted):
        return "quality"
    if resolution is not None and not _QUALITY.fullmatch(resolution.lower()):
        return "resolution"
    finest = wanted not in _PLAIN
    sides = _sides(size)
    if sides is not None:
        width, height = sides
        if not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE) or width * height > MOST_PIXELS:
            return "size"
        step = _LINES.get(min(sides)) or _step(width * height)
        shown = f"{width}x{height}"
        return Canvas(shown, wanted or DEFAULT_QUALITY, resolution or step, width, height, width * height, finest)
    if size is not None and size != AUTO and size.upper() not in _STEPS and not _RATIO.fullmatch(size):
        return "size"
    step = (size or "").upper()
    pixels = _STEPS.get((resolution or step).upper())
    return Canvas(
        size or DEFAULT_SIZE,
        wanted or DEFAULT_QUALITY,
        resolution or (step if step in _STEPS else "1K"),
        pixels=pixels,
        finest=finest,
    )


def _sides(size: str | None) -> tuple[int, int] | None:
    match = None if size is None else _PIXELS.fullmatch(size)
    return None if match is None else (int(match[1]), int(match[2]))


def _step(pixels: int) -> str:
    """Halfway between the steps counts as the lower one: 1792 × 1024 is 1K."""
    return "1K" if pixels <= 2 * SQUARE else "2K" if pixels <= 6 * SQUARE else "4K"


def _tokens(pixels: int) -> int:
    return max(SQUARE_TOKENS, -(-pixels * SQUARE_TOKENS // SQUARE))
