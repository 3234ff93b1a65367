"""LiteLLM's price file as a list of ours: every field of the shipped file has its place, every figure its price."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.price_sources import FOLDER, LISTED, content, decoded

from farebox.money import round_half_even
from farebox.tariff import litellm_fields as tables
from farebox.tariff.compiled import Unpriced, compile_card
from farebox.tariff.conditions import Circumstances
from farebox.tariff.foreign_prices import Terms, Wish, honest
from farebox.tariff.import_litellm import read_litellm
from farebox.tariff.litellm_entries import HOMES, NOT_MODELS, named
from farebox.tariff.litellm_fields import read_field
from farebox.tariff.meters import INPUT_TOKENS, Meter, Usage
from farebox.tariff.price_list import Model, ModelType, Reading, Severity
from farebox.tariff.rate import amount_of, call_amount_of
from farebox.tariff.rate_card import CallPrice, CallUnit, RateCard

NANO = 10**9
ON = date(2026, 11, 21)
FILE: Mapping[str, Mapping[str, Any]] = decoded("litellm")
PROVIDERS = frozenset(fields["litellm_provider"] for key, fields in FILE.items() if key not in NOT_MODELS)


def terms(markup: str = "1", **wish: Any) -> Terms:
    return Terms(source="litellm", as_of=ON, on=ON, markup=markup, wish=Wish(**wish))


@cache
def everything() -> Reading:
    return read_litellm(FILE, terms(providers=PROVIDERS))


@cache
def models() -> dict[str, Model]:
    return {model.id: model for model in everything().price_list.models}


def reading_of(fields: Mapping[str, Any], key: str = "openai/m", markup: str = "1") -> Reading:
    return read_litellm(
        {key: {"litellm_provider": "openai", "mode": "chat"} | dict(fields)}, terms(markup, providers=PROVIDERS)
    )


def card_of(fields: Mapping[str, Any], key: str = "openai/m", markup: str = "1") -> dict[str, Any]:
    """The price of the one model in a file, as plain values; it must not be refused."""
    reading = reading_of(fields, key, markup)
    assert not reading.refused
    return msgspec.json.decode(msgspec.json.encode(reading.price_list.models[0].price))


def problems_of(fields: Mapping[str, Any]) -> list[tuple[Severity, str]]:
    return [(finding.severity, finding.problem.split(":")[0]) for finding in reading_of(fields).findings]


def test_the_shipped_file_is_the_one_that_was_listed() -> None:
    for name in ("litellm", "genai-prices"):
        assert hashlib.sha256(content(name)).hexdigest() == LISTED[name]["sha256"]
        assert (FOLDER / f"{name}.LICENSE").read_text().count("MIT")
        assert LISTED[name]["licence"] == "MIT"


PLACES: dict[str, frozenset[str]] = {
    "no price": frozenset(tables.NO_PRICE),
    "fact": tables.FACTS,
    "capability": frozenset(tables.CAPABILITIES),
    "read apart": tables.READ_APART,
    "would not be charged": frozenset(tables.UNCOUNTED),
    "not offered": frozenset(tables.NOT_OFFERED),
}
"""Where a field can have its place, beside those of figures."""


def place_of(name: str) -> list[str]:
    found = [place for place, names in PLACES.items() if name in names]
    if read_field(name) is not None and name not in tables.UNCOUNTED:
        found.append("figure")
    if tables.RESOLUTIONS.fullmatch(name):
        found.append("figure of a resolution")
    return found


def test_every_field_of_the_file_has_exactly_one_place() -> None:
    fields = {name for key, model in FILE.items() for name in model}
    assert len(fields) > 240
    wrong = {name: place_of(name) for name in fields if len(place_of(name)) != 1}
    assert not wrong


def test_every_row_of_the_tables_is_needed_by_the_file() -> None:
    """A field that nobody writes any more has no place to keep."""
    fields = {name for model in FILE.values() for name in model}
    bases = {field.base for name in fields if (field := read_field(name)) is not None}
    assert {name for names in PLACES.values() for name in names} <= fields | {"input_cost_per_request"}
    assert {*tables.FIGURES, *tables.PARAMETER_FIGURES, *tables.BY_TYPE} <= bases | {"file_search_cost_per_1k_calls"}


def test_no_field_of_the_file_is_unknown_also_inside_of_others() -> None:
    assert not [finding for finding in everything().findings if "unknown field" in finding.problem]


def test_every_model_is_imported_or_refused_by_name() -> None:
    entries = named(FILE)
    refused = {finding.model for finding in everything().refused}
    assert set(entries) == set(models()) | refused
    assert not set(models()) & refused
    keys = {entry.key for entry in entries.values()} | {v.key for entry in entries.values() for v in entry.variants}
    assert keys >= set(FILE) - NOT_MODELS


def test_what_is_refused_is_refused_for_one_of_these_reasons() -> None:
    """Whatever cannot be charged rightly: counted by the second of a machine, the message, the step, the pixel."""
    known = (
        *("mode", "cost_per_second", "input_cost_per_second", "input_cost_per_query", "tiered_pricing"),
        *("output_cost_per_image", "input_cost_per_image", "input_cost_per_pixel", "output_cost_per_character"),
        *tables.UNCOUNTED,
    )
    for finding in everything().refused:
        said = finding.problem
        assert said.startswith(known) or "which no condition knows" in said or "no price for an image" in said, finding
    assert len({finding.model for finding in everything().refused}) < 150


MODES = {None: Circumstances(0), "batches": Circumstances(0, batch=True)} | {
    mode: Circumstances(0, service_tier=mode) for mode in ("flex", "priority", "ultrafast", "balanced")
}
WRITTEN = {
    Meter.INPUT: "input_cost_per_token",
    Meter.OUTPUT: "output_cost_per_token",
    Meter.CACHED_INPUT: "cache_read_input_token_cost",
    Meter.CACHE_WRITE_5M: "cache_creation_input_token_cost",
    Meter.CACHE_WRITE_1H: "cache_creation_input_token_cost_above_1hr",
    Meter.INPUT_AUDIO: "input_cost_per_audio_token",
    Meter.OUTPUT_AUDIO: "output_cost_per_audio_token",
    Meter.REASONING: "output_cost_per_reasoning_token",
}
PARENTS = {Meter.REASONING: Meter.OUTPUT, Meter.OUTPUT_AUDIO: Meter.OUTPUT, Meter.CACHE_WRITE_1H: Meter.CACHE_WRITE_5M}


def naive_price(fields: Mapping[str, Any], meter: Meter, given: int, mode: str | None) -> Fraction | None:
    """What one token costs, straight from the file: the highest threshold passed, the mode's own or the standard's."""
    base = WRITTEN[meter]
    if meter is Meter.CACHE_WRITE_1H and base not in fields:
        base = "cache_creation_input_token_cost_above_12hr"
    long = any("_above_1hr" in name or "_above_12hr" in name for name in fields)
    thresholds = sorted(
        {f.above for n in fields if (f := read_field(n)) and f.above and n.startswith(base)}, reverse=True
    )
    suffixes = [f"_above_{above // 1000}k_tokens" for above in thresholds if given > above] + [""]
    for suffix in suffixes:
        own = None if mode is None else fields.get(f"{base}{suffix}_{mode}")
        figure = fields.get(f"{base}{suffix}") if own is None else own
        if figure is not None:
            return Fraction(honest(figure))
    if meter is Meter.CACHE_WRITE_1H and long:
        return naive_price(fields, Meter.INPUT, given, mode)
    parent = PARENTS.get(meter, None if meter in (Meter.INPUT, Meter.OUTPUT) else Meter.INPUT)
    return None if parent is None else naive_price(fields, parent, given, mode)


@cache
def candidates() -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Models priced by the token, by hours and ranges apart: those have tests of their own."""
    odd = {"tiered_pricing", "off_peak_pricing", "provider_specific_entry"}
    return tuple(
        (name, entry.fields)
        for name, entry in named(FILE).items()
        if name in models() and entry.fields.get("input_cost_per_token") and odd.isdisjoint(entry.fields)
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_a_card_charges_what_the_file_says_at_any_size_and_tier(seed: int) -> None:
    random = Random(seed)
    name, fields = random.choice(candidates())
    mode = random.choice(list(MODES))
    counts = {meter: random.choice((0, 1, 999, 64_001, 150_000, 300_000)) for meter in WRITTEN}
    given_tokens = sum(count for meter, count in counts.items() if meter in INPUT_TOKENS)
    prices = {meter: naive_price(fields, meter, given_tokens, mode) for meter in WRITTEN}
    usage = Usage({meter: count for meter, count in counts.items() if prices[meter] is not None})
    expected = sum((count * (prices[meter] or 0) for meter, count in usage.items()), Fraction(0)) * NANO
    card = compile_card(models()[name].price, "file")
    charged = amount_of(card, usage=usage, circumstances=MODES[mode])
    if sum(usage.values()) == sum(counts.values()):  # else the thresholds were judged by other input
        assert charged == round_half_even(expected.numerator, expected.denominator), (name, mode, usage)


TOKENS = {"input_cost_per_token": Decimal("1e-06"), "output_cost_per_token": Decimal("4e-06")}
FREE = {"input_cost_per_token": 0, "output_cost_per_token": 0}
IMAGE = {"mode": "image_generation"}
VIDEO = {"mode": "video_generation"}
SPEECH = {"mode": "audio_speech"}
HEARING = {"mode": "audio_transcription"}
MEANINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tokens, by the million": (TOKENS, {"rates": {"input": "1", "output": "4"}}),
    "the tail of a binary fraction": (
        {"input_cost_per_token": Decimal("1.0000000000000001e-07")},
        {"rates": {"input": "0.1"}},
    ),
    "more digits than a price may have": (
        {"input_cost_per_token": Decimal("1.2345678901234e-08")},
        {"rates": {"input": {"price": "12.345678901234", "per": 1_000_000_000}}},
    ),
    "every part of the input and output": (
        {
            "input_cost_per_token": 1,
            "cache_read_input_token_cost": 2,
            "cache_creation_input_token_cost": 3,
            "cache_creation_input_token_cost_above_1hr": 4,
            "input_cost_per_audio_token": 5,
            "cache_read_input_audio_token_cost": 6,
            "input_cost_per_image_token": 7,
            "cache_read_input_image_token_cost": 8,
            "input_cost_per_video_token": 9,
            "output_cost_per_token": 10,
            "output_cost_per_reasoning_token": 11,
            "output_cost_per_audio_token": 12,
            "output_cost_per_image_token": 13,
            "output_cost_per_video_token": 14,
        },
        {
            "rates": {
                "input": "1000000",
                "cached_input": "2000000",
                "cache_write_5m": "3000000",
                "cache_write_1h": "4000000",
                "input_audio": "5000000",
                "cached_audio": "6000000",
                "input_image": "7000000",
                "cached_image": "8000000",
                "input_video": "9000000",
                "output": "10000000",
                "reasoning": "11000000",
                "output_audio": "12000000",
                "output_image": "13000000",
                "output_video": "14000000",
            }
        },
    ),
    "a cache of any lifetime": (
        {"input_cost_per_token": 1, "cache_creation_input_token_cost": 2},
        {"rates": {"input": "1000000", "cache_write_5m": "2000000", "cache_write_1h": "2000000"}},
    ),
    "a threshold moves the whole request": (
        {"input_cost_per_token": 1, "input_cost_per_token_above_200k_tokens": 2},
        {
            "rates": {"input": "1000000"},
            "overrides": [{"when": {"input_above": 200_000}, "rates": {"input": "2000000"}}],
        },
    ),
    "ranges of input": (
        {
            "tiered_pricing": [
                {"range": [0, Decimal("32000.0")], "input_cost_per_token": 1},
                {"range": [Decimal("32000.0"), Decimal("128000.0")], "input_cost_per_token": 2},
            ]
        },
        {
            "rates": {"input": "1000000"},
            "overrides": [{"when": {"input_above": 32_000}, "rates": {"input": "2000000"}}],
        },
    ),
    "batches and service tiers": (
        {"input_cost_per_token": 4, "input_cost_per_token_batches": 2, "input_cost_per_token_priority": 8},
        {
            "rates": {"input": "4000000"},
            "overrides": [
                {"when": {"batch": True}, "rates": {"input": "2000000"}},
                {"when": {"service_tier": "priority"}, "rates": {"input": "8000000"}},
            ],
        },
    ),
    "hours and days": (
        {
            "input_cost_per_token": 2,
            "off_peak_pricing": {
                "input_cost_per_token": 1,
                "windows": [
                    {"hours_utc": ["00:00-01:00", "10:00-00:00"], "weekdays": [1, 2, 3, 4, 5]},
                    {"hours_utc": "00:00-00:00", "weekdays": [6, 7]},
                ],
            },
        },
        {
            "rates": {"input": "2000000"},
            "overrides": [
                {
                    "when": {"utc_window": "00:00-01:00", "utc_weekdays": [1, 2, 3, 4, 5]},
                    "rates": {"input": "1000000"},
                },
                {
                    "when": {"utc_window": "10:00-00:00", "utc_weekdays": [1, 2, 3, 4, 5]},
                    "rates": {"input": "1000000"},
                },
                {"when": {"utc_weekdays": [6, 7]}, "rates": {"input": "1000000"}},
            ],
        },
    ),
    "searches by the size of their context": (
        TOKENS
        | {
            "search_context_cost_per_query": {
                "search_context_size_low": Decimal("0.005"),
                "search_context_size_medium": Decimal("0.008"),
                "search_context_size_high": Decimal("0.012"),
            }
        },
        {
            "rates": {"input": "1", "output": "4", "searches": "0.008"},
            "overrides": [
                {"when": {"parameters": {"search_context_size": "high"}}, "rates": {"searches": "0.012"}},
                {"when": {"parameters": {"search_context_size": "low"}}, "rates": {"searches": "0.005"}},
            ],
        },
    ),
    "faster processing": (
        TOKENS | {"provider_specific_entry": {"fast": Decimal("2.0")}, "input_cost_per_request": Decimal("0.01")},
        {
            "rates": {"input": "1", "output": "4", "calls": "0.01"},
            "overrides": [{"when": {"parameters": {"speed": "fast"}}, "rates": {"calls": "0.01"}, "multiply": "2"}],
        },
    ),
    "an image": (
        IMAGE | {"output_cost_per_image": Decimal("0.04"), "input_cost_per_token": Decimal("0.0")},
        {"call_price": {"price": "0.04", "unit": "image"}},
    ),
    "an image by its resolution": (
        IMAGE | {"output_cost_per_image": Decimal("0.08"), "output_cost_per_image_4K": Decimal("0.16")},
        {
            "call_price": {"price": "0.08", "unit": "image"},
            "overrides": [
                {"when": {"parameters": {"resolution": "4K"}}, "call_price": {"price": "0.16", "unit": "image"}}
            ],
        },
    ),
    "a second of video": (
        VIDEO | {"output_cost_per_second": Decimal("0.1"), "output_cost_per_second_1080p": Decimal("0.12")},
        {
            "rates": {"video_seconds": "0.1"},
            "overrides": [{"when": {"parameters": {"resolution": "1080p"}}, "rates": {"video_seconds": "0.12"}}],
        },
    ),
    "a second that is heard": (
        HEARING | {"input_cost_per_second": Decimal("0.0001"), "output_cost_per_second": Decimal("0.0001")},
        {"rates": {"audio_seconds": "0.0001"}},
    ),
    "a second of a session": (
        {"mode": "realtime", "input_cost_per_second": Decimal("0.001")},
        {"rates": {"session_seconds": "0.001"}},
    ),
    "a character": (
        SPEECH | {"input_cost_per_character": Decimal("1.5e-05")},
        {"rates": {"characters": {"price": "15", "per": 1_000_000}}},
    ),
    "a search for what fits": (
        {"mode": "rerank", "input_cost_per_query": Decimal("0.002"), "input_cost_per_token": Decimal("0.0")},
        {"rates": {"input": "0", "searches": "0.002"}},
    ),
    "a page, and one with annotations": (
        {"mode": "ocr", "ocr_cost_per_page": Decimal("0.004"), "annotation_cost_per_page": Decimal("0.005")},
        {
            "rates": {"pages": "0.004"},
            "overrides": [{"when": {"parameters": {"annotations": "true"}}, "rates": {"pages": "0.005"}}],
        },
    ),
    "what an embedding is made of": (
        {
            "mode": "embedding",
            "input_cost_per_token": Decimal("1e-06"),
            "input_cost_per_image": Decimal("0.0001"),
            "input_cost_per_video_per_second": Decimal("0.0007"),
            "input_cost_per_audio_per_second": Decimal("0.00014"),
        },
        {"rates": {"input": "1", "images": "0.0001", "audio_seconds": "0.00014", "video_seconds": "0.0007"}},
    ),
    "tools": (
        {"code_interpreter_cost_per_session": Decimal("0.03")},
        {"rates": {"tool_calls": "0.03"}},
    ),
}


