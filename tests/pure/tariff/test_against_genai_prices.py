"""The same usage, priced by genai-prices itself and by our card of its figures: every disagreement has a reason.

Usage is drawn by our disjoint meters and told to genai-prices in its own nested units. Where the two differ, a row of
`DISAGREEMENTS` must say why, and must be needed by some model; anything else fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any, NamedTuple

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import data
from genai_prices.types import ModelInfo, Provider
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.price_sources import content, decoded
from tests.support.vendor_prices import genai_prices_json

from farebox.tariff.compiled import CompiledCard, Unpriced, compile_card
from farebox.tariff.conditions import Circumstances
from farebox.tariff.foreign_prices import card_of
from farebox.tariff.genai_figures import UNITS, WITHOUT_METER
from farebox.tariff.import_genai_prices import Entry, draft_of
from farebox.tariff.meters import PARENT, Meter, Usage, input_tokens, output_tokens
from farebox.tariff.price_list import Severity
from farebox.tariff.rate import amount_of

NANO = 10**9
DAY = timedelta(days=1)
FIRST, LAST = date(2024, 6, 1), date(2027, 3, 1)
MODELS = [(place, number) for place, each in enumerate(data.providers) for number in range(len(each.models))]

TOKEN_METERS = (
    *(Meter.INPUT, Meter.CACHED_INPUT, Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H),
    *(Meter.INPUT_AUDIO, Meter.CACHED_AUDIO, Meter.INPUT_IMAGE, Meter.CACHED_IMAGE, Meter.INPUT_VIDEO),
    *(Meter.OUTPUT, Meter.REASONING, Meter.OUTPUT_AUDIO, Meter.OUTPUT_IMAGE, Meter.OUTPUT_VIDEO),
)


class Case(NamedTuple):
    """One request, of one model, as both are asked."""

    provider: Provider
    model: ModelInfo
    raw: Entry
    usage: Usage
    at: datetime
    context: Mapping[str, str]

    @property
    def units(self) -> set[str]:
        """Whatever the model has a figure for, in any circumstances."""
        prices = self.raw.model.get("prices", {})
        every = [prices] if isinstance(prices, Mapping) else [each["prices"] for each in prices]
        every += [each["prices"] for each in self.raw.model.get("price_variants") or ()]
        return {unit for each in every for unit in each}

    def card(self) -> CompiledCard:
        return compile_card(card_of(draft_of(self.raw, self.at.date()).blocks), "theirs")

    def ours(self) -> int | Unpriced:
        """In nanocredits."""
        context = dict(self.context)
        batch = context.pop("processing", None) == "batch"
        tier = context.pop("service_tier", None)
        at_us = int(self.at.timestamp()) * 1_000_000
        circumstances = Circumstances(at_us, batch, tier, context)
        priced = {meter for meter, count in self.usage.items() if meter in TOKEN_METERS or self._counts(meter)}
        usage = Usage({meter: count for meter, count in self.usage.items() if meter in priced})
        return amount_of(self.card(), usage=usage, circumstances=circumstances)

    def theirs(self) -> Decimal:
        """In dollars."""
        told = TheirUsage(**told_to_them(self.usage, self.units))
        price = self.model.calc_price(
            told, self.provider, genai_request_timestamp=self.at, price_context=self.context or None
        )
        return price.total_price

    def _counts(self, meter: Meter) -> bool:
        return any(meter in UNITS[unit][0] for unit in self.units if unit in UNITS)


def told_to_them(usage: Usage, units: set[str]) -> dict[str, Any]:
    """Disjoint counts, nested as genai-prices wants them; what a model does not price by is not told."""

    def total(*meters: Meter) -> int:
        return sum(usage.get(meter, 0) for meter in meters)

    told: dict[str, Any] = {
        "input_tokens": input_tokens(usage),
        "output_tokens": output_tokens(usage),
        "cache_read_tokens": total(Meter.CACHED_INPUT, Meter.CACHED_AUDIO, Meter.CACHED_IMAGE),
        "cache_write_tokens": total(Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H),
        "cache_write_1h_tokens": total(Meter.CACHE_WRITE_1H),
        "input_audio_tokens": total(Meter.INPUT_AUDIO, Meter.CACHED_AUDIO),
        "cache_audio_read_tokens": total(Meter.CACHED_AUDIO),
        "input_image_tokens": total(Meter.INPUT_IMAGE, Meter.CACHED_IMAGE),
        "cache_image_read_tokens": total(Meter.CACHED_IMAGE),
        "input_video_tokens": total(Meter.INPUT_VIDEO),
        "output_reasoning_tokens": total(Meter.REASONING),
        "output_audio_tokens": total(Meter.OUTPUT_AUDIO),
        "output_image_tokens": total(Meter.OUTPUT_IMAGE),
        "output_video_tokens": total(Meter.OUTPUT_VIDEO),
        "input_characters": total(Meter.CHARACTERS),
        "input_document_pages": total(Meter.PAGES),
    }
    seconds = Decimal(total(Meter.AUDIO_SECONDS)) / 1000
    told |= {"audio_seconds": seconds} | ({"input_audio_seconds": seconds} if "input_audio_hours" in units else {})
    for unit, name in _ONE_METER:
        if unit in units:
            told[name] = total(UNITS[unit][0][0])
    return told


_ONE_METER = (
    ("rerank_searches_kcount", "rerank_searches"),
    ("web_searches_kcount", "web_searches"),
    ("storage_searches_kcount", "storage_searches"),
    ("social_searches_kcount", "social_searches"),
    ("code_executions_kcount", "code_executions"),
)


def read_back(meter: Meter, whole: Meter) -> Callable[[Case], bool]:
    """Whether a part of a medium was read from a cache by a model that has no price for that medium."""

    def holds(case: Case) -> bool:
        priced = case.card().base_rates
        return bool(case.usage.get(meter)) and whole not in priced and Meter.CACHED_INPUT in priced

    return holds


def short_recording(case: Case) -> bool:
    least = {("groq", "whisper-large-v3"), ("groq", "whisper-large-v3-turbo")}
    return (case.provider.id, case.model.id) in least and 0 < case.usage.get(Meter.AUDIO_SECONDS, 0) < 10_000


def without_price(case: Case) -> bool:
    """Whether something was used for which the model has no figure, nor for what it is part of."""
    ours = case.ours()
    if not isinstance(ours, Unpriced) or ours.meter is None:
        return False
    stated = vars(case.model.get_prices(case.at, case.context or None)).items()
    meters = {meter for unit, price in stated if price is not None and unit in UNITS for meter in UNITS[unit][0]}
    lenders = {ours.meter, PARENT.get(ours.meter), PARENT.get(PARENT.get(ours.meter, ours.meter))}
    return lenders.isdisjoint(meters)


class Reason(NamedTuple):
    """Why a price may differ, which way, and when."""

    text: str
    holds: Callable[[Case], bool]
    ours_may_be: frozenset[str]


DISAGREEMENTS = (
    Reason(
        "Audio read from a cache is the cached kind of audio here, and the audio kind of what is cached there; a model "
        "without a price for audio charges it as input here, and as cached input there.",
        read_back(Meter.CACHED_AUDIO, Meter.INPUT_AUDIO),
        frozenset({"more", "less"}),
    ),
    Reason(
        "The same with images.",
        read_back(Meter.CACHED_IMAGE, Meter.INPUT_IMAGE),
        frozenset({"more", "less"}),
    ),
    Reason(
        "A provider charges ten seconds of a recording at least. A card cannot say so; the import warns of it.",
        short_recording,
        frozenset({"less"}),
    ),
    Reason(
        "What has no price at all, such as the output of an embedding, is refused here (Law 10), and free there.",
        without_price,
        frozenset({"unpriced"}),
    ),
)
"""Rounding is no row: their exact sum, rounded half to even to a nanocredit, must be ours."""


def compared(case: Case) -> str | None:
    """How ours differs from theirs; None: not at all, or only by rounding. Their decimals have 28 digits."""
    ours, theirs = case.ours(), Fraction(case.theirs()) * NANO
    if isinstance(ours, Unpriced):
        return "unpriced"
    if abs(ours - theirs) <= Fraction(1, 2) + Fraction(1, 10**9):
        return None
    return "more" if ours > theirs else "less"


def check(case: Case) -> Reason | None:
    """The row that explains this case's disagreement; None: there is none. Fails where no row does."""
    differs = compared(case)
    if differs is None:
        return None
    for reason in DISAGREEMENTS:
        if reason.holds(case) and differs in reason.ours_may_be:
            return reason
    pytest.fail(f"{differs}: ours {case.ours()}, theirs {case.theirs()}: {case}")


