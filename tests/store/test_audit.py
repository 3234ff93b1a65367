"""The audit proves sound books sound, and finds each single row that is made wrong behind the ledger's back.

One rich history is written by the real ledger writer; every test then changes one thing in it as the database's owner
with triggers off, looks at what the audit says, and puts it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import pytest
from tests.support import ledger_desk
from tests.support.ledger_desk import CREDIT, MODEL, Customer, LedgerDesk, apply, claim, opened, void

from farebox.admission.commands import Capture, OpenHold
from farebox.admission.state import Budget, Period
from farebox.ids import LotId, MoveId
from farebox.ledger.commands import (
    Adjust,
    Chargeback,
    Effects,
    Grant,
    LotCategory,
    LotCommand,
    Purchase,
    RefundBack,
    RefundDone,
    RefundStart,
)
from farebox.ledger.refunds import refunded_amount
from farebox.money import Nano
from farebox.relay.settle import Receipt
from farebox.store.accounts import Accounts, Moved
from farebox.store.api_keys import ApiKeys, KeyChange
from farebox.store.audit import audit, rows_to_check
from farebox.store.audit_report import RULES, AuditReport, CheckName
from farebox.store.id_source import new_id
from farebox.store.ledger_writer import LedgerWriter
from farebox.store.postgres import open_pool
from farebox.tariff.compiled import Method, compile_card
from farebox.tariff.conditions import Circumstances
from farebox.tariff.meters import Meter, Usage
from farebox.tariff.rate import Basis, Charge, rate
from farebox.tariff.rate_card import RateCard

CARD = RateCard({Meter.INPUT: "2.50", Meter.OUTPUT: "10"})
SECOND_US = 1_000_000
TABLES = (
    "accounts",
    "api_keys",
    "holds",
    "lots",
    "charges",
    "entries",
    "once",
    "idempotency",
    "kept_answers",
    "price_versions",
)


# The history --------------------------------------------------------------------------------


class Shop:
    """A gateway's worth of moves on one database, each through the ledger writer."""

    def __init__(self, desk: LedgerDesk, writer: LedgerWriter, price: int) -> None:
        self.desk = desk
        self.writer = writer
        self.price = price

    def charge(self, output: int) -> Charge:
        basis = Basis(Method.TOKENS, Circumstances(0), Usage({Meter.INPUT: 1000, Meter.OUTPUT: output}))
        charge = rate(compile_card(CARD, str(self.price)), basis)
        assert isinstance(charge, Charge)
        return charge

    async def capture(self, hold: OpenHold, output: int, **fields: object) -> Nano:
        """End a hold with the charge for so much output, and its receipt."""
        charge = self.charge(output)
        receipt = msgspec.json.encode(Receipt(new_id("req"), charge)).decode()
        command = Capture(hold, charge.amount, 1000 + output, "provider", receipt)
        await self.writer.submit(msgspec.structs.replace(command, **fields), patience_s=10)
        return charge.amount

    async def apply(self, customer: Customer, command: LotCommand) -> Effects:
        done = await apply(self.writer, customer.account_id, command)
        assert isinstance(done, Effects), done
        return done


async def tell_history(dsn: str) -> None:
    async with ledger_desk.open_desk(dsn) as desk:
        await desk.owner.execute("INSERT INTO models (id, facts) VALUES ($1, '{}')", MODEL)
        price = await desk.owner.fetchval(
            "INSERT INTO price_versions (model, starts_us, rate_card, source, added_us)"
            " VALUES ($1, 0, $2, 'test', 0) RETURNING version",
            MODEL,
            msgspec.json.encode(CARD).decode(),
        )
        shop = Shop(desk, await desk.node(), price)
        await spend_and_run_short(shop)
        await let_lots_expire(shop)
        await buy_and_give_back(shop)
        await leave_open(shop)


