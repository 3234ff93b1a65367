"""The supervisor by itself: workers that say they are ready, that die, that never start, and that outlive nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from farebox.faults import SetupFault
from farebox.supervise import Supervisor

WORKER = """
import asyncio, os, pathlib, sys
from farebox.supervise import Lifeline
lifeline = Lifeline()
orders = lifeline.orders().decode().split()
folder = pathlib.Path(orders[1])
(folder / f"{orders[0]}.{os.getpid()}").touch()
lifeline.ready()
asyncio.run(lifeline.cut())
(folder / "cut").touch()
"""


def command(code: str = WORKER) -> list[str]:
    return [sys.executable, "-c", code]


def orders_for(folder: Path) -> Callable[[str], bytes]:
    return lambda name: f"{name} {folder}".encode()


def names(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("worker-*"))


def pids(folder: Path) -> list[int]:
    return sorted(int(file.suffix[1:]) for file in folder.glob("worker-*"))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - other processes tell us nothing
            await asyncio.sleep(0.02)


async def test_every_worker_has_orders_of_its_own_and_ends_when_told(tmp_path: Path) -> None:
    supervisor = Supervisor(command(), orders_for(tmp_path), count=2)
    await supervisor.start()
    assert names(tmp_path) == ["worker-0-1", "worker-1-2"]
    await supervisor.stop(within_s=5)
    assert [alive(pid) for pid in pids(tmp_path)] == [False, False]


async def test_a_worker_that_dies_starts_again(tmp_path: Path) -> None:
    supervisor = Supervisor(command(), orders_for(tmp_path), count=1)
    await supervisor.start()
    (first,) = pids(tmp_path)
    os.kill(first, signal.SIGKILL)
    await until(lambda: len(pids(tmp_path)) == 2)
    await supervisor.stop(within_s=5)
    assert not any(alive(pid) for pid in pids(tmp_path))


async def test_a_worker_that_cannot_start_is_a_fault_and_leaves_nobody_behind(tmp_path: Path) -> None:
    code = WORKER.replace("lifeline.ready()", "sys.exit(4) if orders[0].startswith('worker-1') else lifeline.ready()")
    supervisor = Supervisor(command(code), orders_for(tmp_path), count=2)
    with pytest.raises(SetupFault):
        await supervisor.start()
    assert not any(alive(pid) for pid in pids(tmp_path))


async def test_a_worker_that_is_killed_as_it_starts_is_started_again(tmp_path: Path) -> None:
    """By the kernel when memory is short, for one: the others serve, and so will this one."""
    killed = "os.kill(os.getpid(), 9) if orders[0] == 'worker-1-2' else lifeline.ready()"
    supervisor = Supervisor(command(WORKER.replace("lifeline.ready()", killed)), orders_for(tmp_path), count=2)
    await supervisor.start()
    assert names(tmp_path) == ["worker-0-1", "worker-1-2", "worker-1-3"]
    await supervisor.stop(within_s=5)
    assert not any(alive(pid) for pid in pids(tmp_path))


async def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WORKER
    supervisor = Supervisor(command(code), orders_for(tmp_path), count=1)
    await supervisor.start()
    await supervisor.stop(within_s=0.2)
    assert not any(alive(pid) for pid in pids(tmp_path))


async def test_no_worker_outlives_its_supervisor(tmp_path: Path) -> None:
    parent = textwrap.dedent(f"""
        import asyncio, os, signal
        from farebox.supervise import Supervisor
        async def main():
            await Supervisor({command()!r}, lambda name: f"{{name}} {tmp_path}".encode(), count=1).start()
            os.kill(os.getpid(), signal.SIGKILL)
        asyncio.run(main())
    """)
    program = await asyncio.create_subprocess_exec(*command(parent))
    assert await program.wait() == -signal.SIGKILL
    await until(lambda: (tmp_path / "cut").exists())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