@pytest.mark.parametrize("meaning", MEANINGS)
def test_what_the_figures_mean(meaning: str) -> None:
    fields, expected = MEANINGS[meaning]
    assert card_of(fields) == expected


def test_sizes_and_qualities_in_names_are_one_model() -> None:
    entry = {"litellm_provider": "openai", "mode": "image_generation"}
    keys = {
        "standard/1024-x-1024/draw": entry | {"input_cost_per_pixel": Decimal("3.814697265625e-08")},
        "hd/1792-x-1024/draw": entry | {"input_cost_per_image": Decimal("0.12")},
    }
    (model,) = read_litellm(keys, terms(providers=PROVIDERS)).price_list.models
    card = compile_card(model.price, "draw")
    for size, quality, expected in (("1024x1024", "standard", "0.04"), ("1792x1024", "hd", "0.12")):
        asked = Circumstances(0, parameters={"size": size, "quality": quality})
        assert call_amount_of(card, units=1, circumstances=asked) == Fraction(expected) * NANO
    assert model.id == "draw"
    assert isinstance(call_amount_of(card, units=1, circumstances=Circumstances(0)), Unpriced)


REFUSED, WARNING = Severity.REFUSED, Severity.WARNING


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"strange_cost": 1}, (REFUSED, "strange_cost")),
        ({"supports_something": True}, (WARNING, "supports_something")),
        ({"input_cost_per_token": "0.1"}, (REFUSED, "input_cost_per_token")),
        ({"input_cost_per_token": Decimal("-1")}, (REFUSED, "input_cost_per_token")),
        ({"input_cost_per_text_message": 1}, (REFUSED, "input_cost_per_text_message")),
        ({"input_cost_per_token_decisions": 1}, (WARNING, "input_cost_per_token_decisions")),
        ({"mode": "guardrail"}, (REFUSED, "mode 'guardrail'")),
        ({"cost_per_second": 1}, (REFUSED, "cost_per_second")),
        ({"explicit_cache_read_input_token_cost": 9}, (REFUSED, "explicit_cache_read_input_token_cost")),
        ({"citation_cost_per_token": Decimal("2e-06")}, (WARNING, "citation_cost_per_token")),
        ({"off_peak_pricing": {"windows": [], "moon": 1}}, (REFUSED, "off_peak_pricing.moon")),
        ({"tiered_pricing": [{"range": [0, 1], "strange": 1}]}, (REFUSED, "tiered_pricing.strange")),
        ({"search_context_cost_per_query": {"huge": 1}}, (REFUSED, "search_context_cost_per_query.huge")),
        ({"provider_specific_entry": {"odd": Decimal("1.5")}}, (REFUSED, "provider_specific_entry.odd")),
        (IMAGE | {"output_cost_per_image": 1}, (WARNING, "output_cost_per_image")),
        (VIDEO | FREE | {"input_cost_per_image": 1}, (REFUSED, "input_cost_per_image")),
        (HEARING | {"input_cost_per_second": 1}, (WARNING, "input_cost_per_second")),
        ({"deprecation_date": "soon"}, (WARNING, "deprecation_date")),
        ({"tiered_pricing": {"range": 1}}, (REFUSED, "not as LiteLLM writes a model")),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_reported_with_its_field(fields: dict[str, Any], expected: tuple[Severity, str]) -> None:
    assert expected in problems_of(TOKENS | fields)


