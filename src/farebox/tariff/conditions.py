"""Conditions of prices: when an override of a rate card holds, and when it could.

Enters: the readable `When` of an override. Leaves: a `Condition` that answers two questions,
each about all of its parts together: does it match these `Circumstances` (rating), and can or
must it match anything that is still open before the work is done (`Prospect`, for holds).
Takes time as an argument, microseconds since 1970 in UTC; reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum

import msgspec

DAY_US = 86_400_000_000
_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)

ParameterValues = str | int | tuple[str | int, ...]


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The readable condition of an override: every part that is named must hold."""

    input_above: int | None = None
    """All input together, in tokens, is more than this; then the whole request moves."""
    batch: bool | None = None
    service_tier: str | tuple[str, ...] | None = None
    """The tier that served, as the provider names it; a list means any of them."""
    utc_window: str | None = None
    """`"16:30-00:30"`: from the first minute, up to and without the last; may pass midnight."""
    parameters: dict[str, ParameterValues] = {}
    """Values of `size`, `quality`, `duration`, `resolution`, `fps` and the like; a list means any of them."""
    utc_weekdays: tuple[int, ...] = ()
    """Days of the week by arrival in UTC, Monday is 1 and Sunday 7; empty: any."""

    def __post_init__(self) -> None:
        if msgspec.structs.astuple(self) == (None, None, None, None, {}, ()):
            raise ValueError("an override needs a condition: prices without one belong into the card itself")
        if self.input_above is not None and self.input_above < 0:
            raise ValueError("input_above counts tokens and cannot be negative")
        if self.service_tier == () or () in self.parameters.values():
            raise ValueError("an empty list of values never matches")
        if self.utc_window is not None:
            _read_window(self.utc_window)
        if not all(1 <= day <= 7 for day in self.utc_weekdays):
            raise ValueError("utc_weekdays counts from 1, Monday, to 7, Sunday")


class Circumstances(msgspec.Struct, frozen=True, gc=False):
    """What conditions are judged by. Stored with the charge (Law 8)."""

    at_us: int
    """Arrival of the request, in database time."""
    batch: bool = False
    service_tier: str | None = None
    """The tier that served; None when the provider did not say."""
    parameters: dict[str, str] = {}


class Prospect(msgspec.Struct, frozen=True, gc=False):
    """What is known of the circumstances before the work is done. Whatever is left open could be anything."""

    batch: bool = False
    service_tiers: frozenset[str | None] | None = None
    """Every tier that could serve, None among them when it may go unreported; None alone: any tier."""
    span_us: tuple[int, int] | None = None
    """The request arrives between these moments, both included; None: at any time of day."""
    parameters: dict[str, str | None] = {}
    """Parameters that are certain, None for certainly absent. One that is not named here is open."""


class Possibility(IntEnum):
    """Ordered, so that the possibility of several parts together is their minimum."""

    IMPOSSIBLE = 0
    POSSIBLE = 1
    CERTAIN = 2


_IMPOSSIBLE, _POSSIBLE, _CERTAIN = Possibility


class Condition:
    """A `When`, made ready for the path of a request."""

    __slots__ = ("batch", "days", "input_above", "parameters", "tiers", "window")

    def __init__(self, when: When) -> None:
        self.input_above = when.input_above
        self.batch = when.batch
        self.tiers = None if when.service_tier is None else _texts(when.service_tier)
        self.window = None if when.utc_window is None else _read_window(when.utc_window)
        self.days = frozenset(when.utc_weekdays)
        self.parameters = tuple((name, _texts(values)) for name, values in when.parameters.items())

    def matches(self, circumstances: Circumstances, input_tokens: int) -> bool:
        """Whether every part holds. A tier or parameter that is not stated matches nothing."""
        if self.input_above is not None and input_tokens <= self.input_above:
            return False
        if self.batch is not None and circumstances.batch is not self.batch:
            return False
        if self.tiers is not None and circumstances.service_tier not in self.tiers:
            return False
        if self.window is not None and not _inside(self.window, circumstances.at_us):
            return False
        if self.days and _weekday(circumstances.at_us) not in self.days:
            return False
        stated = circumstances.parameters
        return not self.parameters or all(stated.get(name) in values for name, values in self.parameters)

    def possibility(self, prospect: Prospect, input_bound: int) -> Possibility:
        """Whether every part can, or must, come to hold for input of at most `input_bound` tokens."""
        if self.batch is not None and prospect.batch is not self.batch:
            return _IMPOSSIBLE
        if self.input_above is not None and input_bound <= self.input_above:
            return _IMPOSSIBLE
        parts = [] if self.input_above is None else [_POSSIBLE]
        if self.tiers is not None:
            parts.append(_of_tiers(self.tiers, prospect.service_tiers))
        if self.window is not None:
            parts.append(_of_window(self.window, prospect.span_us))
        if self.days:
            parts.append(_of_days(self.days, prospect.span_us))
        for name, values in self.parameters:
            parts.append(_of_parameter(values, prospect.parameters, name))
        return min(parts) if parts else _CERTAIN


def _of_tiers(tiers: frozenset[str], served: frozenset[str | None] | None) -> Possibility:
    if served is None:
        return _POSSIBLE
    if served <= tiers:
        return _CERTAIN
    return _IMPOSSIBLE if served.isdisjoint(tiers) else _POSSIBLE


def _of_window(window: tuple[int, int], span_us: tuple[int, int] | None) -> Possibility:
    if span_us is None:
        return _POSSIBLE
    start, length = window
    into_day, width = (span_us[0] - start) % DAY_US, span_us[1] - span_us[0]
    if into_day + width < length:
        return _CERTAIN
    touches = into_day < length or into_day + width >= DAY_US
    return _POSSIBLE if touches else _IMPOSSIBLE


def _of_days(days: frozenset[int], span_us: tuple[int, int] | None) -> Possibility:
    if span_us is None or span_us[1] - span_us[0] >= 7 * DAY_US:
        return _POSSIBLE
    touched = {_weekday(day * DAY_US) for day in range(span_us[0] // DAY_US, span_us[1] // DAY_US + 1)}
    if touched <= days:
        return _CERTAIN
    return _IMPOSSIBLE if touched.isdisjoint(days) else _POSSIBLE


def _of_parameter(values: frozenset[str], known: Mapping[str, str | None], name: str) -> Possibility:
    if name not in known:
        return _POSSIBLE
    return _CERTAIN if known[name] in values else _IMPOSSIBLE


def _texts(values: ParameterValues) -> frozenset[str]:
    return frozenset(map(str, values)) if isinstance(values, tuple) else frozenset({str(values)})


def _weekday(at_us: int) -> int:
    """From 1, Monday, to 7, Sunday; the epoch began on a Thursday."""
    return (at_us // DAY_US + 3) % 7 + 1


def _inside(window: tuple[int, int], at_us: int) -> bool:
    start, length = window
    return (at_us - start) % DAY_US < length


def _read_window(text: str) -> tuple[int, int]:
    """Start and length of a daily window, in microseconds."""
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:20]!r} is not a window like 16:30-00:30")
    hour, minute, end_hour, end_minute = map(int, match.groups())
    start = (hour * 60 + minute) * 60_000_000
    length = ((end_hour * 60 + end_minute) * 60_000_000 - start) % DAY_US
    if not length:
        raise ValueError("a window that ends where it begins never matches")
    return start, length
