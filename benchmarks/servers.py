"""The servers of a measurement, each a process of ours on 127.0.0.1: started, awaited, stopped by its id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template

ROOT = Path(__file__).parents[1]
NGINX_TEMPLATE = Path(__file__).with_name("nginx.conf.template")
START_LIMIT_S = 30.0
STOP_LIMIT_S = 40.0


class NotReady(Exception):
    """Something a measurement needs is missing or does not start; the text says what to do."""


def find_tools() -> None:
    """Raise `NotReady` unless nginx and wrk are installed."""
    missing = [name for name in ("nginx", "wrk") if not _tool(name)]
    if missing:
        raise NotReady(f"{' and '.join(missing)} not found. Install: apt-get install nginx-light wrk")


@contextmanager
def mock_upstream(port: int, *, chunks: int, pace_ms: float) -> Generator[int]:
    """The mock provider; gives its process id."""
    shape = ["--port", str(port), "--chunks", str(chunks), "--pace-ms", str(pace_ms)]
    with running([sys.executable, "-m", "benchmarks.mock_upstream", *shape], port, log=None) as pid:
        yield pid


@contextmanager
def nginx(port: int, *, upstream_port: int, folder: Path) -> Generator[int]:
    """nginx as a plain proxy with one worker; gives the master's process id."""
    folder.mkdir()
    settings = folder / "nginx.conf"
    filled = Template(NGINX_TEMPLATE.read_text()).substitute(
        folder=folder, port=port, upstream_port=upstream_port, user_line="user root;" if os.geteuid() == 0 else ""
    )
    settings.write_text(filled)
    command = [_tool("nginx"), "-c", str(settings), "-p", str(folder), "-e", str(folder / "error.log")]
    with running(command, port, log=folder / "error.log") as pid:
        yield pid


@contextmanager
def running(
    command: Sequence[str], port: int, *, log: Path | None, environment: Mapping[str, str] | None = None
) -> Generator[int]:
    """A server from the moment it listens on `port` until the block ends; gives its process id."""
    output = open(log, "ab") if log else None  # noqa: SIM115 (closed below, with the process)
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=output, stderr=output
    )
    try:
        _wait_until_listening(process, port, command, log)
        yield process.pid
    finally:
        _stop(process)
        if output:
            output.close()


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_listening(
    process: subprocess.Popen[bytes], port: int, command: Sequence[str], log: Path | None
) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.02)
    said = log.read_text(errors="replace")[-2000:] if log and log.exists() else ""
    raise NotReady(f"{' '.join(command)} does not listen on port {port}.\n{said}".rstrip())


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tool(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""