def test_a_price_of_float_is_never_taken() -> None:
    assert (REFUSED, "input_cost_per_token") in problems_of({"input_cost_per_token": 0.5})


def test_a_markup_is_on_the_price_and_not_on_the_cost() -> None:
    (model,) = reading_of(TOKENS | {"provider_specific_entry": {"fast": 2}}, markup="1.15").price_list.models
    assert model.cost_card is not None
    assert model.cost_card.rates == {Meter.INPUT: "1", Meter.OUTPUT: "4"}
    assert model.price.rates == {Meter.INPUT: "1.15", Meter.OUTPUT: "4.6"}
    assert [override.multiply for override in model.price.overrides] == ["2"]


def test_models_keep_their_own_names_and_those_who_resell_them_a_prefix() -> None:
    names = named(FILE)
    assert names["gemini-2.5-pro"].key == "gemini/gemini-2.5-pro"
    assert names["gpt-4o"].provider == "openai"
    assert names["azure/gpt-4o"].provider == "azure"
    assert len(names) == len({entry.key for entry in names.values()})
    assert set(HOMES) <= {model.get("litellm_provider") for model in FILE.values()}


def test_facts_come_along() -> None:
    model = models()["gpt-4o"]
    assert (model.type, model.context_length, model.max_output_tokens) == (ModelType.CHAT, 128_000, 16_384)
    assert {"vision", "function_calling", "chat"} <= set(model.capabilities)
    assert models()["gpt-image-1"].sunset == date(2026, 10, 23)
    assert (model.as_of, model.source) == (ON, "litellm: https://developers.openai.com/api/docs/pricing")


