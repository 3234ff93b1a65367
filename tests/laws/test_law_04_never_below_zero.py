"""Law 4: available credits are never negative; what a charge needs beyond them is the operator's, and visible."""

from __future__ import annotations

import random

import pytest
from tests.support.ledger_desk import (
    CREDIT,
    LedgerDesk,
    admit,
    all_of,
    apply,
    capture,
    grant,
    opened,
    tier_named,
    void,
)

from farebox.admission.commands import Opened, Refused
from farebox.admission.refusals import RefusalCode
from farebox.faults import LawBroken
from farebox.ids import LotId, MoveId
from farebox.ledger.commands import Adjust, Chargeback, LedgerRefusal, Purchase
from farebox.money import MAX_NANO, Nano
from farebox.store.id_source import new_id


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize(("asked", "affordable"), [(60, 7), (200, 1), (30, 0)])
async def test_d01_of_many_at_once_exactly_as_many_as_there_is_money_for_are_admitted(
    desk: LedgerDesk, nodes: int, asked: int, affordable: int
) -> None:
    writers = [await desk.node() for _ in range(nodes)]
    customer = await desk.customer(affordable * CREDIT + CREDIT - 1)
    answers = await all_of([admit(writers[each % nodes], customer, CREDIT) for each in range(asked)])
    admitted = [answer for answer in answers if isinstance(answer, Opened)]
    refused = [answer.refusal.code for answer in answers if isinstance(answer, Refused)]
    assert len(admitted) == affordable
    assert refused == [RefusalCode.INSUFFICIENT_CREDITS] * (asked - affordable)
    assert await desk.available(customer) == CREDIT - 1
    charged = await all_of([capture(writers[-1], answer.open, CREDIT) for answer in admitted])
    assert len(charged) == affordable
    assert await desk.available(customer) == CREDIT - 1


@pytest.mark.parametrize("nodes", [1, 3])
async def test_d01_spending_and_asking_at_once_never_overspends(desk: LedgerDesk, nodes: int) -> None:
    """Charges above and below their holds, voids and new holds, all at once, until the money is gone."""
    writers = [await desk.node() for _ in range(nodes)]
    customer = await desk.customer(40 * CREDIT)
    chance = random.Random(11)
    spent = 0

    async def one(place: int) -> int:
        writer = writers[place % nodes]
        answer = await admit(writer, customer, CREDIT)
        if not isinstance(answer, Opened):
            return 0
        if chance.random() < 0.2:
            return (await void(writer, answer.open)).amount
        charged = await capture(writer, answer.open, chance.randrange(2 * CREDIT))
        return charged.amount - charged.shortfall

    for _ in range(3):
        spent += sum(await all_of([one(place) for place in range(60)]))  # type: ignore[list-item]
    assert await desk.available(customer) == 40 * CREDIT - spent >= 0


@pytest.mark.parametrize(
    ("available", "hold", "charge", "from_hold", "from_available", "shortfall"),
    [
        (10, 4, 3, 3, 0, 0),
        (10, 4, 4, 4, 0, 0),
        (10, 4, 9, 4, 5, 0),
        (10, 4, 10, 4, 6, 0),
        (10, 4, 13, 4, 6, 3),
        (4, 4, 9, 4, 0, 5),
        (0, 0, 5, 0, 0, 5),
    ],
)
async def test_d15_what_exceeds_hold_and_available_is_posted_to_shortfall(
    desk: LedgerDesk, available: int, hold: int, charge: int, from_hold: int, from_available: int, shortfall: int
) -> None:
    writer = await desk.node()
    customer = await desk.customer(available)
    answer = await capture(writer, await opened(writer, customer, hold), charge)
    assert (answer.amount, answer.shortfall) == (charge, shortfall)
    assert answer.available == await desk.available(customer) == available - from_hold - from_available
    [row] = await desk.charges(customer)
    assert (row["from_hold"], row["from_available"], row["shortfall"]) == (from_hold, from_available, shortfall)
    posted = [entry["amount"] for entry in await desk.entries(customer) if entry["debit"] == "shortfall"]
    assert posted == ([shortfall] if shortfall else [])


async def test_d16_credits_are_spendable_by_the_next_request_on_every_node(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(3)]
    customer = await desk.customer()
    for node in nodes:
        assert isinstance(await admit(node, customer, CREDIT), Refused)
    await grant(nodes[0], customer.account_id, 3 * CREDIT)
    for node in nodes:
        await opened(node, customer, CREDIT)
    assert isinstance(await admit(nodes[1], customer, 1), Refused)


