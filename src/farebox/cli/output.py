"""What a command prints: a table for people or JSON for programs, and errors that say what to do next.

Standard output carries the answer and nothing else; notes, progress and errors go to standard error. In JSON amounts
are exact decimal strings of credits and times RFC 3339 in UTC, whatever the table shows. Exit codes are for scripts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any, NoReturn, TextIO

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from farebox.faults import FareboxError, Fault, LawBroken, LedgerUnavailable, SetupFault
from farebox.money import AmountError, format_credits
from farebox.observe.redact import redact

WIDTH_WITHOUT_TERMINAL = 160


class ExitCode(IntEnum):
    """What a command's end means to a script."""

    OK = 0
    FOUND = 1
    """The command worked and found something wrong (audit, doctor), or failed in a way no other code names."""
    USAGE = 2
    NOT_FOUND = 3
    SETUP = 4
    """The operator must mend something first; the message says what."""
    REFUSED = 5
    """The books or a rule say no; nothing has changed."""
    UNAVAILABLE = 6
    """The ledger or an upstream does not answer; trying again is safe."""
    LAW_BROKEN = 7
    """A law of the design does not hold. Keep the books as they are and look."""


class Kind(StrEnum):
    """How a value is written."""

    TEXT = "text"
    CREDITS = "credits"
    """Nanocredits."""
    TIME = "time"
    """Microseconds since 1970 (UTC)."""
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: the name in JSON, how it is written, and its title for people."""

    name: str
    kind: Kind = Kind.TEXT
    title: str = ""
    empty: str = "–"
    """What people see where there is nothing."""

    @property
    def heading(self) -> str:
        return self.title or self.name.replace("_", " ")

    def for_people(self, value: object) -> str:
        match value:
            case None | () | []:
                return self.empty
            case bool():
                return "yes" if value else "no"
            case int() if self.kind is Kind.CREDITS:
                return human_credits(value)
            case int() if self.kind is Kind.TIME:
                return _when(value).strftime("%Y-%m-%d %H:%M:%S")
            case int():
                return f"{value:,}" if self.kind is Kind.NUMBER else str(value)
            case list() | tuple() | set() | frozenset():
                return ", ".join(str(each) for each in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            case _:
                return str(value)

    def for_programs(self, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            if self.kind is Kind.CREDITS:
                return format_credits(value)
            if self.kind is Kind.TIME:
                return _when(value)
        return value


class CommandFailed(FareboxError):
    """A command cannot do what it was asked; `next_step` says what the operator can do."""

    def __init__(self, message: str, *, code: ExitCode = ExitCode.FOUND, next_step: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.next_step = next_step


def not_found(what: str, name: str, *, next_step: str = "") -> CommandFailed:
    """There is no such account, key, channel, …"""
    return CommandFailed(f"There is no {what} {name}.", code=ExitCode.NOT_FOUND, next_step=next_step)


def refused(message: str, *, next_step: str = "") -> CommandFailed:
    """A rule says no; nothing has changed."""
    return CommandFailed(message, code=ExitCode.REFUSED, next_step=next_step)


@dataclass(slots=True)
class Output:
    """Where a command prints; `as_json` is its `--json`."""

    as_json: bool = False
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    def table(self, rows: Sequence[Mapping[str, object]], columns: Sequence[Column], *, title: str = "") -> None:
        """Many things of one kind: a JSON array, or a table (a line saying so when there are none)."""
        if self.as_json:
            self.json([{column.name: column.for_programs(row.get(column.name)) for column in columns} for row in rows])
        elif not rows:
            self._print(f"{title or 'Result'}: none.")
        else:
            self._print(_table(rows, columns, title))

    def record(self, row: Mapping[str, object], columns: Sequence[Column], *, title: str = "") -> None:
        """One thing: a JSON object, or a line for each of its columns."""
        if self.as_json:
            self.json({column.name: column.for_programs(row.get(column.name)) for column in columns})
            return
        grid = Table(title=title or None, title_justify="left", box=None, show_header=False, pad_edge=False)
        grid.add_column(style="dim")
        grid.add_column(overflow="fold")
        for column in columns:
            grid.add_row(column.heading, column.for_people(row.get(column.name)))
        self._print(grid)

    def show(self, what: Table) -> None:
        """A table made elsewhere; silent with `--json`."""
        if not self.as_json:
            self._print(what)

    def json(self, value: object) -> None:
        """Any value as JSON, two spaces a level."""
        self.out.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")

    def say(self, text: str) -> None:
        """A sentence for people; silent with `--json`."""
        if not self.as_json:
            self._print(text)

    def note(self, text: str) -> None:
        """A remark that is no part of the answer; goes to standard error."""
        self.err.write(f"{text}\n")

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Generator[Callable[[int], None], None, None]:
        """Show that long work goes on, on standard error, to people at a terminal. Yields how to advance it."""
        console = Console(file=self.err, stderr=True)
        with Progress(console=console, transient=True, disable=self.as_json or not self.err.isatty()) as bar:
            task = bar.add_task(what, total=total)
            yield lambda steps: bar.advance(task, steps)

    def failed(self, error: BaseException) -> ExitCode:
        """Print what went wrong and what to do next; the exit code it means."""
        code, message, next_step = _explain(error)
        if self.as_json:
            problem = {"error": {"code": code.name.lower(), "message": message, "next": next_step}}
            self.err.write(msgspec.json.encode(problem).decode() + "\n")
        else:
            self.err.write(f"Error: {message}\n" + (f"Next:  {next_step}\n" if next_step else ""))
        return code

    @contextmanager
    def guard(self) -> Generator[None, None, None]:
        """Run a command's body: what Farebox raises on purpose becomes a message and an exit code, no traceback."""
        try:
            yield
        except (FareboxError, AmountError) as error:
            _leave(self.failed(error))
        except KeyboardInterrupt:
            _leave(ExitCode.FOUND)
        except BrokenPipeError:  # the reader (`| head`) has seen enough
            sys.stderr.close()
            _leave(ExitCode.OK)

    def _print(self, what: Any) -> None:
        width = None if self.out.isatty() else WIDTH_WITHOUT_TERMINAL
        Console(file=self.out, width=width, highlight=False, markup=False, soft_wrap=isinstance(what, str)).print(what)