def entry_of(place: int, number: int) -> Entry:
    provider = decoded("genai-prices")[place]
    return Entry(provider, provider["models"][number])


def is_whole(raw: Entry, on: date) -> bool:
    """Whether the import takes the model, and nothing of its figures is left out."""
    problems = draft_of(raw, on).problems
    return not any(severity is Severity.REFUSED or text.split(":")[0] in WITHOUT_METER for severity, text in problems)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    place, number = draw(st.sampled_from(MODELS))
    random = Random(draw(st.integers(0, 2**32)))  # usage needs no shrinking: the model is what matters
    return drawn(place, number, random)


def drawn(place: int, number: int, random: Random) -> Case:
    provider = data.providers[place]
    model = provider.models[number]
    raw = entry_of(place, number)
    at = datetime.combine(random.choice(days_of(raw, random)), datetime.min.time(), UTC)
    at += timedelta(seconds=random.choice((0, 1, random.randrange(86_400), 86_399)))
    bare = Case(provider, model, raw, Usage({}), at, {})
    meters = {meter for unit in bare.units if unit in UNITS for meter in UNITS[unit][0]}
    usual = [meter for meter in TOKEN_METERS if meter in meters]
    odd = random.sample(TOKEN_METERS, k=random.choice((0, 0, 0, 1, 2))) if usual else []
    chosen = {*random.sample(usual, k=random.randrange(len(usual) + 1)), *odd}
    counts = {meter: random.choice((0, 1, 7, 999, 31_999, 100_000, 127_999, 300_000)) for meter in chosen}
    counts |= {meter: random.randrange(90_000) for meter in meters - set(TOKEN_METERS) if meter is not Meter.CALLS}
    counts |= {Meter.CALLS: 1} if Meter.CALLS in meters else {}
    contexts = [{}, *(variant.when for variant in model.price_variants or ())]
    context = {**random.choice(contexts), **random.choice(contexts)}  # two may hold at once: the first wins
    return bare._replace(usage=Usage(counts), context=context)


