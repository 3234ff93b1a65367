"""Farebox as a measurement needs it: one worker, the embedded database, a channel to the mock, accounts with credits.

The only module here that knows Farebox from inside. What comes out is a port, process ids and API keys.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.proc import Tree
from benchmarks.servers import NotReady, free_port, running
from farebox.money import parse_credits

COMMAND = Path(sys.executable).with_name("farebox")
MODEL = "gpt-4o-mini"
ANTHROPIC_MODEL = "claude-sonnet-4-5"
UPSTREAM_KEY = "sk-mock"


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
        keys = provision(data_dir, upstream_port=upstream_port, accounts=accounts)
        yield Gateway(port, Tree((pid,), but_not=postmaster), Tree(postmaster), keys)


def serve_command(port: int) -> list[str]:
    return [str(COMMAND), "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def settings(data_dir: Path) -> dict[str, str]:
    """Everything on, as in production; only loopback upstreams are allowed besides."""
    return {
        **os.environ,
        "FAREBOX_DATA_DIR": str(data_dir),
        "FAREBOX_ALLOW_PRIVATE_UPSTREAMS": "true",
    }


def provision(data_dir: Path, *, upstream_port: int, accounts: int) -> tuple[str, ...]:
    """Channels to the mock and so many accounts with credits, through the store; their API keys."""
    return asyncio.run(_provision(data_dir, upstream_port, accounts))


async def _provision(data_dir: Path, upstream_port: int, accounts: int) -> tuple[str, ...]:
    from farebox.config import load_settings
    from farebox.main import database, open_books
    from farebox.store.catalogue_changes import ChannelRow

    chosen = load_settings({"data_dir": str(data_dir)}, environment={})
    with database(chosen) as dsn:
        async with open_books(chosen, dsn) as books:
            for dialect, model in (("openai", MODEL), ("anthropic", ANTHROPIC_MODEL)):
                row = ChannelRow(f"chan_{dialect}", dialect, dialect, f"http://127.0.0.1:{upstream_port}/v1")
                row = msgspec.structs.replace(row, options={"models": {model: model}})
                await books.changes.put_channel(row, secrets=(UPSTREAM_KEY,))
            return tuple([await _account(books, number) for number in range(accounts)])


async def _account(books: Any, number: int) -> str:
    starter = parse_credits("1000000")
    account = await books.accounts.create(f"bench-{number}", tier="enterprise", starter=starter)
    key = await books.api_keys.create(account.id, "bench")
    return key.secret


def _postmaster(data_dir: Path) -> tuple[int, ...]:
    """The embedded PostgreSQL's first process, from its own pid file."""
    pointer = data_dir / "postgres.location"
    cluster = Path(pointer.read_text().strip()) if pointer.exists() else data_dir / "postgres"
    try:
        return (int((cluster / "postmaster.pid").read_text().splitlines()[0]),)
    except FileNotFoundError:
        return ()
