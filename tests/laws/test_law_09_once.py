"""Law 9: the same key has one effect, whoever repeats it, on whichever node, whatever broke in between."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.cut_wire import CutWire, Moment, Step
from tests.support.ledger_desk import (
    CREDIT,
    LedgerDesk,
    admission,
    admit,
    apply,
    capture,
    claim,
    grant,
    opened,
    until,
    void,
)

from farebox.admission.commands import Capture, Opened, Refused
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.faults import LawBroken
from farebox.ids import LotId, MoveId
from farebox.ledger.commands import Effects, LedgerRefusal, Purchase, RefundBack, RefundDone, RefundStart
from farebox.money import Nano
from farebox.store.accounts import Accounts, Moved
from farebox.store.id_source import new_id
from farebox.store.leases import Leases

STEPS = [(step, moment) for step in (Step.BEGIN, Step.WRITE, Step.COMMIT, "remember", "lots") for moment in Moment]
WORDS = {"remember": "INSERT INTO once", "lots": "INSERT INTO lots"}


async def test_a_gift_repeated_on_three_nodes_at_once_is_given_once(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(3)]
    customer = await desk.customer()
    asked = [grant(nodes[each % 3], customer.account_id, CREDIT, once="gift-1") for each in range(12)]
    answers = await asyncio.gather(*asked)
    assert sum(isinstance(answer, Effects) for answer in answers) == 1
    assert await desk.available(customer) == CREDIT
    assert len(await desk.entries(customer)) == 1


@pytest.mark.parametrize(("step", "moment"), STEPS)
async def test_d14_a_move_cut_at_any_step_is_made_whole_and_once(
    desk: LedgerDesk, wire: CutWire, step: str, moment: Moment
) -> None:
    """Its entry, its lot, its key and the account's totals are one transaction."""
    writer = await desk.node(wire.dsn)
    customer = await desk.customer()
    await asyncio.sleep(0.6)  # so that even BEGIN is said again
    wire.cut(WORDS.get(step, step), moment)
    await grant(writer, customer.account_id, CREDIT, once="gift-1")
    assert wire.made == 1
    assert await grant(writer, customer.account_id, CREDIT, once="gift-1") is None
    assert await desk.available(customer) == CREDIT
    assert len(await desk.entries(customer)) == 1


async def test_d13_purchase_and_refund_three_times_each_have_one_effect(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(3)]
    customer = await desk.customer()
    start, again = RefundStart(_move(), "pay_1", 0), RefundStart(_move(), "pay_1", 0)
    story = [
        Purchase(_move(), LotId(new_id("lot")), Nano(5 * CREDIT), "pay_1", Nano(5 * CREDIT)),
        start,
        RefundBack(_move(), start.move_id, "pay_1", Nano(5 * CREDIT)),
        again,
        RefundDone(_move(), again.move_id, "pay_1", Nano(5 * CREDIT)),
    ]
    after = [(5, 0), (0, 5), (5, 0), (0, 5), (0, 0)]
    for command, (available, refunding) in zip(story, after, strict=True):
        answers = await asyncio.gather(
            *(apply(node, customer.account_id, command, once=command.move_id) for node in nodes)
        )
        assert sum(isinstance(answer, Effects) for answer in answers) == 1, command
        account = await desk.account(customer)
        assert (account["available"], account["refunding"]) == (available * CREDIT, refunding * CREDIT), command


async def test_d13_even_without_a_key_a_refund_has_one_effect(desk: LedgerDesk) -> None:
    """The lots themselves know: the same purchase twice, the end of a refund twice."""
    writer = await desk.node()
    customer = await desk.customer()
    bought = Purchase(_move(), LotId(new_id("lot")), Nano(5 * CREDIT), "pay_1", Nano(5 * CREDIT))
    start = RefundStart(_move(), "pay_1", 0)
    done = RefundDone(_move(), start.move_id, "pay_1", Nano(5 * CREDIT))
    for command, refusal in [
        (bought, LedgerRefusal.ALREADY_DONE),
        (start, LedgerRefusal.REFUND_UNDER_WAY),
        (done, LedgerRefusal.ALREADY_DONE),
    ]:
        answers = [await apply(writer, customer.account_id, command) for _ in range(3)]
        assert isinstance(answers[0], Effects)
        assert answers[1:] == [refusal] * 2


async def test_a_key_of_one_account_has_no_effect_on_another(desk: LedgerDesk) -> None:
    writer = await desk.node()
    one, other = await desk.customer(), await desk.customer()
    await grant(writer, one.account_id, CREDIT, once="gift-1")
    with pytest.raises(LawBroken, match="another account"):
        await grant(writer, other.account_id, CREDIT, once="gift-1")
    assert await desk.available(other) == 0


