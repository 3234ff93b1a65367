"""The figures of genai-prices: its units as meters of ours, its tiers, dates, hours and variants as blocks.

Enters: one model's `prices` and `price_variants`, decoded, and the day to read. Leaves: blocks for
`foreign_prices.card_of`, and what could not be said exactly. The meaning of each is in
`import_genai_prices`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import Any, cast

import msgspec

from farebox.tariff.conditions import When
from farebox.tariff.foreign_prices import Block, Figure, exact
from farebox.tariff.meters import PARENT, Meter
from farebox.tariff.price_list import Severity

MTOK = 1_000_000
WRITES = (Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H)

UNITS: Mapping[str, tuple[tuple[Meter, ...], int]] = {
    "input_mtok": ((Meter.INPUT,), MTOK),
    "output_mtok": ((Meter.OUTPUT,), MTOK),
    "cache_read_mtok": ((Meter.CACHED_INPUT,), MTOK),
    "cache_write_mtok": (WRITES, MTOK),
    "cache_write_5m_mtok": ((Meter.CACHE_WRITE_5M,), MTOK),
    "cache_write_1h_mtok": ((Meter.CACHE_WRITE_1H,), MTOK),
    "input_audio_mtok": ((Meter.INPUT_AUDIO,), MTOK),
    "output_audio_mtok": ((Meter.OUTPUT_AUDIO,), MTOK),
    "cache_audio_read_mtok": ((Meter.CACHED_AUDIO,), MTOK),
    "input_image_mtok": ((Meter.INPUT_IMAGE,), MTOK),
    "output_image_mtok": ((Meter.OUTPUT_IMAGE,), MTOK),
    "cache_image_read_mtok": ((Meter.CACHED_IMAGE,), MTOK),
    "input_video_mtok": ((Meter.INPUT_VIDEO,), MTOK),
    "output_video_mtok": ((Meter.OUTPUT_VIDEO,), MTOK),
    "output_reasoning_mtok": ((Meter.REASONING,), MTOK),
    "input_mchars": ((Meter.CHARACTERS,), MTOK),
    "audio_hours": ((Meter.AUDIO_SECONDS,), 3600),
    "input_audio_hours": ((Meter.AUDIO_SECONDS,), 3600),
    "output_audio_hours": ((Meter.AUDIO_SECONDS,), 3600),
    "input_document_kpages": ((Meter.PAGES,), 1000),
    "rerank_searches_kcount": ((Meter.SEARCHES,), 1000),
    "web_searches_kcount": ((Meter.SEARCHES,), 1000),
    "storage_searches_kcount": ((Meter.TOOL_CALLS,), 1000),
    "social_searches_kcount": ((Meter.TOOL_CALLS,), 1000),
    "code_executions_kcount": ((Meter.TOOL_CALLS,), 1000),
    "requests_kcount": ((Meter.CALLS,), 1000),
}
"""Their unit → the meters it is here, and the number of units a figure is for. Two units on one meter must agree."""

ANNOTATED = "input_annotated_document_kpages"
"""Pages read with annotations: `PAGES` where the parameter `annotations` says so."""

WITHOUT_METER: Mapping[str, str] = {
    "output_citation_mtok": "citations are not counted apart here: they are output, at its price",
}
"""Units that no meter of ours counts and that are charged as something at least as dear."""

ANNOTATING = When(parameters={"annotations": "true"})


class Problems(list[tuple[Severity, str]]):
    """What a model's reader has to say, in the order it found it."""

    def refuse(self, text: str) -> None:
        self._say(Severity.REFUSED, text)

    def warn(self, text: str) -> None:
        self._say(Severity.WARNING, text)

    def _say(self, severity: Severity, text: str) -> None:
        if (severity, text) not in self:
            self.append((severity, text))


class Tiered(msgspec.Struct, frozen=True):
    """A figure, and those that replace it beyond so much input, ascending."""

    base: Figure
    above: tuple[tuple[int, Figure], ...] = ()


Prices = dict[Meter, Tiered]


class Layer(msgspec.Struct, frozen=True):
    """Raw prices that hold under a condition."""

    when: When | None
    prices: Mapping[str, object]


def blocks_of(model: Mapping[str, Any], on: date, problems: Problems) -> tuple[Block, ...]:
    """A model's prices of one day, as blocks in the order in which they win."""
    layers = _standard(model.get("prices", {}), on, problems)
    own_hour = any("cache_write_1h_mtok" in layer.prices for layer in layers)
    base = _figures(layers[0].prices, problems, own_hour=own_hour)
    blocks = [*_blocks(None, base), *_annotated(None, layers[0], problems)]
    for layer in layers[1:]:
        blocks += _blocks(layer.when, _completed(_figures(layer.prices, problems, own_hour=own_hour), base, problems))
    variants = cast("Sequence[Mapping[str, Any]]", model.get("price_variants") or ())
    for variant in reversed(variants):
        for layer in _variant(variant, on, problems):
            blocks += _blocks(layer.when, _figures(layer.prices, problems, own_hour=own_hour))
            blocks += _annotated(layer.when, layer, problems)
    return tuple(blocks)


def _standard(prices: object, on: date, problems: Problems) -> list[Layer]:
    """The prices that hold on a day: first those of the whole day, then those of some hours."""
    if isinstance(prices, Mapping):
        return [Layer(None, cast("Mapping[str, object]", prices))]
    entries = cast("Sequence[Mapping[str, Any]]", prices)
    if not entries:
        return [Layer(None, {})]
    layers = [Layer(None, entries[0]["prices"])]
    for entry in entries:
        constraint = entry.get("constraint")
        if constraint is None or "start_date" in constraint:
            if _begun(constraint, on, problems):
                layers = [Layer(None, entry["prices"])]
        else:
            layers.append(Layer(_window(constraint, problems), entry["prices"]))
    return layers


