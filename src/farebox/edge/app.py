"""The data plane as an application: routes, bodies, headers, the request's line in the log.

Enters: an exchange. Leaves: its answer. It authenticates nothing and prices nothing; model calls go to the
relay, everything else to `reads`. Whatever happens inside, the client gets a well-formed answer
with a request id and no trace of the inside (d50).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.connection import Connection, LiveStreams
from farebox.edge.errors import INTERNAL, error_event, render_internal
from farebox.edge.exchange import ClientGone, Exchange
from farebox.edge.headers import PREFLIGHT, Wishes, client_address, cors_lines, read_headers, secret_in
from farebox.edge.replies import JSON, Download, Response, refused, respond
from farebox.relay.ask import Ask, Headers, PassedOn, Refused, Reply, TooSlow
from farebox.relay.job import Trace
from farebox.relay.relay import Relay
from farebox.store.id_source import new_id
from farebox.wire.dialect import Dialect, dialect_at
from farebox.wire.form import FormDialect

CLIENT_LEFT = 499
"""In the log, for requests that nobody waited for."""

log: Any = structlog.get_logger("farebox.edge")


class Finished(Protocol):
    """Hears of every request that ended, for the log line and the metrics."""

    def __call__(self, trace: Trace, status: int, code: str, began: float) -> None: ...


class ReadRoutes(Protocol):
    """Everything that is no model call."""

    async def answer(
        self, method: str, path: str, query: bytes, wishes: Wishes, ask: Asking
    ) -> Response | Download: ...


class Asking(NamedTuple):
    """What a request knows of itself before its key is known."""

    request_id: str
    client_ip: str | None
    trace: Trace
    headers: Headers
    read_body: Callable[[], Awaitable[bytes | Refusal]]
    arriving: Callable[[], AsyncGenerator[bytes, None]]
    """The body as it arrives, however long; instead of `read_body`. Raises `ClientGone`."""


class Terms(msgspec.Struct, frozen=True):
    """What the operator has set for this room; see the settings of the same names."""

    body_limit_bytes: int
    trusted_proxies: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    top_up_url: str = ""


class EdgeApp:
    """See the module."""

    def __init__(self, relay: Relay, reads: ReadRoutes, *, terms: Terms, finished: Finished, live: LiveStreams) -> None:
        self._relay = relay
        self._reads = reads
        self._terms = terms
        self._finished = finished
        self._cors = frozenset(origin.encode() for origin in terms.cors_origins)
        self.live = live

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request, whatever happens."""
        began = time.monotonic()
        request_id = new_id("req")
        wishes = read_headers(exchange.headers)
        if not wishes.secret and exchange.query:
            wishes.secret = secret_in(exchange.query)
        exchange.base = b"x-request-id: %b\r\n" % request_id.encode()
        if wishes.origin:
            exchange.base += cors_lines(wishes.origin, self._cors)
        if wishes.speaks == "anthropic":
            exchange.base += b"request-id: %b\r\n" % request_id.encode()  # where Anthropic's clients look for it
        trace = Trace(request_id, exchange.path)
        connection = Connection(exchange, self.live)
        status, code = 200, "ok"
        dialect: Dialect | None = None
        try:
            dialect = dialect_at(exchange.path) if exchange.method == "POST" else None
            if dialect is None:
                response = await self._read(exchange, wishes, trace)
            else:
                response = await self._call(exchange, wishes, dialect, connection, trace)
            if isinstance(response, Download):
                await connection.send(response)
            elif response is not None:
                status, code = response.status, trace.code or "ok"
                await exchange.respond(*response)
        except (ClientGone, TooSlow):
            status, code = CLIENT_LEFT, "client_left"
        except asyncio.CancelledError:
            # At shutdown, when a request has had its time. The task ends here all the same.
            response = refused(SHUTTING_DOWN, None, dialect=dialect)
            status, code = await _break_off(exchange, connection, response, dialect), "shutting_down"
        except Exception as error:
            log.error("request failed", request_id=request_id, error=type(error).__name__, exc_info=error)
            response = Response(INTERNAL.status, JSON, render_internal(request_id, dialect))
            status, code = await _break_off(exchange, connection, response, dialect), "internal_error"
        finally:
            connection.forget()
            exchange.close()
            self._finished(trace, status, code, began)

    async def _call(
        self, exchange: Exchange, wishes: Wishes, dialect: Dialect, connection: Connection, trace: Trace
    ) -> Response | None:
        """A model call; what is wrong with its caller is said before what is wrong with the rest."""
        if isinstance(dialect, FormDialect):
            dialect = dialect.reading([value for name, value in exchange.headers if name == b"content-type"])
        secret, client_ip = wishes.secret, self._client_ip(exchange, wishes)
        if not secret:
            return self._render(Refused(MISSING_KEY), dialect, trace)
        body = wishes.refusal or await self._body(exchange, wishes)
        if isinstance(body, Refusal):
            reply = await self._relay.refuse(body, secret, client_ip, dialect.resource)
        else:
            connection.silence = dialect.ping
            call = Ask(
                trace.request_id,
                dialect,
                secret,
                exchange.headers,
                body,
                client_ip,
                wishes.idempotency_key,
                wishes.ceiling,
                wishes.retry_count,
            )
            reply = await self._relay.answer(call, connection, trace)
        return self._render(reply, dialect, trace)

    async def _read(self, exchange: Exchange, wishes: Wishes, trace: Trace) -> Response | Download:
        """Everything else."""
        method, path = exchange.method, exchange.path
        if method == "OPTIONS":
            return Response(204, PREFLIGHT if wishes.origin else b"", b"")
        client_ip = self._client_ip(exchange, wishes)
        read_body = partial(self._body, exchange, wishes)
        ask = Asking(trace.request_id, client_ip, trace, exchange.headers, read_body, exchange.arriving)
        return await self._reads.answer(method, path, exchange.query, wishes, ask)

    async def _body(self, exchange: Exchange, wishes: Wishes) -> bytes | Refusal:
        """The whole body as it is; refused as soon as it is known to be too large. Raises `ClientGone`."""
        limit = self._terms.body_limit_bytes
        body = await exchange.body(limit) if wishes.content_length <= limit else None
        return _too_large(limit) if body is None else body

    def _client_ip(self, exchange: Exchange, wishes: Wishes) -> str | None:
        return client_address(exchange.wire.peer, wishes.forwarded_for, self._terms.trusted_proxies)

    def _render(self, reply: Reply, dialect: Dialect, trace: Trace) -> Response | None:
        if isinstance(reply, Refused):
            trace.code = reply.refusal.code.value
        elif isinstance(reply, PassedOn):
            trace.code = "passed_on"
        return respond(reply, dialect, top_up_url=self._terms.top_up_url)


async def _break_off(exchange: Exchange, connection: Connection, response: Response, dialect: Dialect | None) -> int:
    """Say that there will be no answer, or no rest of it; the status for the log."""
    if not exchange.started:
        await exchange.respond(*response)
    elif connection.speaks_events and not (exchange.ended or exchange.sized):
        await connection.write(error_event(response.body, dialect))
        await connection.end()
    return response.status


def _too_large(limit: int) -> Refusal:
    return Refusal(
        RefusalCode.BODY_TOO_LARGE, f"The body is larger than {limit} bytes, the most that is accepted here."
    )


MISSING_KEY = Refusal(
    RefusalCode.MISSING_API_KEY,
    "There is no API key in this request. Send it as `Authorization: Bearer sk-…`, `x-api-key` or `x-goog-api-key`.",
)
SHUTTING_DOWN = Refusal(
    RefusalCode.NO_UPSTREAM_AVAILABLE,
    "This gateway is shutting down and could not finish the request. Try again.",
    retry_after_s=1,
    retry_helps=True,
)
