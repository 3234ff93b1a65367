"""Farebox as a measurement needs it: one worker, the embedded database, a channel to the mock, accounts with credits.

The only module here that knows Farebox's command line. What comes out is a port, process ids and API keys.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.proc import Tree
from benchmarks.servers import NotReady, free_port, running

COMMAND = Path(sys.executable).with_name("farebox")
MODEL = "gpt-4o-mini"
UPSTREAM_KEY = "sk-mock"
COMMAND_LIMIT_S = 60


class Gateway(msgspec.Struct, frozen=True):
    """A gateway under test. `database` is empty if its PostgreSQL is not on this machine."""

    port: int
    tree: Tree
    database: Tree
    keys: tuple[str, ...]


@contextmanager
def farebox(upstream_port: int, *, accounts: int, folder: Path) -> Generator[Gateway]:
    """Start Farebox in a fresh data directory and make `accounts` accounts with a key each."""
    if not COMMAND.exists():
        raise NotReady(f"{COMMAND} is missing. Install Farebox into this environment: pip install -e .")
    data_dir = folder / "farebox"
    data_dir.mkdir(mode=0o711)
    environment, port = settings(data_dir), free_port()
    with running(serve_command(port), port, log=folder / "farebox.log", environment=environment) as pid:
        postmaster = _postmaster(data_dir)
        keys = provision(environment, upstream_port=upstream_port, accounts=accounts)
        yield Gateway(port, Tree((pid,), but_not=postmaster), Tree(postmaster), keys)


def serve_command(port: int) -> list[str]:
    return [str(COMMAND), "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def settings(data_dir: Path) -> dict[str, str]:
    """Everything on, as in production; only loopback upstreams are allowed besides."""
    return {
        **os.environ,
        "FAREBOX_DATA_DIR": str(data_dir),
        "FAREBOX_ALLOW_PRIVATE_UPSTREAMS": "true",
        "FAREBOX_STARTER_CREDITS": "1000000",
    }


def provision(environment: Mapping[str, str], *, upstream_port: int, accounts: int) -> tuple[str, ...]:
    """A channel to the mock and so many accounts, through the command line; their API keys.

    A command takes a fraction of a second, so 1,000 accounts take minutes; none of that is measured.
    """
    upstream = f"http://127.0.0.1:{upstream_port}/v1"
    channel = ["channel", "add", "--name", "mock", "--dialect", "openai", "--base-url", upstream]
    _run(environment, *channel, "--key", UPSTREAM_KEY, "--model", MODEL)
    with ThreadPoolExecutor(2) as threads:
        return tuple(threads.map(partial(_account, environment), range(accounts)))


def _account(environment: Mapping[str, str], number: int) -> str:
    account = _run(environment, "account", "create", f"bench-{number}", "--tier", "enterprise")["id"]
    return _run(environment, "key", "create", account)["key"]


def _run(environment: Mapping[str, str], *arguments: str) -> dict[str, str]:
    command = [str(COMMAND), *arguments, "--json"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False)
    if run.returncode:
        raise NotReady(f"{' '.join(command[:3])} failed: {run.stderr.strip()[-1000:]}")
    return msgspec.json.decode(run.stdout, type=dict[str, str], strict=False)


def _postmaster(data_dir: Path) -> tuple[int, ...]:
    """The embedded PostgreSQL's first process, from its own pid file."""
    pointer = data_dir / "postgres.location"
    cluster = Path(pointer.read_text().strip()) if pointer.exists() else data_dir / "postgres"
    try:
        return (int((cluster / "postmaster.pid").read_text().splitlines()[0]),)
    except FileNotFoundError:
        return ()
