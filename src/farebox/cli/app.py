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


_RUN, _SELL, _BUY, _BOOKS = "Run the gateway", "Customers", "Models and providers", "The books"

PLACES = {
    "serve": Place("serve", "Serve until stopped.", _RUN),
    "demo": Place("demo", "Serve with a sandbox provider, make a few billed calls and print their receipts.", _RUN),
    "account": Place("account", "Accounts: who buys.", _SELL),
    "key": Place("key", "API keys: what customers call with, and what each may do.", _SELL),
    "credit": Place("credit", "Credits: give, correct, look through.", _SELL),
    "channel": Place("channel", "Channels to providers: where requests go.", _BUY),
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
    module = importlib.import_module(f"farebox.cli.{PLACES[name].module}")
    command = typer.main.get_command(module.app)
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
