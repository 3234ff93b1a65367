"""Migrations: once, whole, in order, under one lock; a past that changed is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from farebox.faults import SetupFault
from farebox.store.migrate import Migration, migrate, pending, read_migrations

FIRST = "CREATE TABLE shelf (id int PRIMARY KEY); INSERT INTO shelf VALUES (1);"
SECOND = "ALTER TABLE shelf ADD COLUMN label text NOT NULL DEFAULT 'none';"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write(tmp_path, "0001_shelf.sql", FIRST)
    write(tmp_path, "0002_label.sql", SECOND)
    return tmp_path


def write(directory: Path, name: str, sql: str) -> None:
    (directory / name).write_text(sql)


def names(migrations: list[Migration]) -> list[str]:
    return [str(migration) for migration in migrations]


async def fetch(dsn: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_all_files_are_applied_once_and_in_order(empty_database: str, directory: Path) -> None:
    assert names(await pending(empty_database, directory=directory)) == ["0001_shelf", "0002_label"]
    assert names(await migrate(empty_database, directory=directory)) == ["0001_shelf", "0002_label"]
    assert await migrate(empty_database, directory=directory) == []
    assert await pending(empty_database, directory=directory) == []
    assert await fetch(empty_database, "SELECT id, label FROM shelf") == [(1, "none")]


async def test_a_later_file_is_applied_on_top(empty_database: str, directory: Path) -> None:
    await migrate(empty_database, directory=directory)
    write(directory, "0003_more.sql", "INSERT INTO shelf VALUES (2, 'two')")
    assert names(await migrate(empty_database, directory=directory)) == ["0003_more"]
    assert len(await fetch(empty_database, "SELECT FROM shelf")) == 2


async def test_asking_what_is_pending_changes_nothing(empty_database: str, directory: Path) -> None:
    await pending(empty_database, directory=directory)
    assert await fetch(empty_database, "SELECT FROM pg_tables WHERE schemaname = 'public'") == []


async def test_nodes_that_start_together_apply_each_file_once(empty_database: str, directory: Path) -> None:
    write(directory, "0003_slow.sql", "SELECT pg_sleep(0.1); INSERT INTO shelf VALUES (2, 'two')")
    applied = await asyncio.gather(*(migrate(empty_database, directory=directory) for _ in range(6)))
    assert sorted(len(each) for each in applied) == [0, 0, 0, 0, 0, 3]


async def test_a_file_that_fails_leaves_nothing_behind_but_the_files_before_it(
    empty_database: str, directory: Path
) -> None:
    write(directory, "0003_bad.sql", "INSERT INTO shelf VALUES (3, 'three'); SELECT 1 / 0;")
    with pytest.raises(SetupFault, match=r"0003_bad failed and was rolled back: division by zero"):
        await migrate(empty_database, directory=directory)
    assert await fetch(empty_database, "SELECT id FROM shelf") == [(1,)]
    assert await fetch(empty_database, "SELECT count(*) FROM farebox_migrations") == [(2,)]
    write(directory, "0003_bad.sql", "INSERT INTO shelf VALUES (3, 'three')")
    assert names(await migrate(empty_database, directory=directory)) == ["0003_bad"]


async def test_the_lock_is_given_back_even_on_a_connection_that_stays_open(
    empty_database: str, directory: Path
) -> None:
    write(directory, "0003_bad.sql", "SELECT 1 / 0")
    connection = await asyncpg.connect(empty_database)
    try:
        with pytest.raises(SetupFault):
            await migrate(connection, directory=directory)
        assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    finally:
        await connection.close()


async def test_a_past_file_that_changed_is_refused(empty_database: str, directory: Path) -> None:
    await migrate(empty_database, directory=directory)
    write(directory, "0001_shelf.sql", FIRST + " -- harmless?")
    with pytest.raises(SetupFault, match="0001_shelf was changed after it was applied"):
        await migrate(empty_database, directory=directory)


async def test_a_past_file_under_another_name_is_missing(empty_database: str, directory: Path) -> None:
    await migrate(empty_database, directory=directory)
    (directory / "0001_shelf.sql").rename(directory / "0001_rack.sql")
    with pytest.raises(SetupFault, match="0001_shelf was applied to this database, but its file is missing"):
        await pending(empty_database, directory=directory)


async def test_a_database_of_a_newer_version_is_refused(empty_database: str, directory: Path) -> None:
    await migrate(empty_database, directory=directory)
    (directory / "0002_label.sql").unlink()
    with pytest.raises(SetupFault, match="newer Farebox"):
        await migrate(empty_database, directory=directory)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (["0001_a.sql", "0003_c.sql"], "expected a migration 0002"),
        (["0001_a.sql", "0001_b.sql"], "expected a migration 0002"),
        (["0002_b.sql"], "expected a migration 0001"),
        (["0001-a.sql"], "is named like"),
        (["1_a.sql"], "is named like"),
    ],
)
def test_a_directory_out_of_order_is_refused(tmp_path: Path, files: list[str], complaint: str) -> None:
    for name in files:
        write(tmp_path, name, "SELECT 1")
    with pytest.raises(SetupFault, match=complaint):
        read_migrations(tmp_path)


def test_the_packaged_migrations_are_in_order() -> None:
    assert read_migrations()
