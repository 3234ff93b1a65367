"""A real gateway for tests: the worker of `farebox.main` on a port of its own, in a thread of its own.

It speaks HTTP like the real one, has its own ledger writer and catalogue, and lets a test make
accounts, keys, prices and channels through the same store the commands use.

    with running_gateway(database) as gateway:
        customer = gateway.customer(credits="10", tier="pro")
        gateway.channel(upstream.base_url, models={"gpt-4o": "gpt-4o-upstream"})
        answer = gateway.post("/v1/chat/completions", customer, {...})
"""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop

from farebox.admission.state import Budget
from farebox.config import load_settings
from farebox.edge.watch import RequestWatch
from farebox.ids import AccountId, KeyId
from farebox.main import Books, Site, Watching, serve_worker
from farebox.money import Nano, parse_credits
from farebox.observe.logs import RequestLog
from farebox.observe.metrics import Metrics
from farebox.store.api_keys import NewKey
from farebox.store.catalogue_changes import ChannelRow
from farebox.store.id_source import new_id
from farebox.store.ledger_rows import KeySettings


@dataclass(frozen=True)
class Customer:
    """An account and one of its keys."""

    account_id: AccountId
    key_id: KeyId
    secret: str


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


class Gateway:
    """One running worker."""

    def __init__(self, dsn: str, settings: Mapping[str, object]) -> None:
        self._folder = tempfile.mkdtemp(prefix="farebox-gateway-")
        given = {"data_dir": self._folder, "database_url": dsn, "allow_private_upstreams": "true"}
        self._settings = load_settings({**given, **settings}, environment={})
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.metrics = Metrics()
        self.request_log: RequestLog | None = None
        """Set before `start` to read the lines of requests."""
        self.books: Books
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._up = threading.Event()
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        if not self._up.wait(20) or self._trouble is not None:
            raise RuntimeError("the gateway did not start") from self._trouble

    def stop(self) -> None:
        """Stop as an operator would: running answers may end."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, work: Coroutine[Any, Any, Any], *, timeout_s: float = 20) -> Any:
        """Run a coroutine in the gateway's own loop, with its own ledger writer."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def customer(
        self,
        *,
        credits: str = "10",
        tier: str = "enterprise",
        settings: KeySettings | None = None,
        cap: Budget | None = None,
    ) -> Customer:
        """A new account with credits and a key."""
        account = self.call(self.books.accounts.create(new_id("name"), tier=tier, starter=parse_credits(credits)))
        return self.key(account.id, settings=settings, cap=cap)

    def key(self, account_id: AccountId, *, settings: KeySettings | None = None, cap: Budget | None = None) -> Customer:
        """One more key of an account."""
        key = self.call(self.books.api_keys.create(account_id, "test", settings=settings, cap=cap))
        assert isinstance(key, NewKey), key
        return Customer(account_id, key.id, key.secret)

    def available(self, customer: Customer) -> Nano:
        return self.call(self.books.accounts.get(customer.account_id)).available

    def held(self, customer: Customer) -> Nano:
        return self.call(self.books.accounts.get(customer.account_id)).held

    def channel(
        self,
        base_url: str,
        *,
        models: Mapping[str, str],
        secrets: tuple[str, ...] = ("sk-upstream-1",),
        dialect: str = "openai",
        **options: Any,
    ) -> str:
        """A channel to an upstream; returns its id."""
        channel_id = new_id("chan")
        row = ChannelRow(channel_id, channel_id, dialect, base_url, True, {"models": dict(models), **options})
        self._change(self.books.changes.put_channel(row, secrets=secrets))
        return channel_id

    def sandbox(self, **options: Any) -> str:
        """A channel to the built-in sandbox for every model."""
        channel_id = new_id("chan")
        row = ChannelRow(channel_id, channel_id, "sandbox", "http://sandbox", True, {"models": {"*": "*"}, **options})
        self._change(self.books.changes.put_channel(row, secrets=("sandbox",)))
        return channel_id

    def receipt(self, customer: Customer, request_id: str) -> Any:
        return self.get(f"/v1/receipts/{request_id}", customer).json

    def post(
        self, path: str, who: Customer | str | None, body: Any, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One POST; `body` is JSON, or bytes as they are."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._send("POST", path, who, payload, {"content-type": "application/json", **(headers or {})})

    def get(self, path: str, who: Customer | str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        return self._send("GET", path, who, None, headers or {})

    def delete(self, path: str, who: Customer | str | None = None) -> Answer:
        return self._send("DELETE", path, who, None, {})

    def _send(
        self, method: str, path: str, who: Customer | str | None, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        secret = who.secret if isinstance(who, Customer) else who
        given = dict(headers) | ({} if secret is None else {"authorization": f"Bearer {secret}"})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, given)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def _change(self, work: Coroutine[Any, Any, Any]) -> None:
        self.call(work)
        self.call(self.books.catalogue.verify())

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as trouble:
            self._trouble = trouble
            self._up.set()
            raise

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        watch = RequestWatch(self.metrics, self.request_log)

        async def ready(books: Books) -> None:
            self.books = books
            self._up.set()

        site = Site(self._settings, self._settings.database_url)
        await serve_worker(site, self._listener, stop=self._stop, watching=Watching(watch), ready=ready)


@contextmanager
def running_gateway(dsn: str, **settings: object) -> Iterator[Gateway]:
    """A gateway on a migrated database, stopped at the end."""
    gateway = Gateway(dsn, settings)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


def chat(model: str = "gpt-4o", text: str = "Say something short.", **fields: Any) -> dict[str, Any]:
    """A chat body."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}
