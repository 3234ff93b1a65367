"""Reads what a provider says was used: one convention table per dialect, disjoint meters out.

The `usage` object of an answer enters as written; a `ReportedUsage` or a `UsageFault` leaves, and
on a fault the caller counts for itself and flags the charge. Nothing is defaulted: a count that
is missing is not 0, and a stated 0 stays (d25). Negative, fractional and impossible figures are
refused whole (d28). Keeps Law 5's row "usage reported and plausible".

Cache and modality are two cuts through the same input. Where cached tokens and image or audio
tokens together exceed the whole they overlap, and the overlap is counted as cached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, cast

import msgspec

from farebox.tariff.meters import INPUT_TOKENS, MAX_QUANTITY, NO_USAGE, OUTPUT_TOKENS, Meter, Usage, output_tokens
from farebox.wire.payloads import UNREADABLE

Path = tuple[str, ...]
"""One name, or two where the count stands in an object of the usage object."""


class UsageFault(StrEnum):
    """Why figures are not accepted as usage."""

    UNREADABLE = "unreadable"
    MISSING = "missing"
    NOT_WHOLE = "not_whole"
    NEGATIVE = "negative"
    TOO_LARGE = "too_large"
    PARTS_EXCEED_WHOLE = "parts_exceed_whole"
    TOTAL_MISMATCH = "total_mismatch"
    MORE_INPUT_THAN_SENT = "more_input_than_sent"
    MORE_THAN_HELD = "more_than_held"
    """A meter beyond its own bound, such as audio in a call that carried none."""
    MORE_OUTPUT_THAN_LIMIT = "more_output_than_limit"
    NO_OUTPUT_THOUGH_SEEN = "no_output_though_seen"
    """Zero stated for an answer that has text."""


class Axis(StrEnum):
    """Which cut through the whole a part belongs to; parts of one cut exclude one another."""

    CACHE = "cache"
    MODALITY = "modality"


class Part(msgspec.Struct, frozen=True):
    """A count that is inside a whole (`of`), or stands beside it (`of` is None)."""

    meter: Meter
    paths: tuple[Path, ...]
    """Where providers write it; the first that is there counts."""
    of: Meter | None
    axis: Axis = Axis.MODALITY


class Convention(msgspec.Struct, frozen=True):
    """How one dialect states usage."""

    wholes: tuple[tuple[Meter, Path], ...]
    """Required counts; parts inside are taken out of them."""
    parts: tuple[Part, ...] = ()
    total: Path | None = None
    """A sum of everything. What it holds beyond the wholes is reasoning that was reported outside."""
    flatten: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Brings lists and sums of the stated object into fields the paths above can name. Never raises."""


class ReportedUsage(msgspec.Struct, frozen=True, gc=False):
    """Usage as a provider states it, by disjoint meters, stated zeros included."""

    meters: Usage

    @property
    def output(self) -> int:
        """All output in tokens, reasoning included (zero means the answer is empty: d60)."""
        return output_tokens(self.meters)


OPENAI_CHAT = Convention(
    wholes=((Meter.INPUT, ("prompt_tokens",)), (Meter.OUTPUT, ("completion_tokens",))),
    parts=(
        Part(
            Meter.CACHED_INPUT,
            (("prompt_tokens_details", "cached_tokens"), ("prompt_cache_hit_tokens",), ("cached_tokens",)),
            Meter.INPUT,
            Axis.CACHE,
        ),
        Part(Meter.CACHE_WRITE_5M, (("prompt_tokens_details", "cache_write_tokens"),), Meter.INPUT, Axis.CACHE),
        Part(Meter.INPUT_AUDIO, (("prompt_tokens_details", "audio_tokens"),), Meter.INPUT),
        Part(Meter.INPUT_IMAGE, (("prompt_tokens_details", "image_tokens"),), Meter.INPUT),
        Part(Meter.REASONING, (("completion_tokens_details", "reasoning_tokens"),), Meter.OUTPUT),
        Part(Meter.OUTPUT_AUDIO, (("completion_tokens_details", "audio_tokens"),), Meter.OUTPUT),
        Part(Meter.OUTPUT_IMAGE, (("completion_tokens_details", "image_tokens"),), Meter.OUTPUT),
    ),
    total=("total_tokens",),
)
"""Everything inside: cached, written, audio and image in the prompt; reasoning and audio in the completion.
Some servers of this dialect put reasoning outside; then `total_tokens` says so."""

OPENAI_EMBEDDINGS = Convention(wholes=((Meter.INPUT, ("prompt_tokens",)),))

_read_json = msgspec.json.Decoder(dict[str, Any], float_hook=str).decode
_MISSING = object()
_CACHE = Axis.CACHE


def read_usage(
    usage: bytes | msgspec.Raw, convention: Convention, *, cache_write_meter: Meter = Meter.CACHE_WRITE_5M
) -> ReportedUsage | UsageFault:
    """Turn a provider's usage object into disjoint meters, or say why it cannot be believed."""
    try:
        stated = _read_json(usage)
    except UNREADABLE:
        return UsageFault.UNREADABLE
    if convention.flatten is not None:
        stated = convention.flatten(stated)
    counts = _counts(stated, convention)
    if isinstance(counts, UsageFault):
        return counts
    total = _count_at(stated, convention.total) if convention.total else None
    if isinstance(total, UsageFault):
        return total
    outside = None if total is None else _reasoning_outside(counts, total)
    if isinstance(outside, UsageFault):
        return outside
    return _disjoint(counts, convention, outside or 0, cache_write_meter)