def _variant(variant: Mapping[str, Any], on: date, problems: Problems) -> Iterator[Layer]:
    for name in variant:
        if name not in ("when", "prices", "constraint"):
            problems.refuse(f"price_variants.{name}: unknown field")
    constraint = variant.get("constraint")
    when = _context(variant["when"])
    if not variant["prices"]:
        return
    if constraint is None or "start_date" in constraint:
        if _begun(constraint, on, problems):
            yield Layer(when, variant["prices"])
        return
    window = _window(constraint, problems)
    yield Layer(_both(when, window), variant["prices"])


def _begun(constraint: Mapping[str, Any] | None, on: date, problems: Problems) -> bool:
    if constraint is None:
        return True
    starts = date.fromisoformat(constraint["start_date"])
    if starts > on:
        problems.warn(f"other prices from {starts} on: import it again with --starts {starts}")
    return starts <= on


def _window(constraint: Mapping[str, Any], problems: Problems) -> When | None:
    times = [str(constraint.get(name, "")) for name in ("start_time", "end_time")]
    if not all(text[5:] in (":00Z", "") and text[:5].count(":") == 1 for text in times):
        problems.refuse(f"constraint {dict(constraint)}: not two whole minutes in UTC")
        return None
    return When(utc_window=f"{times[0][:5]}-{times[1][:5]}")


def _context(context: Mapping[str, str]) -> When:
    """Batches and service tiers are conditions of their own; whatever else is a parameter of that name."""
    if tuple(context.items()) == (("processing", "batch"),):
        return When(batch=True)
    others = {name: value for name, value in context.items() if name not in ("processing", "service_tier")}
    if "processing" in context and context["processing"] != "batch":
        others["processing"] = context["processing"]
    batch = True if context.get("processing") == "batch" else None
    return When(batch=batch, service_tier=context.get("service_tier"), parameters=dict(others))


def _both(when: When, window: When | None) -> When:
    return when if window is None else msgspec.structs.replace(when, utc_window=window.utc_window)


def _figures(prices: Mapping[str, object], problems: Problems, *, own_hour: bool) -> Prices:
    """Each meter's figure; a unit without a meter, or two units that disagree on one, is a problem."""
    found: Prices = {}
    for unit, raw in prices.items():
        if raw is None or unit == ANNOTATED:
            continue
        if unit not in UNITS:
            _unmetered(unit, problems)
            continue
        meters, per = UNITS[unit]
        tiered = _tiered(raw, per)
        if tiered is None:
            problems.refuse(f"{unit}: {raw!r} is not a figure")
            continue
        for meter in meters:
            if meter is Meter.CACHE_WRITE_1H and unit == "cache_write_mtok" and own_hour:
                continue
            if found.get(meter, tiered) != tiered:
                problems.refuse(f"{unit}: {meter.value} has another price already, and one meter counts both")
            found[meter] = tiered
    return found


def _unmetered(unit: str, problems: Problems) -> None:
    if unit in WITHOUT_METER:
        problems.warn(f"{unit}: {WITHOUT_METER[unit]}")
    else:
        problems.refuse(f"{unit}: no meter of ours counts this, so it would not be charged")


def _tiered(raw: object, per: int) -> Tiered | None:
    if not isinstance(raw, Mapping):
        price = exact(raw)
        return None if price is None else Tiered(Figure(price, per))
    fields = cast("Mapping[str, Any]", raw)
    base = exact(fields.get("base"))
    tiers = [(tier.get("start"), exact(tier.get("price"))) for tier in fields.get("tiers", ())]
    if base is None or any(type(start) is not int or price is None for start, price in tiers):
        return None
    above = sorted((start, Figure(price or Fraction(0), per)) for start, price in tiers)
    return Tiered(Figure(base, per), tuple(above))


def _completed(prices: Prices, base: Prices, problems: Problems) -> Prices:
    """Prices that replace others altogether: a meter they leave out is charged as its parent, not as before."""
    for meter in base:
        lender: Meter | None = meter
        while lender is not None and lender not in prices:
            lender = PARENT.get(lender)
        if lender is None:
            problems.refuse(f"{meter.value} has no price at some hours")
        else:
            prices[meter] = prices[lender]
    return prices


def _blocks(when: When | None, prices: Prices) -> Iterator[Block]:
    if prices:
        yield Block(when, {meter: tiered.base for meter, tiered in prices.items()})
    for start in sorted({start for tiered in prices.values() for start, _ in tiered.above}):
        rates = {meter: figure for meter, tiered in prices.items() for above, figure in tiered.above if above == start}
        yield Block(_above(when, start), rates)


def _above(when: When | None, start: int) -> When:
    return When(input_above=start) if when is None else msgspec.structs.replace(when, input_above=start)


def _annotated(when: When | None, layer: Layer, problems: Problems) -> Iterable[Block]:
    raw = layer.prices.get(ANNOTATED)
    if raw is None:
        return
    price = exact(raw)
    if price is None:
        problems.refuse(f"{ANNOTATED}: {raw!r} is not a figure")
        return
    if when is not None:
        when = msgspec.structs.replace(when, parameters={**when.parameters, **ANNOTATING.parameters})
    yield Block(when or ANNOTATING, {Meter.PAGES: Figure(price, 1000)})
