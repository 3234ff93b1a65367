"""kill -9 under load: every complete answer has its charge, and nothing stays behind (Laws 2, 3, 4, 9)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.comparison import Hit
from tests.faults.crash_site import CrashSite, now_us
from tests.faults.node import lives, until

SETTLE_S = 5.0
"""Two looks at a free lease, and some air for a busy machine."""


async def test_gateways_killed_in_turn_lose_no_charge(database: str, folder: Path) -> None:
    async with CrashSite(database, folder, seed=1) as site:
        load = site.load()
        for _ in range(3):
            await asyncio.sleep(site.dice.uniform(0.3, 0.9))
            await site.kill(site.dice.choice(site.nodes), down_s=site.dice.uniform(0, 0.3))
        reckoning = await site.reckon(load)
    reckoning.assert_exact()
    assert reckoning.figures.compared > 50
    assert reckoning.figures.broken > 0


async def test_holds_of_killed_gateways_end_within_seconds_of_a_restart(database: str, folder: Path) -> None:
    async with CrashSite(database, folder, seed=2) as site:
        load = site.load(pause_s=0)
        await asyncio.sleep(1)
        await until(lambda: load.in_flight >= len(site.customers) // 2, 10, "nothing is under way")
        load.stop_asking()
        await site.kill(*site.nodes)
        reckoning = await site.reckon(load)
    reckoning.assert_exact()
    assert reckoning.audit.counts.abandoned > 0, "the kill met no hold"
    assert reckoning.settled_s < SETTLE_S


async def test_a_killed_worker_is_replaced_and_a_killed_supervisor_leaves_none_behind(
    database: str, folder: Path
) -> None:
    async with CrashSite(database, folder, seed=3, nodes=1, workers=2) as site:
        [node], load = site.nodes, site.load()
        await asyncio.sleep(1)
        first, second = node.workers
        await site.kill_some(node, [first])
        await until(lambda: len(node.workers) == 2 and first not in node.workers, 15, "the worker is not replaced")
        await asyncio.sleep(0.5)
        workers = node.workers
        await site.kill_some(node, [node.pid])
        await until(lambda: not any(map(lives, workers)), 20, "workers outlive their supervisor")
        site.hits.append(Hit("end of the orphans", node.port, site.hits[-1].from_us, now_us()))
        await node.run()
        await asyncio.sleep(0.5)
        reckoning = await site.reckon(load)
    reckoning.assert_exact()
    assert second in workers
