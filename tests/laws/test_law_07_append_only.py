"""Law 7: entries and charges are never edited, each move balances, and every total is the sum of its entries."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import asyncpg
import pytest
from tests.support.ledger_desk import (
    CREDIT,
    Customer,
    LedgerDesk,
    admit,
    apply,
    capture,
    grant,
    opened,
    void,
)

from farebox.admission.commands import Opened
from farebox.faults import LawBroken
from farebox.ids import LotId, MoveId
from farebox.ledger.commands import Adjust, Chargeback, LotCommand, Purchase, RefundBack, RefundDone, RefundStart
from farebox.money import Nano
from farebox.store.id_source import new_id
from farebox.store.ledger_alone import LockedAccount
from farebox.store.ledger_writer import LedgerWriter
from farebox.store.postgres import connect


@pytest.mark.parametrize("table", ["entries", "charges", "price_versions"])
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
async def test_the_application_may_not_change_what_is_written(desk: LedgerDesk, table: str, change: str) -> None:
    column = {"entries": "amount", "charges": "amount", "price_versions": "starts_us"}[table]
    application = await connect(desk.dsn)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await application.execute(change.format(table, column, column))
    finally:
        await application.close()


@pytest.mark.parametrize("change", ["UPDATE {} SET amount = amount + 1", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["entries", "charges"])
async def test_nor_may_the_databases_owner(desk: LedgerDesk, table: str, change: str) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)
    await capture(writer, await opened(writer, customer, 10), 5)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="Law 7"):
        await desk.owner.execute(change.format(table))


async def test_what_a_database_constraint_refuses_is_a_broken_law(desk: LedgerDesk) -> None:
    """The rule stands twice; when only the database's copy catches it, the alarm is the same."""
    writer = await desk.node()
    customer = await desk.customer(CREDIT)

    async def lie(locked: LockedAccount) -> None:
        await locked.connection.execute("UPDATE accounts SET available = -1")

    with pytest.raises(LawBroken, match="accounts_available_check"):
        await writer.under_lock(customer.account_id, lie)
    assert await desk.available(customer) == CREDIT


async def test_work_that_hides_a_failed_statement_is_not_taken_for_committed(desk: LedgerDesk) -> None:
    writer = await desk.node()
    customer = await desk.customer(CREDIT)

    async def careless(locked: LockedAccount) -> None:
        locked.apply(Adjust(_move(), Nano(-1), LotId(new_id("lot"))))
        with suppress(asyncpg.DivisionByZeroError):
            await locked.connection.execute("SELECT 1 / 0")

    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await writer.under_lock(customer.account_id, careless)
    assert await desk.available(customer) == CREDIT


async def test_after_every_move_on_three_nodes_the_books_add_up(desk: LedgerDesk) -> None:
    """The desk checks the books of every account when the test ends, versions without gap or fork included."""
    nodes = [await desk.node() for _ in range(3)]
    customers = [await desk.customer(20 * CREDIT) for _ in range(3)]
    chance = random.Random(7)

    async def busy(place: int) -> None:
        for _ in range(15):
            writer, customer = chance.choice(nodes), chance.choice(customers)
            if chance.random() < 0.7:
                await _request(writer, customer, chance)
            else:
                await _cold_moves(writer, customer, chance)

    await asyncio.gather(*(busy(place) for place in range(12)))
    for customer in customers:
        entries = await desk.entries(customer)
        assert all(entry["amount"] > 0 and entry["debit"] != entry["credit"] for entry in entries)
    assert len({entry["move"] for customer in customers for entry in await desk.entries(customer)}) >= 8


async def _request(writer: LedgerWriter, customer: Customer, chance: random.Random) -> None:
    answer = await admit(writer, customer, chance.randrange(3 * CREDIT))
    if isinstance(answer, Opened):
        await asyncio.sleep(chance.uniform(0, 0.01))
        if chance.random() < 0.3:
            await void(writer, answer.open)
        else:
            await capture(writer, answer.open, chance.randrange(4 * CREDIT))


async def _cold_moves(writer: LedgerWriter, customer: Customer, chance: random.Random) -> None:
    """A purchase with a bonus and what can become of it, or a correction."""
    account_id, payment = customer.account_id, new_id("pay")
    if chance.random() < 0.3:
        amount = chance.randrange(-CREDIT, CREDIT) or 1
        await apply(writer, account_id, Adjust(_move(), Nano(amount), LotId(new_id("lot"))))
        await grant(writer, account_id, CREDIT)
        return
    bought = Purchase(
        _move(),
        LotId(new_id("lot")),
        Nano(5 * CREDIT),
        payment,
        Nano(5 * CREDIT),
        bonus=Nano(CREDIT),
        bonus_lot_id=LotId(new_id("lot")),
    )
    await apply(writer, account_id, bought)
    for command in _aftermath(payment, chance):
        await apply(writer, account_id, command)


def _aftermath(payment: str, chance: random.Random) -> list[LotCommand]:
    start = RefundStart(_move(), payment, 0, Nano(CREDIT))
    match chance.randrange(4):
        case 0:
            return [start, RefundDone(_move(), start.move_id, payment, Nano(CREDIT))]
        case 1:
            return [start, RefundBack(_move(), start.move_id, payment, Nano(CREDIT))]
        case 2:
            return [Chargeback(_move(), payment, Nano(3 * CREDIT))]
        case _:
            return []


def _move() -> MoveId:
    return MoveId(new_id("mov"))
