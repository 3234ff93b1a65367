"""Where commands work on the books: settings read, database opened, results printed, troubles explained.

`with_books` turns an async function into a command: it adds `--json`, `--data-dir` and `--config`, opens the books, and
closes them whatever happens. The embedded database is started for the command if no gateway runs, and shared with the
gateway if one does; every change is a command to this process's own ledger writer.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from farebox.books import Books, database, open_books, set_up
from farebox.cli.output import CommandFailed, ExitCode, Output, not_found
from farebox.config import Settings, load_settings
from farebox.ids import AccountId
from farebox.store.migrate import pending, read_migrations

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="PATH", help="The data directory (FAREBOX_DATA_DIR).")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="PATH", help="A TOML file of settings.")]

AccountName = Annotated[str, typer.Argument(metavar="ACCOUNT", help="An account's id, name or email.")]


@dataclass(frozen=True, slots=True)
class Desk:
    """What a command has before it."""

    out: Output
    books: Books

    @property
    def settings(self) -> Settings:
        return self.books.settings

    async def account(self, name: str) -> AccountId:
        """The account of this id, name or email."""
        found = await self.books.accounts.find(name)
        if found is None:
            raise not_found(
                "one account called", name, next_step="`farebox account list` shows the ids; an id is never ambiguous."
            )
        return found


@dataclass(frozen=True, slots=True)
class Stage:
    """What a command has before it that opens the database itself, or none."""

    out: Output
    settings: Settings


def with_settings(work: Callable[..., None]) -> Callable[..., None]:
    """Make a command of `work(stage, …)`, with the common options and nothing opened."""
    return as_command(work, lambda out, settings, given: work(Stage(out, settings), **given))


def with_books(work: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a command of `work(desk, …)`. A parameter that is a dataclass becomes one option for each of its fields."""

    async def at_desk(out: Output, settings: Settings, dsn: str, given: dict[str, Any]) -> None:
        await bring_up_to_date(dsn)
        async with open_books(settings, dsn) as books:
            await work(Desk(out, books), **given)

    def body(out: Output, settings: Settings, given: dict[str, Any]) -> None:
        with database(settings) as dsn:
            asyncio.run(at_desk(out, settings, dsn, given))

    return as_command(work, body)


def as_command(
    work: Callable[..., object], body: Callable[[Output, Settings, dict[str, Any]], None]
) -> Callable[..., None]:
    """A command with the options of `work` (its first parameter left out) and the common ones, which runs `body`."""
    hints = get_type_hints(work, include_extras=True)
    own = list(inspect.signature(work).parameters.values())[1:]
    folded = {each.name: hints[each.name] for each in own if dataclasses.is_dataclass(hints[each.name])}

    def run(*, as_json: bool, data_dir: Path | None, config: Path | None, **given: Any) -> None:
        out = Output(as_json=as_json)
        with out.guard():
            settings = load_settings({"data_dir": None if data_dir is None else str(data_dir)}, file=config)
            for name, kind in folded.items():
                fields = [field.name for field in dataclasses.fields(kind)]
                given[name] = kind(**{field: given.pop(field) for field in fields})
            body(out, settings, given)

    parameters = [part for each in own for part in _unfolded(each, hints[each.name])]
    parameters += [_common("as_json", JsonFlag, False), _common("data_dir", DataDir), _common("config", ConfigFile)]
    run.__name__, run.__doc__ = work.__name__, work.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


async def bring_up_to_date(dsn: str) -> None:
    """Set up a database that is new; refuse one of an older version, which `farebox migrate` brings on."""
    missing = await pending(dsn)
    if not missing:
        return
    if len(missing) < len(read_migrations()):
        raise CommandFailed(
            "The database is of an older version of Farebox.",
            code=ExitCode.SETUP,
            next_step="Make a backup (`farebox backup`), then run `farebox migrate`, or start `farebox serve`.",
        )
    await set_up(dsn)


def _unfolded(parameter: inspect.Parameter, hint: Any) -> list[inspect.Parameter]:
    if not dataclasses.is_dataclass(hint):
        return [parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY)]
    kinds = get_type_hints(hint, include_extras=True)
    return [_common(field.name, kinds[field.name], field.default) for field in dataclasses.fields(hint)]


def _common(name: str, hint: Any, default: object = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
