"""Price lists: models with their prices as data, from any decoded YAML or JSON, and back.

Enters: a decoded dict. Leaves: a `Reading`: the models that are wholly understood, and a
finding for everything that is not. Never guesses: a field it does not know, a price it cannot
read or a name used twice keeps that model out of the list, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, cast

import msgspec

from farebox.tariff.rate_card import CallPrice, RateCard
from farebox.tariff.unknown_fields import unknown_fields


class ModelType(StrEnum):
    CHAT = "chat"
    EMBEDDING = "embedding"
    IMAGE_GENERATION = "image_generation"
    AUDIO_SPEECH = "audio_speech"
    AUDIO_TRANSCRIPTION = "audio_transcription"
    VIDEO_GENERATION = "video_generation"
    GENERATION_3D = "3d_generation"
    MUSIC_GENERATION = "music_generation"
    RERANK = "rerank"
    OCR = "ocr"
    MODERATION = "moderation"
    REALTIME = "realtime"


class Reasoning(StrEnum):
    """Whether a model thinks in output that is charged, and whether the stream shows it."""

    NONE = "none"
    VISIBLE = "visible"
    INVISIBLE = "invisible"


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A model as the catalogue sells it. Every price has its source and the date it was seen there."""

    id: str
    display_name: str
    provider: str
    type: ModelType
    min_tier: str
    price: RateCard
    source: str
    as_of: date
    cost_card: RateCard | None = None
    """What we pay, where it is known."""
    capabilities: tuple[str, ...] = ()
    context_length: int | None = None
    max_output_tokens: int | None = None
    aliases: tuple[str, ...] = ()
    launched: date | None = None
    sunset: date | None = None
    tokenizer: str | None = None
    """The family whose vocabulary comes nearest: `o200k`, `cl100k`, `claude`, `gemini`, …"""
    reasoning: Reasoning = Reasoning.NONE


class PriceList(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Models by unique names. Prices are in credits."""

    name: str
    models: tuple[Model, ...] = ()


class Severity(StrEnum):
    REFUSED = "refused"
    """The model is not in the list that was read."""
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True):
    """Something the operator should know about an imported list."""

    severity: Severity
    model: str
    """The model's id, or its place in the list where it has none; empty for the list itself."""
    problem: str


class Reading(msgspec.Struct, frozen=True):
    """What could be read of a price list, and what could not."""

    price_list: PriceList
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.REFUSED)


def read_price_list(raw: Mapping[str, Any]) -> Reading:
    """Read a decoded price list; the models come out in the order of the list."""
    findings = [refused("", f"{path}: unknown field") for path in raw if path not in ("name", "models")]
    name, entries = raw.get("name"), raw.get("models")
    if not isinstance(name, str) or not isinstance(entries, Sequence) or isinstance(entries, str):
        findings.append(refused("", "a price list needs a name and a list of models"))
        return Reading(PriceList(""), tuple(findings))
    models: list[Model] = []
    taken: set[str] = set()
    for place, entry in enumerate(cast("Sequence[object]", entries)):
        model, problems = _read_model(entry, place)
        if model is not None:
            problems += name_problems(model, taken)
        findings += problems
        if model is not None and not any(finding.severity is Severity.REFUSED for finding in problems):
            models.append(model)
            taken.update((model.id, *model.aliases))
    return Reading(PriceList(name, tuple(models)), tuple(findings))


def export_price_list(price_list: PriceList) -> dict[str, Any]:
    """The list as plain dicts, lists and strings; reading it gives the same list."""
    return msgspec.to_builtins(price_list)


def _read_model(entry: object, place: int) -> tuple[Model | None, list[Finding]]:
    fields = cast("dict[str, object]", entry if isinstance(entry, dict) else {})
    name = str(fields.get("id") or f"models[{place}]")
    unknown = [refused(name, f"{path}: unknown field") for path in unknown_fields(fields, Model)]
    if unknown:
        return None, unknown
    try:
        model = msgspec.convert(entry, Model)
    except msgspec.ValidationError as error:
        return None, [refused(name, str(error))]
    return model, list(doubts(model))


def doubts(model: Model) -> Iterator[Finding]:
    """What is odd about a model that can be read."""
    card = model.price
    if model.launched and model.sunset and model.sunset < model.launched:
        yield refused(model.id, "sunset lies before launched")
    if not card.rates and card.call_price is None and not card.overrides:
        yield warning(model.id, "has no price: calls to it are refused")
    if model.type is ModelType.CHAT and (model.context_length is None or model.max_output_tokens is None):
        yield warning(model.id, "has no context_length or max_output_tokens: holds cannot be bounded")
    if any(price.input_covered is None for price in _call_prices(card)):
        yield warning(model.id, "has a call price that does not say how much input it covers")


def _call_prices(card: RateCard) -> list[CallPrice]:
    prices = [card.call_price, *[override.call_price for override in card.overrides]]
    return [price for price in prices if price is not None]


def name_problems(model: Model, taken: set[str]) -> list[Finding]:
    """A name that another model of the list has already, or that a model gives itself twice, refuses it."""
    names = (model.id, *model.aliases)
    twice = sorted({name for name in names if name in taken or names.count(name) > 1})
    return [refused(model.id, f"the name {name!r} is used twice") for name in twice]


def refused(model: str, problem: str) -> Finding:
    """A finding that keeps its model out of the list."""
    return Finding(Severity.REFUSED, model, problem)


def warning(model: str, problem: str) -> Finding:
    """A finding that the operator should know of."""
    return Finding(Severity.WARNING, model, problem)