async def test_what_was_given_is_told_again_with_the_first_result(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    accounts = Accounts(desk.pool, writer)
    first = await accounts.grant(customer.account_id, Nano(5), key="gift-1")
    await accounts.grant(customer.account_id, Nano(7))
    again = await accounts.grant(customer.account_id, Nano(5), key="gift-1")
    assert isinstance(first, Moved)
    assert isinstance(again, Moved)
    assert (again.move_id, again.available, again.repeated) == (first.move_id, CREDIT + 5, True)
    assert await desk.available(customer) == CREDIT + 12


# The caller's own keys ------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [1, 2])
async def test_of_two_requests_with_one_key_at_once_one_runs(desk: LedgerDesk, nodes: int) -> None:
    writers = [await desk.node() for _ in range(nodes)]
    customer = await desk.customer(10 * CREDIT)
    answers = await asyncio.gather(
        *(admit(writers[each % nodes], customer, CREDIT, claim=claim("order-7")) for each in range(6))
    )
    assert sum(isinstance(answer, Opened) for answer in answers) == 1
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert [answer.refusal.code for answer in refused] == [RefusalCode.IDEMPOTENCY_IN_PROGRESS] * 5
    assert all(answer.rate.used == 1 for answer in refused), "what is refused is not counted"
    assert await desk.available(customer) == 9 * CREDIT


async def test_one_key_in_two_accounts_is_two_keys(desk: LedgerDesk) -> None:
    writer = await desk.node()
    for _ in range(2):
        await opened(writer, await desk.customer(CREDIT), CREDIT, claim=claim("order-7"))


async def test_a_charged_key_stays_taken_and_an_uncharged_one_is_free_again(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(10 * CREDIT)
    await void(writer, await opened(writer, customer, 10, claim=claim("order-7")), keyed=True)
    hold = await opened(writer, customer, 10, claim=claim("order-7"))
    await capture(writer, hold, 5, keyed=True, kept=b"sealed", kept_until_us=1)
    assert isinstance(await admit(writer, customer, 10, claim=claim("order-7")), Refused)
    claims = await desk.owner.fetch("SELECT key, completed, hold_id FROM idempotency")
    assert [tuple(row) for row in claims] == [("order-7", True, hold.hold.id)]
    assert await desk.owner.fetchval("SELECT sealed FROM kept_answers WHERE hold_id = $1", hold.hold.id) == b"sealed"


@pytest.mark.parametrize("moment", Moment)
async def test_an_admission_with_a_key_that_is_cut_at_its_commit_does_not_meet_itself(
    desk: LedgerDesk, wire: CutWire, moment: Moment
) -> None:
    writer = await desk.node(wire.dsn)
    customer = await desk.customer(CREDIT)
    wire.cut(Step.COMMIT, moment)
    wire.cut(Step.COMMIT, moment)
    hold = await opened(writer, customer, 10, claim=claim("order-7"))
    assert wire.made == 2
    await capture(writer, hold, 5, keyed=True)


async def test_a_key_whose_caller_left_before_it_began_is_free_again(desk: LedgerDesk, wire: CutWire) -> None:
    writer = await desk.node(wire.dsn)
    customer = await desk.customer(CREDIT)
    wire.cut(Step.COMMIT, Moment.AFTER)
    task = asyncio.create_task(writer.submit(admission(writer, customer, 10, claim=claim("order-7")), patience_s=10))
    await until(lambda: wire.made == 1)
    task.cancel()
    await until(lambda: desk.held(customer), 0)
    await until(lambda: desk.owner.fetchval("SELECT count(*) FROM idempotency"), 0)
    await opened(writer, customer, CREDIT, claim=claim("order-7"))


async def test_a_keyed_request_whose_hold_ended_meanwhile_is_not_charged_beside_its_repetition(
    desk: LedgerDesk,
) -> None:
    """The end of its hold gave the key back; whoever used it again pays, and pays once."""
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    first = await opened(writer, customer, 10, claim=claim("order-7"), hold_ttl_us=1)
    await Leases(desk.pool, writer).look()
    again = await opened(writer, customer, 10, claim=claim("order-7"))
    late = Capture(first, Nano(5), 1, "provider", "{}", keyed=True)
    assert isinstance(await writer.submit(late, patience_s=10), Refusal)
    await capture(writer, again, 5, keyed=True)
    assert await desk.available(customer) == CREDIT - 5


def _move() -> MoveId:
    return MoveId(new_id("mov"))
