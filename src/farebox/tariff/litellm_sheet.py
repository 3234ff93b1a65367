"""One model of LiteLLM's file, while it is read: its figures by condition, and what cannot be said of them.

Enters: figures with the circumstances they hold in. Leaves: blocks in the order in which they win:
the standard prices; those beyond so much input, ascending; those of a parameter's value; those of
hours of the week; those of batches and service tiers, each with its own thresholds; and at last
factors on all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from farebox.tariff.conditions import ParameterValues, When
from farebox.tariff.foreign_prices import Block, Figure, exact
from farebox.tariff.genai_figures import Problems
from farebox.tariff.litellm_fields import MODES_OF_SERVICE, units_of
from farebox.tariff.meters import TOKENS, Meter
from farebox.tariff.price_list import ModelType


class Place(NamedTuple):
    """The circumstances of a figure."""

    mode: str | None = None
    """A key of `MODES_OF_SERVICE`."""
    above: int | None = None
    parameter: tuple[str, str] | None = None


STANDARD = Place()


class Sheet:
    """Figures of one model, as they are found."""

    def __init__(self, fields: Mapping[str, Any], kind: ModelType) -> None:
        self.fields = fields
        self.kind = kind
        self.problems = Problems()
        self.figures: dict[Place, dict[Meter, Figure]] = {}
        self.windows: list[Block] = []
        self.factors: list[tuple[When, Fraction]] = []
        self.calls: list[tuple[When | None, Fraction]] = []
        """Prices for an image."""

    def number(self, name: str) -> Fraction | None:
        """A field's figure. None: it is not there, or is a problem now."""
        if self.fields.get(name) is None:
            return None
        value = exact(self.fields[name])
        if value is None:
            self.problems.refuse(f"{name}: {self.fields[name]!r} is not a figure")
        return value

    def put(self, place: Place, meter: Meter, price: Fraction, per: int = 1) -> None:
        """Note a price for `per` units of a meter."""
        units = units_of(meter, per)
        figure = Figure(price * units / per, units)
        known = self.figures.setdefault(place, {})
        if known.get(meter, figure) != figure:
            self.problems.refuse(f"{meter.value} has two different prices in the same circumstances")
        known[meter] = figure

    def standard(self, meter: Meter) -> Fraction | None:
        """The standard price of one unit, where it has one."""
        figure = self.figures.get(STANDARD, {}).get(meter)
        return None if figure is None else figure.price / figure.per

    @property
    def priced_by_token(self) -> bool:
        """Whether any token costs something."""
        return any(
            figure.price for rates in self.figures.values() for meter, figure in rates.items() if meter in TOKENS
        )

    def blocks(self) -> tuple[Block, ...]:
        """See the module. Without an hour's own price, what is written to a cache costs the same for any lifetime."""
        if self.calls and not self.priced_by_token:
            # zeros beside a price for each image would make calls by token free
            self.figures = {place: _without_tokens(rates) for place, rates in self.figures.items()}
        if not any(Meter.CACHE_WRITE_1H in rates for rates in self.figures.values()):
            for rates in self.figures.values():
                if Meter.CACHE_WRITE_5M in rates:
                    rates[Meter.CACHE_WRITE_1H] = rates[Meter.CACHE_WRITE_5M]
        self._complete_modes()
        return tuple(self._ordered())

    def _ordered(self) -> Iterator[Block]:
        yield Block(None, self.figures.get(STANDARD, {}))
        yield from (Block(when, call_price=price) for when, price in self.calls)
        yield from self._of_mode(None)
        yield from self.windows
        for mode in MODES_OF_SERVICE:
            yield from self._of_mode(mode)
        kept = {meter: figure for meter, figure in self.figures.get(STANDARD, {}).items() if meter not in TOKENS}
        for when, factor in self.factors:
            yield Block(when, kept, multiply=factor)
        if self.factors:
            yield from (block for block in self._of_mode(None) if block.when is not None and block.when.parameters)

    def _of_mode(self, mode: str | None) -> Iterator[Block]:
        places = [place for place in self.figures if place.mode == mode and place != STANDARD]
        for place in sorted(places, key=lambda place: (place.parameter or ("", ""), place.above or 0)):
            yield Block(_when(place), self.figures[place])

    def _complete_modes(self) -> None:
        """A tier without a price beyond a threshold costs there what the standard one does, as LiteLLM reckons."""
        standard = [place for place in self.figures if place.mode is None and place.above is not None]
        for mode in MODES_OF_SERVICE:
            flat = self.figures.get(Place(mode), {})
            for beyond in standard:
                there = self.figures.get(Place(mode, beyond.above), {})
                missing = {meter: self.figures[beyond][meter] for meter in flat if meter in self.figures[beyond]}
                missing = {meter: figure for meter, figure in missing.items() if meter not in there}
                if missing:
                    self.figures[Place(mode, beyond.above)] = {**missing, **there}
                    named = ", ".join(meter.value for meter in missing)
                    self.problems.warn(
                        f"{mode}: no price above {beyond.above} tokens for {named}; the standard one is taken"
                    )


def _when(place: Place) -> When:
    when = MODES_OF_SERVICE[place.mode] if place.mode is not None else None
    changed: dict[str, Any] = {} if place.above is None else {"input_above": place.above}
    if place.parameter is not None:
        parameters: dict[str, ParameterValues] = dict([place.parameter])
        changed["parameters"] = parameters
    return When(**changed) if when is None else msgspec.structs.replace(when, **changed)


def _without_tokens(rates: Mapping[Meter, Figure]) -> dict[Meter, Figure]:
    return {meter: figure for meter, figure in rates.items() if meter not in TOKENS}