def check_bounds(
    reported: ReportedUsage, *, input_most: int | None, output_most: int | None, at_most: Mapping[Meter, int]
) -> UsageFault | None:
    """The fault of usage beyond what was sent or allowed; a bound of None does not bind.

    `input_most` is all input in tokens, `output_most` all output of all choices together, `at_most` the
    bounds by meter that the hold was worked out with.
    """
    given = produced = 0
    beyond = False
    for meter, count in reported.meters.items():
        if meter in INPUT_TOKENS:
            given += count
        elif meter in OUTPUT_TOKENS:
            produced += count
        beyond = beyond or count > at_most.get(meter, count)
    if input_most is not None and given > input_most:
        return UsageFault.MORE_INPUT_THAN_SENT
    if output_most is not None and produced > output_most:
        return UsageFault.MORE_OUTPUT_THAN_LIMIT
    return UsageFault.MORE_THAN_HELD if beyond else None


def _counts(stated: dict[str, Any], convention: Convention) -> dict[Meter, int] | UsageFault:
    """Wholes and parts as stated, each checked for itself."""
    counts: dict[Meter, int] = {}
    for meter, path in convention.wholes:
        count = _count_at(stated, path)
        if count is None:
            return UsageFault.MISSING
        if isinstance(count, UsageFault):
            return count
        counts[meter] = count
    for part in convention.parts:
        for path in part.paths:
            if path[0] not in stated:
                continue
            count = _count_at(stated, path)
            if isinstance(count, UsageFault):
                return count
            if count is not None:
                counts[part.meter] = count
                break
    return counts


def _count_at(stated: dict[str, Any], path: Path) -> int | UsageFault | None:
    value = stated.get(path[0])
    if len(path) == 2:
        value = cast(dict[str, Any], value).get(path[1]) if type(value) is dict else None
    if type(value) is int and 0 <= value <= MAX_QUANTITY:
        return value
    return None if value is None else _fault_of(value)


def _fault_of(value: object) -> UsageFault:
    if type(value) is not int:
        return UsageFault.NOT_WHOLE
    return UsageFault.NEGATIVE if value < 0 else UsageFault.TOO_LARGE


def _reasoning_outside(counts: dict[Meter, int], total: int) -> int | UsageFault | None:
    """Reasoning tokens the total shows beside the completion; None when all is inside."""
    beyond = total - counts.get(Meter.INPUT, 0) - counts.get(Meter.OUTPUT, 0)
    if beyond == 0:
        return None
    if beyond > 0 and counts.get(Meter.REASONING, beyond) == beyond:
        return beyond
    return UsageFault.TOTAL_MISMATCH


def _disjoint(
    counts: dict[Meter, int], convention: Convention, outside: int, cache_write_meter: Meter
) -> ReportedUsage | UsageFault:
    """Take the parts out of their wholes. Reasoning that was `outside` is added, not taken out."""
    if outside:
        counts[Meter.REASONING] = outside
        counts[Meter.OUTPUT] += outside
    if len(counts) == len(convention.wholes):
        return ReportedUsage(Usage(counts))  # no parts to take out
    for whole, _ in convention.wholes:
        cached, media = _parts_of(whole, counts, convention)
        if cached > counts[whole] or media > counts[whole]:
            return UsageFault.PARTS_EXCEED_WHOLE
        overlap = max(0, cached + media - counts[whole])
        counts[whole] -= cached + media - overlap
        _take_overlap(counts, overlap)
    if Meter.CACHE_WRITE_5M in counts and cache_write_meter not in counts:  # not split by lifetime
        counts[cache_write_meter] = counts.pop(Meter.CACHE_WRITE_5M)
    return ReportedUsage(Usage(counts))


def _parts_of(whole: Meter, counts: dict[Meter, int], convention: Convention) -> tuple[int, int]:
    cached = media = 0
    for part in convention.parts:
        if part.of is whole and part.meter in counts:
            if part.axis is _CACHE:
                cached += counts[part.meter]
            else:
                media += counts[part.meter]
    return cached, media


def _take_overlap(counts: dict[Meter, int], overlap: int) -> None:
    """Tokens both cached and of a medium: images count as cached input, audio as cached audio."""
    if not overlap:
        return
    images = min(overlap, counts.get(Meter.INPUT_IMAGE, 0))
    if images:
        counts[Meter.INPUT_IMAGE] -= images
    audio = overlap - images
    if audio:
        counts[Meter.INPUT_AUDIO] -= audio
        cached = min(audio, counts.get(Meter.CACHED_INPUT, 0))
        counts[Meter.CACHED_INPUT] = counts.get(Meter.CACHED_INPUT, 0) - cached
        counts[Meter.CACHED_AUDIO] = cached


def counted_usage(*, input_count: int | None, output_count: int | None, reasoning_count: int = 0) -> Usage:
    """Usage as we counted it, in tokens, when a provider gave none that could be believed."""
    usage: dict[Meter, int] = dict(NO_USAGE)
    if input_count is not None:
        usage[Meter.INPUT] = input_count
    if output_count is not None:
        usage[Meter.OUTPUT] = output_count
    if reasoning_count:
        usage[Meter.REASONING] = reasoning_count
    return Usage(usage)
