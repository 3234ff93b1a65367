"""The only place that wires, beside the books: from settings to a running gateway.

`books.open_books` gives the database, the ledger writer and what stands on them; the command line
and each worker use it. `serve_worker` puts the gateway around it. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import structlog
import uvicorn

from farebox.books import Books as Books
from farebox.books import database as database
from farebox.books import open_books as open_books
from farebox.books import set_up as set_up
from farebox.config import Settings
from farebox.edge.account import Account
from farebox.edge.app import EdgeApp, Terms
from farebox.edge.asking_ahead import AskingAhead
from farebox.edge.connection import LiveStreams
from farebox.edge.files import FileRoutes
from farebox.edge.health import Health
from farebox.edge.models import Models
from farebox.edge.protocol import EdgeProtocol, sweep
from farebox.edge.reads import Reads
from farebox.edge.stored import Stored
from farebox.edge.watch import RequestWatch
from farebox.ids import AccountId
from farebox.money import Nano
from farebox.observe.exposition import exposition
from farebox.observe.metrics import Metrics
from farebox.observe.share import PUBLISH_S, MetricsShare
from farebox.relay.attempts import Upstreams
from farebox.relay.buffered import Buffered
from farebox.relay.conversations import Conversations, Keeping
from farebox.relay.job import Job
from farebox.relay.once import Once
from farebox.relay.quote import Quotes
from farebox.relay.relay import Answering, Reading, Relay
from farebox.relay.routes import WayOut
from farebox.relay.settle import Settler
from farebox.relay.stream import Streams
from farebox.store import statements
from farebox.store.answers import Answers
from farebox.store.keyring import Keyring
from farebox.store.leases import Leases
from farebox.store.partitions import ensure_partitions
from farebox.store.postgres import Pool, connect_owner
from farebox.store.responses import StoredResponses
from farebox.upstream.channels import ChannelPool, Lease, NoneAvailable, PlaceHealth
from farebox.upstream.channels import Health as PlaceState
from farebox.upstream.client import HttpClient
from farebox.upstream.pool import PoolLimits
from farebox.upstream.sandbox import sandbox_app
from farebox.upstream.scheduler import Scheduler
from farebox.upstream.timeouts import Timeouts

PARTITIONS_EVERY_S = 6 * 3600
ANSWERS_EVERY_S = 600
FILES_EVERY_S = 10
POSTGRES_LOOK_S = 1.0
COLLECT_AFTER = 20_000
"""Objects made and not freed since the last look for garbage; Python's own 700 are but a few requests."""

log: Any = structlog.get_logger("farebox")


# A worker -------------------------------------------------------------------------------------


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers: the worker decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Site(NamedTuple):
    """Where a gateway runs: its settings, and the address of its database."""

    settings: Settings
    dsn: str


class Watching(NamedTuple):
    """Who hears of requests, and where several workers add up what they counted."""

    requests: RequestWatch
    share: MetricsShare | None = None

    def exposition(self) -> bytes:
        """Everything counted, of all workers."""
        counted = self.requests.metrics.counted
        return exposition(counted if self.share is None else self.share.together(counted))


class _Ways(NamedTuple):
    """The ways out of a worker."""

    pool: ChannelPool
    client: HttpClient
    sandbox: str


