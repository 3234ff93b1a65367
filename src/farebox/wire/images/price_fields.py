"""Fields of the images endpoints that can change what a call costs: each is priced, or refused."""

from __future__ import annotations

from farebox.wire.price_fields import OPENAI_CHAT, PriceField, Treatment

_ELSEWHERE = frozenset({"models", "fallbacks", "route", "provider", "preset", "plugins", "batch"})
"""What is refused of a chat for a reason that holds here too."""


def _priced(name: str, how: str) -> PriceField:
    return PriceField(name, Treatment.PRICED, how)


_SHARED = (
    _priced("n", "multiplies the price of a call and the output; at most 10; images delivered are charged"),
    _priced("size", "a parameter of the rate card, 1024x1024 if not given; output tokens in proportion to the area"),
    _priced("response_format", "no effect on the price"),
    PriceField("service_tier", Treatment.REFUSED, "images have no service tiers"),
    *[row for row in OPENAI_CHAT if row.treatment is Treatment.REFUSED and row.name in _ELSEWHERE],
)
_DRAWN = (
    _priced("prompt", "text by bytes; at most 32,000 characters"),
    _priced("quality", "a parameter of the rate card, standard if not given; high quality holds twice the tokens"),
    _priced("resolution", "a parameter of the rate card; follows from the size if not given: 1K, 2K, 4K, 720p, 1080p"),
    _priced("stream", "one image as it is drawn"),
    _priced("partial_images", "100 output tokens for each; at most 3"),
)

GENERATIONS: tuple[PriceField, ...] = (
    *_DRAWN,
    _priced("image", "images given as input, by formula for each; also `images`, `image_url` and the like"),
    *_SHARED,
)
EDITS: tuple[PriceField, ...] = (
    *_DRAWN,
    _priced("image", "images given as input, by formula for each; at most 16"),
    _priced("mask", "as an image whose details need not be kept"),
    _priced("input_fidelity", "details of images given are held for unless it is low"),
    *_SHARED,
)
VARIATIONS: tuple[PriceField, ...] = (_priced("image", "an image given as input, by formula"), *_SHARED)
