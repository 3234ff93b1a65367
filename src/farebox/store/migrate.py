"""Bring a database up to this version's schema: numbered SQL files, each applied once, whole, and in order.

Files are `0001_name.sql`, `0002_…`, without gaps. Each runs in a transaction of its own together with the row that
remembers it, all under one advisory lock, so any number of nodes may start at once. A file that was applied is never
edited: its checksum is remembered, and a changed or missing one is refused, because the database would no longer be
what the files say.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from farebox.faults import SetupFault
from farebox.store.postgres import connect_owner
from farebox.store.statements import load

PACKAGED = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x_FA2E_B0C5

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql", re.ASCII)
_SQL = load("migrations")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.number:04d}_{self.name}"


def read_migrations(directory: Path = PACKAGED) -> list[Migration]:
    """The files of a directory in order. Raises `SetupFault` on a name out of the pattern, a gap or a double number."""
    found = [_read(path) for path in sorted(directory.glob("*.sql"))]
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise SetupFault(f"{directory}: expected a migration {expected:04d}_….sql, found {migration}.sql")
    return found


async def migrate(target: asyncpg.Connection | str, *, directory: Path = PACKAGED) -> list[Migration]:
    """Apply what is pending; what was applied. `target` is a connection or a DSN, of the role that owns the schema.

    Raises `SetupFault` when the database remembers a file that has changed or is missing, or when a file fails (that
    file is then rolled back whole; those before it stay).
    """
    async with _connection(target) as connection:
        await connection.execute(_SQL["lock"], ADVISORY_LOCK)
        try:
            await connection.execute(_SQL["create_table"])
            todo = await pending(connection, directory=directory)
            for migration in todo:
                await _apply(connection, migration)
            return todo
        finally:
            await connection.execute(_SQL["unlock"], ADVISORY_LOCK)


async def pending(target: asyncpg.Connection | str, *, directory: Path = PACKAGED) -> list[Migration]:
    """What `migrate` would apply; changes nothing. Refuses what `migrate` refuses."""
    files = read_migrations(directory)
    async with _connection(target) as connection:
        remembered = await connection.fetch(_SQL["applied"]) if await connection.fetchval(_SQL["table_exists"]) else []
    _refuse_other_past(files, [(row["number"], row["name"], row["checksum"]) for row in remembered])
    return files[len(remembered) :]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(_SQL["remember"], migration.number, migration.name, migration.checksum)
    except asyncpg.PostgresError as trouble:
        raise SetupFault(f"Migration {migration} failed and was rolled back: {trouble}") from trouble


def _read(path: Path) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise SetupFault(f"{path}: a migration is named like 0001_first_schema.sql")
    return Migration(int(match.group(1)), match.group(2), path.read_text(encoding="utf-8"))


def _refuse_other_past(files: list[Migration], remembered: Iterable[tuple[int, str, str]]) -> None:
    by_number = {migration.number: migration for migration in files}
    for number, name, checksum in remembered:
        file = by_number.get(number)
        if file is None and number > len(files):
            raise SetupFault(
                f"This database was brought to migration {number:04d}_{name} by a newer Farebox, and this one ends at "
                f"{len(files):04d}. Run the newer version, or restore the backup made before the upgrade."
            )
        if file is None or file.name != name:
            raise SetupFault(f"Migration {number:04d}_{name} was applied to this database, but its file is missing.")
        if file.checksum != checksum:
            raise SetupFault(
                f"Migration {file} was changed after it was applied. Put the file back as it was and make the change "
                "in a new migration."
            )


@asynccontextmanager
async def _connection(target: asyncpg.Connection | str) -> AsyncGenerator[asyncpg.Connection, None]:
    if not isinstance(target, str):
        yield target
        return
    connection = await connect_owner(target)
    try:
        yield connection
    finally:
        await connection.close()
