"""One PostgreSQL server process of a cluster folder: configure, start, find, stop.

Knows processes, sockets and PostgreSQL's own pid file; knows nothing of who may do this when (see `embedded`).
The pid file is the truth about a running server, so one that an earlier process of ours left behind is found too.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from farebox.faults import SetupFault
from farebox.store.binaries import Binaries, ServerAccount, can_reach, clean_environment, make_folder
from farebox.store.locks import give_to_folder_owner

POLL_S = 0.01
START_LIMIT_S = 300
"""Recovery after a crash replays up to `max_wal_size` before the server answers."""
STOP_LIMIT_S = 60
SOCKET_DIR_LIMIT = 90
"""A unix socket's path ends at 107 bytes, and PostgreSQL adds `/.s.PGSQL.5432.lock`."""
LOG_LIMIT_BYTES = 16 * 1024 * 1024
STILL_THERE = ("is still in use", 'lock file "postmaster.pid" already exists')
"""What a start says while the last processes of a killed server are going away."""


class Postmaster:
    """The server of `cluster`. Calls must not overlap: the caller holds `start.lock`."""

    def __init__(self, cluster: Path, binaries: Binaries, account: ServerAccount, *, log: Path) -> None:
        self._cluster = cluster
        self._binaries = binaries
        self._account = account
        self._log = log
        self._beside = cluster.with_name(f"{cluster.name}.socket")
        self._child: subprocess.Popen[bytes] | None = None

    def socket_dir(self) -> Path | None:
        """Where the running server listens; None if there is none that answers."""
        lines = self._pid_file()
        if len(lines) < 8 or lines[7].strip() != "ready" or not self._is_ours(int(lines[0])):
            return None
        return Path(lines[4])

    def differs(self, settings: Mapping[str, str]) -> bool:
        """Whether the running server has other settings or programs than a new one would have."""
        options = (self._cluster / "postmaster.opts").read_text()
        same_programs = options.startswith(self._binaries["postgres"] + " ")
        return not same_programs or (self._cluster / "postgresql.conf").read_text() != _configuration(settings)

    def configure(self, settings: Mapping[str, str], *, users: Iterable[int]) -> None:
        """Write the server's settings and who may connect: these user ids, as any role, by the kernel's word."""
        names = [_user_name(uid) for uid in sorted(users)]
        access = "local all all peer map=farebox\nlocal replication all peer map=farebox\n"
        self._write("postgresql.conf", _configuration(settings))
        self._write("pg_hba.conf", access)
        self._write("pg_ident.conf", "".join(f'farebox "{name}" all\n' for name in names if name))

    def start(self) -> Path:
        """Start and wait until the server answers; the folder of its socket. Raises `SetupFault` if it cannot."""
        deadline = time.monotonic() + START_LIMIT_S
        self._forget_dead()
        socket_dir = self._new_socket_dir()
        while (running := self.socket_dir()) is None:
            said_from = self._rotate_log()
            child = self._launch(socket_dir)
            if self._wait_ready(child, deadline):
                self._child = child
                return socket_dir
            said = self._log.read_bytes()[said_from:].decode(errors="replace")
            if time.monotonic() > deadline or not any(words in said for words in STILL_THERE):
                raise SetupFault(f"PostgreSQL did not start. It said:\n{said.strip()[-1000:]}\nIts log is {self._log}.")
            time.sleep(POLL_S * 10)
        return running

    def stop(self) -> None:
        """Fast shutdown: sessions end, a checkpoint is written. After `STOP_LIMIT_S` the hard way (recovery later)."""
        lines = self._pid_file()
        if not lines or not self._is_ours(int(lines[0])):
            return
        pid, socket_dir = int(lines[0]), Path(lines[4]) if len(lines) > 4 else None
        for how, limit_s in ((signal.SIGINT, STOP_LIMIT_S), (signal.SIGQUIT, STOP_LIMIT_S)):
            os.kill(pid, how)
            if self._wait_gone(pid, limit_s):
                break
        else:
            raise SetupFault(f"PostgreSQL (process {pid}) does not stop. Look at {self._log}.")
        if socket_dir is not None and socket_dir != self._cluster:
            _remove_empty(socket_dir)

    def _launch(self, socket_dir: Path) -> subprocess.Popen[bytes]:
        account = self._account
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with os.fdopen(os.open(self._log, flags, 0o600), "ab") as log:
            give_to_folder_owner(log.fileno(), self._log)
            return subprocess.Popen(  # noqa: S603  our own programs, no shell
                [self._binaries["postgres"], "-D", str(self._cluster), "-k", str(socket_dir)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=clean_environment(),
                start_new_session=True,  # Ctrl-C is for the gateway, which stops the server when it is done with it
                umask=0o077,
                user=account.uid if account.switch else None,
                group=account.gid if account.switch else None,
                extra_groups=[] if account.switch else None,
            )

    def _wait_ready(self, child: subprocess.Popen[bytes], deadline: float) -> bool:
        while child.poll() is None:
            lines = self._pid_file()
            if len(lines) >= 8 and int(lines[0]) == child.pid and lines[7].strip() == "ready":
                return True
            if time.monotonic() > deadline:
                child.send_signal(signal.SIGINT)
                child.wait(STOP_LIMIT_S)
            time.sleep(POLL_S)
        return False

    def _wait_gone(self, pid: int, limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if not self._is_ours(pid):
                return True
            time.sleep(POLL_S)
        return False

    def _pid_file(self) -> list[str]:
        try:
            return (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _is_ours(self, pid: int) -> bool:
        """Whether this is a live server of our cluster: the pid in a stale file may belong to a stranger by now.

        Told from the command line, which everybody may read; an empty one is a dead process nobody has buried yet.
        """
        if self._child is not None and self._child.pid == pid and self._child.poll() is not None:
            return False
        if not Path("/proc/self").exists():
            return _alive(pid)
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return False
        named = Path(command[command.index("-D") + 1]) if "-D" in command[:-1] else self._cluster
        return Path(command[0]).name == "postgres" and (not named.is_absolute() or named == self._cluster)

    def _forget_dead(self) -> None:
        """PostgreSQL would take a stranger with the dead server's pid for a running server, and refuse to start."""
        lines = self._pid_file()
        if lines and self._is_ours(int(lines[0])):
            return
        sockets = [*self._beside.glob(".s.PGSQL.*")] if self._beside.exists() else []
        for left_behind in (self._cluster / "postmaster.pid", *sockets):
            left_behind.unlink(missing_ok=True)

    def _new_socket_dir(self) -> Path:
        """Beside the cluster if the path is short enough, else a fresh private folder in the runtime or temp folder."""
        beside = self._beside
        if len(str(beside)) <= SOCKET_DIR_LIMIT and can_reach(beside.parent, self._account):
            make_folder(beside, 0o700)
            folder = beside
        else:
            runtime = os.environ.get("XDG_RUNTIME_DIR", "")
            short = runtime if runtime and len(runtime) < 60 and not self._account.switch else "/tmp"  # noqa: S108
            folder = Path(tempfile.mkdtemp(prefix="farebox-", dir=short))
        if self._account.switch:
            os.chown(folder, self._account.uid, self._account.gid, follow_symlinks=False)
        return folder

    def _rotate_log(self) -> int:
        if self._log.exists() and self._log.stat().st_size > LOG_LIMIT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        return self._log.stat().st_size if self._log.exists() else 0

    def _write(self, name: str, text: str) -> None:
        """Root writes into a folder of a lesser account here: never through a link that it may have laid."""
        path = self._cluster / name
        fresh = path.with_name(f"{name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if self._account.switch:
                os.fchown(descriptor, self._account.uid, self._account.gid)
        fresh.replace(path)


def _configuration(settings: Mapping[str, str]) -> str:
    lines = "".join(f"{name} = {setting}\n" for name, setting in settings.items())
    return f"# Written by Farebox at every start; changes are lost.\n{lines}"


def _user_name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
