"""The command line's front door: which commands there are, and which module each lives in.

A command's module is imported when it is called, so that `farebox --help` and small commands start at once; the line
of help each has here is the one it has itself (a test compares them).
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Place(NamedTuple):
    """Where a command is, and what it does in a line."""

    module: str
    summary: str
    panel: str
    app: str = "app"


_RUN, _SELL, _BUY, _BOOKS = "Run the gateway", "Customers", "Models and providers", "The books"

PLACES = {
    "serve": Place("serve", "Serve until stopped.", _RUN),
    "demo": Place("demo", "Serve with a sandbox provider, make a few billed calls and print their receipts.", _RUN),
    "doctor": Place("doctor", "Check what Farebox depends on, and say what to do.", _RUN),
    "migrate": Place("migrate", "Bring the database up to this version; `farebox serve` does it too.", _RUN),
    "account": Place("account", "Accounts: who buys.", _SELL),
    "key": Place("key", "API keys: what customers call with, and what each may do.", _SELL),
    "credit": Place("credit", "Credits: give, correct, look through.", _SELL),
    "budget": Place("budget", "Budgets of accounts: warn or block.", _SELL),
    "file": Place("file", "Files that customers uploaded.", _SELL),
    "tier": Place("tier", "Tiers: priority and limits of accounts.", _SELL),
    "channel": Place("channel", "Channels to providers: where requests go.", _BUY),
    "price": Place("price", "Models and their prices: import, compare, export.", _BUY),
    "quote": Place("quote", "Show what a call would hold and be charged, and what would refuse it.", _BUY),
    "receipt": Place("receipt", "Show the receipt of a request.", _BOOKS),
    "margin": Place("margin", "Show revenue, what providers took for it, and the margin.", _BOOKS),
    "audit": Place("audit", "Prove the books: every entry, hold, lot and charge.", _BOOKS),
    "backup": Place("backup", "Copy the embedded database to a new folder and verify the copy.", _BOOKS, "backup_app"),
    "restore": Place("backup", "Put a backup into a data directory that holds no database yet.", _BOOKS, "restore_app"),
    "rotate-secret-key": Place("rotate", "Add a new secret key and seal every upstream key with it.", _BOOKS),
}


class Commands(TyperGroup):
    """The group of all commands, each loaded when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(PLACES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What the overview shows; `resolve_command` puts the command itself in its place."""
        place = PLACES.get(cmd_name)
        if place is None:
            return None
        return TyperCommand(cmd_name, short_help=place.summary, help=place.summary, rich_help_panel=place.panel)

    def resolve_command(self, ctx: Any, args: Sequence[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, list(args))
        return name, None if found is None else load(str(found.name)), rest


def load(name: str) -> Any:
    """The command called `name`, ready to be run."""
    place = PLACES[name]
    module = importlib.import_module(f"farebox.cli.{place.module}")
    command = typer.main.get_command(getattr(module, place.app))
    command.name = name
    return command


app = typer.Typer(
    name="farebox", cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.metadata.version("farebox"))
        raise typer.Exit


@app.callback()
def farebox(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave."),
    ] = False,
) -> None:
    """A self-hosted AI API gateway that sells: exact credits, held first, charged in real time."""


def run() -> None:
    """The entry point of `farebox` and `python -m farebox`."""
    app(prog_name="farebox")
