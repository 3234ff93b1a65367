"""Prices from LiteLLM's price file: `model_prices_and_context_window.json`, decoded, becomes a price list of ours.

Enters: the decoded file (decimals as `Decimal`, never floats) and the operator's terms. Leaves: a
`Reading`. Every field is in a table of `litellm_fields`; what is in none of them, or cannot be said
exactly by a card, is a finding that names model and field. A figure that would be charged too low
refuses its model; one that cannot arise, or is charged too high, is a warning.

What its figures mean there and here:

- `…_above_200k_tokens` moves the whole request once its input is larger: `input_above`, exactly.
- `tiered_pricing` lists ranges of input. Its vendors charge the whole request by the range its
  input falls into, and so does the card; LiteLLM itself adds the ranges up, which is less. Said.
- `…_batches`, `…_priority`, `…_flex` and the like are batches and service tiers.
- `off_peak_pricing` is `utc_window` and `utc_weekdays`.
- Sizes and qualities that stand in a model's name (`hd/1024-x-1024/dall-e-3`) are one model here,
  with a price for an image by `size` and `quality`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, cast

from farebox.tariff.conditions import When
from farebox.tariff.foreign_prices import Block, Draft, Figure, Terms, exact, reading_of
from farebox.tariff.litellm_entries import Entry, named
from farebox.tariff.litellm_fields import (
    BY_TYPE,
    CAPABILITIES,
    COUNTED_AS,
    FACTS,
    FIGURES,
    MODES,
    MULTIPLIERS,
    NO_PRICE,
    NOT_OFFERED,
    PARAMETER_FIGURES,
    READ_APART,
    RESOLUTIONS,
    SPECIFIC_NO_PRICE,
    UNCOUNTED,
    UNSERVED_MODE,
    about_price,
    read_field,
)
from farebox.tariff.litellm_media import image_price, read_media
from farebox.tariff.litellm_sheet import STANDARD, Place, Sheet
from farebox.tariff.meters import Meter
from farebox.tariff.price_list import Finding, ModelType, Reading, Reasoning, refused

_SIZES = ("low", "medium", "high")
_DEFAULT_SIZE = "medium"


def read_litellm(raw: object, terms: Terms) -> Reading:
    """Read the decoded file. Findings name the model and the field."""
    if not isinstance(raw, Mapping):
        return reading_of((), terms, [refused("", "not LiteLLM's price file: it must be an object of models")])
    entries = named(cast("Mapping[str, Any]", raw))
    drafts: list[tuple[str, Draft]] = []
    findings: list[Finding] = []
    for name, entry in _wished(entries, terms):
        if entry is None:
            findings.append(refused(name, f"{terms.source} has no model of this name"))
            continue
        try:
            drafts.append((name, draft_of(entry)))
        except (AttributeError, KeyError, TypeError, ValueError) as wrong:
            findings.append(refused(name, f"not as LiteLLM writes a model: {wrong!r}"))
    return reading_of(drafts, terms, findings)


def draft_of(entry: Entry) -> Draft:
    """One model, with all its prices."""
    fields = entry.fields
    mode = fields.get("mode")
    kind = MODES.get(mode or ("audio_speech" if "input_cost_per_character" in fields else "chat"))
    sheet = Sheet(fields, kind or ModelType.CHAT)
    if kind is None:
        sheet.problems.refuse(f"mode {mode!r}: nothing like it is sold here")
    for name in fields:
        _read(sheet, name)
    _read_searches(sheet)
    _read_specific(sheet)
    _read_tiers(sheet)
    read_media(sheet)
    _read_variants(sheet, entry)
    _check_counted(sheet)
    _read_windows(sheet)
    blocks = sheet.blocks()
    return Draft(
        provider=entry.provider,
        type=kind,
        blocks=blocks,
        page=fields.get("source"),
        capabilities=_capabilities(fields, sheet.kind),
        context_length=_whole(fields.get("max_input_tokens")),
        max_output_tokens=_whole(fields.get("max_output_tokens")),
        sunset=_sunset(sheet),
        reasoning=Reasoning.INVISIBLE if fields.get("supports_reasoning") else Reasoning.NONE,
        type_is_guessed=mode is None,
        problems=tuple(sheet.problems),
    )


def _wished(entries: Mapping[str, Entry], terms: Terms) -> Iterator[tuple[str, Entry | None]]:
    wish = terms.wish
    by_key = {entry.key: entry for entry in entries.values()}
    for ours, theirs in wish.models.items():
        yield ours, entries.get(theirs) or by_key.get(theirs)
    for name, entry in entries.items():
        if entry.fields.get("litellm_provider") in wish.providers and name not in wish.models:
            yield name, entry
    if not wish.models and not wish.providers:
        yield from ((name, entries[name]) for name in wish.known if name in entries)


def _read(sheet: Sheet, name: str) -> None:
    """A figure that means the same wherever it stands; what is read elsewhere, or is no price, is passed over."""
    field = read_field(name)
    if field is not None and field.base not in (*BY_TYPE, *COUNTED_AS):
        price = sheet.number(name)
        if field.mode == UNSERVED_MODE:
            sheet.problems.warn(f"{name}: the price of an endpoint that is not served here")
        elif price is not None and field.base in PARAMETER_FIGURES:
            meter, parameter = PARAMETER_FIGURES[field.base]
            sheet.put(Place(field.mode, field.above, parameter), meter, price)
        elif price is not None:
            meter, per = FIGURES[field.base]
            meter = Meter.CACHE_WRITE_1H if field.long_lived else meter
            sheet.put(Place(field.mode, field.above), meter, price, per)
    elif name in UNCOUNTED:
        if isinstance(sheet.fields[name], Mapping) or sheet.number(name):
            sheet.problems.refuse(f"{name}: {UNCOUNTED[name]}, so it would not be charged")
    elif name in NOT_OFFERED:
        sheet.problems.warn(f"{name}: {NOT_OFFERED[name]}")
    elif field is None and not _known(name):
        _unknown(sheet, name)


def _known(name: str) -> bool:
    tables = (NO_PRICE, FACTS, CAPABILITIES, READ_APART)
    return any(name in table for table in tables) or RESOLUTIONS.fullmatch(name) is not None


def _unknown(sheet: Sheet, name: str) -> None:
    if about_price(name):
        sheet.problems.refuse(f"{name}: unknown field")
    else:
        sheet.problems.warn(f"{name}: unknown field, left out; its name does not speak of a price")


def _read_searches(sheet: Sheet) -> None:
    """Searches by the size of the context asked for; medium where nothing is asked, as the wire states."""
    sizes = sheet.fields.get("search_context_cost_per_query")
    if sizes is None:
        return
    prices = {name.removeprefix("search_context_size_"): exact(value) for name, value in sizes.items()}
    for name, price in prices.items():
        if name not in _SIZES or price is None:
            sheet.problems.refuse(f"search_context_cost_per_query.{name}: unknown field")
    usual = prices.get(_DEFAULT_SIZE)
    if usual is None:
        sheet.problems.refuse("search_context_cost_per_query: no price for the medium size")
        return
    sheet.put(STANDARD, Meter.SEARCHES, usual)
    for size, price in prices.items():
        if price is not None and price != usual:
            sheet.put(Place(parameter=("search_context_size", size)), Meter.SEARCHES, price)


def _read_specific(sheet: Sheet) -> None:
    """Factors on the price of tokens, each asked for by a parameter."""
    for name, value in cast("Mapping[str, object]", sheet.fields.get("provider_specific_entry") or {}).items():
        factor = exact(value)
        if name in MULTIPLIERS and factor:
            parameter, wanted = MULTIPLIERS[name]
            sheet.factors.append((When(parameters={parameter: wanted}), factor))
        elif name not in SPECIFIC_NO_PRICE:
            sheet.problems.refuse(f"provider_specific_entry.{name}: unknown field")


def _read_tiers(sheet: Sheet) -> None:
    tiers = cast("Sequence[Mapping[str, Any]]", sheet.fields.get("tiered_pricing") or ())
    for tier in tiers:
        if "range" not in tier:
            sheet.problems.refuse("tiered_pricing: ranges of something that is not input")
            return
        starts = _whole(tier["range"][0])
        place = Place(above=starts) if starts else STANDARD
        for meter, figure in _plain_figures(sheet, tier, "tiered_pricing", "range").items():
            sheet.put(place, meter, figure.price, figure.per)
    if len(tiers) > 1:
        sheet.problems.warn(
            "tiered_pricing: the whole request moves to the range its input falls into; LiteLLM adds the ranges up"
        )


def _read_windows(sheet: Sheet) -> None:
    """Hours and days of the week, with one set of prices for all of them."""
    raw = cast("Mapping[str, Any] | None", sheet.fields.get("off_peak_pricing"))
    if raw is None:
        return
    rates = _plain_figures(sheet, raw, "off_peak_pricing", "windows", "weekday_timezone")
    if "weekday_timezone" in raw:
        sheet.problems.warn(
            f"off_peak_pricing: days of the week are those of {raw['weekday_timezone']}; here they are those of UTC"
        )
    for window in raw["windows"]:
        for name in window:
            if name not in ("hours_utc", "weekdays"):
                sheet.problems.refuse(f"off_peak_pricing.windows.{name}: unknown field")
        hours = window["hours_utc"]
        for each in [hours] if isinstance(hours, str) else hours:
            whole_day = each == "00:00-00:00"
            when = When(utc_window=None if whole_day else each, utc_weekdays=tuple(window.get("weekdays", ())))
            sheet.windows.append(Block(when, rates))


def _plain_figures(sheet: Sheet, raw: Mapping[str, Any], place: str, *others: str) -> dict[Meter, Figure]:
    """The figures of a nested object; a field that is none of them nor of `others` is a problem."""
    rates: dict[Meter, Figure] = {}
    for name, value in raw.items():
        price = exact(value)
        if name in FIGURES and price is not None:
            meter, per = FIGURES[name]
            rates[meter] = Figure(price * 1_000_000 / per, 1_000_000)
        elif name not in others:
            sheet.problems.refuse(f"{place}.{name}: unknown field")
    return rates


def _read_variants(sheet: Sheet, entry: Entry) -> None:
    """Prices for an image by size and quality, unless the model is priced by the token."""
    if not entry.variants:
        return
    if sheet.priced_by_token:
        sheet.problems.warn(f"{len(entry.variants)} prices for an image: the price by token is taken instead")
        return
    for variant in entry.variants:
        if variant.steps is not None:
            sheet.problems.refuse(f"{variant.key}: a price for {variant.steps}, which no condition knows")
            continue
        beside = Sheet(variant.fields, ModelType.IMAGE_GENERATION)
        price = image_price(beside, variant.size)
        sheet.problems += beside.problems
        if price is None:
            sheet.problems.refuse(f"{variant.key}: no price for an image")
        else:
            sheet.calls.append((When(parameters=variant.parameters), price))


def _check_counted(sheet: Sheet) -> None:
    """Figures without a meter of their own must not be dearer than what they are counted as."""
    for name, meter in COUNTED_AS.items():
        price, counted = sheet.number(name), sheet.standard(meter)
        if not price:
            continue
        if counted is None or counted < price:
            sheet.problems.refuse(f"{name}: it would be counted as {meter.value}, which is cheaper")
        elif counted > price:
            sheet.problems.warn(f"{name}: it is counted as {meter.value}, which is dearer")


def _capabilities(fields: Mapping[str, Any], kind: ModelType) -> tuple[str, ...]:
    own = ("chat", "streaming") if kind is ModelType.CHAT else (kind.value,)
    return (*own, *(capability for name, capability in CAPABILITIES.items() if fields.get(name) is True))


def _whole(value: object) -> int | None:
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return value if type(value) is int else None


def _sunset(sheet: Sheet) -> date | None:
    text = sheet.fields.get("deprecation_date")
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        sheet.problems.warn(f"deprecation_date: {text!r} is no date")
        return None
