"""`farebox price`: the models on sale and their prices; import, compare and export of price lists."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from farebox.cli import offer_costs, price_compare
from farebox.cli.desk import Desk, with_books
from farebox.cli.key_wishes import known_model
from farebox.cli.output import Column, Kind, refused
from farebox.cli.price_file import current_list, written
from farebox.cli.price_wishes import ListWishes
from farebox.store.catalogue import PricedModel, PriceVersion
from farebox.tariff.price_diff import described
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
IMPORTED = (Column("added", empty="none"), Column("repriced", empty="none"), Column("unchanged", Kind.NUMBER))


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
    wishes: ListWishes,
    days: Annotated[int, typer.Option(min=0, max=366, help="Days of usage to rate anew; 0 for none.")] = 30,
) -> None:
    """Show what importing a list would change, for whom and by how much."""
    wished = wishes.read(desk.out, desk.books.catalogue.current)
    found = await price_compare.compare(desk, wished.price_list, starts_us=wishes.starts_us, days=days)
    price_compare.show(desk, found)


@app.command("import")
@with_books
async def import_list(
    desk: Desk,
    wishes: ListWishes,
    source: Annotated[str | None, typer.Option(help="Where it is from; the file's name by default.")] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Take only costs, as what this channel takes for the models.")
    ] = None,
) -> None:
    """Take in a price list: facts at once, new prices from their start on. Prices of the past never change."""
    snapshot = desk.books.catalogue.current
    (new, origin), starts_us = wishes.read(desk.out, snapshot), wishes.starts_us
    source = source or origin
    if channel is not None:
        await offer_costs.take(desk, channel, new, starts_us=starts_us, source=source)
        return
    if wishes.source_name is not None and wishes.markup is None:
        desk.out.note("Note: without --markup the price is the cost.")
    for name in sorted({model.min_tier for model in new.models} - snapshot.tiers.keys()):
        desk.out.note(f"Warning: there is no tier {name}; its models go to the highest tier.")
    try:
        done = await desk.books.changes.import_models(new.models, starts_us=starts_us, source=source)
    except ValueError as wrong:
        raise refused(f"{wrong}.", next_step="Give a later --starts, or none for at once.") from None
    later = price_compare.scheduled_after(snapshot, new.models, _now_us() if starts_us is None else starts_us)
    for each in later:
        desk.out.note(f"Note: {each.model} has another price scheduled already; `farebox price show {each.model}`.")
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
