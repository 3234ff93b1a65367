"""Every law that SQL can state is a constraint, each refuses what breaks it, and it says what the Python rule says.

Rules are compared by asking both about the same rows: the database evaluates its own CHECK expressions over them.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import ledger_desk
from tests.support.ledger_desk import CREDIT, Customer, admit, apply, capture, extend, void

from farebox.admission.commands import Extended, Opened
from farebox.admission.state import Limits, Tier
from farebox.admission.tiers import DEFAULT_TIERS
from farebox.ids import AccountId, LotId, MoveId
from farebox.ledger.commands import (
    Adjust,
    Books,
    Chargeback,
    Effects,
    Grant,
    HoldEnd,
    Lot,
    LotCategory,
    LotCommand,
    Move,
    Purchase,
    RefundBack,
    RefundDone,
    RefundStart,
    Side,
)
from farebox.ledger.invariants import check_lot, check_totals, check_versions
from farebox.ledger.posting import ROUTES
from farebox.ledger.refunds import refunded_amount
from farebox.money import Nano
from farebox.store import audit_charges, audit_checks
from farebox.store.audit import audit
from farebox.store.audit_checks import Versions
from farebox.store.audit_report import CheckName
from farebox.store.id_source import new_id

Row = dict[str, Any]
MONEY_TABLES = ("accounts", "api_keys", "holds", "charges", "entries", "lots")
APPEND_ONLY = ("charges", "entries", "price_versions")

ACCOUNT: Row = {"id": "acct_1", "name": "one", "tier": "free", "created_us": 0}
KEY: Row = {"account_id": "acct_1", "id": "key_1", "name": "key", "settings": "{}", "created_us": 0}
HOLD: Row = {
    "account_id": "acct_1", "id": "hold_0", "key_id": "key_1", "amount": 5, "opened_us": 0, "deadline_us": 1,
    "tokens_reserved": 0, "request": "{}",
}  # fmt: skip
CHARGE: Row = {
    "account_id": "acct_1", "hold_id": "hold_0", "kind": "end", "ended": "captured", "stamp": "provider",
    "key_id": "key_1", "model": "m", "held": 5, "amount": 5, "from_hold": 5, "from_available": 0, "shortfall": 0,
    "opened_us": 0, "ended_us": 0, "receipt": "{}",
}  # fmt: skip
ENTRY: Row = {
    "account_id": "acct_1", "move_id": "mov_0", "part": 0, "move": "capture", "debit": "customer", "credit": "revenue",
    "amount": 5, "version": 1, "at_us": 0, "lot_id": None, "hold_id": "hold_0",
}  # fmt: skip
LOT: Row = {
    "account_id": "acct_1", "id": "lot_1", "category": "paid", "amount": 2, "created_us": 0, "priority": 0,
    "payment_id": "pay_1", "cost_basis": 2, "burned": 0, "expired": 0, "refunding": 0, "refunded": 0,
    "charged_back": 0, "disputed": 0,
}  # fmt: skip
IMPLIED = {"lots_disputed_check"}
"""Stands for the reader: another constraint refuses the same rows before it."""
SOUND = {"accounts": ACCOUNT, "api_keys": KEY, "holds": HOLD, "charges": CHARGE, "entries": ENTRY, "lots": LOT}


@pytest.fixture
async def owner(module_database: str) -> AsyncIterator[asyncpg.Connection]:
    """The owner of a migrated database with an account and a key; all is rolled back at the end."""
    connection = await asyncpg.connect(module_database)
    outermost = connection.transaction()
    await outermost.start()
    await insert(connection, "accounts", ACCOUNT)
    await insert(connection, "api_keys", KEY)
    yield connection
    await outermost.rollback()
    await connection.close()


async def attempt(connection: asyncpg.Connection, statement: str, *values: Any) -> None:
    """One statement; refused, it leaves the connection usable."""
    async with connection.transaction():
        await connection.execute(statement, *values)


async def insert(connection: asyncpg.Connection, table: str, row: Mapping[str, Any]) -> None:
    places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
    await attempt(connection, f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values())


async def accepted(connection: asyncpg.Connection, table: str, rows: Sequence[Row]) -> list[bool]:
    """What the table's CHECK constraints say of each row; NULL passes, as it does in PostgreSQL."""
    checks = await connection.fetch(
        "SELECT pg_get_expr(conbin, conrelid) AS rule FROM pg_constraint"
        " WHERE conrelid = $1::regclass AND contype = 'c'",
        table,
    )
    rule = " AND ".join(f"COALESCE(({check['rule']}), true)" for check in checks)
    answers = await connection.fetch(
        f"SELECT {rule} AS accepted FROM json_populate_recordset(NULL::{table}, $1::json) AS {table}", json.dumps(rows)
    )
    return [answer["accepted"] for answer in answers]