def days_of(raw: Entry, random: Random) -> list[date]:
    """Any day, and those on which a price begins, and the days before."""
    prices = raw.model.get("prices", {})
    dated = [*([] if isinstance(prices, Mapping) else prices), *(raw.model.get("price_variants") or ())]
    starts = [(each.get("constraint") or {}).get("start_date") for each in dated]
    begins = [date.fromisoformat(start) for start in starts if start]
    return [FIRST + timedelta(days=random.randrange((LAST - FIRST).days)), *begins, *(d - DAY for d in begins)]


@settings(max_examples=200, deadline=None)
@given(cases())
def test_random_usage_costs_what_genai_prices_says_or_a_row_says_why(case: Case) -> None:
    if is_whole(case.raw, case.at.date()):
        check(case)


def test_every_model_costs_what_genai_prices_says_and_every_row_is_needed() -> None:
    needed: set[str] = set()
    left_out = 0
    for seed, (place, number) in enumerate(MODELS):
        for again in range(2):
            case = drawn(place, number, Random(2 * seed + again))
            if not is_whole(case.raw, case.at.date()):
                left_out += 1
                continue
            reason = check(case)
            if reason is not None:
                needed.add(reason.text)
    assert left_out <= 2 * 4  # voices by the message, and citations by the token
    groq = next(place for place, provider in enumerate(data.providers) if provider.id == "groq")
    whisper = next(number for number, each in enumerate(data.providers[groq].models) if each.id == "whisper-large-v3")
    short = drawn(groq, whisper, Random(1))._replace(usage=Usage({Meter.AUDIO_SECONDS: 4_000}))
    reason = check(short)
    needed |= {reason.text} if reason else set()
    assert needed == {reason.text for reason in DISAGREEMENTS}


def test_the_shipped_file_is_what_the_package_knows() -> None:
    assert content("genai-prices") == genai_prices_json()
