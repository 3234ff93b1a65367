"""The data plane as a plain ASGI application: routes, bodies, headers, the request's line in the log.

Enters: ASGI. Leaves: HTTP. It authenticates nothing and prices nothing; model calls go to the
relay, everything else to `reads`. Whatever happens inside, the client gets a well-formed answer
with a request id and no trace of the inside (d50).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.connection import Connection, Send
from farebox.edge.errors import INTERNAL, render_internal
from farebox.edge.headers import PREFLIGHT, Wishes, client_address, cors_headers, read_headers
from farebox.edge.protocol import SCOPE_KEY, Exchange
from farebox.edge.replies import JSON, Response, refused, respond
from farebox.relay.ask import Ask, Headers
from farebox.relay.job import Trace
from farebox.relay.relay import Relay
from farebox.store.id_source import new_id
from farebox.wire.dialect import Dialect, dialect_at

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]

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


class EdgeApp:
    """See the module."""

    def __init__(
        self,
        relay: Relay,
        reads: ReadRoutes,
        *,
        finished: Finished,
        body_limit_bytes: int,
        trusted_proxies: tuple[str, ...] = (),
        cors_origins: tuple[str, ...] = (),
        top_up_url: str = "",
    ) -> None:
        self._relay = relay
        self._reads = reads
        self._finished = finished
        self._body_limit = body_limit_bytes
        self._trusted = trusted_proxies
        self._cors = frozenset(origin.encode() for origin in cors_origins)
        self._top_up_url = top_up_url
        self.live: set[Connection] = set()
        """Streams under way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = time.monotonic()
        request_id = new_id("req")
        wishes = read_headers(scope["headers"])
        base = [(b"x-request-id", request_id.encode()), *cors_headers(wishes.origin, self._cors)]
        trace = Trace(request_id, scope["path"])
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        connection = Connection(send, exchange, base, self.live)
        status, code = 200, "ok"
        try:
            response = await self._answer(scope, receive, wishes, connection, trace)
            if response is not None:
                status, code = response.status, trace.code or "ok"
                await _send(send, exchange, response, base)
        except Exception as error:
            status, code = INTERNAL.status, "internal_error"
            log.error("request failed", request_id=request_id, error=type(error).__name__, exc_info=error)
            await self._apologise(send, connection, request_id, base)
        finally:
            connection.forget()
            self._finished(trace, status, code, began)

    async def _answer(
        self, scope: Scope, receive: Receive, wishes: Wishes, connection: Connection, trace: Trace
    ) -> Response | None:
        method, path = scope["method"], scope["path"]
        dialect = dialect_at(path)
        client = scope.get("client")
        client_ip = client_address(client[0] if client else None, wishes.forwarded_for, self._trusted)
        if method == "OPTIONS":
            return Response(204, PREFLIGHT if wishes.origin else [], b"")
        if dialect is None:
            asking = Asking(trace.request_id, client_ip, trace, lambda: _read_body(receive, wishes, self._body_limit))
            return await self._reads.answer(method, path, scope["query_string"], wishes, asking)
        if method != "POST":
            return self._refused(_METHOD, dialect, trace)
        refusal = _check_wishes(wishes)
        if refusal is not None:
            return self._refused(refusal, dialect, trace)
        body = await _read_body(receive, wishes, self._body_limit)
        if isinstance(body, Refusal):
            known = await self._relay.caller(wishes.secret, client_ip)
            return self._refused(known if isinstance(known, Refusal) else body, dialect, trace)
        ask = _ask(scope["headers"], wishes, body, dialect, trace.request_id, client_ip)
        reply = await self._relay.answer(ask, connection, trace)
        return self._note(respond(reply, dialect, top_up_url=self._top_up_url), reply, trace)

    def _note(self, response: Response | None, reply: object, trace: Trace) -> Response | None:
        refusal = getattr(reply, "refusal", None)
        if isinstance(refusal, Refusal):
            trace.code = refusal.code.value
        elif response is not None and response.status != 200:
            trace.code = "passed_on"
        return response

    def _refused(self, refusal: Refusal, dialect: Dialect, trace: Trace) -> Response:
        trace.code = refusal.code.value
        response = refused(refusal, None, dialect=dialect, top_up_url=self._top_up_url)
        if refusal.code is RefusalCode.BODY_TOO_LARGE:
            # The rest of the body is not read, so the connection cannot be used again.
            return response._replace(headers=[*response.headers, (b"connection", b"close")])
        return response

    async def _apologise(self, send: Send, connection: Connection, request_id: str, base: Headers) -> None:
        """Say as little as possible; a stream that began is broken off."""
        if connection.began:
            if not connection.ended:
                await connection.write(b"data: " + render_internal(request_id) + b"\n\n")
                await connection.end()
            return
        await _send(send, connection.exchange, Response(INTERNAL.status, [JSON], render_internal(request_id)), base)


async def _read_body(receive: Receive, wishes: Wishes, limit: int) -> bytes | Refusal:
    """The whole body; refused as soon as it is known to be too large."""
    if wishes.content_length > limit:
        return _too_large(limit)
    message = await receive()
    if not message.get("more_body"):
        body = message.get("body", b"")
        return body if len(body) <= limit else _too_large(limit)
    parts = [message["body"]]
    size = len(parts[0])
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            return _too_large(limit)
    return b"".join(parts)


def _ask(
    headers: Headers, wishes: Wishes, body: bytes, dialect: Dialect, request_id: str, client_ip: str | None
) -> Ask:
    return Ask(
        request_id,
        dialect,
        wishes.secret,
        headers,
        body,
        client_ip,
        wishes.idempotency_key,
        wishes.ceiling,
        wishes.retry_count,
    )


def _check_wishes(wishes: Wishes) -> Refusal | None:
    if not wishes.secret:
        return MISSING_KEY
    if wishes.problem is not None:
        return Refusal(
            RefusalCode.INVALID_PARAMETER,
            f"The header {wishes.problem} cannot be read. See the reference for its form.",
            param=wishes.problem,
        )
    return None


def _too_large(limit: int) -> Refusal:
    return Refusal(
        RefusalCode.BODY_TOO_LARGE, f"The body is larger than {limit} bytes, the most that is accepted here."
    )


async def _send(send: Send, exchange: Exchange | None, response: Response, base: Headers) -> None:
    if exchange is not None and exchange.is_quick:
        exchange.respond(response.status, [*base, *response.headers], response.body)
        return
    length = (b"content-length", b"%d" % len(response.body))
    await send(
        {"type": "http.response.start", "status": response.status, "headers": [*base, length, *response.headers]}
    )
    await send({"type": "http.response.body", "body": response.body})


MISSING_KEY = Refusal(
    RefusalCode.MISSING_API_KEY,
    "There is no API key in this request. Send it as `Authorization: Bearer sk-…`, `x-api-key` or `x-goog-api-key`.",
)
_METHOD = Refusal(RefusalCode.METHOD_NOT_ALLOWED, "This address takes POST only.")
