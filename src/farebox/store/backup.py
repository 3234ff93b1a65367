"""Backup and restore of the embedded database: a physical copy of a moment, verified file by file at both ends.

A backup is a folder: `postgres/` (the cluster with the journal it needs, and PostgreSQL's manifest of checksums),
`secret.key` (without it stored upstream keys are lost; keep the backup as private as the key) and `backup.json`. It is
taken from the running server without stopping it. Nothing is ever overwritten: both ends are made under another name
and renamed when they are verified. A database of your own (FAREBOX_DATABASE_URL) has its own means.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from farebox.config import Settings
from farebox.faults import SetupFault
from farebox.store.binaries import ServerAccount, clean_environment, client_program, make_folder, server_account
from farebox.store.embedded import OWNER_ROLE, EmbeddedPostgres, cluster_folder, make_data_dir
from farebox.store.locks import FileLock, give_to_folder_owner
from farebox.upstream.secrets import load_or_create

NOTE = "backup.json"
CLUSTER = "postgres"
SECRET_KEY = "secret.key"  # noqa: S105  a file name


class BackupNote(msgspec.Struct, frozen=True, kw_only=True):
    """What `backup.json` says."""

    format: int = 1
    farebox: str
    postgres_major: int
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Backup:
    """A verified backup."""

    folder: Path
    note: BackupNote
    size_bytes: int


def backup(settings: Settings, destination: Path, *, with_secret_key: bool = True) -> Backup:
    """Copy the database of `settings.data_dir` to the new folder `destination` and verify the copy.

    Runs beside a serving gateway. Refuses, with `SetupFault`, an external database and a destination that exists.
    """
    if not settings.embedded:
        raise SetupFault(
            "This database is not embedded: back it up with its own tools (pg_basebackup, pg_dump, or your provider's)."
        )
    destination = destination.absolute()
    _refuse_existing(destination)
    fresh = _fresh_beside(destination)
    try:
        with EmbeddedPostgres(settings.data_dir) as server:
            _copy_running(server, fresh / CLUSTER)
        _verify(fresh / CLUSTER)
        if with_secret_key:
            _copy_secret_key(settings.secret_key_path, fresh / SECRET_KEY)
        _write_note(fresh)
        fresh.rename(destination)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return read_backup(destination)


def read_backup(folder: Path) -> Backup:
    """What a backup says of itself; raises `SetupFault` if it is none. `verify_backup` proves it."""
    try:
        note = msgspec.json.decode((folder / NOTE).read_bytes(), type=BackupNote)
    except (OSError, msgspec.DecodeError) as trouble:
        raise SetupFault(f"{folder} is not a backup made by `farebox backup`: {trouble}") from trouble
    if note.format != 1:
        raise SetupFault(f"{folder} was made by a newer Farebox ({note.farebox}). Restore it with that version.")
    return Backup(folder, note, sum(path.stat().st_size for path in _files(folder)))


def verify_backup(folder: Path) -> Backup:
    """Check every file of a backup against its checksum and read its journal; raises `SetupFault` if any is off."""
    found = read_backup(folder)
    _verify(folder / CLUSTER)
    return found


def restore(source: Path, data_dir: Path) -> Backup:
    """Put a backup into a data directory that holds no database yet, verify it, and start it once.

    Refuses, with `SetupFault`, a directory that has a database or another secret key, and a damaged backup.
    """
    found = verify_backup(source.absolute())
    data_dir = data_dir.absolute()
    make_data_dir(data_dir)
    with FileLock(data_dir / "start.lock"):
        _place(found, data_dir)
    with EmbeddedPostgres(data_dir):
        return found


def _place(found: Backup, data_dir: Path) -> None:
    account = server_account(data_dir)
    cluster = cluster_folder(data_dir, account)
    key = data_dir / SECRET_KEY
    for existing in (cluster, key):
        _refuse_existing(existing)
    fresh = _fresh_beside(cluster)
    try:
        shutil.copytree(found.folder / CLUSTER, fresh, symlinks=True, dirs_exist_ok=True)
        _verify(fresh)
        _give_to(fresh, account)
        if (found.folder / SECRET_KEY).exists():
            _copy_secret_key(found.folder / SECRET_KEY, key)
        os.sync()
        fresh.rename(cluster)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _copy_running(server: EmbeddedPostgres, target: Path) -> None:
    command = [client_program("pg_basebackup"), "-D", str(target), "-X", "stream", "-c", "fast", "--no-password"]
    _run([*command, "-h", str(server.socket_dir), "-U", OWNER_ROLE], "The backup could not be taken")


def _verify(cluster: Path) -> None:
    _run([client_program("pg_verifybackup"), "--exit-on-error", "--quiet", str(cluster)], f"{cluster} is damaged")


def _run(command: list[str], complaint: str) -> None:
    answer = subprocess.run(  # noqa: S603  our own programs, no shell
        command, capture_output=True, text=True, check=False, env=clean_environment(), umask=0o077
    )
    if answer.returncode:
        raise SetupFault(f"{complaint}: {answer.stderr.strip()[-500:]}")


def _write_note(fresh: Path) -> None:
    major = int((fresh / CLUSTER / "PG_VERSION").read_text())
    note = BackupNote(farebox=importlib.metadata.version("farebox"), postgres_major=major, made_at=datetime.now(UTC))
    (fresh / NOTE).write_bytes(msgspec.json.format(msgspec.json.encode(note)))


def _copy_secret_key(source: Path, target: Path) -> None:
    if not source.exists():
        return
    load_or_create(source)  # a damaged key file is refused here, not found out when it is needed
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        give_to_folder_owner(descriptor, target)
        file.write(source.read_bytes())


def _fresh_beside(target: Path) -> Path:
    fresh = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(fresh, ignore_errors=True)
    make_folder(fresh, 0o700)
    return fresh


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise SetupFault(f"{path} exists already, and nothing is overwritten. Move it away, or name another place.")


def _give_to(folder: Path, account: ServerAccount) -> None:
    if account.switch:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