def human_credits(amount: int) -> str:
    """Nanocredits for people: exact, with thousands marked: `1,234.5`."""
    whole, dot, fraction = format_credits(abs(amount)).partition(".")
    return f"{'-' if amount < 0 else ''}{int(whole):,}{dot}{fraction}"


def _table(rows: Sequence[Mapping[str, object]], columns: Sequence[Column], title: str) -> Table:
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column.kind in {Kind.CREDITS, Kind.NUMBER}
        table.add_column(column.heading, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        table.add_row(*(column.for_people(row.get(column.name)) for column in columns))
    return table


def _explain(error: BaseException) -> tuple[ExitCode, str, str]:
    message = redact(str(error))
    match error:
        case CommandFailed():
            return error.code, message, error.next_step
        case AmountError():
            return ExitCode.USAGE, message, "Write amounts of credits like 12 or 0.25."
        case SetupFault():
            return ExitCode.SETUP, message, ""
        case LedgerUnavailable():
            return ExitCode.UNAVAILABLE, message, "Nothing is lost. `farebox doctor` tells why; then run it again."
        case LawBroken():
            return ExitCode.LAW_BROKEN, message, "Run `farebox audit`, and make a backup before changing anything."
        case Fault():
            return ExitCode.UNAVAILABLE, message, "`farebox doctor` checks what Farebox depends on."
        case _:
            return ExitCode.FOUND, message, ""


def _when(unix_us: int) -> datetime:
    return datetime.fromtimestamp(unix_us // 1_000_000, UTC).replace(microsecond=unix_us % 1_000_000)


def _leave(code: ExitCode) -> NoReturn:
    raise SystemExit(int(code))
