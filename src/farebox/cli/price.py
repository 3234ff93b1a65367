"""`farebox price`: the models on sale and their prices; import, compare and export of price lists."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from farebox.cli import price_effect
from farebox.cli.desk import Desk, with_books
from farebox.cli.key_wishes import known_model
from farebox.cli.moments import read_moment_us
from farebox.cli.output import Column, Kind, refused
from farebox.cli.price_file import current_list, read_file, written
from farebox.store.catalogue import PricedModel, PriceVersion
from farebox.store.overview import Overview
from farebox.tariff.price_diff import PriceDiff, described, diff
from farebox.tariff.price_list import PriceList
from farebox.tariff.public_price import public_price

app = typer.Typer(no_args_is_help=True, help="Models and their prices: import, compare, export.")

MODELS = (
    Column("id"),
    Column("provider"),
    Column("type"),
    Column("min_tier", title="tier"),
    Column("input_price", title="input"),
    Column("output_price", title="output"),
    Column("pricing_unit", title="unit"),
    Column("call_price", title="a call"),
    Column("billing_methods", title="charged by", empty="unpriced"),
    Column("channels", Kind.NUMBER),
)
FACTS = (
    *MODELS[:4],
    Column("display_name"),
    Column("aliases"),
    Column("capabilities"),
    Column("context_length", Kind.NUMBER),
    Column("max_output_tokens", Kind.NUMBER),
    Column("source"),
    Column("as_of"),
    Column("channels", Kind.NUMBER),
)
VERSIONS = (
    Column("version"),
    Column("starts_at", Kind.TIME, "in force from"),
    Column("until", Kind.TIME),
    Column("state"),
    Column("prices"),
    Column("upstream_cost", title="we pay"),
    Column("imported_from"),
)
CHANGES = (Column("model"), Column("where"), Column("before"), Column("after"))
IMPORTED = (Column("added", empty="none"), Column("repriced", empty="none"), Column("unchanged", Kind.NUMBER))

ListFile = Annotated[Path, typer.Argument(metavar="FILE", help="A price list, YAML or JSON.")]
WithoutRefused = Annotated[
    bool, typer.Option("--without-refused", help="Leave out entries that are not understood, instead of refusing all.")
]


@app.command("list")
@with_books
async def list_models(
    desk: Desk,
    provider: Annotated[str | None, typer.Option(help="Only models of this provider.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only models of this type: chat, embedding, …")] = None,
) -> None:
    """List models with the prices in force."""
    models = [
        _row(priced)
        for priced in desk.books.catalogue.current.models.values()
        if provider in (None, priced.model.provider) and kind in (None, priced.model.type.value)
    ]
    desk.out.table(models, MODELS, title="Models")


@app.command("show")
@with_books
async def show(desk: Desk, model: Annotated[str, typer.Argument(help="A model's id or alias.")]) -> None:
    """Show a model and all its prices: past, in force, to come."""
    snapshot = desk.books.catalogue.current
    priced = snapshot.models[known_model(model, snapshot)]
    versions = [_version(version, priced) for version in priced.versions]
    if desk.out.as_json:
        shown = {column.name: column.for_programs(_row(priced).get(column.name)) for column in FACTS}
        told = [{column.name: column.for_programs(row[column.name]) for column in VERSIONS} for row in versions]
        desk.out.json({**shown, "versions": told})
        return
    desk.out.record(_row(priced), FACTS)
    desk.out.table([row | {"prices": _lines(row["prices"])} for row in versions], VERSIONS, title="\nPrices")


@app.command("diff")
@with_books
async def compare(
    desk: Desk,
    file: ListFile,
    days: Annotated[int, typer.Option(min=0, max=366, help="Days of usage to rate anew; 0 for none.")] = 30,
    without_refused: WithoutRefused = False,
) -> None:
    """Show what importing a list would change, and what it would have meant for each customer."""
    new = read_file(file, desk.out, without_refused=without_refused)
    changes = _compared(desk, new)
    repriced = {change.model for change in changes.changed if change.where.startswith("price ")}
    felt = await _effects(desk, new, repriced, days) if days and repriced else []
    if desk.out.as_json:
        desk.out.json(
            {
                "added": changes.added,
                "not_in_the_list": changes.removed,
                "changed": changes.changed,
                "days": days,
                "effect": [_for_programs(row) for row in felt],
            }
        )
        return
    desk.out.say(f"New models: {', '.join(changes.added) or 'none'}.")
    desk.out.say(f"Not in the list, and staying as they are: {', '.join(changes.removed) or 'none'}.")
    desk.out.table([msgspec.structs.asdict(change) for change in changes.changed], CHANGES, title="Changes")
    if repriced and days:
        desk.out.table(felt, price_effect.COLUMNS, title=f"The last {days} days at the new prices")


@app.command("import")
@with_books
async def import_list(
    desk: Desk,
    file: ListFile,
    starts: Annotated[
        str | None, typer.Option(metavar="WHEN", help="When prices begin: a date, or 7d; at once by default.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Where it is from; the file's name by default.")] = None,
    without_refused: WithoutRefused = False,
) -> None:
    """Take in a price list: facts at once, new prices from their start on. Prices of the past never change."""
    new = read_file(file, desk.out, without_refused=without_refused)
    for name in sorted({model.min_tier for model in new.models} - desk.books.catalogue.current.tiers.keys()):
        desk.out.note(f"Warning: there is no tier {name}; its models go to the highest tier.")
    starts_us = None if starts is None else read_moment_us(starts)
    try:
        done = await desk.books.changes.import_models(new.models, starts_us=starts_us, source=source or file.name)
    except ValueError as wrong:
        raise refused(f"{wrong}.", next_step="Give a later --starts, or none for at once.") from None
    desk.out.record(msgspec.structs.asdict(done), IMPORTED)


@app.command("export")
@with_books
async def export(
    desk: Desk,
    file: Annotated[Path | None, typer.Argument(help="Where to write it; standard output by default.")] = None,
) -> None:
    """Write the catalogue as a price list; YAML, or JSON with --json or a name that ends in .json."""
    as_json = desk.out.as_json or (file is not None and file.suffix == ".json")
    text = written(current_list(desk.books.catalogue.current, _now_us()), as_json=as_json)
    if file is None:
        sys.stdout.write(text)
    elif file.exists():
        raise refused(f"{file} exists already.", next_step="Name another file.")
    else:
        file.write_text(text, encoding="utf-8")


def _compared(desk: Desk, new: PriceList) -> PriceDiff:
    return diff(current_list(desk.books.catalogue.current, _now_us()), new)


async def _effects(desk: Desk, new: PriceList, repriced: set[str], days: int) -> list[Mapping[str, object]]:
    models = [model for model in new.models if model.id in repriced]
    with desk.out.progress("Rating stored usage") as advance:
        found = await price_effect.effects(Overview(desk.books.pool), models, days=days, advance=advance)
    rows: list[Mapping[str, object]] = []
    for effect in found:
        account = await desk.books.accounts.get(effect.account_id)
        given = {"name": account.name if account else None, "change": effect.change, "percent": effect.percent}
        rows.append({**msgspec.structs.asdict(effect), **given})
    return rows


def _for_programs(row: Mapping[str, object]) -> dict[str, object]:
    return {column.name: column.for_programs(row[column.name]) for column in price_effect.COLUMNS}


def _row(priced: PricedModel) -> dict[str, Any]:
    facts = priced.model
    version = priced.price_at(_now_us())
    price: dict[str, Any] = {} if version is None else public_price(version.card)
    call = price.get("call_price")
    return {
        **msgspec.to_builtins(facts),
        "aliases": facts.aliases,
        "input_price": price.get("input_price"),
        "output_price": price.get("output_price"),
        "pricing_unit": price.get("pricing_unit"),
        "call_price": None if call is None else call["price"],
        "billing_methods": price.get("billing_methods", []),
        "channels": len(priced.offers),
    }


def _version(version: PriceVersion, priced: PricedModel) -> dict[str, Any]:
    in_force = priced.price_at(_now_us())
    to_come = version.starts_us > _now_us()
    return {
        "version": version.version,
        "starts_at": version.starts_us,
        "until": version.until_us,
        "state": "in force" if version is in_force else ("to come" if to_come else "past"),
        "prices": described(version.card.card),
        "upstream_cost": "known" if version.cost_card else None,
        "imported_from": version.source,
    }


def _lines(prices: Mapping[str, str]) -> str:
    return "\n".join(f"{where}: {price}" for where, price in prices.items()) or "none"


def _now_us() -> int:
    return time.time_ns() // 1000
