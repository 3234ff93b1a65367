"""What the operator's commands look through across accounts: budgets, running requests, charges, the database itself.

Reading only, but for sealing upstream keys anew. A customer's own view of these is `history`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import msgspec

from farebox import ids
from farebox.admission.state import Budget
from farebox.money import Nano
from farebox.store import statements
from farebox.store.history import RunningRow
from farebox.store.postgres import Pool
from farebox.upstream.secrets import KeyRing

ROWS_AT_ONCE = 1000


class ChargedRow(msgspec.Struct, frozen=True):
    """A charge with the receipt it can be worked out from again."""

    account_id: str
    hold_id: str
    kind: str
    model: str
    amount: Nano
    receipt: str


class Condition(msgspec.Struct, frozen=True):
    """How the database is."""

    version: str
    now_us: int
    has_role: bool
    """Whether the role exists that may add to the books but not change them."""
    partitions: list[str] | None


class Overview:
    """See the module."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = statements.load("overview")

    async def budgets(self, account_id: str) -> Sequence[Budget]:
        """The budgets of an account with what they have counted. An unknown account raises `KeyError`."""
        stored = await self._pool.fetchval(self._sql["budgets"], account_id)
        if stored is None:
            raise KeyError(account_id)
        return msgspec.json.decode(stored, type=tuple[Budget, ...])

    async def running(self, request_id: str) -> RunningRow | None:
        """The open hold of a request, in whatever account."""
        row = await self._pool.fetchrow(self._sql["open_hold_anywhere"], ids.hold_of(request_id))
        return None if row is None else msgspec.convert(dict(row), RunningRow)

    async def digest_of_key(self, key_id: str) -> bytes | None:
        """The hash under which a key's secret is known."""
        return await self._pool.fetchval(self._sql["secret_of_key"], key_id)

    async def charges(self, models: Sequence[str], *, since_us: int) -> AsyncGenerator[Sequence[ChargedRow], None]:
        """What was charged for these models since a moment, in pages, account by account."""
        first_hold = ids.encode("hold", since_us // 1000, 0)
        last = ("", "", "")
        while True:
            rows = await self._pool.fetch(self._sql["charges_after"], *last, first_hold, list(models), ROWS_AT_ONCE)
            page = [msgspec.convert(dict(row), ChargedRow) for row in rows]
            if page:
                yield page
                last = (page[-1].account_id, page[-1].hold_id, page[-1].kind)
            if len(page) < ROWS_AT_ONCE:
                return

    async def condition(self) -> Condition:
        """How the database is; also of one without our tables."""
        return msgspec.convert(dict(await self._pool.fetchrow(self._sql["condition"]) or {}), Condition)

    async def has_accounts(self) -> bool:
        return bool(await self._pool.fetchval(self._sql["has_accounts"]))

    async def seal_anew(self, key_ring: KeyRing) -> int:
        """Seal every upstream key with the newest key of the ring. Returns how many were sealed with an older one."""
        sealed_anew = 0
        async with self._pool.acquire() as connection, connection.transaction():
            for row in await connection.fetch(self._sql["sealed_keys"]):
                if key_ring.needs_resealing(row["sealed"]):
                    plain = key_ring.open(row["sealed"], row=row["id"])
                    await connection.execute(self._sql["seal_key"], row["id"], key_ring.seal(plain, row=row["id"]))
                    sealed_anew += 1
        return sealed_anew
