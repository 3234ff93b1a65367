"""A real gateway that can be killed: `farebox serve` in processes of its own, over a database that others share.

`kill` is SIGKILL to all of its processes at once, `freeze` SIGSTOP, `stop` SIGTERM. The embedded PostgreSQL, where a
node has one, is never among them: it has a session of its own and is killed by its own name.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.faults.wire import NotReached, exchange

READY_S = 60.0
STARTS = 2
POLL_S = 0.02
PR_SET_PDEATHSIG = 1


class Node:
    """One gateway of one or more workers on a port of its own, started again on the same port."""

    def __init__(self, folder: Path, *, settings: Mapping[str, object], workers: int = 1) -> None:
        self.port = _free_port()
        self.folder = folder
        self.log = folder / f"node-{self.port}.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")},
            "TMPDIR": str(folder),  # what a killed gateway leaves behind goes with the folder
            "FAREBOX_DATA_DIR": str(folder),
            "FAREBOX_PORT": str(self.port),
            "FAREBOX_WORKERS": str(workers),
            "FAREBOX_LOG_LEVEL": "warning",
            **{f"FAREBOX_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """The processes below the first one; PostgreSQL and its own are none of them."""
        return [pid for pid in below(self.pid) if not _is_postgres(pid)]

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "farebox", "serve"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_us,
            )

    async def ready(self) -> None:
        """Wait until it answers that it is ready. One that gave up is started again, as systemd would."""
        starts = iter(range(STARTS))
        await until(lambda: self._answers(starts), READY_S, f"node {self.port} is not ready")

    async def run(self) -> None:
        self.start()
        await self.ready()

    def kill(self) -> None:
        """All processes at once, without a word."""
        pids = [self.pid, *self.workers]
        self.signal(signal.SIGSTOP, pids)
        self.signal(signal.SIGKILL, pids)
        self._process.wait()  # type: ignore[union-attr]

    def freeze(self) -> list[int]:
        """Stop all processes where they are; `thaw` them."""
        pids = [self.pid, *self.workers]
        self.signal(signal.SIGSTOP, pids)
        return pids

    def thaw(self, pids: list[int]) -> None:
        self.signal(signal.SIGCONT, pids)

    def signal(self, number: int, pids: Sequence[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def stop(self, within_s: float = 60) -> int:
        """SIGTERM, and the exit code."""
        process = self._process
        assert process is not None
        process.terminate()
        await until(lambda: process.poll() is not None, within_s, f"node {self.port} does not stop")
        return process.returncode

    def end(self) -> None:
        """Whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    async def _answers(self, starts: Iterator[int]) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            assert next(starts, None) is not None, f"node {self.port} ended:\n{self.said()}"
            self.start()
        with suppress(NotReached):
            heard = await exchange(self.port, "GET", "/readyz", within_s=2)
            return heard.status == 200
        return False

    def said(self, most: int = 3000) -> str:
        return self.log.read_text(errors="replace")[-most:]


async def until(true: Callable[[], object], within_s: float, otherwise: str) -> float:
    """Wait until something holds, or complain; the seconds it took."""
    began = time.monotonic()
    while True:
        answer = true()
        if await answer if asyncio.iscoroutine(answer) else answer:
            return time.monotonic() - began
        if time.monotonic() - began > within_s:
            raise AssertionError(f"after {within_s} s: {otherwise}")
        await asyncio.sleep(POLL_S)


def postmaster_of(data_dir: Path) -> int:
    """The first process of the embedded PostgreSQL, from its own file; 0 if it does not run."""
    pointer = data_dir / "postgres.location"
    cluster = Path(pointer.read_text().strip()) if pointer.exists() else data_dir / "postgres"
    with suppress(FileNotFoundError, IndexError):
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
        return pid if _is_postgres(pid) else 0
    return 0


def lives(pid: int) -> bool:
    """Whether a process is there and no corpse."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _die_with_us() -> None:
    """A test run that is killed leaves no gateway behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def below(root: int) -> list[int]:
    """The children of a process, and theirs."""
    found: list[int] = []
    for file in Path(f"/proc/{root}/task").glob("*/children"):
        with suppress(OSError):
            for pid in map(int, file.read_text().split()):
                found += [pid, *below(pid)]
    return found


def _is_postgres(pid: int) -> bool:
    with suppress(OSError):
        return Path(os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")).name == "postgres"
    return False
