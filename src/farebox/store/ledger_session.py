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
from farebox.faults import LedgerUnavailable
from farebox.ids import AccountId, KeyId
from farebox.ledger.commands import LotBooks
from farebox.store import ledger_rows, statements
from farebox.store.postgres import GONE, Connection, connect_writer

# A part whose rows must all have been there, or the batch decided on something that has changed.
_COUNTED = frozenset({"opened", "extended", "ended", "charged", "entered", "claimed", "kept"})

Known = asyncpg.PostgresError
"""What PostgreSQL itself says no with: the connection is still good."""


_ROLLBACK_S = 2
_COMMIT = "COMMIT AND CHAIN"
_encode = msgspec.json.Encoder().encode


class ChangedMeanwhile(Exception):
    """A row the batch relied on is no longer as it was: roll back and decide again."""


class LedgerSession:
    """The writer's connection and its prepared statements."""

    def __init__(self, connection: Connection, boot: int) -> None:
        self._connection = connection
        self._sql = statements.load("ledger")
        self._prepared: dict[tuple[str, ...], str] = {}
        """The names of prepared writing statements, by the parts they have."""
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
        if await self._connection.execute(_COMMIT) != "COMMIT":
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

    async def write(self, batch: Batch) -> None:
        """All rows of a batch in one statement, for the caller to commit.

        Raises `ChangedMeanwhile` when a hold or an idempotency key was not as the batch knew it: roll back.
        """
        for account_id, lot in batch.writes.lots:
            await self._connection.execute(self._sql["write_lots"], *ledger_rows.lot_columns(account_id, lot))
        for hold in batch.writes.stamps:
            await self._connection.execute(
                self._sql["write_lapsing"], hold.account_id, hold.id, ledger_rows.lapsing_text(hold)
            )
        await self._run(await self._writing(batch))

    async def write_and_commit(self, batch: Batch, *, seen: int) -> None:
        """The rows of a batch that saw no lots, and their commit, in one round trip.

        Raises as `write` and `commit` do, and `ChangedMeanwhile` also when the catalogue is newer than `seen`.
        """
        if await self._run(f"{await self._writing(batch, seen)};{_COMMIT}") != "COMMIT":
            raise ChangedMeanwhile("a statement of the transaction had failed")

    async def _run(self, script: str) -> str:
        try:
            return await self._connection.execute(script)
        except asyncpg.DivisionByZeroError as error:  # how the writing statement says it: plain SQL has no RAISE
            raise ChangedMeanwhile("the books are not as the batch knew them") from error

    async def _writing(self, batch: Batch, seen: int | None = None) -> str:
        """The call of the writing statement for the parts that this batch needs, prepared when first used."""
        names, rows = parts_of(batch)
        prepared = self._prepared.get(names)
        if prepared is None:
            prepared = f"batch_{len(self._prepared)}"
            await self._connection.execute(f"PREPARE {prepared} {_compose(self._sql, names)}")
            self._prepared[names] = prepared
        texts = [_literal(_encode(each).decode()) for each in rows]
        counted = sum([len(each) for name, each in zip(names, rows, strict=True) if name in _COUNTED])
        return f"EXECUTE {prepared} ({','.join([*texts, str(counted), 'NULL' if seen is None else str(seen)])})"

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


def parts_of(batch: Batch) -> tuple[tuple[str, ...], list[Sequence[object]]]:
    """Which parts of the writing statement the batch needs, and the rows of each."""
    writes = batch.writes
    rows_of: tuple[tuple[str, Sequence[object]], ...] = (
        ("accounts", [ledger_rows.account_row(state) for state in batch.accounts.values() if state.changed]),
        ("keys", [ledger_rows.key_row(state) for state in batch.keys.values() if state.changed]),
        ("opened", writes.opened),
        ("extended", writes.extended),
        ("ended", writes.ended),
        ("charged", writes.charged),
        ("entered", writes.entered),
        ("claimed", writes.claimed),
        ("completed", writes.completed),
        ("freed", writes.freed),
        ("kept", writes.kept),
    )
    needed = [each for each in rows_of if each[1]]
    return tuple([name for name, _ in needed]), [rows for _, rows in needed]


def _compose(sql: Any, names: tuple[str, ...]) -> str:
    """The writing statement of these parts, to be prepared: the rows of each, the rows that must have been
    written together, and the newest catalogue the batch may have been decided with (or NULL)."""
    parts = ",\n".join(sql[f"part_{name}"].replace("$rows", f"${place}") for place, name in enumerate(names, 1))
    counts = "".join(f" + (SELECT count(*) FROM {name}_written)" for name in names if name in _COUNTED)  # noqa: S608 - names of our own parts
    check = sql["as_decided"].replace("$written", f"0{counts}").replace("$rows", f"${len(names) + 1}")
    check = check.replace("$seen", f"${len(names) + 2}")
    types = ", ".join(["json"] * len(names) + ["bigint", "bigint"])
    return f"({types}) AS\n" + (f"WITH {parts}\n" if parts else "") + check


def _literal(text: str) -> str:
    """Text as a constant of SQL. With `standard_conforming_strings`, which the writer's connection sets, only the
    quote itself means anything inside."""
    return "'" + text.replace("'", "''") + "'"
