"""The models of LiteLLM's file by the names they have here, sizes and qualities of one image model taken together.

Enters: the decoded file. Leaves: one entry a model. A key is `provider/model`, or a model alone;
the makers of models keep the plain name, and where two have it, the first of `HOMES`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from farebox.tariff.conditions import ParameterValues

HOMES: Mapping[str, str] = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "xai": "xai",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "dashscope": "alibaba",
    "moonshot": "moonshot",
    "zai": "zai",
    "minimax": "minimax",
    "meta": "meta",
    "perplexity": "perplexity",
    "voyage": "voyage",
    "jina_ai": "jina",
    "ai21": "ai21",
    "black_forest_labs": "black-forest-labs",
    "stability": "stability",
    "recraft": "recraft",
    "runwayml": "runway",
    "deepgram": "deepgram",
    "elevenlabs": "elevenlabs",
    "assemblyai": "assemblyai",
}
"""Those who sell models of their own: their name in the file, and here."""

NOT_MODELS = frozenset({"sample_spec", "fallback_generalizations"})
"""Keys that are no model: the file's own example, and patterns of names."""

_QUALITIES = frozenset({"low", "medium", "high", "xhigh", "max", "standard", "hd"})
_SIZE = re.compile(r"(\d+|max)-x-(\d+|max)")
_STEPS = re.compile(r"(\d+|max)-steps")


class Variant(msgspec.Struct, frozen=True):
    """An image model at one size, and perhaps quality."""

    key: str
    model: str
    """The key without its size and quality."""
    fields: Mapping[str, Any]
    size: tuple[int, int] | None
    """None: any."""
    quality: str | None
    steps: str | None

    @property
    def parameters(self) -> dict[str, ParameterValues]:
        """What a request asks for to get it."""
        asked: dict[str, ParameterValues] = {}
        if self.size is not None:
            asked["size"] = f"{self.size[0]}x{self.size[1]}"
        if self.quality is not None:
            asked["quality"] = self.quality
        return asked


class Entry(msgspec.Struct, frozen=True):
    """A model of the file."""

    key: str
    fields: Mapping[str, Any]
    variants: tuple[Variant, ...] = ()

    @property
    def provider(self) -> str:
        """The provider, as it is called here."""
        stated = str(self.fields.get("litellm_provider", ""))
        return HOMES.get(stated, stated)


def named(raw: Mapping[str, Any]) -> dict[str, Entry]:
    """Every model by its name here."""
    entries: list[Entry] = []
    variants: dict[str, list[Variant]] = {}
    for key, value in raw.items():
        if key in NOT_MODELS or not isinstance(value, Mapping):
            continue
        fields = cast("Mapping[str, Any]", value)
        variant = variant_of(key, fields)
        if variant is None:
            entries.append(Entry(key, fields))
        else:
            variants.setdefault(variant.model, []).append(variant)
    whole = [Entry(entry.key, entry.fields, tuple(variants.pop(entry.key, ()))) for entry in entries]
    whole += [Entry(key, _facts(found[0].fields), tuple(found)) for key, found in variants.items()]
    return _by_name(whole)


def variant_of(key: str, fields: Mapping[str, Any]) -> Variant | None:
    """A key with a size in it, taken apart; None: it has none."""
    parts = key.split("/")
    place = next((number for number, part in enumerate(parts) if _SIZE.fullmatch(part)), None)
    if place is None:
        return None
    before, after = parts[:place], parts[place + 1 :]
    quality = before.pop() if before and before[-1] in _QUALITIES else None
    steps = after.pop(0) if after and _STEPS.fullmatch(after[0]) else None
    width, height = parts[place].split("-x-")
    size = (int(width), int(height)) if width.isdigit() and height.isdigit() else None
    return Variant(key, "/".join([*before, *after]), fields, size, quality, steps)


def _facts(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if "cost" not in name}


def _by_name(entries: list[Entry]) -> dict[str, Entry]:
    order = {provider: rank for rank, provider in enumerate(HOMES)}
    names: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda entry: order.get(entry.fields.get("litellm_provider", ""), len(order))):
        provider = str(entry.fields.get("litellm_provider", ""))
        plain = entry.key.removeprefix(f"{provider}/") if provider in HOMES else entry.key
        free = [name for name in (plain, entry.key, f"{provider}/{entry.key}") if name not in names]
        names[free[0]] = entry
    return names