# Every constraint refuses what breaks it ----------------------------------------------------

LATE = {"kind": "late", "held": 0, "from_hold": 0, "from_available": 5}
GRANT = {"move": "grant", "debit": "promotional", "credit": "customer", "hold_id": None, "lot_id": "lot_1"}
BONUS = {"category": "promotional", "cost_basis": 0}

REFUSALS = [
    ("accounts", {"available": -1}, "accounts_available_check"),
    ("accounts", {"held": -1}, "accounts_held_check"),
    ("accounts", {"refunding": -1}, "accounts_refunding_check"),
    ("accounts", {"owed": -1}, "accounts_owed_check"),
    ("accounts", {"unburned": -1}, "accounts_unburned_check"),
    ("accounts", {"version": -1}, "accounts_version_check"),
    ("accounts", {"running": -1}, "accounts_running_check"),
    ("accounts", {"owed": 1, "available": 1}, "debts_are_paid_first"),
    ("api_keys", {"running": -1}, "api_keys_running_check"),
    ("api_keys", {"spent": -1}, "api_keys_spent_check"),
    ("holds", {"amount": -1}, "holds_amount_check"),
    ("holds", {"deadline_us": 0}, "holds_check"),
    ("holds", {"tokens_reserved": -1}, "holds_tokens_reserved_check"),
    ("holds", {"id": "1"}, "hold_ids_have_their_prefix"),
    ("charges", {"kind": "early"}, "charges_kind_check"),
    ("charges", {"ended": "lost"}, "charges_ended_check"),
    ("charges", {"held": -1, "from_hold": -1, "amount": -1}, "charges_amount_check"),
    ("charges", {"held": -1, "from_hold": -1, "from_available": 6}, "charges_held_check"),
    ("charges", {"from_available": -1, "shortfall": 1}, "charges_from_available_check"),
    ("charges", {"from_available": 1, "shortfall": -1}, "charges_shortfall_check"),
    ("charges", {"amount": 6}, "charges_add_up"),
    ("charges", {"from_hold": 4, "from_available": 1}, "the_hold_pays_first"),
    ("charges", {"ended": "voided"}, "only_captures_charge"),
    ("charges", {"kind": "late"}, "late_charges_hold_nothing"),
    ("charges", LATE | {"amount": 0, "from_available": 0}, "late_charges_hold_nothing"),
    ("charges", {"opened_us": 1}, "charges_end_after_they_open"),
    ("charges", {"stamp": ""}, "charges_are_stamped"),
    ("charges", {"hold_id": "1"}, "charge_ids_have_their_prefix"),
    ("entries", {"part": -1}, "entries_part_check"),
    ("entries", {"amount": 0}, "entries_amount_check"),
    ("entries", {"version": 0}, "entries_version_check"),
    ("entries", {"credit": "cash"}, "entries_follow_a_route"),
    ("entries", {"debit": "revenue", "credit": "customer"}, "entries_follow_a_route"),
    ("entries", {"move": "transfer", "credit": "customer"}, "entries_follow_a_route"),
    ("entries", {"hold_id": "hold_2"}, "moves_of_holds_have_their_ids"),
    ("entries", {"move": "late_charge"}, "moves_of_holds_have_their_ids"),
    ("entries", {"hold_id": None}, "charging_moves_name_their_hold"),
    ("entries", GRANT | {"lot_id": None}, "lot_moves_name_their_lot"),
    ("entries", GRANT | {"move_id": "1"}, "move_ids_have_their_prefix"),
    ("lots", {"category": "borrowed"}, "lots_category_check"),
    ("lots", {"amount": 0}, "lots_amount_check"),
    ("lots", {"cost_basis": -1}, "lots_cost_basis_check"),
    ("lots", {"burned": -1}, "lots_burned_check"),
    ("lots", {"expired": -1}, "lots_expired_check"),
    ("lots", {"refunding": -1}, "lots_refunding_check"),
    ("lots", {"refunded": -1}, "lots_refunded_check"),
    ("lots", {"charged_back": -1}, "lots_charged_back_check"),
    ("lots", {"disputed": -1}, "chargebacks_take_no_more_than_disputed"),
    ("lots", {"burned": 2, "expired": 1}, "lots_give_no_more_than_they_have"),
    ("lots", {"refunded": 1, "disputed": 2}, "money_back_once"),
    ("lots", BONUS | {"disputed": 1}, "only_purchases_are_disputed"),
    ("lots", {"charged_back": 1}, "chargebacks_take_no_more_than_disputed"),
    ("lots", BONUS | {"payment_id": None, "refunded": 1}, "only_purchases_give_money_back"),
    ("lots", {"payment_id": None}, "purchases_name_their_payment"),
    ("lots", BONUS | {"refundable_until_us": 1}, "only_purchases_are_refundable"),
]


