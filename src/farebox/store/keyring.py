"""Which secret opens which key, remembered between requests and verified under the lock.

A request finds its key here without a query. What it finds may be old, so every answer that
follows from it is checked: an admission compares the settings' versions under the row lock,
and a refusal is given only after the key was read afresh. So revoking a key, changing a tier
or topping up takes effect on the very next request of every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec

from farebox.admission.state import AccountGate, KeyGate
from farebox.faults import LedgerUnavailable
from farebox.ledger.commands import Books
from farebox.store import ledger_rows, statements
from farebox.store.postgres import GONE, Pool

KEYS_KEPT = 100_000


class KeyView(msgspec.Struct, frozen=True):
    """An API key and its account as they were when last read."""

    account: AccountGate
    key: KeyGate
    books: Books
    account_name: str
    email: str | None
    key_name: str
    hint: str
    account_created_us: int
    key_created_us: int
    read_us: int
    """Database time of the reading."""


def digest_of(secret: str) -> bytes:
    """What is stored of a secret: its SHA-256. A secret has 256 random bits, so no salt is needed."""
    return hashlib.sha256(secret.encode()).digest()


class Keyring:
    """Keys by the hash of their secret."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = statements.load("accounts")
        self._known: dict[bytes, KeyView] = {}

    def known(self, digest: bytes) -> KeyView | None:
        """The key as last read, if it was; may be out of date."""
        return self._known.get(digest)

    async def load(self, digest: bytes) -> KeyView | None:
        """The key as it is now; None when no key has this secret. Raises `LedgerUnavailable`."""
        try:
            row = await self._pool.fetchrow(self._sql["key_by_hash"], digest)
        except (*GONE, asyncpg.PostgresError) as error:
            raise LedgerUnavailable("the database does not answer") from error
        if row is None:
            self._known.pop(digest, None)
            return None
        view = _view(row)
        if len(self._known) >= KEYS_KEPT:
            self._known.pop(next(iter(self._known)))
        self._known[digest] = view
        return view


def _view(row: Mapping[str, Any]) -> KeyView:
    state = ledger_rows.account_state(row)
    return KeyView(
        account=state.gate,
        key=ledger_rows.key_state(row).gate,
        books=state.books,
        account_name=row["account_name"],
        email=row["email"],
        key_name=row["key_name"],
        hint=row["hint"],
        account_created_us=row["account_created_us"],
        key_created_us=row["key_created_us"],
        read_us=row["clock_us"],
    )
