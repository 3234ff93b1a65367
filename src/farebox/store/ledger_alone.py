"""One command, or one piece of cold work, settled by itself with everything loaded.

Where the group commit guesses from what a process remembers, this reads: the hold as it is,
the account's lots, and whether the command already took effect. A replay returns what was
decided before (Law 9); work that ends after its hold did becomes a late charge.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

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
    OpenHold,
    Void,
    account_and_key_of,
    hold_of,
)
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.admission.state import Rules
from farebox.faults import LawBroken
from farebox.ids import AccountId
from farebox.ledger.commands import Effects, LedgerRefusal, LotCommand
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


async def settle_alone(
    session: LedgerSession, command: Command, rules: Rules, decided: Answer | None
) -> tuple[Answer, int]:
    """Decide and commit one command from the rows as they are. Returns the answer and the catalogue's version.

    `decided` is what an earlier, perhaps committed, attempt decided.
    """
    account_id, key_id = account_and_key_of(command)
    await session.begin()
    accounts, keys = await session.lock({(account_id, key_id)})
    if account_id not in accounts:
        raise LawBroken(2, f"{account_id} of an open hold is gone")
    await _expire_first(session, accounts[account_id])
    version = await session.catalogue_version()
    desk = Batch(accounts, keys, rules, catalogue_version=version)
    answer = await _replay(session, command, decided) or desk.decide(await _as_it_is(session, command))
    await session.write(desk)
    await session.commit()
    return answer, version


async def _expire_first(session: LedgerSession, state: AccountState) -> None:
    """Lots past their time expire before anything else; what that stamps on holds is read afterwards."""
    state.lots = await session.load_lots(state.books.account_id)
    if due_expiry(state.books, state.now_us):
        desk = Batch({state.books.account_id: state}, {}, NO_RULES)
        desk.note(state, expire_lots(state.books, state.lots, state.now_us))
        await session.write(desk)
        state.changed = False
        state.lots = await session.load_lots(state.books.account_id)


async def _replay(session: LedgerSession, command: Command, decided: Answer | None) -> Answer | None:
    """The first result, when an earlier attempt of this command did commit after all."""
    account_id = account_and_key_of(command)[0]
    if isinstance(command, Admit):
        return await _replay_admit(session, command, decided)
    if isinstance(command, Extend):
        stored = await session.open_hold(account_id, hold_of(command))
        if isinstance(decided, Extended) and stored and stored.open.hold.amount == decided.open.hold.amount:
            return decided
        return None
    end = await session.hold_end(account_id, hold_of(command), "end")
    if end is None:
        return None
    if isinstance(command, Capture) and end["ended"] != "captured" and command.amount > 0:
        late = await session.hold_end(account_id, hold_of(command), "late")
        return None if late is None else Ended(Nano(late["amount"]), Nano(0), Nano(0))
    return decided if isinstance(decided, Ended) else Ended(Nano(end["amount"]), Nano(0), Nano(0))


async def _replay_admit(session: LedgerSession, command: Admit, decided: Answer | None) -> Answer | None:
    if isinstance(decided, Opened) and await session.open_hold(command.account_id, command.hold_id):
        return decided
    if command.claim is not None and await session.is_claimed(command.account_id, command.claim.key):
        return Refusal(RefusalCode.IDEMPOTENCY_IN_PROGRESS, "A request with this idempotency key is already running.")
    return None


async def _as_it_is(session: LedgerSession, command: Command) -> Command:
    """The command with its hold as it stands in the database: extended, lapsing or already ended."""
    if isinstance(command, Admit | LateCharge):
        return command
    stored = await session.open_hold(account_and_key_of(command)[0], hold_of(command))
    if stored is not None:
        return _with_hold(command, stored.open)
    if isinstance(command, Capture):
        return LateCharge(command)
    raise LawBroken(2, f"{hold_of(command)} ended and left no charge")


def _with_hold(command: Capture | Void | Extend, current: OpenHold) -> Command:
    current = OpenHold(current.hold, current.revision, command.open.model)
    return msgspec.structs.replace(command, open=current)


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
