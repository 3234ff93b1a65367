"""Time partitions of charges and entries, made three months ahead.

Both are partitioned by their time-ordered id. A partition's bounds are the ids of the first
millisecond of a month; the first partition starts at MINVALUE, so that a slow node clock
never makes a charge fail.
"""

from __future__ import annotations

from datetime import UTC, datetime

from farebox import ids
from farebox.store.postgres import Connection

MONTHS_AHEAD = 3
PARTITIONED = {"charges": "hold", "entries": "mov"}
_LOCK = 7_302_001


async def ensure_partitions(connection: Connection, now_us: int) -> list[str]:
    """Make the partitions of this month and the next three, as the tables' owner. Returns those made."""
    made: list[str] = []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        for table, prefix in PARTITIONED.items():
            made += await _ensure(connection, table, prefix, now_us)
    return made


async def _ensure(connection: Connection, table: str, prefix: str, now_us: int) -> list[str]:
    existing = {
        row["relname"]
        for row in await connection.fetch(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = $1::regclass",
            table,
        )
    }
    made: list[str] = []
    moment = datetime.fromtimestamp(now_us // 1_000_000, UTC)
    for offset in range(MONTHS_AHEAD + 1):
        year, month = _month_after(moment, offset)
        name = f"{table}_{year}_{month:02d}"
        if name in existing:
            continue
        lower = "MINVALUE" if not existing and not made else f"'{_bound(prefix, year, month)}'"
        upper = _bound(prefix, *_month_after(datetime(year, month, 1, tzinfo=UTC), 1))
        await connection.execute(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ({lower}) TO ('{upper}')")
        made.append(name)
    return made


def _month_after(moment: datetime, months: int) -> tuple[int, int]:
    years, month = divmod(moment.month - 1 + months, 12)
    return moment.year + years, month + 1


def _bound(prefix: str, year: int, month: int) -> str:
    start_ms = int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000
    return ids.encode(prefix, start_ms, 0)
