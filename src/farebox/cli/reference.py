"""The reference page of the command line, written from the commands themselves: `docs/reference/cli.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from farebox.cli.app import PLACES, load
from farebox.cli.output import ExitCode

COMMON = {"--json", "--data-dir", "--config", "--help"}

_HEAD = """\
# Commands

Generated from the commands in `src/farebox/cli/`: `python -m farebox.cli.reference > docs/reference/cli.md`.

Every command takes `--json` (the answer as JSON; amounts are exact decimal strings of credits, times RFC 3339 in UTC),
`--data-dir PATH` and `--config PATH` (a TOML file of [settings](settings.md)); the other settings come from their
variables. Answers go to standard output, remarks and errors to standard error.

| exit code | means |
|---|---|
"""

_MEANINGS = {
    ExitCode.OK: "It worked.",
    ExitCode.FOUND: "It worked and found something wrong (audit, doctor, channel test), or failed in another way.",
    ExitCode.USAGE: "The command line is wrong.",
    ExitCode.NOT_FOUND: "There is no such account, key, channel, model, …",
    ExitCode.SETUP: "Something must be mended first; the message says what.",
    ExitCode.REFUSED: "The books or a rule say no; nothing has changed.",
    ExitCode.UNAVAILABLE: "The ledger or a provider does not answer; trying again is safe.",
    ExitCode.LAW_BROKEN: "A law of the books does not hold: stop, make a backup, look.",
}


class Named(NamedTuple):
    """A command by its whole name."""

    name: str
    click: Any


def commands() -> list[Named]:
    """Every command that does something, groups left out, in the order of the overview."""
    return [named for name in PLACES for named in _below(name, load(name))]


def cli_markdown() -> str:
    """The page."""
    codes = "".join(f"| {code.value} | {meaning} |\n" for code, meaning in _MEANINGS.items())
    return _HEAD + codes + "".join(_section(command) for command in commands())


def _below(name: str, command: Any) -> Iterator[Named]:
    inside = getattr(command, "commands", None)
    if inside is None:
        yield Named(name, command)
    else:
        for each, found in inside.items():
            yield from _below(f"{name} {each}", found)


def _section(command: Named) -> str:
    given = [each for each in command.click.params if each.param_type_name == "argument"]
    options = [each for each in command.click.params if each.param_type_name == "option" and not COMMON & {*each.opts}]
    usage = " ".join(["farebox", command.name, *(_written(each) for each in given)])
    lines = [f"\n## farebox {command.name}\n\n", f"{command.click.help}\n\n", f"    {usage}\n"]
    if command.name == "serve":
        lines.append("\nIts options are the [settings](settings.md).\n")
    elif given or options:
        lines.append("\n| | |\n|---|---|\n")
        lines += [f"| `{_written(each)}` | {each.help} |\n" for each in given]
        lines += [f"| `{_flags(each)}` | {each.help} |\n" for each in options]
    return "".join(lines)


def _written(argument: Any) -> str:
    name = (argument.metavar or argument.name.upper()).strip("[]{}")
    return name if argument.required else f"[{name}]"


def _flags(option: Any) -> str:
    names = " / ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    return f"{names} {option.metavar or _choices(option.type_descriptor.annotation)}".replace("|", "\\|")


def _choices(kind: Any) -> str:
    """The values of an enum, or the kind of value in a word."""
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "|".join(kind)
    return "N" if kind in (int, int | None) else "TEXT"


if __name__ == "__main__":
    sys.stdout.write(cli_markdown())
