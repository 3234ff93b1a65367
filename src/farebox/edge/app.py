"""The data plane as a plain ASGI application: routes, bodies, headers, the request's line in the log.

Enters: ASGI. Leaves: HTTP. It authenticates nothing and prices nothing; model calls go to the
relay, everything else to `reads`. Whatever happens inside, the client gets a well-formed answer
with a request id and no trace of the inside (d50).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
import structlog

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.bodies import ClientGone, Receive, read_body
from farebox.edge.connection import Connection, LiveStreams, Send
from farebox.edge.errors import INTERNAL, render_internal
from farebox.edge.headers import PREFLIGHT, Wishes, client_address, cors_headers, read_headers
from farebox.edge.protocol import SCOPE_KEY
from farebox.edge.replies import JSON, POST_ONLY, Response, refused, respond, wrong_method
from farebox.relay.ask import Ask, Headers, PassedOn, Refused, Reply
from farebox.relay.job import Trace
from farebox.relay.relay import Relay
from farebox.store.id_source import new_id
from farebox.wire.dialect import Dialect, dialect_at

Scope = dict[str, Any]

CLIENT_LEFT = 499
"""In the log, for requests that nobody waited for."""

log: Any = structlog.get_logger("farebox.edge")


class Finished(Protocol):
    """Hears of every request that ended, for the log line and the metrics."""

    def __call__(self, trace: Trace, status: int, code: str, began: float) -> None: ...


class ReadRoutes(Protocol):
    """Everything that is no model call."""

    async def answer(self, method: str, path: str, query: bytes, wishes: Wishes, ask: Asking) -> Response: ...


class Asking:
    """What a request knows of itself before its key is known."""

    __slots__ = ("client_ip", "read_body", "request_id", "trace")

    def __init__(
        self, request_id: str, client_ip: str | None, trace: Trace, read_body: Callable[[], Awaitable[bytes | Refusal]]
    ) -> None:
        self.request_id = request_id
        self.client_ip = client_ip
        self.trace = trace
        self.read_body = read_body


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = time.monotonic()
        request_id = new_id("req")
        wishes = read_headers(scope["headers"])
        base = [(b"x-request-id", request_id.encode()), *cors_headers(wishes.origin, self._cors)]
        trace = Trace(request_id, scope["path"])
        connection = Connection(send, scope.get(SCOPE_KEY), base, self.live)
        status, code = 200, "ok"
        try:
            response = await self._answer(scope, receive, wishes, connection, trace)
            if response is not None:
                status, code = response.status, trace.code or "ok"
                await _send(send, response, connection)
        except ClientGone:
            status, code = CLIENT_LEFT, "client_left"
        except asyncio.CancelledError:
            # At shutdown, when a request has had its time. The task ends here all the same.
            status, code = await _break_off(send, connection, refused(SHUTTING_DOWN, None)), "shutting_down"
        except Exception as error:
            log.error("request failed", request_id=request_id, error=type(error).__name__, exc_info=error)
            response = Response(INTERNAL.status, [JSON], render_internal(request_id))
            status, code = await _break_off(send, connection, response), "internal_error"
        finally:
            connection.forget()
            self._finished(trace, status, code, began)

    async def _answer(
        self, scope: Scope, receive: Receive, wishes: Wishes, connection: Connection, trace: Trace
    ) -> Response | None:
        method, path = scope["method"], scope["path"]
        if method == "OPTIONS":
            return Response(204, PREFLIGHT if wishes.origin else [], b"")
        client = scope.get("client")
        client_ip = client_address(client[0] if client else None, wishes.forwarded_for, self._terms.trusted_proxies)
        ask = Asking(
            trace.request_id, client_ip, trace, lambda: read_body(receive, wishes, self._terms.body_limit_bytes)
        )
        dialect = dialect_at(path)
        if dialect is None:
            return await self._reads.answer(method, path, scope["query_string"], wishes, ask)
        if method != "POST":
            trace.code = RefusalCode.METHOD_NOT_ALLOWED.value
            return wrong_method(POST_ONLY)
        reply = await self._call(scope["headers"], wishes, ask, dialect, connection)
        return self._render(reply, dialect, trace)

    async def _call(
        self, headers: Headers, wishes: Wishes, ask: Asking, dialect: Dialect, connection: Connection
    ) -> Reply:
        """A model call; what is wrong with its caller is said before what is wrong with the rest."""
        if not wishes.secret:
            return Refused(MISSING_KEY)
        body = wishes.refusal or await ask.read_body()
        if isinstance(body, Refusal):
            return await self._relay.refuse(body, wishes.secret, ask.client_ip, dialect.resource)
        call = Ask(
            ask.request_id,
            dialect,
            wishes.secret,
            headers,
            body,
            ask.client_ip,
            wishes.idempotency_key,
            wishes.ceiling,
            wishes.retry_count,
        )
        return await self._relay.answer(call, connection, ask.trace)

    def _render(self, reply: Reply, dialect: Dialect, trace: Trace) -> Response | None:
        if isinstance(reply, Refused):
            trace.code = reply.refusal.code.value
        elif isinstance(reply, PassedOn):
            trace.code = "passed_on"
        return respond(reply, dialect, top_up_url=self._terms.top_up_url)


async def _break_off(send: Send, connection: Connection, response: Response) -> int:
    """Say that there will be no answer, or no rest of it; the status for the log."""
    if connection.began:
        if not connection.ended:
            await connection.write(b"data: " + response.body + b"\n\n")
            await connection.end()
    elif connection.exchange is None or not connection.exchange.cycle.response_started:
        await _send(send, response, connection)
    return response.status


async def _send(send: Send, response: Response, connection: Connection) -> None:
    exchange, headers = connection.exchange, [*connection.base, *response.headers]
    if exchange is not None and exchange.is_quick:
        exchange.respond(response.status, headers, response.body)
        return
    if response.status != 204:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


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
