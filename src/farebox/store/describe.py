"""What a database's schema is, as sorted text lines: two schemas are equal when their descriptions are.

Reads the system catalogues (`sql/describe_schema.sql`), so it sees what PostgreSQL made of the statements, not how
they were written. Left out: the order of columns, owners, and the table that remembers migrations.
"""

from __future__ import annotations

from pathlib import Path

import asyncpg

_QUERY = Path(__file__).parent / "sql" / "describe_schema.sql"


async def describe_schema(connection: asyncpg.Connection) -> str:
    """Every schema, table, column, constraint, index, sequence, type, function, trigger, policy and privilege."""
    rows = await connection.fetch(_QUERY.read_text(encoding="utf-8"))
    return "".join(f"{row['line']}\n" for row in rows)