def test_only_what_is_wished_is_read() -> None:
    mine = read_litellm(FILE, terms(models={"mine": "azure/gpt-4o"}))
    assert [model.id for model in mine.price_list.models] == ["mine"]
    missing = read_litellm(FILE, terms(models={"mine": "none/such"}))
    assert [(finding.severity, finding.model) for finding in missing.findings] == [(REFUSED, "mine")]
    known = {"gpt-4o": models()["gpt-4o"], "our-own": models()["gpt-4o"]}
    assert [model.id for model in read_litellm(FILE, terms(known=known)).price_list.models] == ["gpt-4o"]


def test_a_model_of_the_catalogue_keeps_what_it_is() -> None:
    ours = replace(models()["gpt-4o"], display_name="Ours", min_tier="free", max_output_tokens=None, aliases=("four",))
    (model,) = read_litellm(FILE, terms("2", known={"gpt-4o": ours})).price_list.models
    assert (model.display_name, model.min_tier, model.aliases, model.max_output_tokens) == (
        "Ours",
        "free",
        ("four",),
        16_384,
    )
    assert model.price.rates[Meter.INPUT] == "5"


def test_a_model_of_the_catalogue_is_left_alone_where_the_file_has_no_price_but_zero() -> None:
    ours = models()["gpt-4o"]
    for fields in ({}, FREE):
        file = {"gpt-4o": {"litellm_provider": "openai", "mode": "chat"} | fields}
        reading = read_litellm(file, terms(known={"gpt-4o": ours}))
        assert reading.price_list.models == ()
        assert [(finding.severity, finding.model) for finding in reading.findings] == [(WARNING, "gpt-4o")]
        assert [model.id for model in read_litellm(file, terms(providers=PROVIDERS)).price_list.models] == ["gpt-4o"]


