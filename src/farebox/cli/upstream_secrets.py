"""Where a command gets upstream keys from: a variable, a file, standard input, or a prompt that does not echo."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from farebox.cli.output import CommandFailed, ExitCode, Output

STDIN = "-"


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Upstream keys, as options; with none of them they are asked for. Several make a pool."""

    key_env: Annotated[
        list[str] | None, typer.Option(metavar="VARIABLE", help="Take the upstream key from this variable; repeat.")
    ] = None
    key_file: Annotated[
        list[str] | None, typer.Option(metavar="PATH|-", help="Take upstream keys from this file, one a line; repeat.")
    ] = None
    key: Annotated[
        list[str] | None, typer.Option(metavar="SECRET", help="The upstream key itself; others can read it here.")
    ] = None

    @property
    def named(self) -> bool:
        return bool(self.key_env or self.key_file or self.key)

    def read(self, out: Output) -> tuple[str, ...]:
        """The keys, at least one; asks where no source is named. Raises `CommandFailed`."""
        if self.key:
            out.note("Warning: a key on the command line is in the shell's history and visible to every user (ps).")
        found = [*_from_variables(self.key_env or []), *_from_files(self.key_file or []), *(self.key or [])]
        secrets = tuple(dict.fromkeys(_checked(secret) for secret in (found if self.named else _asked_for())))
        if not secrets:
            raise _no_key("No upstream key was given.")
        return secrets


def _from_variables(names: list[str]) -> Iterator[str]:
    for name in names:
        secret = os.environ.get(name, "").strip()
        if not secret:
            raise _no_key(f"The variable {name} is not set, or empty.")
        yield secret


def _from_files(names: list[str]) -> Iterator[str]:
    for name in names:
        try:
            text = sys.stdin.read() if name == STDIN else Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as trouble:
            raise _no_key(f"The file {name} cannot be read: {trouble}.") from None
        yield from filter(None, map(str.strip, text.splitlines()))


def _asked_for() -> Iterator[str]:
    if sys.stdin.isatty():
        yield from filter(None, [getpass.getpass("Upstream key (not shown): ").strip()])
    else:
        yield from _from_files([STDIN])


def _checked(secret: str) -> str:
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise _no_key("An upstream key is one line of printable characters without blanks; this is none.")
    return secret


def _no_key(message: str) -> CommandFailed:
    advice = "Name its source: --key-env VARIABLE or --key-file PATH, or pipe it in."
    return CommandFailed(message, code=ExitCode.USAGE, next_step=advice)
