"""One command, or one piece of cold work, settled by itself with everything loaded.

Where the group commit guesses from what a process remembers, this reads: the hold as it is,
the account's lots, and whether the command already took effect. A replay returns what was
decided before (Law 9); work that ends after its hold did becomes a late charge, unless it had an idempotency key,
which was given back with the hold: then it is refused, and its answer is not handed over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg
import msgspec

from farebox.admission.batch import AccountState, Batch
from farebox.admission.commands import (
    Admit,
    Answer,
    Capture,
    Command,
    Ended,
    Extend,
    Extended,
    LateCharge,
    Opened,
    Refused,
    Void,
    account_and_key_of,
    hold_of,
)
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.admission.state import Rules, Stale
from farebox.faults import LawBroken
from farebox.ids import AccountId
from farebox.ledger.commands import Effects, HoldEnd, LedgerRefusal, LotCommand
from farebox.ledger.lot_moves import apply
from farebox.ledger.lots import due_expiry, expire_lots
from farebox.money import Nano
from farebox.store import statements
from farebox.store.ledger_session import LedgerSession
from farebox.store.postgres import Connection

T = TypeVar("T")
NO_RULES = Rules(())
"""Work outside a request admits nothing."""

CONTENDED = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)
"""Errors after which the same work may succeed."""

_IN_PROGRESS = Refusal(
    RefusalCode.IDEMPOTENCY_IN_PROGRESS,
    "A request with this idempotency key is still running. Ask again when it has ended.",
    retry_after_s=2,
    retry_helps=True,
)
_ENDED_ALREADY = Refusal(
    RefusalCode.LEDGER_UNAVAILABLE,
    "The ledger was out of reach for too long, and what this request held was released. Ask again.",
    retry_after_s=1,
    retry_helps=True,
)


async def decide_alone(
    session: LedgerSession, command: Command, rules: Rules, before: Answer | None
) -> tuple[Answer, int]:
    """Decide one command from the rows as they are, and write. The caller commits.

    `before` is what an earlier attempt decided, whose commit may have been done and not been heard of.
    Returns the answer and the catalogue's version.
    """
    account_id, key_id = account_and_key_of(command)
    await session.begin()
    accounts, keys = await session.lock({(account_id, key_id)})
    if account_id not in accounts:
        return _without_account(command), 0
    await _expire_first(session, accounts[account_id])
    version = await session.catalogue_version()
    desk = Batch(accounts, keys, rules, catalogue_version=version, boot=session.boot)
    answer = await _as_before(session, desk, command, before) or await _decide(session, desk, command)
    await session.write(desk)
    return answer, version


def _without_account(command: Command) -> Answer:
    if isinstance(command, Admit):
        return Stale(0, 0)
    raise LawBroken(2, f"{account_and_key_of(command)[0]} of an open hold is gone")


async def _expire_first(session: LedgerSession, state: AccountState) -> None:
    """Lots past their time expire before anything else; what that stamps on holds is read afterwards."""
    state.lots = await session.load_lots(state.books.account_id)
    if due_expiry(state.books, state.now_us):
        desk = Batch({state.books.account_id: state}, {}, NO_RULES)
        desk.note(state, expire_lots(state.books, state.lots, state.now_us))
        await session.write(desk)
        state.changed = False
        state.lots = await session.load_lots(state.books.account_id)


async def _as_before(session: LedgerSession, desk: Batch, command: Command, before: Answer | None) -> Answer | None:
    """The first result, when an earlier attempt of this command did commit after all (Law 9)."""
    match command:
        case Admit():
            return await _admitted_before(session, desk, command, before)
        case Extend():
            stored = await session.open_hold(command.open.hold.account_id, hold_of(command))
            if isinstance(before, Extended) and stored and stored.open.hold.amount == before.open.hold.amount:
                return before
            return None
        case Capture() | Void() | LateCharge():
            return await _ended_before(session, desk, command, before)


async def _admitted_before(
    session: LedgerSession, desk: Batch, command: Admit, before: Answer | None
) -> Opened | Refused | None:
    if isinstance(before, Opened):
        stored = await session.open_hold(command.account_id, command.hold_id)
        if stored is not None:
            return msgspec.structs.replace(before, open=stored.open)
        if await session.charges_of(command.account_id, command.hold_id):
            return desk.refused(command, _ENDED_ALREADY)
    if command.claim is not None and await session.is_claimed(command.account_id, command.claim.key):
        return desk.refused(command, _IN_PROGRESS)
    return None


async def _ended_before(
    session: LedgerSession, desk: Batch, command: Capture | Void | LateCharge, before: Answer | None
) -> Ended | None:
    """How the hold ended, if it did. A charge that comes after another end is a late one, at most one."""
    account_id, hold_id = account_and_key_of(command)[0], hold_of(command)
    rows = await session.charges_of(account_id, hold_id)
    if isinstance(command, LateCharge) or (isinstance(command, Capture) and command.amount and not _captured(rows)):
        rows = [row for row in rows if row["kind"] == "late"]
    if rows:
        charged, shortfall = sum(row["amount"] for row in rows), sum(row["shortfall"] for row in rows)
        told = before.announcements if isinstance(before, Ended) and before.amount == charged else ()
        return Ended(Nano(charged), _available(desk, command), Nano(shortfall), told)
    if isinstance(before, Opened) and await session.open_hold(account_id, hold_id) is None:
        return Ended(Nano(0), _available(desk, command), Nano(0))  # the admission was never committed
    return None


def _captured(rows: Sequence[Any]) -> bool:
    return any(row["kind"] == "end" and row["ended"] == HoldEnd.CAPTURED for row in rows)


def _available(desk: Batch, command: Command) -> Nano:
    return Nano(desk.accounts[account_and_key_of(command)[0]].books.available)


async def _decide(session: LedgerSession, desk: Batch, command: Command) -> Answer:
    """Decide with the hold as it stands in the database: extended, lapsing or already ended."""
    if isinstance(command, Admit | LateCharge):
        return desk.decide(command)
    stored = await session.open_hold(command.open.hold.account_id, hold_of(command))
    if stored is not None:
        current = msgspec.structs.replace(stored.open, model=command.open.model)
        return desk.decide(msgspec.structs.replace(command, open=current))
    if isinstance(command, Void) or not await session.charges_of(command.open.hold.account_id, hold_of(command)):
        raise LawBroken(2, f"{hold_of(command)} is not open and has left no charge")
    if isinstance(command, Capture) and not command.keyed:
        return desk.decide(LateCharge(command))
    # The end of a keyed request's hold gave its key back: whoever repeats it pays, and must not pay twice (Law 9).
    return _ENDED_ALREADY


class LockedAccount:
    """An account under its lock, for work outside a request: grants, refunds, settings."""

    def __init__(self, session: LedgerSession, state: AccountState) -> None:
        self._session = session
        self._sql = statements.load("ledger")
        self._desk = Batch({state.books.account_id: state}, {}, NO_RULES)
        self.state = state

    @property
    def connection(self) -> Connection:
        """For rows of the caller's own, in the same transaction."""
        return self._session.connection

    async def recall(self, scope: str, key: str) -> str | None:
        """The result remembered for this key, when its effect already took place.

        A key used by another account raises `LawBroken`.
        """
        row = await self.connection.fetchrow(self._sql["recall_once"], scope, key)
        if row is not None and row["account_id"] != self.state.books.account_id:
            raise LawBroken(9, f"{scope} key belongs to another account")
        return None if row is None else row["result"]

    async def remember(self, scope: str, key: str, result: str) -> None:
        """Note the effect of this key, in the same transaction (Law 9). `result` is JSON."""
        await self.connection.execute(self._sql["remember_once"], scope, key, self.state.books.account_id, result)

    def apply(self, command: LotCommand, *, reason: str | None = None) -> LedgerRefusal | Effects:
        """Move credits; the rows are written when the work returns."""
        lots = self.state.lots
        if lots is None:
            raise LawBroken(7, "cold work without lots")
        effects = apply(self.state.books, lots, command, self.state.now_us)
        if isinstance(effects, Effects):
            self._desk.note(self.state, effects, reason=reason)
        return effects

    def touch(self) -> None:
        """The gate or the books were changed: write the account row."""
        self.state.changed = True

    async def write(self) -> None:
        """Write what was noted; `run_under_lock` does this."""
        await self._session.write(self._desk)


async def run_under_lock(
    session: LedgerSession, account_id: AccountId, work: Callable[[LockedAccount], Awaitable[T]]
) -> T:
    """Lock, let expired lots expire, work, write, commit. Raises `KeyError` for an unknown account."""
    await session.begin()
    state = await session.lock_account(account_id)
    if state is None:
        raise KeyError(account_id)
    await _expire_first(session, state)
    locked = LockedAccount(session, state)
    result = await work(locked)
    await locked.write()
    await session.commit()
    return result
