"""Holds of the dead and of the overdue: found within seconds, ended once, whoever looks."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.support.cut_wire import CutWire, open_wire
from tests.support.ledger_desk import CREDIT, LedgerDesk, admit, all_of, claim, opened, until, void

from farebox.admission.commands import Capture, Opened
from farebox.faults import LawBroken
from farebox.money import Nano
from farebox.store import statements
from farebox.store.leases import Leases
from farebox.store.postgres import connect_writer


def kill(wire: CutWire) -> None:
    """What the others see of a process that was killed: its connection is gone and does not come back."""
    wire.refusing = True
    wire.cut_now()


async def test_d02_the_holds_of_a_dead_process_are_voided_within_seconds(desk: LedgerDesk, wire: CutWire) -> None:
    doomed, survivor = await desk.node(wire.dsn), await desk.node()
    customer = await desk.customer(10 * CREDIT)
    holds = [await opened(doomed, customer, CREDIT) for _ in range(5)]
    watch = asyncio.create_task(Leases(desk.pool, survivor).run())
    kill(wire)
    started = time.monotonic()
    await until(lambda: desk.held(customer), 0)
    assert time.monotonic() - started < 4
    for hold in holds:
        assert await desk.ends(hold.hold.id) == [("end", "voided", 0)]
    assert await desk.available(customer) == 10 * CREDIT
    assert {row["stamp"] for row in await desk.charges(customer)} == {"abandoned"}
    await until(lambda: desk.owner.fetchval("SELECT count(*) FROM boots"), 1)
    watch.cancel()


async def test_two_who_look_at_once_end_each_hold_once(desk: LedgerDesk, wire: CutWire) -> None:
    doomed = await desk.node(wire.dsn)
    watches = [Leases(desk.pool, await desk.node()) for _ in range(2)]
    customer = await desk.customer(100 * CREDIT)
    await all_of([opened(doomed, customer, CREDIT) for _ in range(40)])
    kill(wire)
    for _ in range(3):
        await asyncio.gather(*(watch.look() for watch in watches))
        await asyncio.sleep(0.05)
    assert await desk.holds(customer) == []
    charges = await desk.charges(customer)
    assert [(row["kind"], row["ended"]) for row in charges] == [("end", "voided")] * 40


async def test_one_look_is_not_enough_to_be_taken_for_dead(desk: LedgerDesk, wire: CutWire) -> None:
    """A process that reconnects in between keeps its holds."""
    node, other = await desk.node(wire.dsn), await desk.node()
    customer = await desk.customer(CREDIT)
    await opened(node, customer, 100)
    watch = Leases(desk.pool, other)
    kill(wire)
    await until(lambda: desk.owner.fetchval("SELECT pg_try_advisory_xact_lock(64222, $1)", node.boot))
    assert await watch.look() == 0
    wire.refusing = False
    await opened(node, customer, 100)
    assert await watch.look() == 0
    assert len(await desk.holds(customer)) == 2


async def test_the_living_are_left_alone(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(3)]
    customer = await desk.customer(CREDIT)
    for node in nodes:
        await opened(node, customer, 100)
    watches = [Leases(desk.pool, node) for node in nodes]
    for _ in range(3):
        assert [await watch.look() for watch in watches] == [0, 0, 0]
    assert len(await desk.holds(customer)) == 3


async def test_a_hold_past_its_deadline_expires_whoever_holds_it(desk: LedgerDesk) -> None:
    node, other = await desk.node(), await desk.node()
    customer = await desk.customer(CREDIT)
    overdue = await opened(node, customer, 100, hold_ttl_us=1)
    in_time = await opened(node, customer, 100)
    assert await Leases(desk.pool, other).look() == 1
    assert await desk.ends(overdue.hold.id) == [("end", "expired", 0)]
    assert [row["id"] for row in await desk.holds(customer)] == [in_time.hold.id]


async def test_a_hold_of_the_dead_frees_its_idempotency_key(desk: LedgerDesk) -> None:
    node = await desk.node()
    customer = await desk.customer(CREDIT)
    await opened(node, customer, 100, hold_ttl_us=1, claim=claim("order-7"))
    await Leases(desk.pool, node).look()
    assert isinstance(await admit(node, customer, 100, claim=claim("order-7")), Opened)


async def test_a_hold_that_cannot_be_ended_keeps_no_other_from_its_end(desk: LedgerDesk) -> None:
    node = await desk.node()
    broken, sound = await desk.customer(CREDIT), await desk.customer(CREDIT)
    stuck = await opened(node, broken, 100, hold_ttl_us=1)
    await opened(node, sound, 100, hold_ttl_us=1)
    await desk.owner.execute("UPDATE accounts SET running = 0 WHERE id = $1", broken.account_id)
    watch = Leases(desk.pool, node)
    with pytest.raises(LawBroken, match="Law 2"):
        await watch.look()
    assert await desk.holds(sound) == []
    assert "LawBroken" in desk.noted[node].failures, "the alarm is the writer's"
    await desk.owner.execute("UPDATE accounts SET running = 1 WHERE id = $1", broken.account_id)
    assert await watch.look() == 1
    assert await desk.ends(stuck.hold.id) == [("end", "expired", 0)]


async def test_the_watch_outlives_a_database_that_goes_away(desk: LedgerDesk, wire: CutWire) -> None:
    node = await desk.node(wire.dsn)
    customer = await desk.customer(CREDIT)
    watch = asyncio.create_task(Leases(desk.pool, node).run())
    kill(wire)
    await opened(await desk.node(), customer, 100, hold_ttl_us=1)
    await asyncio.sleep(1.2)
    assert not watch.done()
    wire.refusing = False
    await until(lambda: desk.held(customer), 0, within_s=15)
    watch.cancel()


# The rows of processes --------------------------------------------------------------------------


async def test_a_process_that_stops_with_nothing_open_leaves_no_trace(desk: LedgerDesk) -> None:
    node = await desk.node()
    customer = await desk.customer(CREDIT)
    await void(node, await opened(node, customer, 100))
    await node.stop()
    assert await desk.owner.fetchval("SELECT count(*) FROM boots") == 0


async def test_a_process_that_stops_with_holds_open_leaves_them_to_the_others(desk: LedgerDesk) -> None:
    node, other = await desk.node(), await desk.node()
    customer = await desk.customer(CREDIT)
    hold = await opened(node, customer, 100)
    await node.stop()
    watch = Leases(desk.pool, other)
    await until(watch.look, 1)
    assert await desk.ends(hold.hold.id) == [("end", "voided", 0)]
    assert await desk.owner.fetchval("SELECT count(*) FROM boots") == 1


async def test_a_process_that_comes_back_while_it_is_being_forgotten_is_not_lost(desk: LedgerDesk) -> None:
    """Its row and its lock go together: whoever deletes the one has held the other."""
    node, other = await desk.node(), await desk.node()
    customer = await desk.customer(CREDIT)
    forgetful = await connect_writer(desk.dsn)
    try:
        deleted = await forgetful.execute(statements.load("ledger")["forget_boot"], node.boot)
        assert deleted == "DELETE 0", "a living process is never forgotten"
    finally:
        await forgetful.close()
    await opened(node, customer, 100)
    assert await Leases(desk.pool, other).look() == 0


async def test_processes_that_die_and_return_all_the_time_leave_nothing_open(desk: LedgerDesk) -> None:
    survivor = await desk.node()
    customer = await desk.customer(100 * CREDIT)
    watch = asyncio.create_task(Leases(desk.pool, survivor).run())
    for _ in range(4):
        async with open_wire(desk.dsn) as wire:
            doomed = await desk.node(wire.dsn)
            holds = await all_of([opened(doomed, customer, CREDIT) for _ in range(10)])
            commands = [Capture(hold, Nano(100), 1, "provider", "{}") for hold in holds]
            ending = [asyncio.create_task(doomed.submit(command, patience_s=0.3)) for command in commands]
            await asyncio.sleep(0.002)
            kill(wire)
            await asyncio.gather(*ending, return_exceptions=True)
    await until(lambda: desk.held(customer), 0)
    charges = await desk.charges(customer)
    assert len(charges) == 40
    assert await desk.available(customer) == 100 * CREDIT - sum(row["amount"] for row in charges)
    watch.cancel()
