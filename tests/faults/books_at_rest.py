"""What the database says when a run is at rest: the rows the judge needs, read in one snapshot as they are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import asyncpg


@dataclass
class Books:
    """The rows of the database that matter here."""

    charges: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    """By hold id: how it ended, and at most one late charge."""
    given_back: dict[str, int] = field(default_factory=dict)
    """By hold id."""
    accounts: list[Any] = field(default_factory=list)
    capped_keys: list[Any] = field(default_factory=list)
    open_holds: list[str] = field(default_factory=list)
    claims: dict[str, str] = field(default_factory=dict)
    """Idempotency keys by the hold that has them."""

    def charged(self, hold_id: str) -> int:
        """What the request cost the customer and the operator together, less what was given back."""
        return sum(row["amount"] for row in self.charges.get(hold_id, ())) - self.given_back.get(hold_id, 0)


async def read_books(dsn: str) -> Books:
    """All of it, in one snapshot."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            books = Books()
            for row in await connection.fetch("SELECT * FROM charges ORDER BY opened_us"):
                books.charges[row["hold_id"]].append(row)
            for row in await connection.fetch("SELECT corrects, amount FROM entries WHERE corrects IS NOT NULL"):
                books.given_back["hold_" + row["corrects"].removeprefix("mov_")] = row["amount"]
            books.open_holds = [row["id"] for row in await connection.fetch("SELECT id FROM holds")]
            claims = await connection.fetch("SELECT hold_id, key FROM idempotency")
            books.claims = {row["hold_id"]: row["key"] for row in claims}
            books.accounts = await connection.fetch(_ACCOUNTS)
            books.capped_keys = await connection.fetch(_CAPPED_KEYS)
            return books
    finally:
        await connection.close()


_ACCOUNTS = """
SELECT a.id, a.available, a.held, a.running,
       (SELECT coalesce(sum(amount), 0) FROM entries e WHERE e.account_id = a.id AND e.credit = 'customer')::bigint
           AS given,
       (SELECT coalesce(sum(amount - shortfall), 0) FROM charges c WHERE c.account_id = a.id)::bigint AS paid
FROM accounts a ORDER BY a.id
"""

_CAPPED_KEYS = """
SELECT k.id, (k.cap ->> 'limit')::bigint AS most,
       (SELECT coalesce(sum(amount), 0) FROM charges c WHERE c.account_id = k.account_id AND c.key_id = k.id)::bigint
           AS spent
FROM api_keys k WHERE k.cap IS NOT NULL
"""
