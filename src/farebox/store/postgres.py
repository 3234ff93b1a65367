"""Connections to PostgreSQL: the pool of readers, and the one connection of the ledger writer.

Everything runs as the role `farebox_app`, which may add to the books but not change them,
where that role exists. Text in, text out for json; no codec on the path of a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import asyncpg.exceptions

from farebox.faults import LedgerUnavailable, SetupFault

APP_ROLE = "farebox_app"
_SESSION = {
    "application_name": "farebox",
    "statement_timeout": "2000",
    "lock_timeout": "500",
    "idle_in_transaction_session_timeout": "2000",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
# The writer's statements are small and always alike: one generic plan, index lookups only.
_WRITER_SESSION = _SESSION | {
    "application_name": "farebox-writer",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "synchronous_commit": "on",
    "standard_conforming_strings": "on",
}

GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    asyncio.TimeoutError,
    asyncpg.exceptions.AdminShutdownError,
    asyncpg.exceptions.CrashShutdownError,
    asyncpg.exceptions.CannotConnectNowError,
    asyncpg.exceptions.IdleInTransactionSessionTimeoutError,
    asyncpg.exceptions.IdleSessionTimeoutError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.PostgresSystemError,
)
"""What asyncpg raises when a connection is lost, was never made, or leads to a server that cannot write now."""

Connection = asyncpg.Connection
Pool = asyncpg.Pool


async def connect_writer(dsn: str) -> Connection:
    """The ledger writer's connection. Raises `LedgerUnavailable` when the database does not answer."""
    return await _connect(dsn, _WRITER_SESSION)


async def connect(dsn: str) -> Connection:
    """A plain connection in the application's role."""
    return await _connect(dsn, _SESSION)


async def connect_owner(dsn: str) -> Connection:
    """A connection as the database's owner, for migrations and partitions; without the short timeouts."""
    try:
        return await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": "farebox-owner"})
    except GONE as error:
        raise SetupFault(_silent(error)) from error
    except asyncpg.PostgresError as error:
        raise SetupFault(
            f"The database refuses the connection ({_plain(error)}). Check user, password and database name in "
            "FAREBOX_DATABASE_URL."
        ) from error


async def _connect(dsn: str, settings: dict[str, str]) -> Connection:
    try:
        connection = await asyncpg.connect(dsn, timeout=5, server_settings=settings)
        await _become_app(connection)
    except (*GONE, asyncpg.PostgresError) as error:
        raise LedgerUnavailable(f"the database does not answer: {_plain(error)}") from error
    return connection


async def _become_app(connection: Connection) -> None:
    if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", APP_ROLE):
        await connection.execute(f"SET ROLE {APP_ROLE}")


@asynccontextmanager
async def open_pool(dsn: str, *, size: int) -> AsyncGenerator[Pool, None]:
    """A pool of reading connections. Raises `SetupFault` when the first cannot be made."""
    try:
        pool = await asyncpg.create_pool(
            dsn, min_size=1, max_size=size, timeout=5, server_settings=_SESSION, init=_become_app, reset=_keep_role
        )
    except (*GONE, asyncpg.PostgresError) as error:
        raise SetupFault(_silent(error)) from error
    try:
        yield pool
    finally:
        await pool.close()


async def _keep_role(_connection: Connection) -> None:
    """Readers change no session state, so nothing needs resetting (asyncpg's default would drop the role)."""


def _silent(error: BaseException) -> str:
    return f"The database does not answer ({_plain(error)}). Does it run, and is FAREBOX_DATABASE_URL right?"


def _plain(error: BaseException) -> str:
    return str(error) or type(error).__name__
