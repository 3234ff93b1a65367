"""Law 1: when an admission is answered, its hold is committed and covers all the request can be charged."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.cut_wire import CutWire, Moment, Step
from tests.support.ledger_desk import CREDIT, LedgerDesk, admission, admit, asks, capture, extend, opened, until, void

from farebox.admission.commands import Extended, Opened, Refused
from farebox.admission.refusals import RefusalCode
from farebox.admission.state import Stale
from farebox.faults import LedgerUnavailable


async def test_an_admitted_hold_is_there_for_every_other_connection(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(10 * CREDIT)
    hold = await opened(writer, customer, 3 * CREDIT)
    [row] = await desk.holds(customer)
    assert (row["id"], row["amount"], row["boot"]) == (hold.hold.id, 3 * CREDIT, writer.boot)
    account = await desk.account(customer)
    assert (account["available"], account["held"], account["running"]) == (7 * CREDIT, 3 * CREDIT, 1)


async def test_an_admission_that_is_not_committed_is_not_answered(desk: LedgerDesk, wire: CutWire) -> None:
    writer = await desk.node(wire.dsn)
    customer = await desk.customer(10 * CREDIT)
    wire.cut(Step.COMMIT, Moment.BEFORE)
    asked = asyncio.create_task(writer.submit(admission(writer, customer, CREDIT), patience_s=0.5))
    await until(lambda: wire.made == 1)
    wire.refusing = True
    with pytest.raises(LedgerUnavailable):
        await asked
    assert await desk.holds(customer) == []
    wire.refusing = False


@pytest.mark.parametrize("credits", [10, 10_000, 1_000_000_000])
async def test_d03_nobody_is_rich_enough_to_skip_the_hold(desk: LedgerDesk, credits: int) -> None:
    writer = await desk.node()
    customer = await desk.customer(credits * CREDIT)
    await opened(writer, customer, 2 * CREDIT)
    assert [row["amount"] for row in await desk.holds(customer)] == [2 * CREDIT]


async def test_a_free_call_has_its_hold_too(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer()
    hold = await opened(writer, customer, 0)
    assert [row["amount"] for row in await desk.holds(customer)] == [0]
    await capture(writer, hold, 0)
    assert await desk.ends(hold.hold.id) == [("end", "captured", 0)]


@pytest.mark.parametrize("missing", [1, CREDIT, 5 * CREDIT])
async def test_d05_a_hold_is_whole_or_refused(desk: LedgerDesk, missing: int) -> None:
    writer = await desk.node()
    customer = await desk.customer(5 * CREDIT)
    answer = await admit(writer, customer, 5 * CREDIT + missing)
    assert isinstance(answer, Refused)
    assert answer.refusal.code is RefusalCode.INSUFFICIENT_CREDITS
    assert (answer.refusal.required, answer.refusal.available) == (5 * CREDIT + missing, 5 * CREDIT)
    assert await desk.holds(customer) == []
    assert await desk.available(customer) == 5 * CREDIT
    await opened(writer, customer, 5 * CREDIT)


async def test_a_grown_hold_is_committed_before_the_stream_may_use_it(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(1_000 * CREDIT)
    stream = asks(customer, CREDIT, output_numerator=CREDIT // 10, output_max=9_000, may_extend=True)
    first = await opened(writer, customer, 0, request=stream)
    answer = await extend(writer, first, stream)
    assert isinstance(answer, Extended)
    [row] = await desk.holds(customer)
    assert row["amount"] == answer.open.hold.amount > first.hold.amount
    assert (answer.output_tokens * CREDIT) // 10 + CREDIT <= row["amount"]
    await void(writer, answer.open)


@pytest.mark.parametrize(
    ("what", "statement"),
    [
        ("the account's settings", "UPDATE accounts SET settings_version = settings_version + 1"),
        ("the key's settings", "UPDATE api_keys SET settings_version = settings_version + 1"),
        ("the catalogue", "UPDATE catalogue_state SET version = version + 1"),
    ],
)
async def test_a_request_worked_out_on_something_older_holds_nothing(
    desk: LedgerDesk, what: str, statement: str
) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    await opened(writer, customer, 1)
    await desk.owner.execute(statement)
    assert isinstance(await admit(writer, customer, 1), Stale), what
    assert len(await desk.holds(customer)) == 1
    answer = await admit(writer, await desk.current(customer), 1, catalogue_version=2)
    assert isinstance(answer, Opened)


async def test_a_card_is_used_only_while_the_databases_clock_says_it_is_in_force(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    now_us = await desk.owner.fetchval("SELECT unix_us()")
    hour_us = 3_600_000_000
    assert isinstance(await admit(writer, customer, 1, prices_from_us=now_us + hour_us), Stale)
    assert isinstance(await admit(writer, customer, 1, prices_until_us=now_us), Stale)
    assert await desk.holds(customer) == []
    await opened(writer, customer, 1, prices_from_us=now_us, prices_until_us=now_us + hour_us)
