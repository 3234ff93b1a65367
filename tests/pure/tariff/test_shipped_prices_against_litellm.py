"""Our price list and LiteLLM's file, figure by figure, for every token of every model that both know.

The list was written by hand from several sources. Where it differs from this one, a row of `DISAGREEMENTS` says why,
and must be needed; anything else is a slip of ours, or a price that has changed since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.support.price_sources import decoded

from farebox.books import shipped_prices
from farebox.tariff.compiled import CompiledCard, compile_card
from farebox.tariff.conditions import Circumstances
from farebox.tariff.meters import Meter, Usage
from farebox.tariff.price_list import Model

PREFIXES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("openai", "anthropic", "deepseek", "cohere", "ai21"), ("",)),
    "google": ("gemini/", ""),
    "cohere": ("", "cohere/"),
    "alibaba": ("dashscope/",),
    "amazon": ("amazon.", ""),
    "bytedance": ("volcengine/",),
    **{
        name: (f"{name}/",) for name in ("mistral", "xai", "zai", "moonshot", "meta", "voyage", "perplexity", "minimax")
    },
}
"""How a provider's models are called there."""

FIGURES = {
    Meter.INPUT: "input_cost_per_token",
    Meter.CACHED_INPUT: "cache_read_input_token_cost",
    Meter.CACHE_WRITE_5M: "cache_creation_input_token_cost",
    Meter.CACHE_WRITE_1H: "cache_creation_input_token_cost_above_1hr",
    Meter.INPUT_AUDIO: "input_cost_per_audio_token",
    Meter.INPUT_IMAGE: "input_cost_per_image_token",
    Meter.CACHED_IMAGE: "cache_read_input_image_token_cost",
    Meter.CACHED_AUDIO: "cache_read_input_audio_token_cost",
    Meter.OUTPUT: "output_cost_per_token",
    Meter.OUTPUT_AUDIO: "output_cost_per_audio_token",
    Meter.OUTPUT_IMAGE: "output_cost_per_image_token",
}
WAYS: Mapping[str, dict[str, Any]] = {
    "": {},
    "_batches": {"batch": True},
    "_flex": {"service_tier": "flex"},
    "_priority": {"service_tier": "priority"},
}
LONG = (100, 128, 200, 272, 512)
"""Thresholds of prices for long prompts, in thousands of tokens."""

DISAGREEMENTS: Mapping[str, str] = {
    "gpt-4o": "the price of its first snapshot",
    "gemini-3-pro-image-preview": "a reseller's price for the call",
    "mistral-large-4": "the provider's page since 2026-10-29",
    "gpt-4o-mini-tts": "all its output is audio",
    "gpt-4o-transcribe": "audio as the provider's page has it",
    "gpt-4o-mini-transcribe": "audio as the provider's page has it",
    "gemini-2.5-flash-image": "the provider sells no cached input for it",
    "gemini-3.8-flash-tts": "genai-prices knows no cached input for it, and a request of speech has none",
    "gemini-3.8-flash-lite-tts": "genai-prices knows no cached input for it, and a request of speech has none",
    "gemini-3-pro-image": "flex and priority are known for its text only",
    "deepseek-flash": "LiteLLM starts from the price at peak, ours from that off peak",
    "deepseek-v4-pro": "LiteLLM starts from the price at peak, ours from that off peak",
    **dict.fromkeys(
        ("gemma-3-27b-it", "gemma-4-26b-a4b-it", "gemma-4-31b-it", "glm-4.7-flash"),
        "free at its maker, in bounds; the price is that of a host",
    ),
    **dict.fromkeys(
        ("glm-4.6", "glm-4.7", "glm-5", "glm-5.2", "glm-5.3", "glm-5.3-flash"),
        "what is free is to keep a cache; written input is input",
    ),
}


def theirs(model: Model) -> Mapping[str, Any] | None:
    """LiteLLM's entry of a model, by its id or an alias."""
    names = [f"{prefix}{name}" for name in (model.id, *model.aliases) for prefix in PREFIXES.get(model.provider, ())]
    return next((decoded("litellm")[name] for name in names if name in decoded("litellm")), None)


def figures(entry: Mapping[str, Any]) -> Iterator[tuple[Meter, str, int | None, Decimal]]:
    """Each figure with its meter, the way it is served, and the threshold it is for."""
    for meter, field in FIGURES.items():
        for way in WAYS:
            for above in (None, *LONG):
                key = field + (f"_above_{above}k_tokens" if above else "") + way
                if entry.get(key) is not None:
                    yield meter, way, above, Decimal(entry[key])


def ours(card: CompiledCard, meter: Meter, way: str, above: int | None) -> Fraction:
    """Credits for one token; 0 where there is no price, since LiteLLM writes a 0 for that."""
    at = Circumstances(at_us=12 * 3_600_000_000, **WAYS[way])
    found = card.prices(Usage({Meter.INPUT: above * 1000 + 1 if above else 1}), at)
    return Fraction(found.numerators.get(meter, 0), found.denominator * 10**9)


def differences(model: Model, entry: Mapping[str, Any]) -> list[str]:
    card = compile_card(model.price, model.id)
    return [
        f"{model.id}: {meter}{way} above {above}k: {figure} there, {float(price)} here"
        for meter, way, above, figure in figures(entry)
        if (price := ours(card, meter, way, above)) != Fraction(figure)
    ]


def test_every_figure_that_both_have_agrees_or_has_a_reason() -> None:
    known = [(model, entry) for model in shipped_prices().models if (entry := theirs(model)) is not None]
    found = {model.id: differences(model, entry) for model, entry in known}
    wrong = [line for name, lines in found.items() if name not in DISAGREEMENTS for line in lines]
    assert wrong == []
    assert {name for name in DISAGREEMENTS if not found.get(name)} == set(), "rows that are no longer needed"
    assert len(known) > 150
