"""Which list `farebox price diff` and `farebox price import` read: one of the operator's own, or others' prices.

Others' prices are costs; what customers pay is that times the markup. What they know of a model fills gaps only: a
model of the catalogue keeps its name, tier, aliases and facts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from farebox.cli.moments import read_moment_us
from farebox.cli.output import CommandFailed, ExitCode, Output
from farebox.cli.price_file import accepted, read_file
from farebox.cli.price_sources import READERS, Source, open_source
from farebox.store.catalogue import Snapshot
from farebox.tariff.foreign_prices import Terms, Wish
from farebox.tariff.price_list import Model, PriceList, Reading, refused

DEFAULT_TIER = "pro"
_ONLY_WITH_SOURCE = ("markup", "provider", "model", "min_tier")


class Wished(NamedTuple):
    """A list, and where it is from."""

    price_list: PriceList
    source: str


@dataclass(frozen=True, slots=True)
class ListWishes:
    """See the module."""

    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="A price list, YAML or JSON; with --from a newer file of that source than the shipped one.",
            show_default=False,
        ),
    ] = None
    source_name: Annotated[
        Source | None, typer.Option("--from", help="Take others' prices as costs, from the file that is shipped.")
    ] = None
    markup: Annotated[
        str | None, typer.Option(metavar="FACTOR", help="What a cost is multiplied by to be a price; 1 by default.")
    ] = None
    provider: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="All models of this provider, as the source calls it; repeat."),
    ] = None
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=THEIRS]", help="This model, and the source's name for it; repeat."),
    ] = None
    min_tier: Annotated[
        str | None, typer.Option(metavar="TIER", help=f"The tier of models that are new; {DEFAULT_TIER} by default.")
    ] = None
    starts: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="When prices begin: a date, a time, or 7d; at once by default."),
    ] = None
    without_refused: Annotated[
        bool,
        typer.Option("--without-refused", help="Leave out entries that are not understood, instead of refusing all."),
    ] = False

    @property
    def starts_us(self) -> int | None:
        """When prices begin; None: at once."""
        return None if self.starts is None else read_moment_us(self.starts)

    def read(self, out: Output, snapshot: Snapshot) -> Wished:
        """The list, with every doubt told. Raises `CommandFailed`."""
        if self.source_name is None:
            return self._own(out)
        opened = open_source(self.source_name, self.file)
        terms = self._terms(opened.name, opened.as_of, snapshot)
        reading = _without_aliases(READERS[self.source_name](opened.content, terms), snapshot)
        price_list = accepted(reading, out, origin=opened.name, without_refused=self.without_refused)
        return Wished(price_list, opened.name)

    def _own(self, out: Output) -> Wished:
        given = [name for name in _ONLY_WITH_SOURCE if getattr(self, name)]
        if given:
            option = given[0].replace("_", "-")
            raise _wrong(f"--{option} goes with --from.", "A list of your own says all of it itself.")
        if self.file is None:
            raise _wrong("There is no list to read.", "Name a file, or others' prices: --from litellm.")
        return Wished(read_file(self.file, out, without_refused=self.without_refused), self.file.name)

    def _terms(self, source: str, as_of: date, snapshot: Snapshot) -> Terms:
        catalogue = {name: priced.model for name, priced in snapshot.models.items()}
        tier = self.min_tier or DEFAULT_TIER
        if self.min_tier is not None and tier not in snapshot.tiers:
            raise _wrong(f"There is no tier {tier}.", f"There are {', '.join(snapshot.tiers)}.")
        try:
            return Terms(
                source=source,
                as_of=as_of,
                on=_day(self.starts_us),
                markup=self.markup or "1",
                min_tier=tier,
                wish=Wish(models=self._models(), providers=frozenset(self.provider or ()), known=catalogue),
            )
        except ValueError as problem:
            raise _wrong(f"--markup: {problem}.", "Write a factor like 1.2.") from None

    def _models(self) -> Mapping[str, str]:
        pairs = [name.partition("=") for name in self.model or ()]
        return {ours: theirs or ours for ours, _, theirs in pairs}


def _without_aliases(reading: Reading, snapshot: Snapshot) -> Reading:
    """A model may not take a name by which the catalogue means another."""
    kept: list[Model] = []
    findings = list(reading.findings)
    for model in reading.price_list.models:
        known = snapshot.names.get(model.id)
        if known is None or known.model.id == model.id:
            kept.append(model)
        else:
            means = known.model.id
            findings.append(refused(model.id, f"here this name means {means}: import it as {means}={model.id}"))
    return Reading(PriceList(reading.price_list.name, tuple(kept)), tuple(findings))


def _day(starts_us: int | None) -> date:
    return datetime.fromtimestamp((time.time_ns() // 1000 if starts_us is None else starts_us) // 1_000_000, UTC).date()


def _wrong(message: str, next_step: str) -> CommandFailed:
    return CommandFailed(message, code=ExitCode.USAGE, next_step=next_step)
