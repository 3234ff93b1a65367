"""Law 6: when the ledger cannot answer, the answer is no; and it is given in time."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.support.cut_wire import CutWire, Moment, Step
from tests.support.ledger_desk import CREDIT, RULES, LedgerDesk, Noted, admission, capture, grant, opened, until

from farebox.faults import LedgerUnavailable
from farebox.ids import AccountId
from farebox.store.id_source import new_id
from farebox.store.ledger_writer import LedgerWriter


async def test_without_a_database_the_writer_does_not_start() -> None:
    writer = LedgerWriter(
        "postgresql://nobody@/none?host=/tmp/no-such-folder", lambda: RULES, boot_id=new_id("boot"), observer=Noted()
    )
    with pytest.raises(LedgerUnavailable):
        await writer.start()
    assert not writer.connected
    with pytest.raises(LedgerUnavailable):
        await grant(writer, AccountId(new_id("acct")), 1)


async def test_a_database_that_is_gone_admits_nothing(desk: LedgerDesk, wire: CutWire) -> None:
    writer = await desk.node(wire.dsn)
    customer = await desk.customer(CREDIT)
    wire.refusing = True
    wire.cut_now()
    answers = await asyncio.gather(
        *(writer.submit(admission(writer, customer, 1), patience_s=0.3) for _ in range(20)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {LedgerUnavailable}
    assert await desk.holds(customer) == []
    wire.refusing = False
    await opened(writer, customer, CREDIT)


async def test_a_silent_database_admits_nothing_and_patience_is_kept(desk: LedgerDesk, wire: CutWire) -> None:
    """Nothing is refused and nothing is answered: the caller still hears no in time."""
    writer = await desk.node(wire.dsn)
    customer = await desk.customer(CREDIT)
    wire.silence()
    started, command = time.monotonic(), admission(writer, customer, 1)
    with pytest.raises(LedgerUnavailable):
        await writer.submit(command, patience_s=0.4)
    assert 0.4 <= time.monotonic() - started < 1.5
    wire.resume()
    await until(lambda: desk.ends(command.hold_id), [("end", "voided", 0)])
    await opened(writer, customer, CREDIT)


async def test_a_connection_that_stays_silent_is_given_up_for_another(desk: LedgerDesk, wire: CutWire) -> None:
    """As when a firewall forgets it: nothing ever says that it is gone."""
    writer = await desk.node(wire.dsn)
    customer = await desk.customer(CREDIT)
    hold = await opened(writer, customer, 1_000)
    wire.mute_open()
    started = time.monotonic()
    assert (await capture(writer, hold, 700)).amount == 700
    assert time.monotonic() - started < 8
    assert wire.connections == 2


async def test_an_answer_waits_for_its_capture_until_the_database_is_back(desk: LedgerDesk, wire: CutWire) -> None:
    writer = await desk.node(wire.dsn)
    customer = await desk.customer(CREDIT)
    hold = await opened(writer, customer, 1_000)
    wire.refusing = True
    wire.cut_now()
    asked = asyncio.create_task(capture(writer, hold, 700))
    await asyncio.sleep(0.5)
    assert not asked.done()
    wire.refusing = False
    assert (await asked).amount == 700
    assert await desk.ends(hold.hold.id) == [("end", "captured", 700)]


async def test_a_server_that_ends_the_session_is_only_an_interruption(desk: LedgerDesk) -> None:
    """As an administrator or a restart does; the error that PostgreSQL gives then is no answer to a caller."""
    writer = await desk.node()
    customer = await desk.customer(100 * CREDIT)

    async def one_after_the_other() -> None:
        for _ in range(20):
            await capture(writer, await opened(writer, customer, 1_000), 500)

    async def interrupt() -> None:
        for _ in range(5):
            await asyncio.sleep(0.05)
            await desk.owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'farebox-writer' AND datname = current_database()"
            )

    await asyncio.gather(interrupt(), *(one_after_the_other() for _ in range(8)))
    assert await desk.available(customer) == 100 * CREDIT - 8 * 20 * 500
    assert len(await desk.charges(customer)) == 160


@pytest.mark.parametrize("moment", Moment)
async def test_credits_given_across_a_cut_are_given_once(desk: LedgerDesk, wire: CutWire, moment: Moment) -> None:
    writer = await desk.node(wire.dsn)
    customer = await desk.customer()
    wire.cut(Step.COMMIT, moment)
    await grant(writer, customer.account_id, CREDIT, once="gift")
    assert await desk.available(customer) == CREDIT


async def test_a_writer_that_has_stopped_takes_nothing(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    await writer.stop()
    with pytest.raises(LedgerUnavailable):
        await writer.submit(admission(writer, customer, 1), patience_s=1)


async def test_stopping_finishes_what_waits(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    asked = [asyncio.create_task(opened(writer, customer, 10)) for _ in range(50)]
    await asyncio.sleep(0)
    await writer.stop()
    holds = await asyncio.gather(*asked)
    assert {row["id"] for row in await desk.holds(customer)} == {hold.hold.id for hold in holds}
