"""Prices from genai-prices: its `data.json`, decoded, becomes a price list of ours.

Enters: the decoded file (decimals as `Decimal`, never floats) and the operator's terms. Leaves: a
`Reading`. Every key of the file is a unit of `UNITS`, a field this module reads, or one of `NO_PRICE`
with its reason; anything else refuses its model.

What its figures mean there and here:

- A tier is a threshold on all input: beyond it every unit is charged at the tier's figure. That is
  `input_above`, exactly. (There are no marginal tiers in this file.)
- Of prices with dates the last that has begun counts; an import reads one day, and says which
  other days have other prices. Hours of the day are `utc_window`.
- A variant (`batch`, a service tier, any other context) replaces figures one by one, and the first
  that matches wins; our later overrides win, so variants are written last to first.
- A unit without a figure of its own is charged as the wider unit it is part of, as our meters
  inherit. A `cache_write` is of unknown lifetime there: it is both of our writes, unless the hour's
  has its own figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, cast

import msgspec

from farebox.tariff.foreign_prices import Draft, Terms, reading_of
from farebox.tariff.genai_figures import UNITS, Problems, blocks_of
from farebox.tariff.price_list import Finding, ModelType, Reading, refused

HOMES = (
    *("openai", "anthropic", "google", "mistral", "deepseek", "x-ai", "cohere", "moonshotai", "zai", "minimax"),
    *("meta", "perplexity", "voyageai", "elevenlabs", "arcee"),
)
"""Providers that sell models of their own, which keep their plain names; of two with one name the earlier here."""

PROVIDER_FIELDS = frozenset({"id", "name", "pricing_urls", "models"})
MODEL_FIELDS = frozenset({"id", "name", "match", "context_window", "deprecated", "prices", "price_variants"})
NO_PRICE: Mapping[str, str] = {
    "api_pattern": "says which addresses are the provider's",
    "description": "for people",
    "price_comments": "for people",
    "model_match": "says which models are likely the provider's",
    "provider_match": "other spellings of the provider's name",
    "extractors": "says where usage stands in answers; the wire does that here",
    "fallback_model_providers": "whose prices to take where the provider has none: name them in the import instead",
}

_OUTPUT_UNITS = ("output_mtok", "output_audio_mtok", "output_image_mtok", "output_video_mtok")
_MINUTES_AT_LEAST = {("groq", "whisper-large-v3"), ("groq", "whisper-large-v3-turbo")}


class Entry(msgspec.Struct, frozen=True):
    """One model of one provider, as the file has it."""

    provider: Mapping[str, Any]
    model: Mapping[str, Any]

    @property
    def provider_id(self) -> str:
        return str(self.provider.get("id", ""))


def read_genai_prices(raw: object, terms: Terms) -> Reading:
    """Read the decoded file. Findings name the model and the field."""
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        return reading_of((), terms, [refused("", "not a file of genai-prices: it must be a list of providers")])
    providers = [cast("Mapping[str, Any]", each) for each in cast("Sequence[object]", raw) if isinstance(each, Mapping)]
    drafts: list[tuple[str, Draft]] = []
    findings: list[Finding] = []
    for name, found in _wished(providers, terms):
        if found is None:
            findings.append(refused(name, f"{terms.source} has no model of this name"))
        else:
            try:
                drafts.append((name, draft_of(found, terms.on)))
            except (AttributeError, KeyError, TypeError, ValueError) as wrong:
                findings.append(refused(name, f"not as genai-prices writes a model: {wrong!r}"))
    return reading_of(drafts, terms, findings)


def draft_of(entry: Entry, on: date) -> Draft:
    """A model with the prices of one day."""
    problems = Problems()
    for fields, known in ((entry.provider, PROVIDER_FIELDS), (entry.model, MODEL_FIELDS)):
        for name in fields:
            if name not in known and name not in NO_PRICE:
                problems.refuse(f"{name}: unknown field")
    blocks = blocks_of(entry.model, on, problems)
    kind, guessed = _type(entry)
    if entry.model.get("deprecated"):
        problems.warn("deprecated: its provider will withdraw it")
    if (entry.provider_id, entry.model.get("id")) in _MINUTES_AT_LEAST:
        problems.warn("its provider charges ten seconds at least, which a card cannot say")
    pages = entry.provider.get("pricing_urls")
    context = entry.model.get("context_window")
    return Draft(
        provider=entry.provider_id,
        type=kind,
        blocks=blocks,
        display_name=entry.model.get("name"),
        page=str(pages[0]) if pages else None,
        context_length=context if isinstance(context, int) else None,
        type_is_guessed=guessed,
        problems=tuple(problems),
    )


def _wished(providers: Sequence[Mapping[str, Any]], terms: Terms) -> Iterator[tuple[str, Entry | None]]:
    wish = terms.wish
    for ours, theirs in wish.models.items():
        yield ours, find(providers, theirs)
    for name, entry in named(providers).items():
        if entry.provider_id in wish.providers and name not in wish.models:
            yield name, entry
    if not wish.models and not wish.providers:
        for known in wish.known:
            entry = find(providers, known)
            if entry is not None:
                yield known, entry


def named(providers: Sequence[Mapping[str, Any]]) -> dict[str, Entry]:
    """Every model by what it is called here unless the operator says otherwise."""
    names: dict[str, Entry] = {}
    for provider in sorted(providers, key=_rank):
        for model in provider.get("models", ()):
            plain = str(model.get("id"))
            free = _rank(provider) < len(HOMES) and plain not in names
            names[plain if free else f"{provider.get('id')}/{plain}"] = Entry(provider, model)
    return names


def _rank(provider: Mapping[str, Any]) -> int:
    return HOMES.index(provider["id"]) if provider.get("id") in HOMES else len(HOMES)


def find(providers: Sequence[Mapping[str, Any]], name: str) -> Entry | None:
    """The model that a name means: `provider/name`, or a name alone at the first of `HOMES` that has it."""
    for provider in sorted(providers, key=_rank):
        prefix = f"{provider.get('id')}/"
        wanted = name.removeprefix(prefix) if name.startswith(prefix) else name
        if wanted == name and provider.get("id") not in HOMES:
            continue
        for model in provider.get("models", ()):
            if model.get("id") == wanted or _matches(model.get("match"), wanted.lower()):
                return Entry(provider, model)
    return None


def _matches(clause: object, name: str) -> bool:
    """Whether a clause of the file means this name; one that is not understood means none."""
    if not isinstance(clause, Mapping) or len(cast("Mapping[str, Any]", clause)) != 1:
        return False
    ((kind, wanted),) = cast("Mapping[str, Any]", clause).items()
    match kind:
        case "or":
            return any(_matches(each, name) for each in wanted)
        case "and":
            return all(_matches(each, name) for each in wanted)
        case "equals":
            return name == wanted.lower()
        case "starts_with":
            return name.startswith(wanted.lower())
        case "ends_with":
            return name.endswith(wanted.lower())
        case "contains":
            return wanted.lower() in name
        case "regex":
            return re.search(wanted, name) is not None
        case _:
            return False


def _type(entry: Entry) -> tuple[ModelType, bool]:
    """The type that the priced units tell of, and whether it is a guess."""
    name, units = str(entry.model.get("id", "")).lower(), _units(entry.model)
    for unit, kind in _TELLING:
        if unit in units:
            return kind, True
    if "realtime" in name or re.search(r"\blive\b", name):
        return ModelType.REALTIME, True
    if "output_image_mtok" in units or "image" in name:
        return ModelType.IMAGE_GENERATION, True
    if units and not any(unit in units for unit in _OUTPUT_UNITS):
        return (ModelType.MODERATION if "moderation" in name else ModelType.EMBEDDING), True
    return ModelType.CHAT, False


_TELLING = (
    ("rerank_searches_kcount", ModelType.RERANK),
    ("input_document_kpages", ModelType.OCR),
    ("input_mchars", ModelType.AUDIO_SPEECH),
    ("input_text_messages_kcount", ModelType.REALTIME),
    ("output_video_mtok", ModelType.VIDEO_GENERATION),
    ("input_audio_hours", ModelType.AUDIO_TRANSCRIPTION),
    ("output_audio_hours", ModelType.AUDIO_SPEECH),
)


def _units(model: Mapping[str, Any]) -> set[str]:
    prices: Any = model.get("prices", {})
    every: list[Any] = [prices] if isinstance(prices, Mapping) else [each.get("prices", {}) for each in prices]
    return {unit for each in every for unit in each if unit in UNITS}