@pytest.mark.parametrize(("table", "change", "constraint"), REFUSALS, ids=[refusal[2] for refusal in REFUSALS])
async def test_a_broken_law_is_refused_by_its_constraint(
    owner: asyncpg.Connection, table: str, change: Row, constraint: str
) -> None:
    row = SOUND[table] | {key: f"{SOUND[table][key]}0" for key in ("id",) if table in ("accounts", "api_keys")}
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await insert(owner, table, row | change)
    assert refused.value.constraint_name == constraint
    await insert(owner, table, row)


async def test_every_constraint_on_money_has_its_refusal(owner: asyncpg.Connection) -> None:
    rows = await owner.fetch(
        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = ANY($1::text[]::regclass[])",
        list(MONEY_TABLES),
    )
    assert {row["conname"] for row in rows} - IMPLIED == {constraint for _, _, constraint in REFUSALS}


# Once ---------------------------------------------------------------------------------------

TWICE = [
    ("charges", CHARGE, {"ended": "voided", "held": 0, "amount": 0, "from_hold": 0}, "a hold ends once"),
    ("charges", CHARGE | LATE, {}, "a hold is charged late once"),
    ("entries", ENTRY, {}, "a part of a move is written once"),
    ("holds", HOLD, {}, "a hold is opened once"),
    ("lots", LOT, {"id": "lot_2"}, "a payment buys once"),
    ("lots", LOT | BONUS, {"id": "lot_2"}, "a payment brings one bonus"),
    (
        "once",
        {"scope": "s", "key": "k", "account_id": "acct_1", "result": "1", "at_us": 0},
        {"account_id": "acct_2"},
        "an effect takes place once",
    ),
    (
        "idempotency",
        {"account_id": "acct_1", "key": "k", "fingerprint": b"", "hold_id": "hold_0", "created_us": 0},
        {"hold_id": "hold_2"},
        "a key has one request",
    ),
    (
        "idempotency",
        {"account_id": "acct_1", "key": "k", "fingerprint": b"", "hold_id": "hold_0", "created_us": 0},
        {"key": "other"},
        "a request has one key",
    ),
]


@pytest.mark.parametrize(("table", "row", "again"), [case[:3] for case in TWICE], ids=[case[3] for case in TWICE])
async def test_once_is_once(owner: asyncpg.Connection, table: str, row: Row, again: Row) -> None:
    await insert(owner, table, row)
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(owner, table, row | again)
    assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 1


async def test_a_purchase_may_bring_a_bonus(owner: asyncpg.Connection) -> None:
    await insert(owner, "lots", LOT)
    await insert(owner, "lots", LOT | BONUS | {"id": "lot_2"})


# Append-only (Law 7) ------------------------------------------------------------------------

CHANGES = ["UPDATE {table} SET {column} = {column}", "DELETE FROM {table}", "TRUNCATE {table}"]
COLUMN = {"charges": "amount", "entries": "amount", "price_versions": "starts_us"}


