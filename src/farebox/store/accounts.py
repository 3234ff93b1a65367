"""Accounts: opening, changing and reading them; credits given and corrected.

Everything that changes an account's money or limits runs under its lock in the ledger
writer; reading uses the pool. An effect that may be asked for twice carries a key (Law 9).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from farebox.admission.budgets import check_budget, edited, started
from farebox.admission.state import Budget
from farebox.ids import AccountId, LotId, MoveId
from farebox.ledger.commands import Adjust, Effects, Grant, LedgerRefusal, LotCategory, LotCommand
from farebox.money import Nano
from farebox.store import statements
from farebox.store.id_source import new_id
from farebox.store.ledger_alone import LockedAccount
from farebox.store.ledger_writer import LedgerWriter
from farebox.store.postgres import Pool


class Account(msgspec.Struct, frozen=True):
    """An account as an operator sees it. Amounts in nanocredits."""

    id: AccountId
    name: str
    email: str | None
    tier: str
    suspended: bool
    available: Nano
    held: Nano
    refunding: Nano
    owed: Nano
    running: int
    created_us: int


class StatementLine(msgspec.Struct, frozen=True):
    """One entry of the journal of an account."""

    move_id: str
    part: int
    move: str
    debit: str
    credit: str
    amount: Nano
    version: int
    at_us: int
    lot_id: str | None
    hold_id: str | None
    corrects: str | None
    reason: str | None


class Moved(msgspec.Struct, frozen=True):
    """Credits moved by a command: its move, and what the account has available after it."""

    move_id: str
    available: Nano
    repeated: bool = False
    """True: the same key had this effect before; nothing moved now."""


class GrantTerms(msgspec.Struct, frozen=True):
    """What kind of credits are given, and when they lapse (microseconds since 1970; None: never)."""

    category: LotCategory = LotCategory.PROMOTIONAL
    expires_us: int | None = None


PROMOTIONAL = GrantTerms()


class Accounts:
    """See the module."""

    def __init__(self, pool: Pool, writer: LedgerWriter) -> None:
        self._pool = pool
        self._writer = writer
        self._sql = statements.load("accounts")

    async def create(self, name: str, *, tier: str, email: str | None = None, starter: Nano | None = None) -> Account:
        """Open an account, with starter credits when given. An unknown tier raises `KeyError`."""
        if await self._pool.fetchval(self._sql["tier_exists"], tier) is None:
            raise KeyError(tier)
        account_id = AccountId(new_id("acct"))
        await self._pool.execute(self._sql["new_account"], account_id, name, email, tier)
        if starter:
            await self.grant(account_id, starter, GrantTerms(LotCategory.STARTER), key=account_id)
        account = await self.get(account_id)
        if account is None:
            raise KeyError(account_id)
        return account

    async def get(self, account_id: str) -> Account | None:
        row = await self._pool.fetchrow(self._sql["account"], account_id)
        return None if row is None else msgspec.convert(dict(row), Account)

    async def find(self, name: str) -> AccountId | None:
        """The account with this id, name or email; None when there is none or more than one."""
        if await self._pool.fetchval(self._sql["account"], name) is not None:
            return AccountId(name)
        rows = await self._pool.fetch(self._sql["account_by_name"], name)
        return AccountId(rows[0]["id"]) if len(rows) == 1 else None

    async def page(self, after: str = "", *, limit: int = 100) -> Sequence[Account]:
        """Accounts in order of their ids, after the given one."""
        rows = await self._pool.fetch(self._sql["accounts"], after, limit)
        return [msgspec.convert(dict(row), Account) for row in rows]

    async def set_tier(self, account_id: AccountId, tier: str) -> None:
        """Takes effect with the next request everywhere. Unknown tier or account: `KeyError`."""
        if await self._pool.fetchval(self._sql["tier_exists"], tier) is None:
            raise KeyError(tier)
        await self._change(account_id, "set_tier", tier)

    async def set_suspended(self, account_id: AccountId, suspended: bool) -> None:
        """Requests under way end as they would; new ones are refused."""
        await self._change(account_id, "set_suspended", suspended)

    async def set_budgets(self, account_id: AccountId, budgets: Sequence[Budget]) -> None:
        """Replace the account's budgets; one with a known id keeps what it has counted.

        An amount or a threshold below zero, or an id that stands twice, raises `ValueError`.
        """
        for budget in budgets:
            check_budget(budget)
        if len({budget.id for budget in budgets}) < len(budgets):
            raise ValueError("two budgets have the same id")

        async def work(locked: LockedAccount) -> None:
            now_us = locked.state.now_us
            current = {budget.id: budget for budget in locked.state.gate.budgets}
            locked.state.gate.budgets = tuple(
                edited(current[each.id], each, now_us=now_us) if each.id in current else started(each, now_us=now_us)
                for each in budgets
            )
            locked.touch()
            await locked.connection.execute(self._sql["touch_account"], account_id)

        await self._writer.under_lock(account_id, work)

    async def grant(
        self,
        account_id: AccountId,
        amount: Nano,
        terms: GrantTerms = PROMOTIONAL,
        *,
        key: str | None = None,
        reason: str | None = None,
    ) -> Moved | LedgerRefusal:
        """Give credits. The same `key` gives them once."""
        move_id, lot_id = MoveId(new_id("mov")), LotId(new_id("lot"))
        command = Grant(move_id, lot_id, amount, terms.category, expires_us=terms.expires_us)
        return await self._move(account_id, command, scope="grant", key=key or move_id, reason=reason)

    async def adjust(
        self, account_id: AccountId, amount: Nano, *, key: str | None = None, corrects: str | None = None, reason: str
    ) -> Moved | LedgerRefusal:
        """Correct by a new entry, either sign; the same `key` corrects once. Says why."""
        move_id = MoveId(new_id("mov"))
        corrected = None if corrects is None else MoveId(corrects)
        command = Adjust(move_id, amount, LotId(new_id("lot")), corrected)
        return await self._move(account_id, command, scope="adjust", key=key or move_id, reason=reason)

    async def statement(self, account_id: AccountId, *, before: str = "", limit: int = 100) -> Sequence[StatementLine]:
        """Journal entries, newest first, before the given move."""
        rows = await self._pool.fetch(self._sql["entries"], account_id, before, limit)
        return [msgspec.convert(dict(row), StatementLine) for row in rows]

    async def _move(
        self, account_id: AccountId, command: LotCommand, *, scope: str, key: str, reason: str | None
    ) -> Moved | LedgerRefusal:
        async def work(locked: LockedAccount) -> Moved | LedgerRefusal:
            known = await locked.recall(scope, key)
            if known is not None:
                return msgspec.structs.replace(msgspec.json.decode(known, type=Moved), repeated=True)
            done = locked.apply(command, reason=reason)
            if not isinstance(done, Effects):
                return done
            moved = Moved(command.move_id, Nano(locked.state.books.available))
            await locked.remember(scope, key, msgspec.json.encode(moved).decode())
            return moved

        return await self._writer.under_lock(account_id, work)

    async def _change(self, account_id: AccountId, statement: str, value: object) -> None:
        async def work(locked: LockedAccount) -> None:
            await locked.connection.execute(self._sql[statement], account_id, value)

        await self._writer.under_lock(account_id, work)
