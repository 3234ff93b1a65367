"""One ledger connection: lock, write, commit. What the group-commit writer says to PostgreSQL.

Enters: the rows a batch needs and the rows it made. Leaves: locked state. Decides nothing.
The session holds the process's advisory lock, by which others see that it lives (`leases`),
and keeps a chain of transactions open while work flows: `COMMIT AND CHAIN` saves the `BEGIN`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from farebox.admission.batch import AccountState, Batch, KeyState
from farebox.faults import LawBroken, LedgerUnavailable
from farebox.ids import AccountId, KeyId
from farebox.ledger.commands import LotBooks
from farebox.store import ledger_rows, statements
from farebox.store.postgres import GONE, Connection, connect_writer

_PARTS = ("opened", "extended", "ended", "charged", "entered", "claimed", "completed", "freed", "kept")
# A part whose rows must all have been there, or the batch decided on something that has changed.
_COUNTED = frozenset({"opened", "extended", "ended", "charged", "entered", "claimed", "kept"})

Known = asyncpg.PostgresError
"""What PostgreSQL itself says no with: the connection is still good."""


_ROLLBACK_S = 2
_encode = msgspec.json.Encoder().encode


class ChangedMeanwhile(Exception):
    """A row the batch relied on is no longer as it was: roll back and decide again."""


class LedgerSession:
    """The writer's connection and its prepared statements."""

    def __init__(self, connection: Connection, boot: int) -> None:
        self._connection = connection
        self._sql = statements.load("ledger")
        self._texts: dict[tuple[str, ...], str] = {}
        self._chained = False
        self.boot = boot

    @classmethod
    async def open(cls, dsn: str, boot_id: str) -> LedgerSession:
        """Connect and take this process's place among the living: its row and its lock, in one commit.

        A boot id that already has a row is taken up again after a lost connection, once the
        server has noticed the loss. Raises `LedgerUnavailable`.
        """
        connection = await connect_writer(dsn)
        try:
            return cls(connection, await _take_boot(connection, boot_id))
        except (*GONE, asyncpg.PostgresError) as error:
            connection.terminate()
            raise LedgerUnavailable(f"could not register with the ledger: {error}") from error
        except BaseException:
            connection.terminate()
            raise

    async def close(self) -> None:
        """Give the boot back (nothing of it is open any more) and disconnect."""
        try:
            await self.rollback()
            await self._connection.execute(self._sql["forget_boot"], self.boot, timeout=2)
        finally:
            await self._connection.close(timeout=2)

    def abandon(self) -> None:
        """Drop the connection at once; the server rolls back whatever was under way."""
        self._connection.terminate()

    @property
    def is_lost(self) -> bool:
        """The connection is known to be gone; one that fell silent is not known."""
        return self._connection.is_closed()

    async def begin(self) -> None:
        """Start a transaction unless the last commit already chained one."""
        if not self._chained:
            await self._connection.execute("BEGIN")
            self._chained = True

    async def commit(self) -> None:
        """Commit. A transaction in which a statement has failed is rolled back: `ChangedMeanwhile`."""
        if await self._connection.execute("COMMIT AND CHAIN") != "COMMIT":
            raise ChangedMeanwhile("a statement of the transaction had failed")

    async def rollback(self) -> None:
        """Undo what is not committed and leave no transaction open."""
        if self._chained:
            self._chained = False
            await self._connection.execute("ROLLBACK", timeout=_ROLLBACK_S)

    async def lock(
        self, pairs: Iterable[tuple[AccountId, KeyId]]
    ) -> tuple[dict[AccountId, AccountState], dict[KeyId, KeyState]]:
        """The one locking read: account and key rows in id order, and the database's clock after the wait."""
        wanted = sorted(pairs)
        rows = await self._connection.fetch(
            self._sql["lock_accounts_and_keys"], [pair[0] for pair in wanted], [pair[1] for pair in wanted]
        )
        return states_of(rows)

    async def lock_account(self, account_id: AccountId) -> AccountState | None:
        """Lock one account for a command that concerns no key; with its lots and open holds."""
        row = await self._connection.fetchrow(self._sql["lock_account"], account_id)
        if row is None:
            return None
        return ledger_rows.account_state(row, await self.load_lots(account_id))

    async def load_lots(self, account_id: AccountId) -> LotBooks:
        """The cold part of a locked account."""
        lots = await self._connection.fetch(self._sql["account_lots"], account_id)
        return ledger_rows.lot_books(lots, await self._connection.fetch(self._sql["account_holds"], account_id))

    async def open_hold(self, account_id: AccountId, hold_id: str) -> ledger_rows.StoredHold | None:
        """The hold as it is now, under its account's lock; None when it has ended."""
        row = await self._connection.fetchrow(self._sql["hold"], account_id, hold_id)
        return None if row is None else ledger_rows.stored_hold(row)

    async def charges_of(self, account_id: AccountId, hold_id: str) -> Sequence[Any]:
        """How a hold ended (kind "end") and what was charged late ("late"); empty while it is open."""
        return await self._connection.fetch(self._sql["charges_of_hold"], account_id, hold_id)

    async def is_claimed(self, account_id: AccountId, key: str) -> bool:
        """Whether an idempotency key is taken."""
        return await self._connection.fetchval(self._sql["is_claimed"], account_id, key)

    async def catalogue_version(self) -> int:
        """The catalogue's version, read after the locks were taken."""
        return await self._connection.fetchval(self._sql["catalogue_version"])

    async def write(self, batch: Batch) -> int:
        """All rows of a batch in one statement; returns the catalogue's version seen with them.

        Raises `ChangedMeanwhile` when a hold or an idempotency key was not as the batch knew it.
        """
        for account_id, lot in batch.writes.lots:
            await self._connection.execute(self._sql["write_lots"], *ledger_rows.lot_columns(account_id, lot))
        for hold in batch.writes.stamps:
            await self._connection.execute(
                self._sql["write_lapsing"], hold.account_id, hold.id, ledger_rows.lapsing_text(hold)
            )
        return await self._write_parts(batch)

    async def _write_parts(self, batch: Batch) -> int:
        names, rows = parts_of(batch)
        if not names:
            return await self.catalogue_version()
        row = await self._connection.fetchrow(self._text(names), *rows)
        if row is None:
            raise LawBroken(7, "the writing statement answered nothing")
        for name in names:
            if name in _COUNTED and row[name] != len(getattr(batch.writes, name)):
                raise ChangedMeanwhile(name)
        return row["catalogue"]

    def _text(self, names: tuple[str, ...]) -> str:
        known = self._texts.get(names)
        if known is None:
            known = self._texts[names] = _compose(self._sql, names)
        return known

    @property
    def connection(self) -> Connection:
        """For cold commands that write rows of their own in the same transaction."""
        return self._connection