async def serve_worker(
    site: Site,
    listener: socket.socket,
    *,
    stop: asyncio.Event,
    watching: Watching,
    ready: Callable[[Books], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve on `listener` until `stop` is set; then let running answers end, and leave nothing behind.

    `ready` runs once the worker answers requests.
    """
    settings, metrics = site.settings, watching.requests.metrics
    pool = ChannelPool(tell=_tell)
    async with AsyncExitStack() as stack:
        books = await stack.enter_async_context(
            open_books(settings, site.dsn, changed=lambda snapshot: pool.configure(snapshot.channels), metrics=metrics)
        )
        pool.configure(books.catalogue.current.channels)
        await books.files.prepare()
        provider = await stack.enter_async_context(sandbox())
        client = HttpClient(
            allow_private_upstreams=settings.allow_private_upstreams,
            pool=PoolLimits(max_open=settings.upstream_connections),
        )
        stack.callback(client.close)
        app, settler = _gateway(books, _Ways(pool, client, provider), watching, stop)
        server = QuietServer(_uvicorn(app, settings))
        stack.enter_context(_rarely_collecting())
        stack.enter_context(_background(_chores(books, app, server, watching, pool)))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        if ready is not None:
            await ready(books)
        await _until_stopped(stop, serving)
        server.should_exit = True
        await serving
        if server.server_state.tasks:
            # Cancelled streams still have to be charged for what they produced.
            await asyncio.wait(server.server_state.tasks, timeout=settings.drain_timeout_s)
        await settler.close()


def _gateway(books: Books, ways: _Ways, watching: Watching, stop: asyncio.Event) -> tuple[EdgeApp, Settler]:
    settings, watch = books.settings, watching.requests
    scheduler: Scheduler[Lease | NoneAvailable] = Scheduler(ways.pool.release)
    ways.pool.freed = scheduler.freed
    timeouts = Timeouts(
        settings.connect_timeout_s, settings.first_byte_timeout_s, settings.idle_timeout_s, settings.total_timeout_s
    )
    way_out = WayOut(timeouts, settings.queue_timeout_s, ways.sandbox, settings.safety_identifier)
    upstreams = Upstreams(ways.client, ways.pool, scheduler, way_out)
    settler = Settler(books.writer, books.key_ring, committed=watch.committed, reverse=_reversal(books))
    keeping = Keeping(settings.store_responses, settings.response_retention_days * 24 * 3600 * 1_000_000)
    conversations = Conversations(StoredResponses(books.pool), books.key_ring, books.catalogue, keeping)
    died = settings.died_mid_answer == "produced"
    streams = Streams(upstreams, settler, books.writer, conversations, charge_what_died=died)
    once = Once(Answers(books.pool), books.key_ring)
    relay = Relay(
        Reading(Keyring(books.pool), books.catalogue, books.writer, once, conversations),
        Answering(Buffered(upstreams, settler, conversations), streams, settler),
        hold_ttl_s=settings.hold_ttl_s,
        admitted=watch.metrics.hold_opened,
    )
    health = Health(
        lambda: _why_not_ready(books, stop),
        (lambda: _exposition(ways.pool, watching)) if settings.metrics else None,
        settings.metrics_token,
    )
    tables = (
        Models(books.catalogue).routes,
        Account(books.catalogue, books.history).routes,
        AskingAhead(Quotes(relay, books.catalogue), books.catalogue, conversations).routes,
        Stored(conversations, books.catalogue).routes,
        FileRoutes(books.files, books.catalogue).routes,
    )
    reads = Reads(relay, health, tables)
    terms = Terms(settings.body_limit_bytes, settings.trusted_proxies, settings.cors_origins, settings.top_up_url)
    live = LiveStreams(watch.metrics.stream_opened, watch.metrics.stream_ended)
    return EdgeApp(relay, reads, terms=terms, finished=watch.finished, live=live), settler


def _reversal(books: Books) -> Callable[[Job, Nano], Coroutine[Any, Any, None]]:
    """Give back a charge whose answer the customer never got and cannot fetch."""

    async def reverse(job: Job, amount: Nano) -> None:
        hold = job.hold.hold
        move = f"mov_{hold.id.removeprefix('hold_')}"
        reason = "the ledger could not confirm the charge in time; the answer was withheld"
        await books.accounts.adjust(
            AccountId(hold.account_id), amount, key=f"reverse {hold.id}", corrects=move, reason=reason
        )

    return reverse


@asynccontextmanager
async def sandbox() -> AsyncGenerator[str, None]:
    """The built-in provider, on a private unix socket of this process."""
    folder = tempfile.mkdtemp(prefix="farebox-sandbox-")
    path = os.path.join(folder, "s")
    config = uvicorn.Config(
        sandbox_app, uds=path, lifespan="off", ws="none", access_log=False, log_config=None, timeout_keep_alive=600
    )
    server = QuietServer(config)
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells nobody when it listens
            await asyncio.sleep(0.005)
        yield path
    finally:
        server.should_exit = server.force_exit = True
        await serving
        shutil.rmtree(folder, ignore_errors=True)


def _uvicorn(app: EdgeApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        interface="asgi3",  # it is none, and is called as it is
        http=EdgeProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.drain_timeout_s,
        limit_concurrency=settings.max_connections,
        backlog=2048,
    )


@contextmanager
def _rarely_collecting() -> Generator[None, None, None]:
    """Look for garbage less often, and not among what stays as long as the worker: requests leave hardly any."""
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def _chores(
    books: Books, app: EdgeApp, server: uvicorn.Server, watching: Watching, pool: ChannelPool
) -> Sequence[Coroutine[Any, Any, None]]:
    """What a worker does beside answering."""
    chores = [
        books.catalogue.watch(),
        Leases(books.pool, books.writer).run(),
        sweep(lambda: server.server_state.connections),
        app.live.keep_alive(books.settings.ping_interval_s),
        _every(ANSWERS_EVERY_S, lambda: _drop_old_answers(books.pool)),
        _every(ANSWERS_EVERY_S, StoredResponses(books.pool).drop_old),
        _every(FILES_EVERY_S, books.files.sweep),
        _every(PARTITIONS_EVERY_S, lambda: _extend_partitions(books.dsn)),
    ]
    share, metrics = watching.share, watching.requests.metrics
    if share is not None:
        chores.append(_every(PUBLISH_S, lambda: _publish(share, metrics, pool)))
    return chores


async def _publish(share: MetricsShare, metrics: Metrics, pool: ChannelPool) -> None:
    _note_health(pool, metrics)
    await asyncio.to_thread(share.publish, metrics.counted)


@contextmanager
def _background(chores: Sequence[Coroutine[Any, Any, None]]) -> Generator[None, None, None]:
    tasks = [asyncio.create_task(chore) for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def _every(seconds: float, act: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Do something again and again; trouble is logged and does not end it."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await act()
        except Exception as error:
            log.warning("a chore failed", error=str(error))


async def _extend_partitions(dsn: str) -> None:
    connection = await connect_owner(dsn)
    try:
        await ensure_partitions(connection, time.time_ns() // 1000)
    finally:
        await connection.close()


async def _drop_old_answers(pool: Pool) -> None:
    await pool.execute(statements.load("accounts")["drop_old_answers"])


async def _until_stopped(stop: asyncio.Event, serving: asyncio.Task[None]) -> None:
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stopping


def _why_not_ready(books: Books, stop: asyncio.Event) -> str | None:
    if stop.is_set():
        return "shutting down"
    return None if books.writer.connected else "the ledger is not connected"


def _exposition(pool: ChannelPool, watching: Watching) -> bytes:
    _note_health(pool, watching.requests.metrics)
    return watching.exposition()


def _note_health(pool: ChannelPool, metrics: Metrics) -> None:
    """Every channel and upstream key as it is now; those that are gone are forgotten."""
    places = pool.snapshot(asyncio.get_running_loop().time())
    metrics.counted.upstream_health = {_name(place): int(place.health is PlaceState.WELL) for place in places}


def _name(place: PlaceHealth) -> str:
    return place.channel_id if place.key_id is None else f"{place.channel_id}/{place.key_id}"


def _tell(place: PlaceHealth) -> None:
    log.warning("upstream health changed", channel=place.channel_id, key=place.key_id, health=place.health.value)
