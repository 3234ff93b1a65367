"""`farebox channel`: where requests go. Upstream keys are sealed in the database and never shown again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from farebox.cli import channel_trial, offer_costs
from farebox.cli.channel_wishes import ChannelWishes, DialectName
from farebox.cli.desk import Desk, with_books
from farebox.cli.key_wishes import known_model
from farebox.cli.moments import read_moment_us
from farebox.cli.output import Column, ExitCode, Kind, not_found, refused
from farebox.cli.upstream_secrets import SecretSource
from farebox.store.catalogue_changes import ChannelRow
from farebox.store.id_source import new_id
from farebox.upstream.channel import Channel

app = typer.Typer(no_args_is_help=True, help="Channels to providers: where requests go.")

COLUMNS = (
    Column("id"),
    Column("name"),
    Column("dialect"),
    Column("base_url"),
    Column("enabled"),
    Column("priority", Kind.NUMBER),
    Column("weight", Kind.NUMBER),
    Column("keys"),
    Column("models", empty="none"),
    Column("concurrency", Kind.NUMBER),
    Column("headers"),
    Column("parameters"),
    Column("limit_field"),
    Column("stream_usage"),
    Column("bills_after_disconnect"),
    Column("proxy"),
    Column("timeouts"),
)
_BRIEF = ("id", "name", "dialect", "base_url", "enabled", "priority", "keys")
IN_A_LIST = (*(column for column in COLUMNS if column.name in _BRIEF), Column("serves", Kind.NUMBER, "models"))
SANDBOX_KEY = "sandbox"

ChannelName = Annotated[str, typer.Argument(metavar="CHANNEL", help="A channel's id or name.")]


@app.command("add")
@with_books
async def add(
    desk: Desk,
    name: Annotated[str, typer.Argument(help="What to call the channel.")],
    wishes: ChannelWishes,
    source: SecretSource,
) -> None:
    """Add a channel; its upstream keys come from --key-env, --key-file, standard input or a prompt."""
    blank = ChannelRow(new_id("chan"), name, DialectName.OPENAI.value, "")
    row = wishes.applied(blank, desk.books.catalogue.current)
    built_in = row.dialect == DialectName.SANDBOX and not source.named
    await _put(desk, row, (SANDBOX_KEY,) if built_in else source.read(desk.out))
    desk.out.say(f"\nTry it: farebox channel test {name}")


@app.command("list")
@with_books
async def list_channels(desk: Desk) -> None:
    """List channels."""
    rows = [row_of(channel) for channel in desk.books.catalogue.current.channels]
    desk.out.table(rows, COLUMNS if desk.out.as_json else IN_A_LIST, title="Channels")


@app.command("show")
@with_books
async def show(desk: Desk, channel: ChannelName) -> None:
    """Show one channel, its models and all it adds to requests."""
    _show(desk, (await _find(desk, channel)).id)


@app.command("edit")
@with_books
async def edit(
    desk: Desk,
    channel: ChannelName,
    wishes: ChannelWishes,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
) -> None:
    """Change a channel; what is left out stays, lists are replaced whole."""
    found = await _find(desk, channel)
    row = wishes.applied(found, desk.books.catalogue.current)
    await _put(desk, msgspec.structs.replace(row, name=name or row.name), None)


@app.command("rotate-key")
@with_books
async def rotate_key(desk: Desk, channel: ChannelName, source: SecretSource) -> None:
    """Replace a channel's upstream keys, from the next request on."""
    await _put(desk, await _find(desk, channel), source.read(desk.out))


@app.command("disable")
@with_books
async def disable(desk: Desk, channel: ChannelName) -> None:
    """Send no more requests there; those under way end as they would."""
    await _put(desk, msgspec.structs.replace(await _find(desk, channel), enabled=False), None)


@app.command("enable")
@with_books
async def enable(desk: Desk, channel: ChannelName) -> None:
    """Send requests there again."""
    await _put(desk, msgspec.structs.replace(await _find(desk, channel), enabled=True), None)