async def spend_and_run_short(shop: Shop) -> None:
    """Captures, a void, a late charge, a shortfall, a charge given back, caps and budgets."""
    customer, accounts = await shop.desk.customer(), Accounts(shop.desk.pool, shop.writer)
    granted = await accounts.grant(customer.account_id, Nano(CREDIT), key="welcome")
    assert isinstance(granted, Moved)
    customer = await limited(shop, accounts, customer)
    for output in (100, 0, 2500):
        await shop.capture(await opened(shop.writer, customer, 30_000_000), output)
    await void(shop.writer, await opened(shop.writer, customer, 5_000_000))
    reaped = await opened(shop.writer, customer, 7_000_000)
    await void(shop.writer, reaped, stamp="abandoned")
    await shop.capture(reaped, 40)
    unwanted = await opened(shop.writer, customer, 30_000_000)
    amount = await shop.capture(unwanted, 300)
    move = "mov_" + unwanted.hold.id.removeprefix("hold_")
    await accounts.adjust(customer.account_id, amount, key="reverse", corrects=move, reason="never delivered")
    available = await shop.desk.available(customer)
    last = await opened(shop.writer, customer, available - 1_000)
    await shop.capture(last, 200_000)
    assert (await shop.desk.charges(customer))[-1]["shortfall"] > 0


async def limited(shop: Shop, accounts: Accounts, customer: Customer) -> Customer:
    cap = Budget("cap", Nano(100 * CREDIT), Period.MONTHLY)
    await ApiKeys(shop.desk.pool, shop.writer).edit(customer.account_id, customer.key_id, KeyChange(cap=cap))
    await accounts.set_budgets(customer.account_id, [Budget("all", Nano(100 * CREDIT), Period.DAILY)])
    return await shop.desk.current(customer)


