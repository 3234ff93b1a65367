"""How much one image can come to, by its size and quality."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.wire.images.canvas import LONGEST_SIDE, MOST_PIXELS, Canvas, read_canvas

TABLE = [
    # size          quality      most    likely  as cards see it
    ("1024x1024",   "standard",  5_000,  5_000,  ("1024x1024", "standard", "1K")),
    ("1024x1024",   "high",     10_000, 10_000,  ("1024x1024", "high", "1K")),
    ("1024x1024",   None,       10_000,  5_000,  ("1024x1024", "standard", "1K")),
    ("1792x1024",   "standard",  8_750,  8_750,  ("1792x1024", "standard", "1K")),
    ("1792x1024",   "hd",       17_500, 17_500,  ("1792x1024", "hd", "1K")),
    ("512x512",     "low",       5_000,  5_000,  ("512x512", "low", "1K")),
    ("2048x2048",   "medium",   20_000, 20_000,  ("2048x2048", "medium", "2K")),
    ("4096x4096",   "medium",   80_000, 80_000,  ("4096x4096", "medium", "4K")),
    ("1920x1080",   "medium",    9_888,  9_888,  ("1920x1080", "medium", "1080p")),
    ("4K",          "medium",   80_000, 80_000,  ("4K", "medium", "4K")),
    ("16:9",        "medium",    8_750,  5_000,  ("16:9", "medium", "1K")),
    ("auto",        "auto",     17_500,  5_000,  ("auto", "auto", "1K")),
    (None,          None,       17_500,  5_000,  ("1024x1024", "standard", "1K")),
]  # fmt: skip


@pytest.mark.parametrize(("size", "quality", "most", "likely", "shown"), TABLE)
def test_the_table(size: str | None, quality: str | None, most: int, likely: int, shown: tuple[str, str, str]) -> None:
    canvas = read_canvas(size, quality)
    assert isinstance(canvas, Canvas)
    assert (canvas.tokens_most, canvas.tokens_likely) == (most, likely)
    assert (canvas.size, canvas.quality, canvas.resolution) == shown


REPORTED = [
    # what OpenAI publishes for gpt-image-1 and 1.5, and what gpt-image-2's prices come to
    ("1024x1024", "low", 272), ("1024x1536", "low", 408), ("1536x1024", "low", 400),
    ("1024x1024", "medium", 1_056), ("1024x1536", "medium", 1_584), ("1536x1024", "medium", 1_568),
    ("1024x1024", "high", 4_160), ("1024x1536", "high", 6_240), ("1536x1024", "high", 6_208),
    ("1024x1024", "high", 7_033), ("1024x1024", "auto", 7_033), ("auto", "auto", 6_240),
]  # fmt: skip


@pytest.mark.parametrize(("size", "quality", "tokens"), REPORTED)
def test_law_1_published_figures_are_within_the_bound(size: str, quality: str, tokens: int) -> None:
    canvas = read_canvas(size, quality)
    assert isinstance(canvas, Canvas)
    assert tokens <= canvas.tokens_most


SIDES = st.integers(0, LONGEST_SIDE + 10)
QUALITIES = st.sampled_from([None, "auto", "low", "medium", "high", "hd", "standard", "ultra"])


@given(SIDES, SIDES, QUALITIES, st.integers(0, 4096))
def test_a_larger_image_is_never_bounded_lower(width: int, height: int, quality: str | None, more: int) -> None:
    small, large = read_canvas(f"{width}x{height}", quality), read_canvas(f"{width + more}x{height}", quality)
    if not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE) or width * height > MOST_PIXELS:
        assert small == "size"
    else:
        assert isinstance(small, Canvas)
        assert small.tokens_likely <= small.tokens_most
        assert isinstance(large, str) or small.tokens_most <= large.tokens_most


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_breaks_it(size: str, quality: str) -> None:
    assert isinstance(read_canvas(size, quality), Canvas | str)