async def _take_boot(connection: Connection, boot_id: str) -> int:
    sql = statements.load("ledger")
    async with connection.transaction():
        number = await connection.fetchval(sql["find_boot"], boot_id)
        if number is None:
            number = await connection.fetchval(sql["new_boot"], boot_id)
        if not await connection.fetchval(sql["lock_boot"], number):
            raise LedgerUnavailable("the lost connection of this process still holds its lease")
    return number


def states_of(rows: Iterable[Any]) -> tuple[dict[AccountId, AccountState], dict[KeyId, KeyState]]:
    """The rows of the locking read, one a key, as the machine's state."""
    accounts: dict[AccountId, AccountState] = {}
    keys: dict[KeyId, KeyState] = {}
    for row in rows:
        account_id = row["account_id"]
        if account_id not in accounts:
            accounts[account_id] = ledger_rows.account_state(row)
        keys[row["key_id"]] = ledger_rows.key_state(row)
    return accounts, keys


def parts_of(batch: Batch) -> tuple[tuple[str, ...], list[str]]:
    """Which parts of the writing statement the batch needs, and the rows of each as JSON."""
    rows_of: dict[str, Sequence[object]] = {
        "accounts": [ledger_rows.account_row(state) for state in batch.accounts.values() if state.changed],
        "keys": [ledger_rows.key_row(state) for state in batch.keys.values() if state.changed],
    }
    rows_of |= {name: getattr(batch.writes, name) for name in _PARTS}
    names = tuple(name for name, rows in rows_of.items() if rows)
    return names, [_encode(rows_of[name]).decode() for name in names]


def _compose(sql: Any, names: tuple[str, ...]) -> str:
    """The writing statement of these parts; each part's rows are one parameter."""
    parts = ",\n".join(sql[f"part_{name}"].replace("$rows", f"${place}") for place, name in enumerate(names, 1))
    counts = ", ".join(f"(SELECT count(*) FROM {name}_written) AS {name}" for name in names)  # noqa: S608 - names of our own parts
    return f"WITH {parts}\nSELECT {counts}, (SELECT version FROM catalogue_state) AS catalogue"  # noqa: S608 - as above
