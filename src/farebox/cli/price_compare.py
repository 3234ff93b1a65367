"""What an import would change: against the prices in force when it begins, and against those scheduled after that.

Enters: the catalogue, a list, the moment it would begin. Leaves: changes by model, the later versions that would
replace what is imported, and what stored usage of the last days would have cost each customer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from farebox.cli import price_effect
from farebox.cli.desk import Desk
from farebox.cli.output import Column, Kind
from farebox.cli.price_file import at_version, current_list
from farebox.store.catalogue import PriceVersion, Snapshot
from farebox.store.overview import Overview
from farebox.tariff.compiled import CompiledCard
from farebox.tariff.price_diff import Change, PriceDiff, diff
from farebox.tariff.price_list import Model, PriceList

CHANGES = (Column("model"), Column("where"), Column("before"), Column("after"))
SCHEDULED = (
    Column("model"),
    Column("starts_at", Kind.TIME, "from"),
    Column("version"),
    Column("imported_from"),
    Column("changes", Kind.NUMBER, "prices that differ"),
)


class Scheduled(NamedTuple):
    """A version that begins after the import and replaces it."""

    model: str
    version: PriceVersion
    changed: Sequence[Change]
    """From what is imported to what then holds."""


class Comparison(NamedTuple):
    """See the module."""

    changes: PriceDiff
    scheduled: Sequence[Scheduled]
    effects: Sequence[Mapping[str, object]]
    days: int

    @property
    def repriced(self) -> set[str]:
        """Models whose price changes, by id."""
        return repriced(self.changes)


async def compare(desk: Desk, new: PriceList, *, starts_us: int | None, days: int) -> Comparison:
    """Compare a list with the catalogue as it will be when the list begins."""
    now_us = time.time_ns() // 1000
    at_us = now_us if starts_us is None else starts_us
    snapshot = desk.books.catalogue.current
    changes = diff(current_list(snapshot, at_us), new)
    models = [model for model in new.models if model.id in repriced(changes)]
    felt: Sequence[Mapping[str, object]] = []
    if days and models:
        felt = await _effects(desk, models, _to_be_in_force(snapshot, now_us, at_us), days)
    return Comparison(changes, scheduled_after(snapshot, new.models, at_us), felt, days)


def repriced(changes: PriceDiff) -> set[str]:
    """Models of the catalogue whose price changes, by id."""
    return {change.model for change in changes.changed if change.where.startswith("price ")}


def scheduled_after(snapshot: Snapshot, models: Sequence[Model], at_us: int) -> list[Scheduled]:
    """The versions that would replace these models' prices later, where they differ from them."""
    found: list[Scheduled] = []
    for model in models:
        priced = snapshot.models.get(model.id)
        for version in () if priced is None else priced.versions:
            if priced is not None and version.starts_us > at_us:
                then = at_version(priced, version)
                changed = diff(PriceList("", (model,)), PriceList("", (then,))).changed
                prices = [change for change in changed if change.where.startswith(("price ", "cost "))]
                found += [Scheduled(model.id, version, prices)] if prices else []
    return found


def show(desk: Desk, found: Comparison) -> None:
    """Print a comparison."""
    if desk.out.as_json:
        desk.out.json(_for_programs(found))
        return
    changes = found.changes
    desk.out.say(f"New models: {', '.join(changes.added) or 'none'}.")
    desk.out.say(f"Not in the list, and staying as they are: {', '.join(changes.removed) or 'none'}.")
    desk.out.table([msgspec.structs.asdict(change) for change in changes.changed], CHANGES, title="Changes")
    if found.scheduled:
        rows = [_scheduled_row(each) | {"changes": len(each.changed)} for each in found.scheduled]
        desk.out.table(rows, SCHEDULED, title="Scheduled already, and replacing it then")
    if found.repriced and found.days:
        title = f"The last {found.days} days at the new prices"
        desk.out.table(found.effects, price_effect.COLUMNS, title=title)


def _for_programs(found: Comparison) -> Mapping[str, object]:
    return {
        "added": found.changes.added,
        "not_in_the_list": found.changes.removed,
        "changed": found.changes.changed,
        "scheduled": [
            {column.name: column.for_programs(_scheduled_row(each).get(column.name)) for column in SCHEDULED[:-1]}
            | {"changed": each.changed}
            for each in found.scheduled
        ],
        "days": found.days,
        "effect": [
            {column.name: column.for_programs(row[column.name]) for column in price_effect.COLUMNS}
            for row in found.effects
        ],
    }


def _scheduled_row(each: Scheduled) -> dict[str, object]:
    version = each.version
    return {
        "model": each.model,
        "starts_at": version.starts_us,
        "version": version.version,
        "imported_from": version.source,
    }


def _to_be_in_force(snapshot: Snapshot, now_us: int, at_us: int) -> dict[str, CompiledCard]:
    """The cards that will have replaced today's by then, by model: what the new ones are compared with."""
    cards: dict[str, CompiledCard] = {}
    for name, priced in snapshot.models.items():
        then = priced.price_at(at_us)
        if then is not None and then is not priced.price_at(now_us):
            cards[name] = then.card
    return cards


async def _effects(
    desk: Desk, models: Sequence[Model], before: Mapping[str, CompiledCard], days: int
) -> Sequence[Mapping[str, object]]:
    with desk.out.progress("Rating stored usage") as advance:
        overview = Overview(desk.books.pool)
        found = await price_effect.effects(overview, models, before=before, days=days, advance=advance)
    rows: list[Mapping[str, object]] = []
    for effect in found:
        account = await desk.books.accounts.get(effect.account_id)
        given = {"name": account.name if account else None, "change": effect.change, "percent": effect.percent}
        rows.append({**msgspec.structs.asdict(effect), **given})
    return rows