async def fill(owner: asyncpg.Connection) -> None:
    await insert(owner, "charges", CHARGE)
    await insert(owner, "entries", ENTRY)
    await owner.execute("INSERT INTO models (id, facts) VALUES ('m', '{}')")
    await owner.execute("INSERT INTO price_versions (model, starts_us, source, added_us) VALUES ('m', 0, 'test', 0)")


async def first_partition(owner: asyncpg.Connection, table: str) -> str:
    return await owner.fetchval(
        "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = $1::regclass", table
    )


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", CHANGES)
async def test_even_the_owner_cannot_change_the_books(owner: asyncpg.Connection, table: str, change: str) -> None:
    await fill(owner)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=f"Law 7: {table}.* is append-only"):
        await attempt(owner, change.format(table=table, column=COLUMN[table]))
    assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 1


@pytest.mark.parametrize("parent", ["charges", "entries"])
@pytest.mark.parametrize("change", CHANGES[:2])
async def test_a_partition_is_guarded_as_its_table(owner: asyncpg.Connection, parent: str, change: str) -> None:
    await fill(owner)
    table = await first_partition(owner, parent)
    assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 1
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="Law 7"):
        await attempt(owner, change.format(table=table, column="amount"))


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", CHANGES)
async def test_the_application_has_no_right_to_change_the_books(
    owner: asyncpg.Connection, table: str, change: str
) -> None:
    await fill(owner)
    await owner.execute("SET ROLE farebox_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await attempt(owner, change.format(table=table, column=COLUMN[table]))


@pytest.mark.parametrize("parent", ["charges", "entries"])
@pytest.mark.parametrize("change", [*CHANGES, "SELECT FROM {table}"])
async def test_the_application_has_no_way_around_the_table_to_its_partitions(
    owner: asyncpg.Connection, parent: str, change: str
) -> None:
    table = await first_partition(owner, parent)
    await owner.execute("SET ROLE farebox_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await attempt(owner, change.format(table=table, column="amount"))


@pytest.mark.parametrize(
    "trick",
    [
        "ALTER TABLE entries DISABLE TRIGGER ALL",
        "ALTER TABLE entries DROP CONSTRAINT entries_follow_a_route",
        "DROP TABLE entries",
        "ALTER TABLE charges DROP COLUMN receipt",
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
        "CREATE RULE quiet AS ON INSERT TO entries DO INSTEAD NOTHING",
    ],
)
async def test_the_application_cannot_lift_the_guard(owner: asyncpg.Connection, trick: str) -> None:
    await owner.execute("SET ROLE farebox_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await attempt(owner, trick)


async def test_the_application_may_add_to_the_books_and_read_them(owner: asyncpg.Connection) -> None:
    await owner.execute("SET ROLE farebox_app")
    await insert(owner, "charges", CHARGE)
    await insert(owner, "entries", ENTRY)
    assert await owner.fetchval("SELECT count(*) FROM entries JOIN charges USING (account_id, hold_id)") == 1


# The database and Python agree --------------------------------------------------------------


async def test_the_routes_of_the_database_are_the_routes_of_the_ledger(owner: asyncpg.Connection) -> None:
    words = itertools.product(
        [*Move, "transfer"], [*Side, "pocket"], [*Side, "pocket"], [("hold_0", "mov_0"), ("hold_0", "mov_0_late")]
    )
    rows = [
        ENTRY | {"move": move, "debit": debit, "credit": credit, "lot_id": "lot_1", "hold_id": hold, "move_id": move_id}
        for move, debit, credit, (hold, move_id) in words
        if (move == Move.LATE_CHARGE) == move_id.endswith("_late")
    ]
    routes = {(move, *route) for move, routes in ROUTES.items() for route in routes}
    answers = await accepted(owner, "entries", rows)
    assert len(rows) == 12 * 11 * 11
    assert {_route_of(row) for row, yes in zip(rows, answers, strict=True) if yes} == routes
    assert [not list(audit_checks.route(row)) for row in rows] == answers


def _route_of(row: Row) -> tuple[str, str, str]:
    return row["move"], row["debit"], row["credit"]


async def test_what_a_charge_may_add_up_to_is_the_same_in_both(owner: asyncpg.Connection) -> None:
    names = ("held", "amount", "from_hold", "from_available", "shortfall")
    rows = [
        CHARGE | dict(zip(names, numbers, strict=True)) | {"ended": ended}
        for numbers in itertools.product(range(-1, 4), repeat=5)
        for ended in HoldEnd
    ]
    assert await accepted(owner, "charges", rows) == [not list(audit_charges.adds_up(row)) for row in rows]


async def test_what_an_account_may_hold_is_the_same_in_both(owner: asyncpg.Connection) -> None:
    names = ("available", "held", "refunding", "owed", "unburned", "version")
    rows = [
        ACCOUNT | {"running": 0} | dict(zip(names, numbers, strict=True))
        for numbers in itertools.product((-1, 0, 2), repeat=6)
    ]
    by_rule = [not [law for law, _ in check_totals(_books(row), {}) if law == 4] for row in rows]
    assert await accepted(owner, "accounts", rows) == by_rule


def _books(row: Row) -> Books:
    return Books(AccountId("acct_1"), *(row[name] for name in Books.__struct_fields__[1:7]))


async def test_what_a_lot_may_give_is_the_same_in_both(owner: asyncpg.Connection) -> None:
    names = ("burned", "expired", "refunding", "refunded", "charged_back", "disputed")
    rows = [LOT | dict(zip(names, numbers, strict=True)) for numbers in itertools.product(range(-1, 3), repeat=6)]
    by_rule = [not list(check_lot(_lot(row))) and row["charged_back"] <= row["disputed"] for row in rows]
    assert await accepted(owner, "lots", rows) == by_rule


def _lot(row: Row) -> Lot:
    counted = {name: row[name] for name in ("burned", "expired", "refunding", "refunded", "charged_back", "disputed")}
    return Lot(LotId("lot_1"), LotCategory.PAID, Nano(row["amount"]), 0, **counted)


WORDS = [
    ("lots", "category", LotCategory, {"payment_id": "pay_1", "cost_basis": 0}),
    ("charges", "ended", HoldEnd, {"amount": 0, "from_hold": 0}),
]


@pytest.mark.parametrize(("table", "column", "words", "change"), WORDS)
async def test_the_words_of_the_database_are_the_words_of_the_ledger(
    owner: asyncpg.Connection, table: str, column: str, words: type[LotCategory] | type[HoldEnd], change: Row
) -> None:
    rows = [SOUND[table] | change | {column: word} for word in (*words, "other")]
    assert await accepted(owner, table, rows) == [True] * len(words) + [False]


async def test_the_tiers_of_a_new_database_are_the_default_tiers(owner: asyncpg.Connection) -> None:
    rows = await owner.fetch("SELECT * FROM tiers ORDER BY rank")
    limits = ("requests_per_minute", "tokens_per_minute", "requests_per_day", "concurrency")
    rest = ("webhooks", "max_api_keys", "max_file_bytes", "max_storage_bytes")
    stored = tuple(
        Tier(
            row["name"],
            row["rank"],
            row["priority"],
            Limits(*(row[name] for name in limits)),
            *(row[name] for name in rest),
        )
        for row in rows
    )
    assert stored == DEFAULT_TIERS


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from("abcdefgh")), max_size=8), st.integers(0, 7))
def test_versions_seen_one_by_one_are_judged_as_all_together(carried: list[tuple[int, str]], last: int) -> None:
    """`check_versions` needs them all in memory; the audit's walk keeps one. Both find the same books sound."""
    together = check_versions(
        AccountId("acct_1"), [(version, MoveId(move)) for version, move in carried], first=1, last=last
    )
    walk = Versions()
    seen = [said for version, move in sorted(set(carried)) for said in walk.see(version, move)]
    assert bool([*seen, *walk.end(last)]) == bool(together)


