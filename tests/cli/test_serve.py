"""`farebox serve`: several workers, one that is killed, a second gateway, and an end that lets answers end."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import pytest
from tests.cli.conftest import Farebox, Served, Warm

SLOW = {"X_Sandbox": "tokens=40, chunks=40, pace_ms=50"}
"""A stream of two seconds."""


@pytest.fixture(scope="module")
def embedded(module_server_dir: Path, warm: Warm) -> Farebox:
    """The command on a data directory with a database of its own."""
    return Farebox(module_server_dir / "own", warm=warm)


@pytest.fixture(scope="module")
def served(embedded: Farebox) -> Iterator[Served]:
    """A gateway with two workers."""
    served = Served(embedded, "--workers", "2")
    assert (served.told["accounts"], served.told["channels"]) == (0, 0)
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def secret(embedded: Farebox, served: Served) -> str:
    """A key of an account with credits, and a channel, made beside the gateway."""
    embedded.json("account", "create", "Ann", "--tier", "pro", "--credits", "10")
    embedded.json("channel", "add", "sandbox", "--dialect", "sandbox")
    return embedded.json("key", "create", "Ann")["secret"]


def test_what_a_command_changes_counts_with_the_next_request(served: Served, secret: str) -> None:
    assert served.ask(secret, {}).status == 200


def test_a_killed_worker_starts_again_and_its_holds_are_voided(embedded: Farebox, served: Served, secret: str) -> None:
    first, second = served.workers()
    stream = served.ask(secret, {"stream": True}, **SLOW)
    assert stream.status == 200
    stream.readline()
    killed = first if answers(first, stream) else second
    os.kill(killed, signal.SIGKILL)
    with pytest.raises((HTTPException, ConnectionError)):
        read_on(stream)
    wait_for(lambda: not Path(f"/proc/{killed}").exists())  # what waited at its socket is reset by the kernel
    assert {served.ask(secret, {}).status for _ in range(3)} == {200}
    wait_for(lambda: len(served.workers()) == 2 and killed not in served.workers())
    request_id = stream.headers["x-request-id"]
    wait_for(lambda: embedded.json("receipt", request_id)["status"] != "running")
    receipt = embedded.json("receipt", request_id)
    assert (receipt["status"], receipt["reason"], receipt["charged"]) == ("voided", "abandoned", "0")
    assert served.get("/v1/key", secret)["account"]["held"] == "0"
    assert embedded.json("audit")["counts"]["abandoned"] == 1


def test_the_new_worker_serves_when_the_other_one_goes_too(served: Served, secret: str) -> None:
    wait_for(lambda: listeners(served.port) == 2)
    survivor, _ = served.workers()
    os.kill(survivor, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{survivor}").exists())
    assert served.ask(secret, {}).status == 200
    wait_for(lambda: listeners(served.port) == 2)


def test_a_database_that_dies_is_started_again(embedded: Farebox, served: Served, secret: str) -> None:
    database = int((embedded.data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(database, signal.SIGKILL)
    wait_for(lambda: served.ask(secret, {}).status == 200)
    assert embedded.json("audit")["ok"] is True


def test_counters_of_all_workers_are_added_up(served: Served, secret: str) -> None:
    for _ in range(4):
        assert served.ask(secret, {}).status == 200
    time.sleep(1.2)  # until every worker has published
    connection = socket.create_connection(("127.0.0.1", served.port))
    connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    page = connection.makefile("rb").read().decode()
    counted = [
        line for line in page.splitlines() if line.startswith("farebox_requests_total") and 'route="chat"' in line
    ]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in counted) >= 4


def test_a_second_gateway_on_the_same_data_is_refused(embedded: Farebox, served: Served) -> None:
    ran = embedded.run("serve", "--port", "0", "--json")
    assert ran.error["code"] == "setup"
    assert f"process {served.program.pid}" in ran.error["message"]
    assert embedded.run("rotate-secret-key").code == 4


def test_a_backup_is_taken_while_serving_and_restored(
    embedded: Farebox, served: Served, secret: str, module_server_dir: Path
) -> None:
    copy, restored = module_server_dir / "copy", module_server_dir / "restored"
    assert embedded.json("backup", str(copy))["postgres_major"] >= 16
    assert embedded.run("backup", str(copy)).code == 4
    embedded.json("restore", str(copy), "--data-dir", str(restored))
    assert embedded.json("audit", "--data-dir", str(restored))["ok"] is True
    assert embedded.json("rotate-secret-key", "--data-dir", str(restored))["upstream_keys_sealed_anew"] == 1
    assert embedded.json("channel", "test", "sandbox", "--data-dir", str(restored))[0]["well"] is True


def test_a_port_that_is_taken_is_told_in_words(farebox: Farebox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for workers in ("1", "2"):
            ran = farebox.run("serve", "--port", port, "--workers", workers)
            assert ran.code == 4
            assert f"Port {port}" in ran.err
            assert "FAREBOX_PORT" in ran.err


def test_a_wrong_setting_is_told_before_anything_starts(farebox: Farebox) -> None:
    ran = farebox.run("serve", "--workers", "none")
    assert ran.code == 4
    assert "--workers: expected a whole number" in ran.err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_lets_running_streams_end(farebox: Farebox, workers: str) -> None:
    served = Served(farebox, "--workers", workers)
    name = f"Drain {workers}"
    farebox.json("account", "create", name, "--tier", "pro", "--credits", "10")
    if not farebox.json("channel", "list"):
        farebox.json("channel", "add", "sandbox", "--dialect", "sandbox")
    secret = farebox.json("key", "create", name)["secret"]
    stream = served.ask(secret, {"stream": True}, **SLOW)
    stream.readline()
    served.program.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    served.program.send_signal(signal.SIGTERM)  # as `timeout` does: to the process, and to its group
    events = read_on(stream).decode().split("\n\n")
    assert events[-2] == "data: [DONE]"
    out, err = served.program.communicate(timeout=20)
    assert (served.program.returncode, err) == (0, "")
    logged = [json.loads(line) for line in out.splitlines()]
    assert "stopped" in [line["event"] for line in logged]
    assert [line["code"] for line in logged if line["event"] == "request" and line["route"] == "chat"] == ["ok"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", served.port))


def read_on(stream: HTTPResponse) -> bytes:
    return b"".join(iter(lambda: stream.read1(65536), b""))


def answers(pid: int, stream: HTTPResponse) -> bool:
    """Whether this process has the other end of the stream's connection."""
    assert stream.fp is not None
    ours = socket.socket(fileno=os.dup(stream.fileno()))
    port = ours.getsockname()[1]
    ours.close()
    inodes = {
        fields[9]
        for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if int(fields[2].rsplit(":", 1)[1], 16) == port
    }
    held = {os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
    return any(f"socket:[{inode}]" in held for inode in inodes)


def listeners(port: int) -> int:
    """How many sockets listen on it: the supervisor's own never does."""
    sockets = map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port for fields in sockets)


def wait_for(true: Callable[[], bool], *, within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)
