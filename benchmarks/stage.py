"""The stage of one measurement: the mock provider, nginx and Farebox in front of it, and what is asked of them."""

from __future__ import annotations

import json
import resource
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.farebox_gateway import ANTHROPIC_MODEL, MODEL, UPSTREAM_KEY, Gateway, farebox
from benchmarks.proc import Tree
from benchmarks.servers import find_tools, free_port, mock_upstream, nginx

PLAIN_BODY: dict[str, Any] = {
    "model": MODEL,
    "messages": [
        {"role": "system", "content": "You answer briefly."},
        {"role": "user", "content": "Tell me something about the sea. " * 10},
    ],
    "max_tokens": 512,
}
STREAM_BODY: dict[str, Any] = PLAIN_BODY | {"stream": True, "max_tokens": 4096}
ANTHROPIC_BODY = STREAM_BODY | {
    "model": ANTHROPIC_MODEL,
    "system": PLAIN_BODY["messages"][0]["content"],
    "messages": PLAIN_BODY["messages"][1:],
}


CHAT = "/v1/chat/completions"


class Ask(msgspec.Struct, frozen=True):
    """What is posted where."""

    path: str
    body: bytes

    @classmethod
    def to_anthropic(cls, path: str) -> Ask:
        """A stream of the model that an Anthropic channel serves, asked for in the dialect of `path`."""
        return cls(
            path, _json(ANTHROPIC_BODY if path.endswith("/messages") else STREAM_BODY | {"model": ANTHROPIC_MODEL})
        )


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the person at the command line decided."""

    seconds: float = 5.0
    with_farebox: bool = True
    gateway: Gateway | None = None
    """A gateway that already runs; its channel must lead to the mock's port."""
    mock_port: int = 0
    """0 takes a free one."""


class Subject(msgspec.Struct, frozen=True):
    """A server under test. nginx and the mock have no database and accept any key."""

    name: str
    port: int
    tree: Tree
    database: Tree
    keys: tuple[str, ...]
    folder: Path

    def keys_file(self, accounts: int | None = None) -> Path:
        """A file of API keys, one a line, for wrk: all, or those of so many accounts.

        It has as many lines either way, so that the load generator does the same work for one account as for many.
        """
        chosen = cycle(self.keys[:accounts])
        path = self.folder / f"{self.name}-{accounts or 'all'}.keys"
        path.write_text("".join(f"{next(chosen)}\n" for _ in self.keys))
        return path

    def body_file(self, *, stream: bool) -> Path:
        path = self.folder / ("stream.json" if stream else "plain.json")
        path.write_bytes(_body(stream))
        return path

    def requests(self, *, stream: bool, ask: Ask | None = None) -> list[bytes]:
        """Whole requests, one for each key: chat completions, or something else to `ask`."""
        chosen = ask or Ask(CHAT, _body(stream))
        return [_request(self.port, key, chosen) for key in self.keys]


@contextmanager
def stage(settings: Settings, *, chunks: int = 400, pace_ms: float = 2, accounts: int = 1) -> Generator[list[Subject]]:
    """The servers, in the order direct, nginx, farebox; all stopped and their files removed at the end."""
    find_tools()
    _raise_file_limit()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farebox-bench-", dir="/tmp")))
        folder.chmod(0o711)
        mock_port, proxy_port = settings.mock_port or free_port(), free_port()
        mock_pid = stack.enter_context(mock_upstream(mock_port, chunks=chunks, pace_ms=pace_ms))
        nginx_pid = stack.enter_context(nginx(proxy_port, upstream_port=mock_port, folder=folder / "nginx"))
        subjects = [
            Subject("direct", mock_port, Tree((mock_pid,)), Tree(()), (UPSTREAM_KEY,), folder),
            Subject("nginx", proxy_port, Tree((nginx_pid,)), Tree(()), (UPSTREAM_KEY,), folder),
        ]
        gateway = settings.gateway
        if gateway is None and settings.with_farebox:
            gateway = stack.enter_context(farebox(mock_port, accounts=accounts, folder=folder))
        if gateway is not None:
            subjects.append(Subject("farebox", gateway.port, gateway.tree, gateway.database, gateway.keys, folder))
        yield subjects


def _body(stream: bool) -> bytes:
    return _json(STREAM_BODY if stream else PLAIN_BODY)


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _request(port: int, key: str, ask: Ask) -> bytes:
    head = (
        f"POST {ask.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(ask.body)}\r\n\r\n"
    )
    return head.encode() + ask.body


def _raise_file_limit() -> None:
    """Thousands of streams need thousands of files, here and in every server started from here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
