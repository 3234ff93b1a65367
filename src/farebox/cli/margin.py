"""`farebox margin`: what was earned, what providers took for it, and what was borne."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import typer

from farebox.cli.desk import Desk, with_books
from farebox.cli.moments import read_past_us
from farebox.cli.output import Column, CommandFailed, ExitCode, Kind
from farebox.store.margin import By, MarginRow, Margins, total

app = typer.Typer(add_completion=False)

SUMS = (
    Column("charges", Kind.NUMBER),
    Column("revenue", Kind.CREDITS),
    Column("shortfall", Kind.CREDITS),
    Column("upstream_cost", Kind.CREDITS, "upstream"),
    Column("margin", Kind.CREDITS),
    Column("percent", title="per cent"),
    Column("cost_unknown", Kind.NUMBER, "cost unknown"),
    Column("revenue_of_unknown", Kind.CREDITS, "their revenue"),
    Column("borne", Kind.NUMBER),
    Column("borne_cost", Kind.CREDITS, "borne upstream"),
    Column("borne_unknown", Kind.NUMBER, "borne, cost unknown"),
)
BORNE = (
    Column("reason"),
    Column("requests", Kind.NUMBER),
    Column("upstream_cost", Kind.CREDITS, "upstream"),
    Column("cost_unknown", Kind.NUMBER, "cost unknown"),
)
_FOR_PEOPLE = ("charges", "revenue", "shortfall", "upstream_cost", "margin", "percent", "cost_unknown")


@app.command("margin")
@with_books
async def margin(
    desk: Desk,
    since: Annotated[str, typer.Option(metavar="WHEN", help="From when on: a date, or 30d for that long ago.")] = "30d",
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Up to when; now by default.")] = None,
    by: Annotated[By, typer.Option(help="What to sum for.")] = By.MODEL,
) -> None:
    """Show revenue, what providers took for it, and the margin."""
    since_us = read_past_us(since)
    until_us = time.time_ns() // 1000 + 1_000_000 if until is None else read_past_us(until)
    if since_us >= until_us:
        raise CommandFailed("--since lies after --until.", code=ExitCode.USAGE)
    margins = Margins(desk.books.pool)
    with desk.out.progress("Adding up charges"):
        rows = await margins.rows(by, since_us=since_us, until_us=until_us)
        borne = await margins.borne(since_us=since_us, until_us=until_us)
    names = await _names(desk, by, rows)
    shown = [_row(row, names.get(row.part)) for row in rows]
    whole = _row(total(rows), None)
    if desk.out.as_json:
        columns = (Column(by.value), Column("name"), *SUMS)
        desk.out.json(
            {
                "by": by.value,
                "rows": [_for_programs({**row, by.value: row["part"]}, columns) for row in shown],
                "total": _for_programs(whole, SUMS),
                "borne": [_for_programs(msgspec.structs.asdict(row), BORNE) for row in borne],
            }
        )
        return
    _show(desk, by, [*shown, {**whole, "name": "all", "part": "all"}])
    desk.out.table([msgspec.structs.asdict(row) for row in borne], BORNE, title="Work nobody was charged for")
    if whole["cost_unknown"] or whole["borne_unknown"]:
        desk.out.say(
            "\nWhat has no known cost is in no margin. A cost card makes it known: farebox price import --help"
        )


def _show(desk: Desk, by: By, rows: Sequence[Mapping[str, object]]) -> None:
    columns = (Column("name", title=by.value), *(column for column in SUMS if column.name in _FOR_PEOPLE))
    desk.out.table(rows, columns, title=f"Margin by {by.value}")


def _row(row: MarginRow, name: str | None) -> dict[str, Any]:
    return {**msgspec.structs.asdict(row), "name": name or row.part or "none", "percent": _percent(row)}


def _percent(row: MarginRow) -> str | None:
    """Margin to a tenth of a per cent of the revenue it is of; None where there is none."""
    known = row.revenue - row.revenue_of_unknown
    if not known:
        return None
    tenths = round(1000 * row.margin / known)
    return f"{'-' if tenths < 0 else ''}{abs(tenths) // 10}.{abs(tenths) % 10}"


def _for_programs(row: Mapping[str, object], columns: Sequence[Column]) -> dict[str, object]:
    return {column.name: column.for_programs(row.get(column.name)) for column in columns}


async def _names(desk: Desk, by: By, rows: Sequence[MarginRow]) -> dict[str, str]:
    match by:
        case By.MODEL:
            return {row.part: row.part for row in rows}
        case By.CHANNEL:
            return {channel.id: channel.name for channel in desk.books.catalogue.current.channels}
        case By.ACCOUNT:
            found = [await desk.books.accounts.get(row.part) for row in rows]
            return {account.id: account.name for account in found if account is not None}
