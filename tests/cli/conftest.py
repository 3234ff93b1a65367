"""The `farebox` command as its users run it: a process of its own, judged by exit code, output and errors."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
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


class Warm:
    """A process that runs commands in forks of itself (`tests.cli.warm`): quick, and otherwise the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.warm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, arguments: tuple[str, ...], stdin: str, environment: dict[str, str]) -> Ran:
        files = [self._folder / name for name in ("in", "out", "err")]
        files[0].write_text(stdin)
        order = {"arguments": arguments, "environment": environment, "files": [str(file) for file in files]}
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(order) + "\n")
        self._program.stdin.flush()
        code = int(self._program.stdout.readline())
        return Ran(code, files[1].read_text(), files[2].read_text())

    def end(self) -> None:
        self._program.communicate(timeout=10)


@dataclass
class Farebox:
    """The command with an environment of its own."""

    data_dir: Path
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    warm: Warm | None = None

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")}
        return inherited | {"FAREBOX_DATA_DIR": str(self.data_dir), **self.variables, **more}

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Ran:
        environment = self.environment(**variables)
        if self.warm is not None:
            return self.warm.run(arguments, stdin, environment)
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=environment,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str, **variables: str) -> Any:
        """The answer of a command that must succeed, as programs read it."""
        return self.run(*arguments, "--json", **variables).json

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment()
        )


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    warm = Warm(tmp_path_factory.mktemp("warm"))
    yield warm
    warm.end()


@pytest.fixture(scope="module")
def farebox(module_database: str, module_server_dir: Path, warm: Warm) -> Farebox:
    """The command on a database shared by the tests of one module."""
    return Farebox(module_server_dir / "data", {"FAREBOX_DATABASE_URL": module_database}, warm)


class Served:
    """A gateway started with `farebox serve`, on a free port."""

    def __init__(self, farebox: Farebox, *arguments: str) -> None:
        self.program = farebox.start("serve", "--json", "--port", "0", *arguments)
        assert self.program.stderr is not None
        line = self.program.stderr.readline()
        assert line.startswith("{"), line + self.program.stderr.read()
        self.told = json.loads(line)["serving"]
        self.url: str = self.told["url"]
        self.port = int(self.url.rsplit(":", 1)[1])

    def ask(self, secret: str, body: Mapping[str, Any], **headers: str) -> http.client.HTTPResponse:
        """Send a chat request on a connection of its own; the answer is still to be read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(
            "POST",
            "/v1/chat/completions",
            json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], **body}),
            {"authorization": f"Bearer {secret}", "content-type": "application/json", **named},
        )
        return connection.getresponse()

    def get(self, path: str, secret: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path, headers={"authorization": f"Bearer {secret}"})
        return json.loads(connection.getresponse().read())

    def workers(self) -> list[int]:
        """The processes of its workers; the database is its child too."""
        pid = self.program.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if b"farebox.cli.worker" in _command_of(child)]

    def stop(self) -> int:
        """Ask it to stop, and wait; its exit code."""
        self.program.send_signal(signal.SIGTERM)
        self.program.communicate(timeout=30)
        return self.program.returncode


def _command_of(pid: str) -> bytes:
    with suppress(FileNotFoundError):  # buried since it was listed
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
