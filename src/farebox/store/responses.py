"""Stored responses of accounts: sealed rows that belong to a conversation, for a while.

A row is written before the charge of its answer and can be read only after it: a crash between the two
gives nothing away. Every look-up is by account, so another account's id is one that does not exist
(d55). What is inside is sealed and read by nobody here. Everything raises `LedgerUnavailable` when
the database does not answer (Law 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from farebox.faults import LedgerUnavailable
from farebox.store import statements
from farebox.store.postgres import GONE, Pool

MOST_TURNS = 1_000
"""The longest conversation that is read back."""
MOST_BYTES = 32 * 1024 * 1024
"""The most that is read back at once, sealed; whole turns, so one more may begin below it."""


class StoredResponse(msgspec.Struct, frozen=True):
    """One turn of a conversation."""

    id: str
    previous_id: str | None
    channel_id: str
    key_id: str
    """Of the upstream: what it sealed inside, only it can read."""
    sealed: bytes


class StoredResponses:
    """See the module."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = statements.load("responses")

    async def keep(self, account_id: str, stored: StoredResponse, item_ids: Sequence[str], *, for_us: int) -> None:
        """Store one for so many microseconds, and the turns before it as long. Repeating it changes nothing."""
        await self._ask(
            "keep_response",
            account_id,
            stored.id,
            stored.previous_id,
            stored.channel_id,
            stored.key_id,
            list(item_ids),
            stored.sealed,
            for_us,
        )

    async def turns(self, account_id: str, response_id: str, *, most: int = MOST_TURNS) -> list[StoredResponse]:
        """The conversation up to a response, oldest first; empty if there is no such response.

        The first has a `previous_id` where an older turn is no longer stored, or they would come to more than
        `MOST_BYTES`.
        """
        rows = await self._ask("response_turns", account_id, response_id, most, MOST_BYTES)
        return [_stored(row) for row in rows]

    async def with_items(self, account_id: str, item_ids: Sequence[str]) -> list[StoredResponse]:
        """The newest responses that hold any of these items, up to `MOST_BYTES`, oldest first."""
        rows = await self._ask("responses_with_items", account_id, list(item_ids), MOST_BYTES)
        return [_stored(row) for row in rows]

    async def drop(self, account_id: str, response_id: str) -> bool:
        """Forget one; False if there is none."""
        return bool(await self._ask("drop_response", account_id, response_id))

    async def drop_old(self) -> None:
        """Forget some of those whose time is over."""
        await self._ask("drop_old_responses")

    async def _ask(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        try:
            return await self._pool.fetch(self._sql[name], *arguments)
        except (*GONE, asyncpg.PostgresError) as error:
            raise LedgerUnavailable("the database does not answer") from error


def _stored(row: Any) -> StoredResponse:
    return StoredResponse(row["id"], row["previous_id"], row["channel_id"], row["key_id"], row["sealed"])
