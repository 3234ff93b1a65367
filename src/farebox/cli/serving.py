"""From settings to a gateway that serves until it is told to stop: one worker in this process, or several supervised.

`serve` prepares the database once, then serves. The embedded database is looked after every second and started again
when it died. The first SIGTERM or SIGINT lets running answers end; the second one does not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog
import uvloop

from farebox.books import Books, open_books, set_up
from farebox.cli.desk import bring_up_to_date
from farebox.config import Settings, load_settings
from farebox.edge.watch import RequestWatch
from farebox.faults import SetupFault
from farebox.main import POSTGRES_LOOK_S, Site, Watching, serve_worker
from farebox.observe.lines import LineWriter
from farebox.observe.logs import RequestLog, configure_logging
from farebox.observe.metrics import Metrics
from farebox.observe.share import MetricsShare
from farebox.store.embedded import EmbeddedPostgres
from farebox.supervise import Lifeline, Supervisor

log: Any = structlog.get_logger("farebox.serving")

WORKER = (sys.executable, "-m", "farebox.cli.worker")
BACKLOG = 2048
SAME_WISH_S = 1.0
BEYOND_DRAIN_S = 30
"""After running answers had their time: for what was cut to be charged, and the last commits."""


class WorkerOrders(msgspec.Struct, frozen=True):
    """What a worker is told at its start."""

    name: str
    settings: dict[str, Any]
    dsn: str
    port: int
    share: str
    """The folder in which the workers' metrics meet."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the gateway found when it started."""

    url: str
    accounts: int
    channels: int
    models: int


Ready = Callable[[Standing], None]


def serve(settings: Settings, ready: Ready) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called once requests are answered. Raises `SetupFault`."""
    lines = keep_log(settings)
    with database_of(settings) as database:
        uvloop.run(_serve(settings, database, watch_of(settings, lines), ready))


def keep_log(settings: Settings, lines: LineWriter | None = None) -> LineWriter:
    """Send the log of this process to standard output, or to `lines`, as the settings say."""
    lines = lines or LineWriter()
    configure_logging(lines, level=settings.log_level, text=settings.log_format == "text")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return lines


def watch_of(settings: Settings, lines: LineWriter) -> RequestWatch:
    """Who hears of every request: metrics always, the log where requests are not too small a thing for it."""
    wanted = settings.log_level in {"debug", "info"}
    return RequestWatch(Metrics(), RequestLog(lines, text=settings.log_format == "text") if wanted else None)


def listen(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket bound to an address, not yet listening; `shared` with other workers. Raises `SetupFault`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as trouble:
        raise SetupFault(f"{host} is no address of this machine ({trouble.strerror}). Give another --host.") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(address)
    except OSError as trouble:
        listener.close()
        raise SetupFault(
            f"Port {port} on {host} cannot be had ({trouble.strerror}). Stop the program that has it (ss -ltnp tells), "
            "or choose another with --port or FAREBOX_PORT."
        ) from None
    return listener


def url_of(settings: Settings, listener: socket.socket) -> str:
    """Where clients on this machine reach the gateway."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{name}:{listener.getsockname()[1]}"


