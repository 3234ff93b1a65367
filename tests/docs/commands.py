"""The commands that documentation names, looked up in the command line itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.docs.pages import Page

from farebox.cli.app import PLACES, load

_AT_COMMAND = re.compile(r"(?:^|[|;&(]|\bdo\b|\bexec farebox\b)\s*farebox\s+([^|;&)\n>]*)", re.MULTILINE)


def commands_of(page: Page) -> Iterator[str]:
    """What follows `farebox` in shell blocks and in inline code."""
    for block in page.blocks:
        if block.language in ("sh", ""):
            yield from (match.group(1) for match in _AT_COMMAND.finditer(block.text.replace("\\\n", " ")))
    yield from (code.removeprefix("farebox ") for code in page.codes if code.startswith("farebox "))


def complaint(written: str) -> str | None:
    """What is wrong with a command as it is written; None if it exists."""
    words = [word for word in shlex.split(written.replace("…", "")) if word]
    if not words or words[0].startswith("--"):
        return None if words in (["--help"], ["--version"]) else f"farebox {written}: no such option"
    if words[0] not in PLACES:
        return f"farebox {words[0]}: no such command"
    command: Any = load(words[0])
    rest = words[1:]
    if hasattr(command, "commands"):
        if rest and rest[0] not in command.commands:
            return f"farebox {words[0]} {rest[0]}: no such command"
        command, rest = (command.commands[rest[0]], rest[1:]) if rest else (command, [])
    known = {"--help"} | {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
    return f"farebox {written}: no option {unknown[0]}" if unknown else None


@cache
def every_option() -> set[str]:
    """The options of all commands together."""
    commands = [load(name) for name in PLACES]
    leaves = [leaf for each in commands for leaf in getattr(each, "commands", {"": each}).values()]
    return {name for leaf in leaves for each in leaf.params for name in (*each.opts, *each.secondary_opts)}
