"""Where the blocks of the documentation are run: one shell, a real gateway on a free port, a provider of our own.

The blocks run as they are written, one after the other, apart from what would leave this machine or touch its folders:
the port, the provider's address and `/var`. A request that is refused fails its block, as does any command.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tests.docs.pages import Block

PROVIDER = "https://api.openai.com"
RUN_LIMIT_S = 180
TIME_IS_UP = 124
_MARK = "@@ "
_HEAD = """\
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
"""


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `last` is the block it came to."""

    code: int
    last: str
    out: str
    err: str

    def __str__(self) -> str:
        return f"{self.last} ended with {self.code}\n{self.out[-3000:]}\n{self.err[-3000:]}"


@dataclass(frozen=True)
class Stage:
    """A folder to run in, and what stands for the world outside."""

    folder: Path
    provider_url: str

    def run(self, blocks: Iterable[Block]) -> Outcome:
        """Run shell and Python blocks in one shell, until one fails."""
        port = _free_port()
        script = _HEAD + "".join(self._here(block, port) for block in blocks)
        out, err = self.folder / "out", self.folder / "err"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            code = _run(script, self._made("work"), self._environment(port), (out_file, err_file))
        complained = err.read_text()
        marks = [line for line in complained.splitlines() if line.startswith(_MARK)]
        return Outcome(code, marks[-1] if marks else "nothing", out.read_text(), complained)

    def _here(self, block: Block, port: int) -> str:
        text = block.text.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace(PROVIDER, self.provider_url)
        text = text.replace("/var/backups", str(self._made("backups"))).replace("/var/lib", str(self.folder))
        if block.language == "python":
            text = f"python3 - <<'END_OF_BLOCK'\n{text}END_OF_BLOCK\n"
        return f"echo {shlex.quote(_MARK + block.place)} >&2\n{text}"

    def _environment(self, port: int) -> dict[str, str]:
        shims = self._made("bin")
        curl = shutil.which("curl")
        _write_shim(shims / "farebox", f'exec {sys.executable} -m farebox "$@"')
        _write_shim(shims / "python3", f'exec {sys.executable} "$@"')
        _write_shim(shims / "curl", f'case $1 in -fs) exec {curl} "$@";; esac\nexec {curl} --fail-with-body "$@"')
        ours = {name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")}
        return ours | {
            "PATH": f"{shims}:{os.environ['PATH']}",
            "FAREBOX_PORT": str(port),
            "FAREBOX_DATA_DIR": str(self.folder / "farebox"),
            "FAREBOX_ALLOW_PRIVATE_UPSTREAMS": "true",
            "OPENAI_API_KEY": "sk-provider-1234567890",
        }

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder


def _run(script: str, folder: Path, environment: dict[str, str], files: tuple[BinaryIO, BinaryIO]) -> int:
    """Run to the end, or until the time is up; then everything that was started is told to stop."""
    out, err = files
    shell = subprocess.Popen(
        ["bash", "-c", script], cwd=folder, env=environment, stdout=out, stderr=err, start_new_session=True
    )
    try:
        return shell.wait(RUN_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(30)
        return TIME_IS_UP


def _write_shim(path: Path, commands: str) -> None:
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
