"""What an earlier, equal request came to: idempotency keys, running requests, answers kept sealed for a while.

Reading only; they are written with the hold and the charge they belong to. Every look-up is by
account, and everything raises `LedgerUnavailable` when the database does not answer (Law 6).
"""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

from farebox.faults import LedgerUnavailable
from farebox.store import statements
from farebox.store.postgres import GONE, Pool


class Claimed(msgspec.Struct, frozen=True):
    """An idempotency key in use."""

    fingerprint: bytes
    hold_id: str
    completed: bool
    """Its request was charged; its answer may still be kept."""


class KeptAnswer(msgspec.Struct, frozen=True):
    """A sealed answer and the hold it was charged under."""

    hold_id: str
    sealed: bytes


class Answers:
    """See the module."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = statements.load("accounts")

    async def claimed(self, account_id: str, key: str) -> Claimed | None:
        """Who uses this idempotency key."""
        row = await self._row("find_claim", account_id, key)
        return None if row is None else Claimed(row["fingerprint"], row["hold_id"], row["completed"])

    async def kept(self, account_id: str, hold_id: str) -> KeptAnswer | None:
        """The answer of one request, while it is kept."""
        row = await self._row("kept_answer", account_id, hold_id)
        return None if row is None else KeptAnswer(hold_id, row["sealed"])

    async def kept_like(self, account_id: str, fingerprint: bytes) -> KeptAnswer | None:
        """The newest kept answer to a request that looked like this."""
        row = await self._row("kept_by_fingerprint", account_id, fingerprint)
        return None if row is None else KeptAnswer(row["hold_id"], row["sealed"])

    async def is_running(self, account_id: str, key_id: str, fingerprint: bytes) -> bool:
        """Whether a request of this key that looks like this is under way, on any process."""
        return await self._row("running_like", account_id, key_id, fingerprint.hex()) is not None

    async def _row(self, name: str, *arguments: Any) -> asyncpg.Record | None:
        try:
            return await self._pool.fetchrow(self._sql[name], *arguments)
        except (*GONE, asyncpg.PostgresError) as error:
            raise LedgerUnavailable("the database does not answer") from error
