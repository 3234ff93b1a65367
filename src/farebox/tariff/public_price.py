"""The price of a model as customers see it: every meter, every condition, the call price.

Enters: a compiled card. Leaves: a JSON-ready dict whose prices are exact decimal strings, with
`input_price`, `output_price` and `pricing_unit` as the short form of what matters most. Seconds
are shown as seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from farebox.tariff.billing_mode import billing_methods
from farebox.tariff.compiled import CompiledCard, inherited
from farebox.tariff.decimals import PriceError, format_decimal, parse_decimal
from farebox.tariff.meters import PER_MILLION, SUBUNITS, TOKENS, Meter
from farebox.tariff.rate_card import CallPrice, ExactRate, Override, exact_rates

UNIT_NAMES: Mapping[Meter, str] = {
    **dict.fromkeys(TOKENS, "token"),
    Meter.IMAGES: "image",
    Meter.CHARACTERS: "character",
    Meter.AUDIO_SECONDS: "second",
    Meter.VIDEO_SECONDS: "second",
    Meter.ASSETS_3D: "asset",
    Meter.MUSIC_TRACKS: "track",
    Meter.MUSIC_SECONDS: "second",
    Meter.PAGES: "page",
    Meter.SEARCHES: "search",
    Meter.TOOL_CALLS: "tool_call",
    Meter.SESSION_SECONDS: "second",
    Meter.CALLS: "call",
}

HEADLINES: tuple[tuple[Meter | None, Meter | None, str, int], ...] = (
    (Meter.INPUT, Meter.OUTPUT, "per_million_tokens", PER_MILLION),
    (Meter.INPUT_AUDIO, Meter.OUTPUT_AUDIO, "per_million_tokens", PER_MILLION),
    (Meter.CHARACTERS, None, "per_million_characters", PER_MILLION),
    (Meter.AUDIO_SECONDS, None, "per_minute", 60_000),
    (Meter.SESSION_SECONDS, None, "per_minute", 60_000),
    (Meter.PAGES, None, "per_page", 1),
    (Meter.SEARCHES, None, "per_search", 1),
    (Meter.CALLS, None, "per_call", 1),
    (None, Meter.IMAGES, "per_image", 1),
    (None, Meter.VIDEO_SECONDS, "per_second", 1000),
    (None, Meter.ASSETS_3D, "per_asset", 1),
    (None, Meter.MUSIC_TRACKS, "per_track", 1),
    (None, Meter.MUSIC_SECONDS, "per_second", 1000),
)
"""The first row with a rate gives the short form: input meter, output meter, unit, its size in units of usage."""


def public_price(card: CompiledCard) -> dict[str, Any]:
    """The full price for `/v1/models`. A side without a price of its own is None, never 0."""
    return {
        **_short_form(card),
        "billing_methods": [method.value for method in billing_methods(card)],
        "rates": _rates(card.base_rates, inherited(card.base_rates)),
        "call_price": _call_price(card.card.call_price),
        "overrides": [_override(override) for override in card.card.overrides],
    }


def _short_form(card: CompiledCard) -> dict[str, str | None]:
    for entering, leaving, unit, size in HEADLINES:
        if entering in card.base_rates or leaving in card.base_rates:
            return {
                "input_price": _per(card.base_rates, entering, size),
                "output_price": _per(card.base_rates, leaving, size),
                "pricing_unit": unit,
            }
    call = card.card.call_price or next((step.call_price for step in card.steps if step.call_price), None)
    if call is None:
        return {"input_price": None, "output_price": None, "pricing_unit": None}
    price = format_decimal(parse_decimal(call.price))
    return {"input_price": None, "output_price": price, "pricing_unit": f"per_{call.unit}"}


def _per(rates: Mapping[Meter, ExactRate], meter: Meter | None, size: int) -> str | None:
    if meter is None or meter not in rates:
        return None
    try:
        return format_decimal(rates[meter].each * size)
    except PriceError:  # a price per 3 of something has no finite decimal per 1: the list of rates has it exactly
        return None


def _rates(own: Mapping[Meter, ExactRate], every: Mapping[Meter, ExactRate]) -> list[dict[str, Any]]:
    return [
        {
            "meter": meter.value,
            "price": format_decimal(rate.price),
            "per": rate.per // SUBUNITS.get(meter, 1),
            "unit": UNIT_NAMES[meter],
            "inherited": meter not in own,
        }
        for meter, rate in every.items()
    ]


def _call_price(price: CallPrice | None) -> dict[str, Any] | None:
    if price is None:
        return None
    return {"price": price.price, "unit": price.unit.value, "input_covered": price.input_covered}


def _override(override: Override) -> dict[str, Any]:
    rates = exact_rates(override.rates)
    return {
        "when": msgspec.to_builtins(override.when),
        "rates": _rates(rates, rates),
        "call_price": _call_price(override.call_price),
        "multiply": override.multiply,
    }
