"""Several workers side by side: started, watched, started again when one dies, ended together.

Enters: the command of a worker and its orders, one line of JSON. Leaves: nothing; workers answer requests on a port
they share (SO_REUSEPORT). Each worker's standard input is its lifeline: orders come in on it, `ready` goes back, and
its end means that the supervisor is gone, so that no worker outlives it. Knows nothing of requests, money or settings.

    starting ── ready ──→ serving ── dies ──→ waiting (0.2 s, doubling to 30 s) ──→ starting
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from farebox.faults import SetupFault

READY = b"ready\n"
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 30.0
START_TRIES = 5
WELL_S = 60.0
"""A worker that lived this long was well: its next death is a first one."""

log: Any = structlog.get_logger("farebox.supervise")

Orders = Callable[[str], bytes]
"""The orders of a worker by its name, one line; asked for anew at each start."""


@dataclass(slots=True)
class _Child:
    program: asyncio.subprocess.Process
    line: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ready(self) -> bool:
        """Wait until it serves; False if it ended before."""
        with contextlib.suppress(ConnectionError):
            return await self.line.readline() == READY
        return False

    def signal(self, kill: bool) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.program.kill() if kill else self.program.terminate()


class Supervisor:
    """Keeps `count` workers serving: `start`, then `stop`; both once, in one event loop."""

    def __init__(self, command: Sequence[str], orders: Orders, *, count: int) -> None:
        self._command = command
        self._orders = orders
        self._count = count
        self._children: dict[int, _Child] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._starts = 0
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Start every worker and wait until all serve. Raises `SetupFault` when one cannot; it has said why."""
        for slot in range(self._count):
            await self._launch(slot)
        well = await asyncio.gather(*(self._serves(slot) for slot in range(self._count)))
        if not all(well):
            await self.stop(within_s=5)
            raise SetupFault("A worker did not start; what it said stands above.")
        loop = asyncio.get_running_loop()
        self._keepers = [loop.create_task(self._keep(slot)) for slot in range(self._count)]

    def restart(self) -> None:
        """Have every worker end and start again with new orders."""
        for child in self._children.values():
            child.signal(kill=False)

    async def stop(self, *, within_s: float) -> None:
        """Ask every worker to end and wait; those that have not ended in time are killed."""
        self._stopping.set()
        for child in self._children.values():
            child.signal(kill=False)
        ends = [asyncio.create_task(child.program.wait()) for child in self._children.values()]
        if ends:
            await asyncio.wait(ends, timeout=within_s)
        self.kill()
        await asyncio.gather(*ends, *self._keepers)

    def kill(self) -> None:
        """End every worker at once. Their holds are voided by whoever serves next."""
        for child in self._children.values():
            if child.program.returncode is None:
                child.signal(kill=True)

    async def _keep(self, slot: int) -> None:
        loop, wait_s = asyncio.get_running_loop(), FIRST_WAIT_S
        while True:
            began, child = loop.time(), self._children[slot]
            code = await child.program.wait()
            child.writer.close()
            if self._stopping.is_set():
                return
            wait_s = FIRST_WAIT_S if loop.time() - began > WELL_S else wait_s
            log.error("a worker ended", worker=slot, exit_code=code, starts_again_in_s=wait_s)
            if await self._stopped_within(wait_s):
                return
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            child = await self._launch(slot)
            if await child.ready():
                log.warning("a worker serves again", worker=slot, process_id=child.program.pid)

    async def _serves(self, slot: int) -> bool:
        """Wait until a worker serves. One that was killed meanwhile is started again; one that gave up is not."""
        for _ in range(START_TRIES):
            child = self._children[slot]
            if await child.ready():
                return True
            code = await child.program.wait()
            if code >= 0 or self._stopping.is_set():
                return False
            child.writer.close()
            log.error("a worker was killed as it started", worker=slot, exit_code=code)
            await self._launch(slot)
        return False

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    async def _launch(self, slot: int) -> _Child:
        ours, theirs = socket.socketpair()
        with theirs:
            program = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=theirs.fileno(),
                start_new_session=True,  # Ctrl-C is for the supervisor, which tells the workers
            )
        line, writer = await asyncio.open_unix_connection(sock=ours)
        self._starts += 1
        writer.write(self._orders(f"worker-{slot}-{self._starts}") + b"\n")
        child = self._children[slot] = _Child(program, line, writer)
        return child


class Lifeline:
    """A worker's end of it."""

    def __init__(self) -> None:
        self._socket = socket.socket(fileno=os.dup(sys.stdin.fileno()))
        self._received = self._socket.makefile("rb")

    def orders(self) -> bytes:
        """The line of orders; blocks. Raises `SetupFault` when there is no supervisor."""
        line = self._received.readline()
        if not line:
            raise SetupFault("A worker is started by `farebox serve --workers 2`, not by hand.")
        return line

    def ready(self) -> None:
        """Tell the supervisor that this worker serves."""
        with contextlib.suppress(OSError):
            self._socket.sendall(READY)

    async def cut(self) -> None:
        """Return when the supervisor is gone."""
        self._socket.setblocking(False)
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            await loop.sock_recv(self._socket, 1)
