"""python -m benchmarks.soak: minutes of mixed load on gateways over one database, killed at random; then the books.

Two gateways, one of them with two workers and the embedded database, serve clients with much and with little credit:
whole and streamed, with idempotency keys and without, some of them leaving. All the while something is killed (a
gateway, a worker, a supervisor, PostgreSQL), frozen for five seconds or told to stop. At the end the audit runs, and
what every client received is compared with the books. Exit code 1 if anything does not agree.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from tests.faults.comparison import Hit
from tests.faults.crash_site import CrashSite, Reckoning, now_us
from tests.faults.load import Load
from tests.faults.node import Node, below, lives, postmaster_of, until

from farebox.store.embedded import EmbeddedPostgres

BETWEEN_S = (0.5, 4.0)
TOP_UP_EVERY_S = 7.0
FROZEN_S = 5.0
DATABASE_FROZEN_S = (3.0, 24.0)
ORPHANS_S = 90.0
TELL_EVERY_S = 10.0
FAILED = 1


class Soak:
    """One run. What happens when follows from the seed; what it meets does not."""

    def __init__(self, site: CrashSite, folder: Path) -> None:
        self._site = site
        self._folder = folder
        self.happened: Counter[str] = Counter()
        self._chances: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (50, self._kill_a_gateway),
            (8, self._kill_all),
            (12, self._kill_a_worker),
            (5, self._kill_a_supervisor),
            (10, self._kill_the_database),
            (7, self._freeze),
            (4, self._freeze_the_database),
            (8, self._stop),
        ]

    @property
    def hits(self) -> list[Hit]:
        return self._site.hits

    async def run(self, minutes: float) -> Reckoning:
        """Load, trouble, and the reckoning."""
        load = self._site.load()
        chores = [asyncio.create_task(self._top_up()), asyncio.create_task(self._tell(load))]
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            await asyncio.sleep(self._site.dice.uniform(*BETWEEN_S))
            await self._something()
        for chore in chores:
            chore.cancel()
        return await self._site.reckon(load)

    async def _something(self) -> None:
        weights, acts = zip(*self._chances, strict=True)
        act = self._site.dice.choices(acts, weights)[0]
        self.happened[act.__name__.strip("_").replace("_", " ")] += 1
        await act()

    def _a_gateway(self) -> Node:
        return self._site.dice.choice(self._site.nodes)

    async def _kill_a_gateway(self) -> None:
        await self._site.kill(self._a_gateway(), down_s=self._site.dice.choice([0, 0, 0.5, 3]))

    async def _kill_all(self) -> None:
        await self._site.kill(*self._site.nodes, down_s=self._site.dice.choice([0, 2]))

    async def _kill_a_worker(self) -> None:
        node = self._site.nodes[0]
        workers = node.workers
        await self._site.kill_some(node, [self._site.dice.choice(workers)])
        await until(lambda: len(node.workers) == len(workers), 20, "the worker is not replaced")

    async def _kill_a_supervisor(self) -> None:
        node = self._site.nodes[0]
        workers = node.workers
        await self._site.kill_some(node, [node.pid])
        await until(lambda: not any(map(lives, workers)), ORPHANS_S, "workers outlive their supervisor")
        self._site.hits.append(Hit("end of the orphans", node.port, self._site.hits[-1].from_us, now_us()))
        await node.run()

    async def _kill_the_database(self) -> None:
        killed = postmaster_of(self._folder)
        os.kill(killed, signal.SIGKILL)
        await until(lambda: postmaster_of(self._folder) not in (0, killed), 30, "PostgreSQL is not started again")
        await asyncio.gather(*(node.ready() for node in self._site.nodes))

    async def _freeze(self) -> None:
        await self._site.freeze(self._a_gateway(), FROZEN_S)

    async def _freeze_the_database(self) -> None:
        """For a moment, or for longer than an answer's end waits for the ledger."""
        first = postmaster_of(self._folder)
        pids = [first, *below(first)]
        _signal(pids, signal.SIGSTOP)
        await asyncio.sleep(self._site.dice.choice(DATABASE_FROZEN_S))
        _signal(pids, signal.SIGCONT)

    async def _stop(self) -> None:
        node = self._a_gateway()
        began_us = now_us()
        code = await node.stop()
        if code:
            raise AssertionError(f"a gateway told to stop ended with {code}")
        self._site.hits.append(Hit("stop", node.port, began_us, now_us()))
        await node.run()

    async def _top_up(self) -> None:
        while True:
            await asyncio.sleep(TOP_UP_EVERY_S)
            try:
                await self._site.top_up("0.03")
            except Exception as trouble:  # the database may be away
                self.happened[f"top-up failed: {type(trouble).__name__}"] += 1

    async def _tell(self, load: Load) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            print(
                f"{time.monotonic() - began:4.0f} s  {len(load.attempts)} requests, {dict(self.happened)}", flush=True
            )


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def soak(folder: Path, *, minutes: float, seed: int) -> int:
    """Run, print what came of it, audit as an operator would; the exit code."""
    with EmbeddedPostgres(folder) as server:
        reckoning = asyncio.run(_soaked(server.dsn, folder, minutes=minutes, seed=seed))
        audit = [sys.executable, "-m", "farebox", "audit", "--data-dir", str(folder)]
        audited = subprocess.run(audit, check=False)
    return FAILED if reckoning.discrepancies or audited.returncode else 0


async def _soaked(dsn: str, folder: Path, *, minutes: float, seed: int) -> Reckoning:
    async with CrashSite(dsn, folder, seed=seed, workers=2, embedded=True) as site:
        run = Soak(site, folder)
        reckoning = await run.run(minutes)
    _print(run, reckoning)
    return reckoning


def _print(run: Soak, reckoning: Reckoning) -> None:
    print(f"\nWhat happened: {dict(run.happened)}")
    print(f"Clients: {reckoning.figures}; the last hold ended {reckoning.settled_s:.1f} s after the load")
    for each in reckoning.discrepancies[:50]:
        print(f"  {each}")
    if reckoning.discrepancies:
        print("\n".join(f"  {hit.from_us}..{hit.until_us} {hit.what} of {hit.port}" for hit in run.hits))
    print(f"{len(reckoning.discrepancies)} discrepancies\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    folder = Path(mkdtemp(prefix="farebox-soak-", dir="/tmp"))
    folder.chmod(0o711)
    print(f"seed {given.seed}, logs and database in {folder}", flush=True)
    sys.exit(soak(folder, minutes=given.minutes, seed=given.seed))


if __name__ == "__main__":
    main()