async def test_d17_a_shortfall_blocks_nothing_and_available_is_one_number(desk: LedgerDesk) -> None:
    """A charge beyond all credits leaves zero, not a hair below; the next credit is spendable whole."""
    nodes = [await desk.node() for _ in range(3)]
    customer = await desk.customer(CREDIT)
    answer = await capture(nodes[0], await opened(nodes[0], customer, CREDIT), CREDIT + 1)
    assert answer.available == await desk.available(customer) == 0
    await grant(nodes[1], customer.account_id, 5)
    refused = await admit(nodes[2], customer, 6)
    assert isinstance(refused, Refused)
    assert refused.refusal.available == await desk.available(customer) == 5
    await opened(nodes[2], customer, 5)


@pytest.mark.parametrize("amount", [-1, -CREDIT, -MAX_NANO])
async def test_d18_negative_amounts_mint_nothing(desk: LedgerDesk, amount: int) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    account_id, move, lot = customer.account_id, MoveId(new_id("mov")), LotId(new_id("lot"))
    assert await grant(writer, account_id, amount) is LedgerRefusal.AMOUNT_OUT_OF_RANGE
    bought = Purchase(move, lot, Nano(amount), "pay_1", Nano(0))
    assert await apply(writer, account_id, bought) is LedgerRefusal.AMOUNT_OUT_OF_RANGE
    hold = await opened(writer, customer, 10)
    with pytest.raises(LawBroken):
        await capture(writer, hold, amount)
    with pytest.raises(LawBroken):
        await admit(writer, customer, amount)
    assert await desk.available(customer) == CREDIT - 10


async def test_an_adjustment_takes_no_more_than_is_available(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    await opened(writer, customer, CREDIT // 2)
    for amount, refused in [(CREDIT, True), (CREDIT // 2 + 1, True), (CREDIT // 2, False), (1, True)]:
        command = Adjust(MoveId(new_id("mov")), Nano(-amount), LotId(new_id("lot")))
        answer = await apply(writer, customer.account_id, command)
        assert (answer is LedgerRefusal.INSUFFICIENT_AVAILABLE) is refused, amount
    assert await desk.available(customer) == 0


async def test_a_chargeback_takes_what_is_there_and_the_rest_is_owed_first(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer()
    bought = Purchase(MoveId(new_id("mov")), LotId(new_id("lot")), Nano(10 * CREDIT), "pay_1", Nano(10 * CREDIT))
    await apply(writer, customer.account_id, bought)
    hold = await opened(writer, customer, 6 * CREDIT)
    await apply(writer, customer.account_id, Chargeback(MoveId(new_id("mov")), "pay_1", Nano(10 * CREDIT)))
    account = await desk.account(customer)
    assert (account["available"], account["owed"]) == (0, 6 * CREDIT)
    assert (await capture(writer, hold, CREDIT)).available == 0
    assert (await desk.account(customer))["owed"] == CREDIT
    await grant(writer, customer.account_id, 3 * CREDIT)
    account = await desk.account(customer)
    assert (account["available"], account["owed"]) == (2 * CREDIT, 0)


@pytest.mark.parametrize("charge", [10**9 * CREDIT, 2 * 10**9 * CREDIT + 1])
async def test_d34_a_charge_of_a_billion_credits_posts(desk: LedgerDesk, charge: int) -> None:
    writer = await desk.node()
    customer = await desk.customer(3 * 10**9 * CREDIT)
    answer = await capture(writer, await opened(writer, customer, charge), charge)
    assert answer.amount == charge
    assert await desk.available(customer) == 3 * 10**9 * CREDIT - charge
    assert (await desk.key(customer))["spent"] == charge


async def test_credits_beyond_the_books_are_refused_whole(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(MAX_NANO - 5)
    assert await grant(writer, customer.account_id, 6) is LedgerRefusal.AMOUNT_OUT_OF_RANGE
    await grant(writer, customer.account_id, 5)
    assert await desk.available(customer) == MAX_NANO
    await capture(writer, await opened(writer, customer, MAX_NANO), MAX_NANO)


async def test_an_account_at_its_limit_of_requests_keeps_its_credits(desk: LedgerDesk) -> None:
    rules = tier_named("enterprise", requests_per_minute=3)
    nodes = [await desk.node(rules=lambda: rules) for _ in range(3)]
    customer = await desk.customer(100 * CREDIT)
    answers = await all_of([admit(nodes[each % 3], customer, CREDIT) for each in range(30)])
    assert sum(isinstance(answer, Opened) for answer in answers) == 3
    assert await desk.available(customer) == 97 * CREDIT