def test_a_call_price_covers_the_input_that_it_covered_before() -> None:
    before = RateCard(call_price=CallPrice("0.01", CallUnit.IMAGE, 4_000))
    ours = replace(models()["gpt-4o"], price=before, type=ModelType.IMAGE_GENERATION)
    fields = IMAGE | {"output_cost_per_image": Decimal("0.08"), "output_cost_per_image_4K": Decimal("0.16")}
    file = {"gpt-4o": {"litellm_provider": "openai"} | fields}
    (model,) = read_litellm(file, terms(known={"gpt-4o": ours})).price_list.models
    prices = [model.price.call_price, *(override.call_price for override in model.price.overrides)]
    assert [price and (price.price, price.input_covered) for price in prices] == [("0.08", 4_000), ("0.16", 4_000)]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.decimals("0.01", "20", places=4).filter(bool))
def test_a_marked_up_charge_is_the_cost_times_the_markup(seed: int, factor: Decimal) -> None:
    """Exactly, but for the one rounding of each."""
    random = Random(seed)
    name, fields = random.choice(candidates())
    (model,) = read_litellm({name: fields}, terms(f"{factor:f}", models={name: name})).price_list.models
    assert model.cost_card is not None
    price, costs = compile_card(model.price, "price"), compile_card(model.cost_card, "cost")
    priced = [meter for meter in WRITTEN if meter in price.plain.numerators]
    usage = Usage({meter: random.randrange(100_000) for meter in priced})
    asked = amount_of(price, usage=usage, circumstances=Circumstances(0))
    paid = amount_of(costs, usage=usage, circumstances=Circumstances(0))
    assert isinstance(asked, int)
    assert isinstance(paid, int)
    assert abs(asked - paid * Fraction(factor)) <= Fraction(1, 2) + Fraction(factor) / 2