@contextmanager
def until_told() -> Generator[asyncio.Event, None, None]:
    """An event that the first SIGTERM or SIGINT sets; one that comes later on has its ordinary effect.

    Wrappers (`timeout`, `make`, process managers) send the same signal to a process and to its group, so what follows
    at once is no second wish.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    told = (signal.SIGTERM, signal.SIGINT)

    def forget() -> None:
        for each in told:
            loop.remove_signal_handler(each)

    def heard() -> None:
        if not stop.is_set():
            log.info("stopping")
            stop.set()
            loop.call_later(SAME_WISH_S, forget)

    for each in told:
        loop.add_signal_handler(each, heard)
    try:
        yield stop
    finally:
        forget()


# The database ---------------------------------------------------------------------------------


class ServedDatabase:
    """The database a gateway serves from: the operator's own, or the embedded one with its watch."""

    def __init__(self, dsn: str, server: EmbeddedPostgres | None) -> None:
        self._dsn = dsn
        self._server = server

    @property
    def dsn(self) -> str:
        return self._dsn if self._server is None else self._server.dsn

    @asynccontextmanager
    async def watched(self, moved: Callable[[], None]) -> AsyncGenerator[None, None]:
        """Start the embedded server again whenever it died; `moved` hears when its address is another one."""
        watch = None if self._server is None else asyncio.create_task(self._watch(self._server, moved))
        try:
            yield
        finally:
            if watch is not None:
                watch.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watch

    async def _watch(self, server: EmbeddedPostgres, moved: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(POSTGRES_LOOK_S)
            before = server.dsn
            try:
                started = await asyncio.to_thread(server.ensure_running)
            except SetupFault as trouble:
                log.error("the embedded database does not start", why=str(trouble))
                continue
            if started:
                log.error("the embedded database had died and was started again")
            if server.dsn != before:
                moved()


@contextmanager
def database_of(settings: Settings) -> Generator[ServedDatabase, None, None]:
    """The database to serve from; the embedded one is claimed by this gateway alone. Raises `SetupFault`."""
    if not settings.embedded:
        yield ServedDatabase(settings.database_url, None)
        return
    with EmbeddedPostgres(settings.data_dir, serving=True) as server:
        yield ServedDatabase(server.dsn, server)


# Serving --------------------------------------------------------------------------------------


async def _serve(settings: Settings, database: ServedDatabase, watch: RequestWatch, ready: Ready) -> None:
    applied = await set_up(database.dsn)
    if applied:
        log.info("the database was brought up to date", migrations=applied)
    with contextlib.closing(_reserved(settings)) as reserved:
        standing = await _standing(settings, database.dsn, url_of(settings, reserved))
        with until_told() as stop:
            if settings.workers == 1:
                await _serve_alone(_Alone(settings, database, watch, stop), reserved, lambda: ready(standing))
            else:
                await _serve_supervised(settings, database, reserved, stop, lambda: ready(standing))
    log.info("stopped")


def _reserved(settings: Settings) -> socket.socket:
    """The port, had for this gateway alone: workers share it with this socket, which never listens."""
    if settings.workers == 1:
        return listen(settings.host, settings.port, shared=False)
    listen(settings.host, settings.port, shared=False).close()  # others that share it must not go unnoticed
    return listen(settings.host, settings.port, shared=True)


async def _standing(settings: Settings, dsn: str, url: str) -> Standing:
    await bring_up_to_date(dsn)
    async with open_books(settings, dsn) as books:
        accounts = len(await books.accounts.page(limit=1))
        snapshot = books.catalogue.current
        return Standing(url, accounts, len(snapshot.channels), len(snapshot.models))


class _Alone(NamedTuple):
    """What the one worker needs in every life it has."""

    settings: Settings
    database: ServedDatabase
    watch: RequestWatch
    stop: asyncio.Event

    async def serve(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serve until told to stop, or until the database's address has changed."""
        end = asyncio.Event()
        stopping = asyncio.create_task(_pass_on(self.stop, end))

        async def serves(_: Books) -> None:
            listener.listen(BACKLOG)
            ready()

        async with self.database.watched(end.set):
            site = Site(self.settings, self.database.dsn)
            await serve_worker(site, listener, stop=end, watching=Watching(self.watch), ready=serves)
        stopping.cancel()


async def _serve_alone(worker: _Alone, listener: socket.socket, ready: Callable[[], None]) -> None:
    """One worker, here; again from the start when the database's address has changed."""
    port = listener.getsockname()[1]
    log.info("serving", workers=1)
    await worker.serve(listener, ready)
    while not worker.stop.is_set():
        await worker.serve(listen(worker.settings.host, port, shared=False), lambda: None)


async def _pass_on(first: asyncio.Event, second: asyncio.Event) -> None:
    await first.wait()
    second.set()


async def _serve_supervised(
    settings: Settings,
    database: ServedDatabase,
    reserved: socket.socket,
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    port = reserved.getsockname()[1]
    async with AsyncExitStack() as stack:
        share = stack.enter_context(tempfile.TemporaryDirectory(prefix="farebox-metrics-"))

        def orders(name: str) -> bytes:
            return msgspec.json.encode(WorkerOrders(name, _told(settings), database.dsn, port, share))

        supervisor = Supervisor(WORKER, orders, count=settings.workers)
        stack.callback(supervisor.kill)
        await supervisor.start()
        await stack.enter_async_context(database.watched(supervisor.restart))
        log.info("serving", workers=settings.workers)
        ready()
        await stop.wait()
        await supervisor.stop(within_s=2 * settings.drain_timeout_s + BEYOND_DRAIN_S)


def _told(settings: Settings) -> dict[str, Any]:
    """Settings as flags, which a worker reads by the same rules."""
    return msgspec.to_builtins(settings, enc_hook=str)


# A supervised worker --------------------------------------------------------------------------


def serve_as_told(lifeline: Lifeline) -> None:
    """Serve as one of several, until told to stop or the supervisor is gone."""
    orders = msgspec.json.decode(lifeline.orders(), type=WorkerOrders)
    settings = load_settings(orders.settings, environment={})
    lines = keep_log(settings)
    uvloop.run(_work(settings, orders, lifeline, watch_of(settings, lines)))


async def _work(settings: Settings, orders: WorkerOrders, lifeline: Lifeline, watch: RequestWatch) -> None:
    listener = listen(settings.host, orders.port, shared=True)
    share = MetricsShare(Path(orders.share), orders.name)

    async def serves(_: Books) -> None:
        listener.listen(BACKLOG)
        lifeline.ready()

    with until_told() as stop:
        cut = asyncio.create_task(_pass_on_end(lifeline, stop))
        site, watching = Site(settings, orders.dsn), Watching(watch, share)
        await serve_worker(site, listener, stop=stop, watching=watching, ready=serves)
        cut.cancel()


async def _pass_on_end(lifeline: Lifeline, stop: asyncio.Event) -> None:
    await lifeline.cut()
    stop.set()
