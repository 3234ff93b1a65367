"""Runs `farebox` commands, each in a fork of a process that has imported them all: the same code, without the start.

python -m tests.cli.warm     one JSON object a line: arguments, environment, files for input, output and errors;
                             the exit code comes back on a line
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import typer._adapters  # noqa: F401 - what typer would import when it reads the first argument

from farebox.cli.app import PLACES, load, run

OPEN_AS = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)


def main() -> None:
    for name in PLACES.keys() - {"demo"}:
        load(name)
    for line in os.fdopen(os.dup(0)):
        order = json.loads(line)
        child = os.fork()
        if not child:
            _become(order)
            run()
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(order: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["farebox", *order["arguments"]]
    for descriptor, (path, flags) in enumerate(zip(order["files"], OPEN_AS, strict=True)):
        os.dup2(os.open(path, flags, 0o600), descriptor)


if __name__ == "__main__":
    main()
