"""What happened to an account: receipts, charges by day, lots. Reading only, always by account.

Another account's request is as unknown as one that never was (d55).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from farebox import ids
from farebox.faults import LedgerUnavailable
from farebox.money import Nano
from farebox.store import statements
from farebox.store.postgres import GONE, Pool

LONGEST_SPAN_DAYS = 366


class ChargeRow(msgspec.Struct, frozen=True):
    """How a hold ended, or what was charged late; as stored."""

    account_id: str
    hold_id: str
    kind: str
    ended: str
    stamp: str
    key_id: str
    model: str
    held: Nano
    amount: Nano
    from_hold: Nano
    from_available: Nano
    shortfall: Nano
    opened_us: int
    ended_us: int
    receipt: str


class RunningRow(msgspec.Struct, frozen=True):
    """A hold that is still open."""

    account_id: str
    id: str
    key_id: str
    amount: Nano
    opened_us: int
    deadline_us: int
    request: str


class LotRow(msgspec.Struct, frozen=True):
    id: str
    category: str
    amount: Nano
    created_us: int
    priority: int
    expires_us: int | None
    refundable_until_us: int | None
    payment_id: str | None
    burned: int
    expired: int
    refunding: int
    refunded: int
    charged_back: int
    remaining: int


class DayRow(msgspec.Struct, frozen=True):
    """What one model cost on one UTC day."""

    day: int
    """Days since 1970."""
    model: str
    amount: Nano


class Span(msgspec.Struct, frozen=True):
    """UTC days, the last one not included."""

    start: datetime
    end: datetime


class History:
    """See the module. Everything raises `LedgerUnavailable` when the database does not answer."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = statements.load("accounts")

    async def receipt(self, account_id: str, request_id: str) -> Sequence[ChargeRow] | RunningRow | None:
        """How a request ended, a late charge included; or that it still runs; None if it is unknown here."""
        hold_id = ids.hold_of(request_id)
        for _ in range(2):  # a hold can end between the two readings: then its charge is there
            if rows := await self._fetch("charge", account_id, hold_id):
                return [msgspec.convert(dict(row), ChargeRow) for row in rows]
            if running := await self._fetch("open_hold", account_id, hold_id):
                return msgspec.convert(dict(running[0]), RunningRow)
        return None

    async def receipt_anywhere(self, request_id: str) -> Sequence[ChargeRow]:
        """For the operator: the same in any account."""
        rows = await self._fetch("charge_anywhere", ids.hold_of(request_id))
        return [msgspec.convert(dict(row), ChargeRow) for row in rows]

    async def lots(self, account_id: str) -> Sequence[LotRow]:
        """The account's lots, oldest first. Spent credits that are not burned yet still stand in them."""
        return [msgspec.convert(dict(row), LotRow) for row in await self._fetch("lots", account_id)]

    async def granted(self, account_id: str) -> Nano:
        """All credits that ever came in."""
        return Nano(sum(lot.amount for lot in await self.lots(account_id)))

    async def span(self, start: str | None, end: str | None) -> Span | None:
        """Days as asked for; the last 30 by default. None if they make no sense."""
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        try:
            first = datetime.strptime(start, "%Y-%m-%d").replace(tzinfo=UTC) if start else today - timedelta(days=29)
            last = datetime.strptime(end, "%Y-%m-%d").replace(tzinfo=UTC) if end else today + timedelta(days=1)
            fits = first <= last and last - first <= timedelta(days=LONGEST_SPAN_DAYS)
        except ValueError:
            return None
        return Span(first, last) if fits else None

    async def by_day(self, account_id: str, span: Span) -> Sequence[DayRow]:
        """Charges by UTC day and model."""
        bounds = [ids.encode("hold", max(0, int(moment.timestamp() * 1000)), 0) for moment in (span.start, span.end)]
        rows = await self._fetch("charged_by_day", account_id, *bounds)
        return [msgspec.convert(dict(row), DayRow) for row in rows]

    async def _fetch(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        try:
            return await self._pool.fetch(self._sql[name], *arguments)
        except (*GONE, asyncpg.PostgresError) as error:
            raise LedgerUnavailable("the database does not answer") from error
