"""A gateway that stands still, and one that is told to stop: others go on, nothing is lost (Laws 2, 3, 4)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.faults.crash_site import CrashSite, now_us
from tests.faults.wire import NotReached, exchange

CHAT_BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Take your time."}],"stream":true}'
FROZEN_S = 5.0
LET_GO_US = 3_000_000
"""After this long the database has ended whatever transaction the frozen gateway stood in."""


async def test_a_frozen_gateway_keeps_no_account_from_the_others(database: str, folder: Path) -> None:
    async with CrashSite(database, folder, seed=4) as site:
        frozen, other = site.nodes
        stuck = site.load(nodes=[frozen], customers=site.customers[::2])
        going_on = site.load(nodes=[other], customers=site.customers[1::2])
        await asyncio.sleep(1)
        await site.freeze(frozen, FROZEN_S)
        await asyncio.sleep(1)
        reckoning = await site.reckon(stuck, going_on)
    reckoning.assert_exact()
    assert reckoning.figures.broken == 0
    hit = site.hits[0]
    answered = [each for each in going_on.attempts if hit.from_us + LET_GO_US < each.began_us < hit.until_us]
    served = {each.customer.account_id for each in answered if each.ended_us < hit.until_us and not each.heard.left}
    assert served == {customer.account_id for customer in site.customers}


async def test_a_gateway_told_to_stop_ends_its_answers_first(database: str, folder: Path) -> None:
    async with CrashSite(database, folder, seed=5) as site:
        load = site.load()
        await asyncio.sleep(1.5)
        told_us = now_us()
        assert await site.nodes[0].stop() == 0
        reckoning = await site.reckon(load)
    reckoning.assert_exact()
    assert reckoning.figures.broken == 0
    ended = [each for each in load.attempts if each.port == site.nodes[0].port and each.ended_us > told_us]
    assert any(each.heard.complete for each in ended), "the signal met no answer under way"
    assert reckoning.audit.counts.abandoned == 0


async def test_a_gateway_that_drains_turns_new_clients_away_at_once(database: str, folder: Path) -> None:
    """They go to another gateway instead of waiting for one that will not answer."""
    async with CrashSite(database, folder, seed=7, nodes=1) as site:
        [node], customer = site.nodes, site.customers[-1]
        headers = {"authorization": f"Bearer {customer.secret}", "x-sandbox": "tokens=40, pace_ms=50"}
        asked = (node.port, "POST", "/v1/chat/completions", CHAT_BODY, headers)
        under_way = asyncio.create_task(exchange(*asked))
        await asyncio.sleep(0.5)
        stopping = asyncio.create_task(node.stop())
        await asyncio.sleep(0.3)
        with pytest.raises(NotReached):
            await exchange(*asked, within_s=1)
        assert (await under_way).complete
        assert await stopping == 0