@app.command("remove")
@with_books
async def remove(desk: Desk, channel: ChannelName) -> None:
    """Take a channel and its upstream keys away."""
    found = await _find(desk, channel)
    await desk.books.changes.remove_channel(found.id)
    desk.out.record({"id": found.id, "name": found.name, "removed": True}, (*COLUMNS[:2], Column("removed")))


@app.command("costs")
@with_books
async def costs(desk: Desk, channel: ChannelName) -> None:
    """Show what the channel takes for models where that is its own: past, in force, to come."""
    found = await _find(desk, channel)
    rows = offer_costs.rows_of(desk, found.id)
    if not desk.out.as_json:
        rows = [row | {"prices": offer_costs.lines(row["prices"])} for row in rows]
    desk.out.table(rows, offer_costs.COSTS, title=f"What {found.name} takes")


@app.command("forget-cost")
@with_books
async def forget_cost(
    desk: Desk,
    channel: ChannelName,
    model: Annotated[
        list[str], typer.Argument(metavar="MODEL", help="A model that costs there what it does elsewhere.")
    ],
    starts: Annotated[str | None, typer.Option(metavar="WHEN", help="From when on; at once by default.")] = None,
) -> None:
    """End a channel's own cost of models: from then on their own cost card counts."""
    snapshot = desk.books.catalogue.current
    cards = dict.fromkeys(known_model(name, snapshot) for name in model)
    starts_us = None if starts is None else read_moment_us(starts)
    await offer_costs.change(desk, channel, cards, starts_us=starts_us, source="forgotten")


@app.command("test")
@with_books
async def try_out(
    desk: Desk,
    channel: ChannelName,
    model: Annotated[
        str | None, typer.Option(help="The model to ask; its first chat or embedding model by default.")
    ] = None,
) -> None:
    """Send one tiny real request with each upstream key, and say what came back."""
    found = await _find(desk, channel)
    configured = _configured(desk, found.id)
    trials = await channel_trial.run(configured, model, desk.books.catalogue.current, desk.settings)
    desk.out.table([msgspec.structs.asdict(trial) for trial in trials], channel_trial.COLUMNS, title=found.name)
    if not all(trial.well for trial in trials):
        raise typer.Exit(ExitCode.FOUND)


def row_of(channel: Channel) -> Mapping[str, object]:
    """A channel as columns; of its upstream keys only the ends."""
    return {
        **msgspec.structs.asdict(channel),
        "keys": [f"…{key.secret[-4:]}" if len(key.secret) >= 12 else "…" for key in channel.keys],
        "models": [ours if ours == theirs else f"{ours}={theirs}" for ours, theirs in channel.models.items()],
        "serves": len(channel.models),
        "headers": list(channel.headers),
        "parameters": list(channel.parameters),
        "timeouts": [f"{name} {value}" for name, value in msgspec.structs.asdict(channel.timeouts).items() if value],
    }


async def _find(desk: Desk, name: str) -> ChannelRow:
    found = await desk.books.changes.find_channel(name)
    if found is None:
        raise not_found("channel", name, next_step="`farebox channel list` shows them.")
    return found


async def _put(desk: Desk, row: ChannelRow, secrets: tuple[str, ...] | None) -> None:
    try:
        await desk.books.changes.put_channel(row, secrets=secrets)
    except ValueError as taken:
        raise refused(f"{taken}.", next_step="Choose another name, or change that one: farebox channel edit.") from None
    await desk.books.catalogue.verify()
    _show(desk, row.id)


def _configured(desk: Desk, channel_id: str) -> Channel:
    return next(channel for channel in desk.books.catalogue.current.channels if channel.id == channel_id)


def _show(desk: Desk, channel_id: str) -> None:
    desk.out.record(row_of(_configured(desk, channel_id)), COLUMNS)
