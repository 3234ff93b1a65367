"""Holds whose process died, and holds past their deadline: found and ended (Law 2).

A process lives while it holds the advisory lock of its boot. Every process looks at the
others' locks each second; one that is free in two looks in a row is dead: its request holds
are voided, then its boot is forgotten. Ending a hold goes through the ledger writer like any
other command, so several processes doing this at once end each hold once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg

from farebox.admission.commands import Void
from farebox.faults import LawBroken, LedgerUnavailable
from farebox.ledger.commands import HoldEnd
from farebox.store import statements
from farebox.store.ledger_queue import ABANDONED
from farebox.store.ledger_rows import stored_hold
from farebox.store.ledger_writer import LedgerWriter
from farebox.store.postgres import GONE, Pool

LOOK_EVERY_S = 1.0
END_PATIENCE_S = 10.0


class Leases:
    """The watch over other processes' holds. `run` until cancelled."""

    def __init__(self, pool: Pool, writer: LedgerWriter) -> None:
        self._pool = pool
        self._writer = writer
        self._sql = statements.load("ledger")
        self._suspects: set[int] = set()

    async def run(self) -> None:
        """Look every second, for ever. A ledger that does not answer is looked at again."""
        while True:
            try:
                await self.look()
            except (LedgerUnavailable, asyncpg.PostgresError, *GONE):
                self._suspects.clear()
            except LawBroken:
                pass  # the writer has told its observer; the holds of others still need this watch
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> int:
        """One look: end the holds of the dead and the overdue. Returns how many ended.

        A hold that cannot be ended keeps no other from its end; what was wrong with it is raised last.
        """
        silent = await self._silent_boots()
        dead, self._suspects = silent & self._suspects, silent
        answers: list[object] = []
        for boot in dead:
            answers += await self._end_all(await self._pool.fetch(self._sql["holds_of_boot"], boot), HoldEnd.VOIDED)
            await self._pool.execute(self._sql["forget_boot"], boot)
        answers += await self._end_all(await self._pool.fetch(self._sql["overdue_holds"]), HoldEnd.EXPIRED)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return len(answers)

    async def _silent_boots(self) -> set[int]:
        """Boots whose lock is free. Taken for a moment, in a transaction of its own."""
        silent: set[int] = set()
        async with self._pool.acquire() as connection:
            for row in await connection.fetch(self._sql["other_boots"], self._writer.boot):
                async with connection.transaction():
                    if await connection.fetchval(self._sql["boot_is_dead"], row["number"]):
                        silent.add(row["number"])
        return silent

    async def _end_all(self, rows: Sequence[Any], end: HoldEnd) -> list[object]:
        """All at once, so that they are committed together."""
        holds = [stored_hold(row) for row in rows]
        voids = [Void(stored.open, ABANDONED, stored.request, end, keyed=True) for stored in holds]
        ending = (self._writer.submit(void, patience_s=END_PATIENCE_S) for void in voids)
        return list(await asyncio.gather(*ending, return_exceptions=True))
