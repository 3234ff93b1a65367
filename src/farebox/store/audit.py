"""`farebox audit`: proves the books, or shows the rows that are off.

Reads in short snapshots (repeatable read) beside a working gateway: first every account with its
holds, lots, counters and summed entries in one view, then every entry and every charge by itself.
What must agree was written in one transaction, so one view shows both or neither. Memory stays
bounded: accounts come a page at a time, entries and charges too, an account's versions by cursor.
Leaves an `AuditReport`. Changes nothing, locks nothing, and stops at no finding.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

from farebox.ledger.commands import Hold, HoldEnd
from farebox.ledger.invariants import check_holds, check_lot, check_lot_sums, check_totals
from farebox.store import audit_charges, audit_checks, statements
from farebox.store.audit_checks import UNREADABLE, AccountRows, Counted, Opened, Row, Versions
from farebox.store.audit_report import AuditReport, CheckName, Tally
from farebox.store.catalogue import PriceVersion, price_version
from farebox.store.postgres import Connection, Pool
from farebox.tariff.rate import Charge

ROWS_AT_ONCE = 1000
ACCOUNTS_AT_ONCE = 50
PRICES_KEPT = 1000
GRACE_S = 15
"""How long a gateway may take to end a hold that is past its deadline or whose process has died."""

_ABANDONED, _LEDGER_UNAVAILABLE = "abandoned", "ledger_unavailable"
_AT_THE_START = ""


async def rows_to_check(pool: Pool) -> int:
    """About how many charges and entries there are, for showing progress; 0 when the database has not counted yet."""
    return await pool.fetchval(statements.load("audit")["expected"]) or 0


async def audit(
    pool: Pool,
    *,
    progress: Callable[[int], None] | None = None,
    offences_kept: int = 10,
    rows_at_once: int = ROWS_AT_ONCE,
    grace_s: int = GRACE_S,
) -> AuditReport:
    """Check everything. `progress` hears how many more charges and entries were checked.

    Each check keeps its first `offences_kept` offences and counts all. Waits up to `grace_s` at the end, and only when
    there are holds of processes that are gone: those a gateway ends within that time are no finding.
    """
    started = time.monotonic()
    tally = Tally(offences_kept=offences_kept)
    async with pool.acquire() as connection:
        auditor = _Auditor(connection, tally, rows_at_once, progress or _silent)  # pyright: ignore[reportArgumentType] -- a pooled connection
        suspects = await auditor.unattended()
        await auditor.accounts(grace_s * 1_000_000)
        await auditor.entries()
        await auditor.charges()
        await auditor.once()
        if suspects:
            await asyncio.sleep(max(0.0, started + grace_s - time.monotonic()))
        await auditor.attended(suspects)
    return tally.report(int(time.monotonic() - started))


class _Auditor:
    """One audit at work: reads pages and hands them to the rules."""

    def __init__(
        self, connection: Connection, tally: Tally, rows_at_once: int, progress: Callable[[int], None]
    ) -> None:
        self._connection = connection
        self._tally = tally
        self._rows = rows_at_once
        self._progress = progress
        self._sql = statements.load("audit")
        self._prices: dict[str, tuple[str, PriceVersion] | None] = {}

    # Accounts -------------------------------------------------------------------------------

    async def accounts(self, grace_us: int) -> None:
        """Every account against its holds, lots, keys, charges and entries, a page of accounts in one snapshot."""
        after, at_once = _AT_THE_START, min(ACCOUNTS_AT_ONCE, self._rows)
        while True:
            async with self._snapshot():
                rows = await self._fetch("accounts", after, at_once)
                ids = [row["id"] for row in rows]
                for account in await self._with_their_rows(rows, ids):
                    await self._account(account, grace_us)
                await self._versions(rows, ids)
                await self._corrections(ids)
            if len(rows) < at_once:
                return
            after = ids[-1]

    async def _with_their_rows(self, rows: list[Row], ids: list[str]) -> list[AccountRows]:
        parts = [_by_account(await self._fetch(name, ids)) for name in ("keys", "holds", "lots", "flows", "charged")]
        return [AccountRows(row, *(part.get(row["id"], []) for part in parts)) for row in rows]

    async def _account(self, rows: AccountRows, grace_us: int) -> None:
        tally, where = self._tally, rows.row["id"]
        tally.counts.accounts += 1
        tally.counts.open_holds += len(rows.holds)
        tally.judge(CheckName.RUNNING, where, audit_checks.running(rows))
        tally.judge(CheckName.SPENT_BY_KEYS, where, audit_checks.spent_by_keys(rows))
        try:
            account, budgets = audit_checks.open_account(rows), audit_checks.budgets_of(rows)
        except UNREADABLE as error:
            tally.judge(CheckName.READABLE, where, [str(error)])
            return
        self._books(account, rows)
        for hold in account.holds:
            tally.judge(CheckName.DEADLINES, _of(hold), audit_checks.overdue(hold, rows.row["clock_us"] - grace_us))
        await self._budgets(where, budgets, account.holds)

    def _books(self, account: Opened, rows: AccountRows) -> None:
        tally, where = self._tally, rows.row["id"]
        books, lots, flows = account
        totals = list(check_totals(books, flows))
        tally.judge(CheckName.TOTALS, where, (what for law, what in totals if law != 4))
        tally.judge(CheckName.NOT_NEGATIVE, where, (what for law, what in totals if law == 4))
        tally.judge(CheckName.HELD, where, _said(check_holds(books, lots)))
        tally.judge(CheckName.LOTS, where, _said(check_lot_sums(books, lots, flows)))
        for lot in lots.lots.values():
            tally.found(CheckName.LOTS, where, _said(check_lot(lot)))
        tally.found(CheckName.CHARGES_POSTED, where, audit_checks.revenue(rows, flows))
        for (_, debit, credit), amount in flows.items():
            tally.sides[debit] = tally.sides.get(debit, 0) - amount
            tally.sides[credit] = tally.sides.get(credit, 0) + amount

    async def _budgets(self, account_id: str, budgets: list[Counted], holds: Iterable[Hold]) -> None:
        if not budgets:
            return
        starts = [each.budget.period_start_us for each in budgets]
        earlier = [each.budget.earlier_start_us for each in budgets]
        places, key_ids = list(range(len(budgets))), [each.key_id for each in budgets]
        for row in await self._fetch("counted_by_budgets", account_id, places, key_ids, starts, earlier):
            of = budgets[int(row["place"])]
            counted = Counted(of.key_id, of.budget, int(row["charged"]), int(row["charged_earlier"]))
            where = f"{account_id} {of.key_id}".strip()
            self._tally.judge(CheckName.BUDGETS, where, audit_checks.budget(counted, holds))

    async def _versions(self, rows: list[Row], ids: list[str]) -> None:
        walks = {account_id: Versions() for account_id in ids}
        async for row in self._connection.cursor(self._sql["versions"], ids, prefetch=self._rows):
            account_id = row["account_id"]
            seen = walks[account_id].see(row["version"], row["move_id"])
            self._tally.judge(CheckName.VERSIONS, account_id, seen)
        for row in rows:
            self._tally.found(CheckName.VERSIONS, row["id"], walks[row["id"]].end(row["version"]))

    async def _corrections(self, ids: list[str]) -> None:
        for row in await self._fetch("corrections", ids):
            self._tally.judge(CheckName.CORRECTIONS, row["account_id"], audit_checks.correction(row))
            if row["charged"] is not None:
                self._tally.counts.reversed += 1
                self._tally.counts.given_back += int(row["amount"])

    # Entries and charges --------------------------------------------------------------------

    async def entries(self) -> None:
        """Every entry by itself and after the one before it."""
        tally, before = self._tally, None
        async for entry in self._walk("entries", ("account_id", "move_id", "part"), ("", "", -1)):
            where = f"{entry['account_id']} {entry['move_id']} part {entry['part']}"
            tally.counts.entries += 1
            tally.judge(CheckName.ROUTES, where, audit_checks.route(entry))
            tally.judge(CheckName.LINKS, where, audit_checks.links(entry))
            tally.judge(CheckName.WHOLE_MOVES, where, audit_checks.whole(before, entry))
            before = entry

    async def charges(self) -> None:
        """Every charge: its sums, its entries, its end, and its amount worked out again."""
        tally = self._tally
        async for row in self._walk("charges", ("account_id", "hold_id", "kind"), ("", "", "")):
            where = f"{row['account_id']} {row['hold_id']} {row['kind']}"
            self._count(row)
            tally.judge(CheckName.CHARGES_ADD_UP, where, audit_charges.adds_up(row))
            tally.judge(CheckName.CHARGES_POSTED, where, audit_charges.posted(row))
            tally.judge(CheckName.ENDED_ONCE, where, audit_charges.ended_once(row))
            tally.looked(CheckName.READABLE)
            try:
                await self._recompute(row, where)
            except UNREADABLE as error:
                tally.found(CheckName.READABLE, where, [f"its receipt cannot be worked out again: {error}"])

    async def _recompute(self, row: Row, where: str) -> None:
        charge = audit_charges.charge_of(row)
        self._tally.judge(CheckName.FROM_LINES, where, audit_charges.from_lines(row, charge))
        if charge is not None:
            named = await self._price(charge)
            self._tally.judge(CheckName.FROM_PRICES, where, audit_charges.from_prices(row, charge, named))

    async def _price(self, charge: Charge) -> tuple[str, PriceVersion] | None:
        """The price version that a charge names, and its model. Versions never change, so they are remembered."""
        if charge.card_id not in self._prices:
            if len(self._prices) >= PRICES_KEPT:
                self._prices.clear()
            row = await self._connection.fetchrow(self._sql["price_version"], int(charge.card_id))
            self._prices[charge.card_id] = None if row is None else (row["model"], price_version(row))
        return self._prices[charge.card_id]

    def _count(self, row: Row) -> None:
        counts = self._tally.counts
        counts.charges += 1
        counts.late += row["kind"] == "late"
        counts.captured += row["kind"] == "end" and row["ended"] == HoldEnd.CAPTURED
        counts.voided += row["ended"] == HoldEnd.VOIDED
        counts.expired += row["ended"] == HoldEnd.EXPIRED
        counts.abandoned += row["stamp"] == _ABANDONED
        counts.ledger_unavailable += row["stamp"] == _LEDGER_UNAVAILABLE
        counts.charged += row["amount"]
        counts.shortfall += row["shortfall"]

    # Once, and holds nobody ends ------------------------------------------------------------

    async def once(self) -> None:
        """What is remembered to have been done, against what was done."""
        tally = self._tally
        async for row in self._walk("once", ("scope", "key"), ("", "")):
            tally.judge(CheckName.ONCE, f"{row['scope']} {row['key']}", audit_charges.remembered(row))
        async for row in self._walk("claims", ("account_id", "key"), ("", "")):
            tally.judge(CheckName.CLAIMS, f"{row['account_id']} {row['key']}", audit_charges.claim(row))
        async for row in self._walk("kept_answers", ("account_id", "hold_id"), ("", "")):
            tally.judge(CheckName.KEPT_ANSWERS, f"{row['account_id']} {row['hold_id']}", audit_charges.kept(row))

    async def unattended(self) -> Mapping[str, int]:
        """Open holds whose process does not hold its lease, by account and hold; and which process that was."""
        async with self._snapshot():
            rows = await self._fetch("unattended_holds")
        return {f"{row['account_id']} {row['id']}": row["boot"] for row in rows}

    async def attended(self, suspects: Mapping[str, int]) -> None:
        """Of the holds without a process at the start, those that still are."""
        self._tally.looked(CheckName.ATTENDED, self._tally.counts.open_holds)
        if not suspects:
            return
        for where, boot in (await self.unattended()).items():
            if where in suspects:
                gone = f"belongs to process {boot}, which is gone; a gateway that runs ends such holds within seconds"
                self._tally.found(CheckName.ATTENDED, where, [gone])

    # Reading --------------------------------------------------------------------------------

    async def _walk(self, name: str, key: tuple[str, ...], start: tuple[object, ...]) -> AsyncGenerator[Row, None]:
        """All rows of a statement in the order of their key, a page in each snapshot."""
        after = start
        while True:
            async with self._snapshot():
                await self._connection.execute(self._sql["in_order_of_keys"])
                rows = await self._fetch(name, *after, self._rows)
            for row in rows:
                yield row
            if name in ("entries", "charges"):
                self._progress(len(rows))
            if len(rows) < self._rows:
                return
            after = tuple(rows[-1][column] for column in key)

    async def _fetch(self, name: str, *arguments: object) -> list[Row]:
        return await self._connection.fetch(self._sql[name], *arguments)  # pyright: ignore[reportReturnType] -- a Record is a Mapping in all but name

    @asynccontextmanager
    async def _snapshot(self) -> AsyncGenerator[None, None]:
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            await self._connection.execute(self._sql["open_snapshot"])
            yield


def _by_account(rows: Iterable[Row]) -> dict[str, list[Row]]:
    ordered = sorted(rows, key=lambda row: row["account_id"])
    return {account_id: list(group) for account_id, group in groupby(ordered, key=lambda row: row["account_id"])}


def _said(findings: Iterator[tuple[int, str]]) -> Iterator[str]:
    return (what for _, what in findings)


def _of(hold: Hold) -> str:
    return f"{hold.account_id} {hold.id}"


def _silent(_rows: int) -> Any:
    return None
