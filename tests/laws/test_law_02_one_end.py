"""Law 2: every hold ends exactly once, whoever ends it, however often, and wherever the connection breaks."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest
from tests.support.cut_wire import CutWire, Moment, Step
from tests.support.ledger_desk import (
    CREDIT,
    LedgerDesk,
    admission,
    asks,
    capture,
    ended,
    extend,
    opened,
    until,
    void,
)

from farebox.admission.commands import Answer, Capture, Extended, LateCharge, Opened, Refused
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.faults import LawBroken, LedgerUnavailable
from farebox.money import Nano
from farebox.store.leases import Leases

STEPS = [(step, moment) for step in Step for moment in Moment]
"""Every place where the session can break in one group commit."""


@pytest.mark.parametrize(("step", "moment"), STEPS)
async def test_d02_an_admission_cut_at_any_step_is_held_once(
    desk: LedgerDesk, wire: CutWire, step: Step, moment: Moment
) -> None:
    writer = await desk.node(wire.dsn)
    customer = await desk.customer(10 * CREDIT)
    await asyncio.sleep(0.6)  # the idle writer ends its chained transaction, so that all steps are said again
    wire.cut(step, moment)
    hold = await opened(writer, customer, 4 * CREDIT)
    assert wire.made == 1
    assert [row["id"] for row in await desk.holds(customer)] == [hold.hold.id]
    assert await desk.available(customer) == 6 * CREDIT
    await capture(writer, hold, CREDIT)
    assert await desk.ends(hold.hold.id) == [("end", "captured", CREDIT)]


@pytest.mark.parametrize(("step", "moment"), STEPS)
async def test_d02_a_capture_cut_at_any_step_charges_once(
    desk: LedgerDesk, wire: CutWire, step: Step, moment: Moment
) -> None:
    writer = await desk.node(wire.dsn)
    customer = await desk.customer(10 * CREDIT)
    hold = await opened(writer, customer, 4 * CREDIT)
    await asyncio.sleep(0.6)
    wire.cut(step, moment)
    answer = await capture(writer, hold, 3 * CREDIT)
    assert wire.made == 1
    assert (answer.amount, answer.available) == (3 * CREDIT, 7 * CREDIT)
    assert await desk.ends(hold.hold.id) == [("end", "captured", 3 * CREDIT)]
    assert await desk.available(customer) == 7 * CREDIT


@pytest.mark.parametrize(("step", "moment"), STEPS)
async def test_d02_an_extension_cut_at_any_step_grows_the_hold_once(
    desk: LedgerDesk, wire: CutWire, step: Step, moment: Moment
) -> None:
    writer = await desk.node(wire.dsn)
    customer = await desk.customer(60 * CREDIT)
    stream = asks(customer, CREDIT, output_numerator=CREDIT // 100, output_max=5_000, may_extend=True)
    hold = await opened(writer, customer, 0, request=stream)
    await asyncio.sleep(0.6)
    before = hold.hold.amount
    assert before < 51 * CREDIT, "nothing is left to extend"
    wire.cut(step, moment)
    answer = await extend(writer, hold, stream)
    assert isinstance(answer, Extended)
    assert wire.made == 1
    [row] = await desk.holds(customer)
    assert row["amount"] == answer.open.hold.amount > before
    assert row["revision"] == answer.open.revision == 1
    await capture(writer, answer.open, 5 * CREDIT)


@pytest.mark.parametrize("times", [3])
async def test_d13_every_end_asked_three_times_has_one_effect(desk: LedgerDesk, times: int) -> None:
    writer = await desk.node()
    customer = await desk.customer(10 * CREDIT)
    captured, voided = await opened(writer, customer, CREDIT), await opened(writer, customer, CREDIT)
    charges = [await capture(writer, captured, CREDIT // 2) for _ in range(times)]
    voids = [await void(writer, voided) for _ in range(times)]
    assert [answer.amount for answer in charges] == [CREDIT // 2] * times
    assert [answer.amount for answer in voids] == [0] * times
    assert {answer.available for answer in charges} == {9 * CREDIT - CREDIT // 2}
    assert await desk.available(customer) == 10 * CREDIT - CREDIT // 2
    assert len(await desk.charges(customer)) == 2
    assert [entry["move"] for entry in await desk.entries(customer)] == ["grant", "capture"]


async def test_d13_ends_asked_at_once_on_three_nodes_have_one_effect(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(3)]
    customer = await desk.customer(10 * CREDIT)
    holds = [await opened(nodes[0], customer, CREDIT) for _ in range(5)]
    asked = [capture(node, hold, CREDIT // 4) for node in nodes for hold in holds]
    answers = await asyncio.gather(*asked)
    assert [answer.amount for answer in answers] == [CREDIT // 4] * 15
    assert len(await desk.charges(customer)) == 5
    assert await desk.available(customer) == 10 * CREDIT - 5 * (CREDIT // 4)


async def test_a_capture_and_a_void_at_once_leave_one_end(desk: LedgerDesk) -> None:
    """Whichever comes first; a capture that comes second is charged late, never twice."""
    one, other = await desk.node(), await desk.node()
    customer = await desk.customer(10 * CREDIT)
    for _ in range(10):
        hold = await opened(one, customer, CREDIT)
        charge, _ = await asyncio.gather(capture(one, hold, 1_000), void(other, hold))
        assert charge.amount == 1_000
        ends = await desk.ends(hold.hold.id)
        assert ends in ([("end", "captured", 1_000)], [("end", "voided", 0), ("late", "captured", 1_000)])
    assert await desk.available(customer) == 10 * CREDIT - 10_000


async def test_a_void_after_a_capture_that_was_not_heard_of_answers_what_was_charged(desk: LedgerDesk) -> None:
    """Otherwise a charge for an answer that the customer never got would not be given back."""
    writer = await desk.node()
    customer = await desk.customer(10 * CREDIT)
    hold = await opened(writer, customer, CREDIT)
    await capture(writer, hold, 700)
    assert (await void(writer, hold)).amount == 700


async def test_a_void_after_a_late_charge_answers_what_was_charged(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(10 * CREDIT)
    hold = await opened(writer, customer, CREDIT)
    await void(writer, hold)
    await capture(writer, hold, 700)
    assert (await void(writer, hold)).amount == 700


async def test_work_that_ends_after_its_hold_did_is_charged_late_and_once(desk: LedgerDesk) -> None:
    writer, reaper = await desk.node(), await desk.node()
    customer = await desk.customer(CREDIT)
    hold = await opened(writer, customer, CREDIT, hold_ttl_us=1)
    assert await Leases(desk.pool, reaper).look() == 1
    assert await desk.ends(hold.hold.id) == [("end", "expired", 0)]
    assert await desk.available(customer) == CREDIT
    for _ in range(3):
        assert (await capture(writer, hold, CREDIT // 4)).amount == CREDIT // 4
    assert await desk.ends(hold.hold.id) == [("end", "expired", 0), ("late", "captured", CREDIT // 4)]
    assert await desk.available(customer) == CREDIT - CREDIT // 4


async def test_an_extension_of_an_ended_hold_is_refused(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(60 * CREDIT)
    stream = asks(customer, CREDIT, output_numerator=CREDIT // 100, output_max=5_000, may_extend=True)
    hold = await opened(writer, customer, 0, request=stream)
    await void(writer, hold)
    assert isinstance(await extend(writer, hold, stream), Refusal)
    assert await desk.available(customer) == 60 * CREDIT


async def test_a_late_charge_by_itself_is_charged_once(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    hold = await opened(writer, customer, CREDIT)
    await void(writer, hold)
    late = LateCharge(Capture(hold, Nano(5), 1, "provider", "{}"))
    for _ in range(3):
        assert ended(await writer.submit(late, patience_s=10)).amount == 5
    assert await desk.available(customer) == CREDIT - 5


async def test_the_end_of_a_hold_that_never_was_breaks_the_law(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    hold = await opened(writer, customer, CREDIT)
    await desk.owner.execute("DELETE FROM holds")
    with pytest.raises(LawBroken, match="Law 2"):
        await void(writer, hold)
    await desk.owner.execute("UPDATE accounts SET available = $1, held = 0, running = 0", CREDIT)
    await desk.owner.execute("UPDATE api_keys SET running = 0")


async def test_a_broken_law_in_a_batch_is_told_to_its_own_caller_only(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer, victim = await desk.customer(CREDIT), await desk.customer(CREDIT)
    hold = await opened(writer, customer, 100)
    impossible = Capture(hold, Nano(-1), 1, "provider", "{}")
    answers = await asyncio.gather(
        writer.submit(impossible, patience_s=10),
        *(writer.submit(admission(writer, victim, 10), patience_s=10) for _ in range(5)),
        return_exceptions=True,
    )
    assert isinstance(answers[0], LawBroken)
    assert all(isinstance(answer, Opened) for answer in answers[1:])
    await void(writer, hold)


# Callers who leave --------------------------------------------------------------------------


async def test_an_admission_whose_caller_left_holds_nothing(desk: LedgerDesk) -> None:
    """At whatever moment it left: waiting, being committed, or answered and not yet told."""
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    chance = random.Random(2)
    heard: list[Answer] = []
    for _ in range(100):
        task = asyncio.create_task(writer.submit(admission(writer, customer, 1_000), patience_s=10))
        await asyncio.sleep(chance.uniform(0, 0.004))
        task.cancel()
        with suppress(asyncio.CancelledError):
            heard.append(await task)
    assert len(heard) < 100, "every caller was answered before it could leave"
    await until(lambda: desk.held(customer), 1_000 * len(heard))


async def test_a_caller_who_leaves_between_the_answer_and_hearing_it_holds_nothing(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    command = admission(writer, customer, 1_000)
    task = asyncio.create_task(writer.submit(command, patience_s=10))
    while (awaited := getattr(task, "_fut_waiter", None)) is None or not awaited.done():  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: desk.ends(command.hold_id), [("end", "voided", 0)])


@pytest.mark.parametrize("moment", Moment)
async def test_an_admission_that_was_given_up_while_its_commit_was_unknown_holds_nothing(
    desk: LedgerDesk, wire: CutWire, moment: Moment
) -> None:
    """Its caller was told 503: the hold, committed or not, must not stay until its process dies (d04)."""
    writer = await desk.node(wire.dsn)
    customer = await desk.customer(CREDIT)
    wire.cut(Step.COMMIT, moment)
    asked = asyncio.create_task(writer.submit(admission(writer, customer, 1_000), patience_s=0.3))
    await until(lambda: wire.made == 1)
    wire.refusing = True
    with pytest.raises(LedgerUnavailable):
        await asked
    wire.refusing = False
    await opened(writer, customer, CREDIT // 2)
    await until(lambda: desk.held(customer), CREDIT // 2)


async def test_a_cancelled_capture_still_ends_its_hold(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    hold = await opened(writer, customer, 1_000)
    task = asyncio.create_task(capture(writer, hold, 600))
    await asyncio.sleep(0)
    task.cancel()
    await until(lambda: desk.held(customer), 0)
    assert await desk.ends(hold.hold.id) == [("end", "captured", 600)]


async def test_a_hold_that_the_dead_left_is_not_opened_again_by_its_own_admission(
    desk: LedgerDesk, wire: CutWire
) -> None:
    """Committed unheard, voided by another process, then tried again: the caller is refused, nothing is held twice."""
    writer, other = await desk.node(wire.dsn), await desk.node()
    customer = await desk.customer(CREDIT)
    wire.cut(Step.COMMIT, Moment.AFTER)
    command = admission(writer, customer, 1_000)
    asked = asyncio.create_task(writer.submit(command, patience_s=10))
    await until(lambda: wire.made == 1)
    wire.refusing = True
    leases = Leases(desk.pool, other)
    await until(leases.look, 1)
    wire.refusing = False
    answer = await asked
    assert isinstance(answer, Refused)
    assert answer.refusal.code is RefusalCode.LEDGER_UNAVAILABLE
    assert await desk.ends(command.hold_id) == [("end", "voided", 0)]
    assert await desk.holds(customer) == []
