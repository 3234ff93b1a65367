"""`farebox tier`: what the tiers are, and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
import typer

from farebox.admission.state import Limits, Tier
from farebox.cli.desk import Desk, with_books
from farebox.cli.key_wishes import changed_limits, limit_of
from farebox.cli.output import Column, Kind, not_found

app = typer.Typer(no_args_is_help=True, help="Tiers: priority and limits of accounts.")

COLUMNS = (
    Column("name"),
    Column("rank", Kind.NUMBER),
    Column("priority", Kind.NUMBER),
    *(Column(name, Kind.NUMBER, empty="unlimited") for name in Limits.__struct_fields__),
    Column("webhooks"),
    Column("max_api_keys", Kind.NUMBER, "api keys", empty="unlimited"),
    Column("max_file_bytes", Kind.NUMBER, "file bytes", empty="unlimited"),
    Column("max_storage_bytes", Kind.NUMBER, "storage bytes", empty="unlimited"),
)
IN_A_LIST = COLUMNS[:9]

LimitOption = Annotated[str | None, typer.Option(metavar="N|none", help="The most of these an account may have.")]


@dataclass(frozen=True, slots=True)
class TierWishes:
    """Limits to change; what is left out stays."""

    requests_per_minute: LimitOption = None
    tokens_per_minute: LimitOption = None
    requests_per_day: LimitOption = None
    concurrency: LimitOption = None
    max_file_bytes: LimitOption = None
    max_storage_bytes: LimitOption = None

    def limits(self, current: Limits) -> Limits:
        return changed_limits(current, {name: getattr(self, name) for name in Limits.__struct_fields__})

    def files(self) -> dict[str, int | None]:
        """Of those about files, what is to change."""
        wishes = {"max_file_bytes": self.max_file_bytes, "max_storage_bytes": self.max_storage_bytes}
        return {name: limit_of(name, wish) for name, wish in wishes.items() if wish is not None}


@app.command("list")
@with_books
async def list_tiers(desk: Desk) -> None:
    """List tiers, the lowest first."""
    rows = [_row(tier) for tier in _tiers(desk)]
    desk.out.table(rows, COLUMNS if desk.out.as_json else IN_A_LIST, title="Tiers")


@app.command("set")
@with_books
async def set_tier(
    desk: Desk,
    name: Annotated[str, typer.Argument(metavar="TIER", help="The tier to change.")],
    wishes: TierWishes,
    priority: Annotated[int | None, typer.Option(min=1, max=4, help="Who goes first when channels are busy.")] = None,
) -> None:
    """Change a tier's priority and limits, from the next request on."""
    tier = _named(desk, name)
    limits = wishes.limits(tier.limits)
    changed = msgspec.structs.replace(tier, priority=priority or tier.priority, limits=limits, **wishes.files())
    await desk.books.changes.set_tier(changed)
    await desk.books.catalogue.verify()
    desk.out.record(_row(_named(desk, name)), COLUMNS)


def _tiers(desk: Desk) -> list[Tier]:
    return sorted(desk.books.catalogue.current.tiers.values(), key=lambda tier: tier.rank)


def _named(desk: Desk, name: str) -> Tier:
    found = desk.books.catalogue.current.tiers.get(name)
    if found is None:
        raise not_found("tier", name, next_step=f"There are {', '.join(tier.name for tier in _tiers(desk))}.")
    return found


def _row(tier: Tier) -> dict[str, object]:
    return {**msgspec.structs.asdict(tier), **msgspec.structs.asdict(tier.limits)}