async def let_lots_expire(shop: Shop) -> None:
    """A lot that expires free, and one that expires under an open hold and lapses with its release."""
    customer = await shop.desk.customer(CREDIT)
    now_us = await shop.desk.owner.fetchval("SELECT unix_us()")
    soon = Grant(new_move(), new_lot(), Nano(CREDIT), LotCategory.STARTER, expires_us=now_us + SECOND_US // 5)
    await shop.apply(customer, soon)
    hold = await opened(shop.writer, customer, CREDIT // 2)
    await asyncio.sleep(0.25)
    await shop.apply(customer, Adjust(new_move(), Nano(7), new_lot()))
    assert (await shop.desk.holds(customer))[0]["lapsing"] != "[]"
    await shop.capture(hold, 1000)


async def buy_and_give_back(shop: Shop) -> None:
    """Purchases with a bonus: one refunded, one whose refund fails, one charged back beyond what is there."""
    customer = await shop.desk.customer()
    for payment, end in (("pay_1", RefundDone), ("pay_2", RefundBack)):
        await shop.apply(customer, purchase(payment))
        await shop.capture(await opened(shop.writer, customer, 50_000_000), 3000)
        started = RefundStart(new_move(), payment, asked_us=0)
        money = refunded_amount(await shop.apply(customer, started))
        await shop.apply(customer, end(new_move(), started.move_id, payment, money))
    await shop.apply(customer, purchase("pay_3"))
    under_way = await opened(shop.writer, customer, CREDIT)
    available = await shop.desk.available(customer)
    await shop.apply(customer, Adjust(new_move(), Nano(1_000_000 - available), new_lot()))
    await shop.apply(customer, Chargeback(new_move(), "pay_3", Nano(5_000_000)))
    await shop.capture(under_way, 10)
    line = Grant(new_move(), new_lot(), Nano(CREDIT), LotCategory.CREDIT_LINE)
    await shop.apply(customer, line)
    owing = await shop.desk.customer()
    await shop.apply(owing, purchase("pay_4"))
    await shop.apply(owing, Adjust(new_move(), Nano(-2 * CREDIT - CREDIT // 10), new_lot()))
    await shop.apply(owing, Chargeback(new_move(), "pay_4", Nano(CREDIT)))
    refunding = await shop.desk.customer()
    await shop.apply(refunding, purchase("pay_5"))
    await shop.apply(refunding, RefundStart(new_move(), "pay_5", asked_us=0))


async def leave_open(shop: Shop) -> None:
    """Requests under way, and idempotency keys: one completed with its kept answer, one waiting."""
    customer = await shop.desk.customer(CREDIT)
    done = await opened(shop.writer, customer, 10_000_000, claim=claim("done"))
    await shop.capture(done, 10, keyed=True, kept=b"sealed", kept_until_us=2**62, fingerprint=b"body")
    await opened(shop.writer, customer, 10_000_000, claim=claim("waiting"))
    await opened(shop.writer, customer, 20_000_000)


def purchase(payment: str) -> Purchase:
    bonus = Nano(CREDIT // 10)
    return Purchase(
        new_move(), new_lot(), Nano(2 * CREDIT), payment, Nano(2 * CREDIT), bonus=bonus, bonus_lot_id=new_lot()
    )


def new_move() -> MoveId:
    return MoveId(new_id("mov"))


def new_lot() -> LotId:
    return LotId(new_id("lot"))


@pytest.fixture(scope="module")
def history(module_database: str) -> Iterator[str]:
    """The DSN of the database with the history, and a copy of every row in `sound_…`."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _prepare(module_database)).result()
        yield module_database


async def _prepare(dsn: str) -> None:
    await tell_history(dsn)
    owner = await asyncpg.connect(dsn)
    for table in TABLES:
        await owner.execute(f"CREATE TABLE sound_{table} AS TABLE {table}")
    await owner.close()


class Books:
    """The history, open: change it, audit it."""

    def __init__(self, dsn: str, owner: asyncpg.Connection) -> None:
        self.dsn = dsn
        self.owner = owner

    async def audit(self, **options: int) -> AuditReport:
        async with open_pool(self.dsn, size=2) as pool:
            return await audit(pool, **{"grace_s": 0} | options)  # type: ignore[arg-type]

    async def change(self, sql: str) -> None:
        """One change behind the ledger's back; exactly one row, or the test says nothing."""
        status = await self.owner.execute(sql)
        assert status.endswith(" 1"), f"{status}: {sql}"


@pytest.fixture
async def books(history: str) -> AsyncIterator[Books]:
    owner = await asyncpg.connect(history)
    await owner.execute("SET session_replication_role = replica")
    async with _living_process(owner):
        yield Books(history, owner)
        for table in TABLES:
            await owner.execute(f"DELETE FROM {table}")
            generated = "OVERRIDING SYSTEM VALUE" if table == "price_versions" else ""
            await owner.execute(f"INSERT INTO {table} {generated} SELECT * FROM sound_{table}")
    await owner.close()


@asynccontextmanager
async def _living_process(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """The lease of the process whose holds are open: it was stopped with the history, here it lives on."""
    boot = await owner.fetchval("SELECT boot FROM holds LIMIT 1")
    await owner.execute("SELECT pg_advisory_lock(64222, $1::integer)", boot)
    yield
    await owner.execute("SELECT pg_advisory_unlock(64222, $1::integer)", boot)


# Sound books --------------------------------------------------------------------------------


def failed(report: AuditReport) -> dict[str, list[str]]:
    return {
        check.name.value: [f"{each.where}: {each.what}" for each in check.offences]
        for check in report.checks
        if check.failed
    }


async def test_sound_books_are_proved_sound(books: Books) -> None:
    report = await books.audit()
    assert failed(report) == {}
    assert report.ok
    unused = {CheckName.READABLE} & {check.name for check in report.checks if not check.checked}
    assert [check.name for check in report.checks if not check.checked and check.name not in unused] == []


async def test_the_report_counts_what_the_books_hold(books: Books) -> None:
    counts = (await books.audit()).counts
    assert (counts.accounts, counts.open_holds, counts.late, counts.reversed, counts.abandoned) == (6, 2, 1, 1, 1)
    assert counts.voided == 2
    assert counts.charges == counts.captured + counts.voided + counts.expired + counts.late
    assert counts.shortfall == await books.owner.fetchval("SELECT sum(shortfall) FROM charges") > 0
    assert counts.given_back == await books.owner.fetchval("SELECT sum(amount) FROM entries WHERE corrects IS NOT NULL")
    assert counts.entries == await books.owner.fetchval("SELECT count(*) FROM entries")


async def test_the_sides_of_the_journal_sum_to_zero(books: Books) -> None:
    report = await books.audit()
    totals = await books.owner.fetchrow(
        "SELECT sum(available + held) AS customer, sum(refunding) AS refunding FROM accounts"
    )
    assert totals is not None
    assert sum(report.sides.values()) == 0
    assert report.sides["customer"] == totals["customer"]
    assert report.sides["refunding"] == totals["refunding"]
    assert report.sides["shortfall"] == -report.counts.shortfall


@pytest.mark.parametrize("rows_at_once", [1, 2, 7])
async def test_the_size_of_a_page_makes_no_difference(books: Books, rows_at_once: int) -> None:
    whole, paged = await books.audit(), await books.audit(rows_at_once=rows_at_once)
    assert msgspec.structs.replace(paged, seconds=0) == msgspec.structs.replace(whole, seconds=0)


async def test_progress_hears_of_every_charge_and_entry(books: Books) -> None:
    await books.owner.execute("ANALYZE charges, entries")
    heard: list[int] = []
    async with open_pool(books.dsn, size=1) as pool:
        report = await audit(pool, progress=heard.append, rows_at_once=3)
        assert sum(heard) == report.counts.charges + report.counts.entries == await rows_to_check(pool)


async def test_a_report_survives_being_written_down(books: Books) -> None:
    report = await books.audit()
    assert msgspec.json.decode(msgspec.json.encode(report), type=AuditReport) == report


async def test_an_empty_database_has_sound_books(database: str) -> None:
    async with open_pool(database, size=1) as pool:
        report = await audit(pool)
    assert report.ok
    assert report.counts.accounts == 0


# One row made wrong -------------------------------------------------------------------------

PAID = (
    "(SELECT hold_id FROM charges WHERE from_hold > 0 AND from_hold < held AND shortfall = 0 ORDER BY hold_id LIMIT 1)"
)
LATE = "(SELECT hold_id FROM charges WHERE kind = 'late')"
OPEN = "(SELECT id FROM holds ORDER BY id LIMIT 1)"
RICH = "(SELECT id FROM accounts ORDER BY available DESC, id LIMIT 1)"
PAID_MOVE = f"'mov_' || substr({PAID}, 6)"

WRONGS = [
    # Accounts
    ("totals", f"UPDATE accounts SET available = available + 1 WHERE id = {RICH}", "available + held: "),
    ("totals", "UPDATE accounts SET refunding = refunding + 1 WHERE refunding > 0", "refunding: "),
    ("held", f"UPDATE accounts SET held = held + 1 WHERE id = {RICH}", "held: "),
    ("running", f"UPDATE accounts SET running = running + 1 WHERE id = {RICH}", "running, 0 holds are open"),
    ("running", "UPDATE api_keys SET running = running + 1 WHERE running = 2", "counts 3 running, 2 holds are open"),
    ("lots", "UPDATE accounts SET owed = owed + 1 WHERE owed > 0", "owed and lent: "),
    ("lots", f"UPDATE accounts SET unburned = unburned + 1 WHERE id = {RICH}", "burned and unburned: "),
    ("lots", f"UPDATE accounts SET next_expiry_us = 5 WHERE id = {RICH}", "next expiry: 5 is not None"),
    ("versions", f"UPDATE accounts SET version = version + 2 WHERE id = {RICH}", "are missing"),
    ("versions", f"UPDATE accounts SET version = version - 1 WHERE id = {RICH}", "is beyond the account's"),
    ("readable", f"UPDATE accounts SET budgets = '[7]' WHERE id = {RICH}", "Expected `object`"),
    # Keys, caps and budgets
    ("spent_by_keys", "UPDATE api_keys SET spent = spent + 1 WHERE cap IS NOT NULL", "its charges sum to"),
    ("spent_by_keys", f"UPDATE charges SET key_id = 'key_none' WHERE hold_id = {PAID}", "key_none has spent None"),
    (
        "budgets",
        """UPDATE api_keys SET cap = jsonb_set(cap::jsonb, '{used}', '5') WHERE cap IS NOT NULL""",
        "budget cap counts 5 used",
    ),
    (
        "budgets",
        """UPDATE accounts SET budgets = jsonb_set(budgets::jsonb, '{0,held}', '5') WHERE budgets::text <> '[]'""",
        "budget all counts 5 held, its holds and charges sum to 0",
    ),
    # Entries
    ("totals", f"UPDATE entries SET amount = amount + 1 WHERE move_id = {PAID_MOVE}", "available + held: "),
    ("charges_posted", f"UPDATE entries SET amount = amount + 1 WHERE move_id = {PAID_MOVE}", "the entries say"),
    ("charges_posted", f"DELETE FROM entries WHERE move_id = {PAID_MOVE}", "the entries say 0"),
    (
        "charges_posted",
        f"INSERT INTO entries SELECT account_id, 'mov_0', part, move, debit, credit, amount, version, at_us, lot_id,"
        f" 'hold_0' FROM entries WHERE move_id = {PAID_MOVE}",
        "capture entries from customer to revenue sum to",
    ),
    (
        "links",
        f"INSERT INTO entries SELECT account_id, 'mov_0', part, move, debit, credit, amount, version, at_us, lot_id,"
        f" 'hold_0' FROM entries WHERE move_id = {PAID_MOVE}",
        "hold_0 has no charge for it",
    ),
    ("versions", f"DELETE FROM entries WHERE move_id = {PAID_MOVE}", "are missing"),
    ("versions", f"UPDATE entries SET version = version + 1 WHERE move_id = {PAID_MOVE}", "is carried by mov_"),
    ("whole_moves", f"UPDATE entries SET part = 3 WHERE move_id = {PAID_MOVE}", "the move begins with part 3"),
    ("whole_moves", "UPDATE entries SET part = 4 WHERE debit = 'shortfall'", "part 4 follows part 0"),
    ("whole_moves", "UPDATE entries SET version = 1 WHERE debit = 'shortfall'", "part 1 has version 1"),
    ("links", "UPDATE entries SET lot_id = 'lot_none' WHERE move = 'refund_back' AND amount > 1000000000", "lot_none"),
    ("links", f"UPDATE entries SET account_id = 'acct_none' WHERE move_id = {PAID_MOVE}", "acct_none is not there"),
    ("corrections", "UPDATE entries SET corrects = 'mov_none' WHERE corrects IS NOT NULL", "which is no move"),
    ("corrections", "UPDATE entries SET amount = amount + 1 WHERE corrects IS NOT NULL", "are given back of mov_"),
    # Lots
    (
        "lots",
        "UPDATE lots SET burned = burned - 1 WHERE payment_id = 'pay_4' AND category = 'paid'",
        "remaining of lots",
    ),
    ("lots", "UPDATE lots SET amount = amount + 1 WHERE payment_id = 'pay_5' AND category = 'paid'", "amounts of lots"),
    ("lots", "UPDATE lots SET expired = expired - 1 WHERE category = 'starter'", "expired of lots"),
    ("lots", "UPDATE lots SET disputed = disputed + 1 WHERE payment_id = 'pay_3' AND category = 'paid'", "disputed of"),
    ("links", "DELETE FROM lots WHERE payment_id = 'pay_5' AND category = 'paid'", "lot_"),
    # Holds
    ("held", f"UPDATE holds SET amount = amount + 1 WHERE id = {OPEN}", "held: "),
    ("held", f"DELETE FROM holds WHERE id = {OPEN}", "held: "),
    ("running", f"DELETE FROM holds WHERE id = {OPEN}", "counts 2 running, 1 holds are open"),
    ("running", f"UPDATE holds SET key_id = 'key_none' WHERE id = {OPEN}", "key_none counts None running"),
    (
        "held",
        """UPDATE holds SET lapsing = '[{"lot_id":"lot_0","amount":5}]' WHERE id = """ + OPEN,
        "5 of lot_0 lapses",
    ),
    ("deadlines", f"UPDATE holds SET deadline_us = opened_us + 1 WHERE id = {OPEN}", "past its deadline"),
    ("attended", f"UPDATE holds SET boot = 7777 WHERE id = {OPEN}", "belongs to process 7777, which is gone"),
    (
        "ended_once",
        f"INSERT INTO holds SELECT account_id, hold_id, key_id, held, 0, 1, 0, '[]', 0, NULL, '{{}}' FROM charges"
        f" WHERE hold_id = {PAID}",
        "captured and still open",
    ),
    # Charges
    (
        "ended_once",
        f"UPDATE charges SET ended = 'captured' WHERE kind = 'end' AND hold_id = {LATE}",
        "charged late, and its hold is captured",
    ),
    ("ended_once", f"DELETE FROM charges WHERE kind = 'end' AND hold_id = {LATE}", "its hold is not ended"),
    (
        "charges_posted",
        f"UPDATE charges SET amount = amount + 1, from_hold = from_hold + 1 WHERE hold_id = {PAID}",
        "the customer paid",
    ),
    (
        "charges_posted",
        "UPDATE charges SET amount = amount - 1, shortfall = shortfall - 1 WHERE shortfall > 0",
        "the entries say",
    ),
    ("links", f"DELETE FROM charges WHERE hold_id = {PAID}", "has no charge for it"),
    ("spent_by_keys", f"DELETE FROM charges WHERE hold_id = {PAID}", "its charges sum to"),
    (
        "from_lines",
        f"UPDATE charges SET amount = amount + 1, from_hold = from_hold + 1 WHERE hold_id = {PAID}",
        "its receipt says",
    ),
    (
        "from_lines",
        f"UPDATE charges SET receipt = jsonb_set(receipt::jsonb, '{{charge,lines,0,quantity}}', '2')"
        f" WHERE hold_id = {PAID}",
        "its lines come to",
    ),
    ("from_lines", f"UPDATE charges SET receipt = '{{}}' WHERE hold_id = {PAID}", "keeps no calculation"),
    ("readable", f"""UPDATE charges SET receipt = '{{"charge":7}}' WHERE hold_id = {PAID}""", "cannot be worked out"),
    (
        "readable",
        f"UPDATE charges SET receipt = jsonb_set(receipt::jsonb, '{{charge,lines,0,per}}', '0') WHERE hold_id = {PAID}",
        "cannot be worked out",
    ),
    (
        "from_prices",
        f"UPDATE charges SET receipt = jsonb_set(receipt::jsonb, '{{charge,basis,usage,output}}', '7')"
        f" WHERE hold_id = {PAID}",
        "usage and price version 1 come to",
    ),
    (
        "from_prices",
        "UPDATE charges SET receipt = jsonb_set(receipt::jsonb, '{charge,card_id}', '\"99\"')"
        f" WHERE hold_id = {PAID}",
        "price version 99 is not there",
    ),
    ("from_prices", f"UPDATE charges SET model = 'other' WHERE hold_id = {PAID}", "price version 1 is of gpt-5"),
    ("from_prices", """UPDATE price_versions SET rate_card = '{"rates":{"input":"3","output":"10"}}'""", "come to"),
    ("from_prices", """UPDATE price_versions SET rate_card = '{"rates":{"input":"3"}}'""", "has no price for output"),
    ("from_prices", "UPDATE price_versions SET starts_us = 9000000000000000", "on"),
    ("from_prices", "DELETE FROM price_versions", "price version 1 is not there"),
    # Once
    ("once", """UPDATE once SET result = '{"move_id":"mov_none"}' WHERE key = 'welcome'""", "mov_none has no entries"),
    ("once", "UPDATE once SET account_id = 'acct_none' WHERE key = 'welcome'", "acct_none is not there"),
    ("claims", "UPDATE idempotency SET completed = true WHERE key = 'waiting'", "completed, and hold_"),
    ("claims", "UPDATE idempotency SET completed = false WHERE key = 'done'", "which is captured"),
    ("claims", "UPDATE idempotency SET hold_id = 'hold_none' WHERE key = 'waiting'", "which is not there"),
    ("kept_answers", "UPDATE kept_answers SET hold_id = 'hold_none'", "kept, and its hold is not ended"),
]


@pytest.mark.parametrize(("check", "wrong", "says"), WRONGS, ids=[f"{check} {says}" for check, _, says in WRONGS])
async def test_one_wrong_row_is_found(books: Books, check: str, wrong: str, says: str) -> None:
    await books.change(wrong)
    report = await books.audit()
    assert not report.ok
    found = failed(report)
    assert check in found, found
    assert any(says in each for each in found[check]), found[check]


def test_every_check_is_shown_to_find_something() -> None:
    """What the database's own constraints refuse cannot be made wrong here: `test_constraints` asks those rules."""
    refused = {CheckName.ROUTES, CheckName.NOT_NEGATIVE, CheckName.CHARGES_ADD_UP}
    assert {check for check, _, _ in WRONGS} == {name.value for name in set(CheckName) - refused}
    assert set(RULES) == set(CheckName)


async def test_only_the_first_offences_are_kept_and_all_are_counted(books: Books) -> None:
    await books.owner.execute("UPDATE charges SET model = 'other'")
    report = await books.audit(offences_kept=2)
    prices = next(check for check in report.checks if check.name is CheckName.FROM_PRICES)
    assert len(prices.offences) == 2
    assert (
        prices.failed
        == prices.checked
        == await books.owner.fetchval("SELECT count(*) FROM charges WHERE receipt -> 'charge' IS NOT NULL")
    )


# Beside a working gateway -------------------------------------------------------------------


async def test_a_deadline_just_passed_is_left_to_the_gateway(books: Books) -> None:
    await books.change(f"UPDATE holds SET opened_us = 0, deadline_us = unix_us() - 1000000 WHERE id = {OPEN}")
    assert failed(await books.audit(grace_s=30)) == {}
    assert set(failed(await books.audit(grace_s=0))) == {"deadlines"}


async def test_a_hold_of_a_dead_process_that_ends_in_time_is_no_finding(books: Books) -> None:
    await books.change(f"UPDATE holds SET boot = 7777 WHERE id = {OPEN}")
    auditing = asyncio.create_task(books.audit(grace_s=1))
    await asyncio.sleep(0.5)
    await books.change(f"UPDATE holds SET boot = (SELECT min(boot) FROM holds) WHERE id = {OPEN}")
    assert failed(await auditing) == {}


async def test_the_books_are_sound_at_every_moment_of_a_busy_gateway(database: str) -> None:
    await tell_history(database)
    async with ledger_desk.open_desk(database) as desk:
        await desk.owner.execute("DELETE FROM idempotency WHERE NOT completed")
        shop = Shop(desk, await desk.node(), 1)
        customers = [await desk.customer(1000 * CREDIT) for _ in range(3)]

        async def work(customer: Customer) -> None:
            for number in range(60):
                hold = await opened(shop.writer, customer, 10_000_000)
                await (void(shop.writer, hold) if number % 5 == 0 else shop.capture(hold, number * 10))

        load = asyncio.gather(*(work(customer) for customer in customers for _ in range(4)))
        audits = 0
        while not load.done():
            report = await audit(desk.pool, rows_at_once=50, grace_s=0)
            findings = {name: found for name, found in failed(report).items() if name != "attended"}
            assert findings == {}
            audits += 1
        await load
        assert audits > 1