# Everything the ledger does is accepted -----------------------------------------------------


class Gambler:
    """Draws moves for one customer, any order, and sends them through the ledger writer."""

    def __init__(self, seed: int, desk: ledger_desk.LedgerDesk, customer: Customer) -> None:
        self._draw = random.Random(seed)
        self._desk = desk
        self._customer = customer
        self._payments = [f"pay_{seed}"]
        self._refunds: list[tuple[str, MoveId, Nano]] = []
        self.done: set[str] = set()

    async def live(self, steps: int) -> None:
        writer = await self._desk.node()
        for _ in range(steps):
            if self._draw.random() < 0.5:
                await self._request(writer)
            else:
                await self._move(writer)

    async def _request(self, writer: ledger_desk.LedgerWriter) -> None:
        available = await self._desk.available(self._customer)
        answer = await admit(writer, self._customer, self._draw.randint(0, available))
        if not isinstance(answer, Opened):
            return  # a lot has expired meanwhile
        hold = answer.open
        if self._draw.random() < 0.3:
            growing = {"output_numerator": 1, "output_max": hold.hold.amount + 5, "may_extend": True}
            more = ledger_desk.asks(self._customer, **growing)
            grown = await extend(writer, hold, more)
            hold = grown.open if isinstance(grown, Extended) else hold
        for _ in range(self._draw.randint(0, 1)):
            await self._move(writer)
        if self._draw.random() < 0.2:
            await void(writer, hold)  # what follows comes late
        if self._draw.random() < 0.3:
            await void(writer, hold)
            self.done.add("void")
        else:
            await capture(writer, hold, self._charge(hold.hold.amount))
            self.done.add("capture")

    def _charge(self, held: int) -> int:
        return self._draw.randint(0, held if self._draw.random() < 0.8 else 2 * held + CREDIT)

    async def _move(self, writer: ledger_desk.LedgerWriter) -> None:
        now_us = await self._desk.owner.fetchval("SELECT unix_us()")
        command = self._draw.choice(list(self._commands(now_us)))
        effects = await apply(writer, self._customer.account_id, command)
        if not isinstance(effects, Effects):
            return
        self.done.add(type(command).__name__)
        if isinstance(command, Purchase):
            self._payments.append(f"{command.payment_id}+")
        elif isinstance(command, RefundStart):
            self._refunds = [(command.payment_id, command.move_id, refunded_amount(effects))] * 3
        elif isinstance(command, RefundDone | RefundBack):
            self._refunds = []

    def _commands(self, now_us: int) -> Iterator[LotCommand]:
        amount, payment = Nano(self._draw.randint(1, CREDIT)), self._payments[-1]
        bought = self._draw.choice(self._payments[-3:])
        soon = now_us + self._draw.randint(1, 100_000)
        lot, move = LotId(new_id("lot")), MoveId(new_id("mov"))
        yield Grant(move, lot, amount, LotCategory.PROMOTIONAL, expires_us=self._draw.choice([None, soon]))
        yield Grant(move, lot, amount, LotCategory.CREDIT_LINE, expires_us=soon)
        yield Adjust(move, Nano(self._draw.choice([-1, 1]) * amount), lot)
        bonus_lot = LotId(new_id("lot"))
        yield Purchase(move, lot, amount, payment, amount, soon, bonus=Nano(amount // 5), bonus_lot_id=bonus_lot)
        yield Purchase(move, lot, amount, payment, amount, bonus=Nano(amount // 5), bonus_lot_id=bonus_lot)
        yield RefundStart(move, bought, asked_us=0)
        yield Chargeback(move, bought, Nano(self._draw.randint(1, CREDIT)))
        for under_way, refund, money in self._refunds:
            yield RefundDone(move, refund, under_way, money)
            yield RefundBack(move, refund, under_way, money)


async def test_the_database_accepts_every_history_of_the_ledger_and_the_audit_proves_it(database: str) -> None:
    async with ledger_desk.open_desk(database) as desk:
        done: set[str] = set()
        for seed in range(6):
            gambler = Gambler(seed, desk, await desk.customer(CREDIT))
            await gambler.live(70)
            done |= gambler.done
        report = await audit(desk.pool)
    keeps_no_calculation = {CheckName.FROM_LINES}
    assert [check for check in report.checks if check.failed and check.name not in keeps_no_calculation] == []
    assert done >= {"void", "capture", "Grant", "Purchase", "Adjust", "Chargeback", "RefundStart"}
    assert done & {"RefundDone", "RefundBack"}
