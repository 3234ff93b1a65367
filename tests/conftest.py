"""Fixtures for every test: one private PostgreSQL for the whole run, a database of its own for each test.

`database` is migrated, `empty_database` is not; both give a DSN. The server runs without fsync (only the machine's own
crash could tell the difference); what depends on durability starts a server of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from tests.support.shop_fixtures import shop, shop_gateway  # noqa: F401 - fixtures

from farebox.faults import FareboxError
from farebox.store.embedded import EmbeddedPostgres
from farebox.store.locks import FileLock

PREFIX = "farebox-tests-"
NEW_S = 60
"""A folder younger than this may not have its lock yet."""
TEMPLATE = "farebox_template"
TEST_SERVER = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_connections": "200"}

settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_numbers = count(1)


@pytest.fixture
def server_dir() -> Iterator[Path]:
    """A folder that the account which runs PostgreSQL for root can reach (pytest's own `tmp_path` is not)."""
    with _server_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def module_server_dir() -> Iterator[Path]:
    """As `server_dir`, shared by the tests of one module."""
    with _server_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The server all tests share."""
    _sweep_after_killed_runs()
    with _server_folder() as folder, EmbeddedPostgres(folder / "shared", overrides=TEST_SERVER) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    """The name of a database with the current schema, to copy from."""
    from farebox.main import set_up  # here, so that tests of single rooms import only these

    _wait_for(_execute(postgres, f"CREATE DATABASE {TEMPLATE}"))
    _wait_for(set_up(postgres.dsn_of(TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def database(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """The DSN of a fresh, migrated database for this one test."""
    with _fresh_database(postgres, migrated_template) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def module_database(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """As `database`, shared by the tests of one module."""
    with _fresh_database(postgres, migrated_template) as dsn:
        yield dsn


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The DSN of a fresh database without any schema."""
    with _fresh_database(postgres, "template0") as dsn:
        yield dsn


@pytest.fixture
def other_empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A second one, to compare with."""
    with _fresh_database(postgres, "template0") as dsn:
        yield dsn


@contextmanager
def _fresh_database(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    _wait_for(_execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"))
    try:
        yield postgres.dsn_of(name)
    finally:
        _wait_for(_execute(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def _server_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    folder.chmod(0o711)
    lock = FileLock(folder / "test.lock")
    lock.take()
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _sweep_after_killed_runs() -> None:
    """A run that was killed leaves its servers: adopt them, stop them, remove them. Runs that live hold their lock."""
    for folder in Path("/tmp").glob(f"{PREFIX}*"):
        lock = FileLock(folder / "test.lock")
        with suppress(OSError, FareboxError):
            if time.time() - folder.stat().st_mtime > NEW_S and lock.take():
                _stop_servers_below(folder)
                lock.release()
                shutil.rmtree(folder, ignore_errors=True)


def _stop_servers_below(folder: Path) -> None:
    for data_dir in (path.parent for path in folder.glob("*/users.lock")):
        if (data_dir / "postgres" / "postmaster.pid").exists():
            with EmbeddedPostgres(data_dir):
                pass


async def _execute(postgres: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.dsn_of("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _wait_for(work: Coroutine[Any, Any, object]) -> None:
    """Run to its end on a loop of its own, whatever loop the tests have."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
