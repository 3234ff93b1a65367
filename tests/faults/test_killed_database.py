"""kill -9 PostgreSQL under load: 503 while it is away, back by itself, nothing lost (Laws 3, 6)."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.faults.crash_site import CrashSite
from tests.faults.node import postmaster_of, until

from farebox.store.embedded import EmbeddedPostgres

BACK_S = 20.0


async def test_gateways_outlive_their_database(server_dir: Path) -> None:
    with EmbeddedPostgres(server_dir) as server:
        async with CrashSite(server.dsn, server_dir, seed=6, embedded=True) as site:
            load = site.load()
            await asyncio.sleep(site.dice.uniform(0.5, 1.0))
            killed = postmaster_of(server_dir)
            os.kill(killed, signal.SIGKILL)
            await until(lambda: postmaster_of(server_dir) not in (0, killed), BACK_S, "no new server")
            await asyncio.gather(*(node.ready() for node in site.nodes))
            await asyncio.sleep(0.5)
            reckoning = await site.reckon(load)
    reckoning.assert_exact()
    assert reckoning.figures.broken == 0
    codes = {each.heard.code for each in load.attempts}
    assert "ledger_unavailable" in codes
    assert "internal_error" not in codes
