"""The `farebox` command as its users run it: a process of its own, judged by exit code, output and errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

COMMAND = (sys.executable, "-m", "farebox")


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """What `--json` says of a failure."""
        assert self.out == ""
        return json.loads(self.err)["error"]


@dataclass
class Farebox:
    """The command with an environment of its own."""

    data_dir: Path
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")}
        return inherited | {"FAREBOX_DATA_DIR": str(self.data_dir), **self.variables, **more}

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Ran:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=self.environment(**variables),
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str, **variables: str) -> Any:
        """The answer of a command that must succeed, as programs read it."""
        return self.run(*arguments, "--json", **variables).json

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment()
        )


@pytest.fixture(scope="module")
def farebox(module_database: str, module_server_dir: Path) -> Farebox:
    """The command on a database shared by the tests of one module."""
    return Farebox(module_server_dir / "data", {"FAREBOX_DATABASE_URL": module_database})
