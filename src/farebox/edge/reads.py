"""Everything that is no model call: models, receipts, the key's own account, quotes, health, metrics.

Each route reads the key afresh and counts against no limit. Amounts are decimal strings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.app import MISSING_KEY, Asking
from farebox.edge.headers import Wishes, standing_headers
from farebox.edge.replies import JSON, Response, refused
from farebox.edge.shapes import (
    credit_grants,
    key_shape,
    me_shape,
    model_shape,
    receipt_shape,
    subscription,
    usage_shape,
)
from farebox.faults import LedgerUnavailable
from farebox.relay.ask import Ask
from farebox.relay.buffered import ledger_refusal
from farebox.relay.quote import Quotes
from farebox.relay.relay import Relay
from farebox.relay.standing import standing_of
from farebox.store.catalogue import Catalogue, PricedModel
from farebox.store.history import History
from farebox.store.keyring import KeyView
from farebox.wire.dialect import OPENAI_CHAT, OPENAI_EMBEDDINGS

Answer = Callable[[KeyView, str, dict[str, str]], Awaitable[Response]]


class Health:
    """What /livez, /readyz and /metrics need to know."""

    def __init__(
        self, ready: Callable[[], str | None], metrics: Callable[[], bytes] | None, metrics_token: str
    ) -> None:
        self.why_not_ready = ready
        self.metrics = metrics
        self.metrics_token = metrics_token


class Reads:
    """See the module."""

    def __init__(self, relay: Relay, catalogue: Catalogue, history: History, quotes: Quotes, health: Health) -> None:
        self._relay = relay
        self._catalogue = catalogue
        self._history = history
        self._quotes = quotes
        self._health = health
        self._exact: dict[str, Answer] = {
            "/v1/models": self._models,
            "/v1/key": self._key,
            "/api/auth/me": self._me,
            "/v1/dashboard/billing/subscription": self._subscription,
            "/v1/dashboard/billing/usage": self._usage,
            "/v1/dashboard/billing/credit_grants": self._credit_grants,
        }
        self._prefixed: tuple[tuple[str, Answer], ...] = (
            ("/v1/models/", self._model),
            ("/v1/receipts/", self._receipt),
        )

    async def answer(self, method: str, path: str, query: bytes, wishes: Wishes, ask: Asking) -> Response:
        """Answer one request, or say that there is no such address."""
        if path in ("/livez", "/readyz", "/metrics", "/"):
            return self._public(path, wishes)
        if path == "/v1/quote":
            return await self._quote(method, wishes, ask)
        found = self._route(path)
        if found is None:
            return _refuse(_NO_ROUTE, ask)
        if method not in ("GET", "HEAD"):
            return _refuse(_GET_ONLY, ask)
        view = await self._caller(wishes, ask)
        if isinstance(view, Response):
            return view
        answer, rest = found
        parameters = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
        try:
            response = await answer(view, rest, parameters)
        except LedgerUnavailable:
            return _refuse(ledger_refusal(), ask)
        standing = standing_of(view, self._catalogue.current, "account")
        return response._replace(headers=[*response.headers, *standing_headers(standing)])

    def _route(self, path: str) -> tuple[Answer, str] | None:
        exact = self._exact.get(path)
        if exact is not None:
            return exact, ""
        for prefix, answer in self._prefixed:
            if path.startswith(prefix) and len(path) > len(prefix):
                return answer, path[len(prefix) :]
        return None

    async def _caller(self, wishes: Wishes, ask: Asking) -> KeyView | Response:
        if not wishes.secret:
            return _refuse(MISSING_KEY, ask)
        try:
            view = await self._relay.caller(wishes.secret, ask.client_ip)
        except LedgerUnavailable:
            view = ledger_refusal()
        if isinstance(view, Refusal):
            return _refuse(view, ask)
        ask.trace.account_id, ask.trace.key_id = view.account.id, view.key.id
        return view

    def _public(self, path: str, wishes: Wishes) -> Response:
        if path == "/metrics":
            return self._metrics(wishes)
        trouble = self._health.why_not_ready() if path == "/readyz" else None
        if trouble is not None:
            return _json({"status": "not ready", "why": trouble}, status=503)
        return _json({"status": "ok"} if path != "/" else {"service": "farebox", "api": "/v1"})

    def _metrics(self, wishes: Wishes) -> Response:
        health = self._health
        if health.metrics is None or (health.metrics_token and wishes.secret != health.metrics_token):
            return refused(_NO_ROUTE, None)
        return Response(200, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")], health.metrics())

    # Routes ---------------------------------------------------------------------------------

    async def _models(self, view: KeyView, _: str, parameters: dict[str, str]) -> Response:
        await self._catalogue.verify()
        models = [model for model in self._catalogue.current.models.values() if _fits(model, parameters)]
        shapes = [model_shape(model, view.read_us) for model in models]
        return _json({"object": "list", "data": [shape for shape in shapes if shape is not None]})

    async def _model(self, view: KeyView, name: str, _: dict[str, str]) -> Response:
        await self._catalogue.verify()
        model = self._catalogue.current.names.get(name)
        shape = None if model is None else model_shape(model, view.read_us)
        return refused(_NO_MODEL, None) if shape is None else _json(shape)

    async def _receipt(self, view: KeyView, request_id: str, _: dict[str, str]) -> Response:
        found = await self._history.receipt(view.account.id, request_id)
        return refused(_NO_RECEIPT, None) if found is None else _json(receipt_shape(found))

    async def _me(self, view: KeyView, _: str, __: dict[str, str]) -> Response:
        return _json(me_shape(view, self._catalogue.current.tiers[view.account.tier]))

    async def _key(self, view: KeyView, _: str, __: dict[str, str]) -> Response:
        return _json(key_shape(view))

    async def _subscription(self, view: KeyView, _: str, __: dict[str, str]) -> Response:
        return _json(subscription(view, await self._history.granted(view.account.id)))

    async def _usage(self, view: KeyView, _: str, parameters: dict[str, str]) -> Response:
        span = await self._history.span(parameters.get("start_date"), parameters.get("end_date"))
        if span is None:
            return refused(_BAD_DATES, None)
        return _json(usage_shape(await self._history.by_day(view.account.id, span)))

    async def _credit_grants(self, view: KeyView, _: str, __: dict[str, str]) -> Response:
        return _json(credit_grants(view, await self._history.lots(view.account.id)))

    async def _quote(self, method: str, wishes: Wishes, ask: Asking) -> Response:
        if method != "POST":
            return _refuse(_POST_ONLY, ask)
        if not wishes.secret:
            return _refuse(MISSING_KEY, ask)
        body = await ask.read_body()
        if isinstance(body, Refusal):
            return _refuse(body, ask)
        dialect = OPENAI_EMBEDDINGS if _is_embeddings(body) else OPENAI_CHAT
        call = Ask(ask.request_id, dialect, wishes.secret, [], body, ask.client_ip, None, wishes.ceiling)
        try:
            quote = await self._quotes.quote(call)
        except LedgerUnavailable:
            return _refuse(ledger_refusal(), ask)
        return _refuse(quote, ask) if isinstance(quote, Refusal) else _json(quote)


def _fits(model: PricedModel, parameters: dict[str, str]) -> bool:
    """The filters of the list: `provider`, `type`, `capability`."""
    facts = model.model
    return (
        parameters.get("provider") in (None, facts.provider)
        and parameters.get("type") in (None, facts.type.value)
        and (parameters.get("capability") is None or parameters["capability"] in facts.capabilities)
    )


class _Shape(msgspec.Struct):
    messages: msgspec.Raw | None = None
    input: msgspec.Raw | None = None


def _is_embeddings(body: bytes) -> bool:
    try:
        shape = msgspec.json.decode(body, type=_Shape)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return shape.messages is None and shape.input is not None


def _json(value: Any, *, status: int = 200) -> Response:
    return Response(status, [JSON], msgspec.json.encode(value))


def _refuse(refusal: Refusal, ask: Asking) -> Response:
    ask.trace.code = refusal.code.value
    return refused(refusal, None)


_NO_ROUTE = Refusal(RefusalCode.NOT_FOUND, "There is nothing at this address. The reference lists all of them.")
_GET_ONLY = Refusal(RefusalCode.METHOD_NOT_ALLOWED, "This address takes GET only.")
_POST_ONLY = Refusal(RefusalCode.METHOD_NOT_ALLOWED, "This address takes POST only.")
_NO_MODEL = Refusal(RefusalCode.INVALID_MODEL, "This model does not exist here. GET /v1/models lists all.", "model")
_NO_RECEIPT = Refusal(RefusalCode.NOT_FOUND, "There is no receipt of this request in your account.")
_BAD_DATES = Refusal(
    RefusalCode.INVALID_PARAMETER, "start_date and end_date are days like 2026-11-21, the start not after the end."
)
