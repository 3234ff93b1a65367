"""A backup is whole or refused; what is restored is what was committed; nothing is overwritten."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from farebox.config import Settings
from farebox.faults import SetupFault
from farebox.store.backup import Backup, backup, read_backup, restore, verify_backup
from farebox.store.embedded import EmbeddedPostgres
from farebox.upstream.secrets import load_or_create, rotate

ROWS = 10_000


@pytest.fixture(scope="module")
def original(module_server_dir: Path) -> Settings:
    """A data directory with some committed rows, a role of its own and a secret key."""
    settings = Settings(data_dir=module_server_dir / "original")
    with EmbeddedPostgres(settings.data_dir) as server:
        query(server, "CREATE ROLE farebox_app NOLOGIN")
        query(server, f"CREATE TABLE kept AS SELECT n, md5(n::text) AS word FROM generate_series(1, {ROWS}) n")
    load_or_create(settings.secret_key_path)
    return settings


@pytest.fixture(scope="module")
def made(original: Settings, module_server_dir: Path) -> Backup:
    """A backup taken beside a serving gateway, which then went on to lose everything."""
    with EmbeddedPostgres(original.data_dir, serving=True) as server:
        query(server, "INSERT INTO kept VALUES (0, 'late')")
        made = backup(original, module_server_dir / "copy")
        query(server, "DELETE FROM kept")
    return made


def query(server: EmbeddedPostgres, sql: str) -> object:
    async def fetch() -> object:
        connection = await asyncpg.connect(server.dsn)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def test_what_is_restored_is_all_that_was_committed_before_the_backup(made: Backup, server_dir: Path) -> None:
    assert restore(made.folder, server_dir / "new") == made == read_backup(made.folder)
    with EmbeddedPostgres(server_dir / "new") as server:
        assert query(server, "SELECT count(*) FROM kept") == ROWS + 1
        assert query(server, "SELECT bool_and(word = md5(n::text)) FROM kept WHERE n > 0") is True
        assert query(server, "SELECT 1 FROM pg_roles WHERE rolname = 'farebox_app'") == 1
    restored, kept = ((folder / "secret.key").read_bytes() for folder in (server_dir / "new", made.folder))
    assert restored == kept


def test_a_backup_is_private_and_leaves_nothing_unfinished(made: Backup) -> None:
    assert made.folder.stat().st_mode & 0o777 == 0o700
    assert (made.folder / "secret.key").stat().st_mode & 0o777 == 0o600
    assert made.size_bytes > 1_000_000
    assert [path for path in made.folder.parent.iterdir() if "unfinished" in path.name] == []


def test_the_secret_key_can_be_kept_elsewhere(original: Settings, server_dir: Path) -> None:
    backup(original, server_dir / "copy", with_secret_key=False)
    assert not (server_dir / "copy" / "secret.key").exists()


def test_one_flipped_bit_is_found_before_anything_is_restored(made: Backup, server_dir: Path) -> None:
    largest = max((made.folder / "postgres" / "base").rglob("*"), key=lambda path: path.stat().st_size)
    whole = largest.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    largest.write_bytes(damaged)
    try:
        with pytest.raises(SetupFault, match=r"is damaged: .*checksum mismatch"):
            restore(made.folder, server_dir / "new")
    finally:
        largest.write_bytes(whole)
    assert not (server_dir / "new").exists()


def test_a_missing_journal_is_found(made: Backup) -> None:
    journal = next((made.folder / "postgres" / "pg_wal").glob("0*"))
    away = journal.rename(made.folder / journal.name)
    try:
        with pytest.raises(SetupFault, match="is damaged"):
            verify_backup(made.folder)
    finally:
        away.rename(journal)
    assert verify_backup(made.folder) == made


def test_nothing_is_overwritten(original: Settings, made: Backup, server_dir: Path) -> None:
    with pytest.raises(SetupFault, match="copy exists already, and nothing is overwritten"):
        backup(original, made.folder)
    with pytest.raises(SetupFault, match="postgres exists already, and nothing is overwritten"):
        restore(made.folder, original.data_dir)
    (server_dir / "new").mkdir(mode=0o711)
    load_or_create(server_dir / "new" / "secret.key")
    with pytest.raises(SetupFault, match=r"secret\.key exists already"):
        restore(made.folder, server_dir / "new")


def test_an_external_database_is_refused_with_its_own_way(server_dir: Path) -> None:
    with pytest.raises(SetupFault, match="with its own tools"):
        backup(Settings(data_dir=server_dir, database_url="postgresql://db/farebox"), server_dir / "copy")


NEWER = '{"format": 2, "farebox": "9", "postgres_major": 30, "made_at": "2030-01-01T00:00:00Z"}'


@pytest.mark.parametrize("note", [None, "", "[]", NEWER])
def test_what_is_no_backup_is_said_so(server_dir: Path, note: str | None) -> None:
    if note is not None:
        (server_dir / "backup.json").write_text(note)
    with pytest.raises(SetupFault, match=r"is not a backup|newer Farebox"):
        restore(server_dir, server_dir / "new")
    assert not (server_dir / "new").exists()


def test_a_damaged_key_file_is_found_out_at_the_backup(original: Settings, server_dir: Path) -> None:
    (server_dir / "secret.key").write_text("not a key")
    (server_dir / "secret.key").chmod(0o600)
    settings = Settings(data_dir=original.data_dir, secret_key_file=server_dir / "secret.key")
    with pytest.raises(SetupFault, match="damaged"):
        backup(settings, server_dir / "copy")
    assert [path.name for path in server_dir.iterdir() if "copy" in path.name] == []


def test_all_keys_of_a_rotated_key_file_are_kept(original: Settings, server_dir: Path) -> None:
    load_or_create(server_dir / "secret.key")
    rotate(server_dir / "secret.key")
    settings = Settings(data_dir=original.data_dir, secret_key_file=server_dir / "secret.key")
    made = backup(settings, server_dir / "copy")
    assert (made.folder / "secret.key").read_bytes() == (server_dir / "secret.key").read_bytes()
