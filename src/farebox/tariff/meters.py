"""Meters: what a model's work is counted in, and which meter lends its rate to which.

Enters: counts as a provider or our own counter states them. Leaves: `Usage`, a dict of whole,
non-negative quantities whose meters are disjoint, so that nothing is counted twice. Never
defaults a count: `None` is not 0 (d25), and a negative count is no usage at all (d28).

A new meter is one member of `Meter`, and a row in the tables below where it differs from
"counted by itself, priced each".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NewType

import msgspec


class Meter(StrEnum):
    """Everything that can be counted. Token meters exclude one another."""

    INPUT = "input"
    CACHED_INPUT = "cached_input"
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_1H = "cache_write_1h"
    OUTPUT = "output"
    REASONING = "reasoning"
    INPUT_AUDIO = "input_audio"
    OUTPUT_AUDIO = "output_audio"
    INPUT_IMAGE = "input_image"
    OUTPUT_IMAGE = "output_image"
    INPUT_VIDEO = "input_video"
    OUTPUT_VIDEO = "output_video"
    CACHED_AUDIO = "cached_audio"
    CACHED_IMAGE = "cached_image"
    IMAGES = "images"
    CHARACTERS = "characters"
    AUDIO_SECONDS = "audio_seconds"
    VIDEO_SECONDS = "video_seconds"
    ASSETS_3D = "assets_3d"
    MUSIC_TRACKS = "music_tracks"
    MUSIC_SECONDS = "music_seconds"
    PAGES = "pages"
    SEARCHES = "searches"
    TOOL_CALLS = "tool_calls"
    SESSION_SECONDS = "session_seconds"
    CALLS = "calls"


PARENT: Mapping[Meter, Meter] = {
    Meter.CACHED_INPUT: Meter.INPUT,
    Meter.CACHE_WRITE_5M: Meter.INPUT,
    Meter.CACHE_WRITE_1H: Meter.INPUT,
    Meter.INPUT_AUDIO: Meter.INPUT,
    Meter.INPUT_IMAGE: Meter.INPUT,
    Meter.INPUT_VIDEO: Meter.INPUT,
    Meter.CACHED_AUDIO: Meter.INPUT_AUDIO,
    Meter.CACHED_IMAGE: Meter.INPUT_IMAGE,
    Meter.REASONING: Meter.OUTPUT,
    Meter.OUTPUT_AUDIO: Meter.OUTPUT,
    Meter.OUTPUT_IMAGE: Meter.OUTPUT,
    Meter.OUTPUT_VIDEO: Meter.OUTPUT,
}
"""Whose rate a meter takes when the card names none for it."""

INPUT_TOKENS = frozenset(
    {
        Meter.INPUT,
        Meter.CACHED_INPUT,
        Meter.CACHE_WRITE_5M,
        Meter.CACHE_WRITE_1H,
        Meter.INPUT_AUDIO,
        Meter.INPUT_IMAGE,
        Meter.INPUT_VIDEO,
        Meter.CACHED_AUDIO,
        Meter.CACHED_IMAGE,
    }
)
"""The meters that share one input bound, and whose sum `input_above` compares."""

OUTPUT_TOKENS = frozenset({Meter.OUTPUT, Meter.REASONING, Meter.OUTPUT_AUDIO, Meter.OUTPUT_IMAGE, Meter.OUTPUT_VIDEO})
"""The meters that share one output limit."""

TOKENS = INPUT_TOKENS | OUTPUT_TOKENS

CACHED_TOKENS = frozenset({Meter.CACHED_INPUT, Meter.CACHED_AUDIO, Meter.CACHED_IMAGE})
"""What was read from a provider's cache: it does not count towards tokens per minute."""

SUBUNITS: Mapping[Meter, int] = {
    Meter.AUDIO_SECONDS: 1000,
    Meter.VIDEO_SECONDS: 1000,
    Meter.MUSIC_SECONDS: 1000,
    Meter.SESSION_SECONDS: 1000,
}
"""Quantities of these meters count milliseconds, while their rates are written per second."""

PER_MILLION = 1_000_000
MAX_QUANTITY = 10**15
"""No honest count is larger: 10⁹ million tokens, or 31,000 years of milliseconds."""

Usage = NewType("Usage", dict[Meter, int])
"""Checked quantities by meter, whole and not negative. Made by `read_usage`."""

NO_USAGE = Usage({})


class UsageProblem(StrEnum):
    """Why a count is no usage."""

    UNKNOWN_METER = "unknown_meter"
    NOT_WHOLE = "not_whole"
    NEGATIVE = "negative"
    TOO_LARGE = "too_large"


class UsageRefusal(msgspec.Struct, frozen=True):
    """Counts refused as usage: we count ourselves instead, and flag it."""

    meter: str
    problem: UsageProblem


def default_per(meter: Meter) -> int:
    """The number of units a bare price is for: a million tokens, one of anything else (a second, an image)."""
    return PER_MILLION if meter in TOKENS else 1


def read_usage(counts: Mapping[str, object]) -> Usage | UsageRefusal:
    """Check counts by meter name; a meter counted 0 stays, as a stated zero.

    Refuses unknown meters, negative counts, anything but whole numbers (`None`, booleans and
    fractions too), and more than `MAX_QUANTITY`.
    """
    usage: dict[Meter, int] = {}
    for name, count in counts.items():
        meter = _METERS.get(name)
        if meter is None:
            return UsageRefusal(name, UsageProblem.UNKNOWN_METER)
        if type(count) is not int:
            return UsageRefusal(name, UsageProblem.NOT_WHOLE)
        if count < 0:
            return UsageRefusal(name, UsageProblem.NEGATIVE)
        if count > MAX_QUANTITY:
            return UsageRefusal(name, UsageProblem.TOO_LARGE)
        usage[meter] = count
    return Usage(usage)


def input_tokens(usage: Usage) -> int:
    """All input together, in tokens, cached and written parts and media included."""
    return sum([quantity for meter, quantity in usage.items() if meter in INPUT_TOKENS])


def output_tokens(usage: Usage) -> int:
    """All output together, in tokens, reasoning and media included."""
    return sum([quantity for meter, quantity in usage.items() if meter in OUTPUT_TOKENS])


_METERS: dict[str, Meter] = {meter.value: meter for meter in Meter}
