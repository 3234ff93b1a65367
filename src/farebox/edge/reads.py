"""Everything that is no model call: models, receipts, the key's own account, quotes, health, metrics.

Each route reads the key afresh and counts against no limit. Amounts are decimal strings.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.app import MISSING_KEY, Asking
from farebox.edge.headers import Wishes, standing_lines
from farebox.edge.health import Health
from farebox.edge.replies import GET_ONLY, JSON, POST_ONLY, Response, refused, wrong_method
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
from farebox.relay.ask import Ask, Refused, Standing
from farebox.relay.buffered import ledger_refusal
from farebox.relay.quote import Quotes
from farebox.relay.relay import Relay
from farebox.store.catalogue import Catalogue, PricedModel
from farebox.store.history import History
from farebox.store.keyring import KeyView
from farebox.wire.call import ABSENT, is_present
from farebox.wire.dialect import OPENAI_CHAT, OPENAI_EMBEDDINGS, Dialect

Answer = Callable[[KeyView, str, dict[str, str]], Awaitable[dict[str, Any] | Refusal]]
"""A route: from the caller, the rest of the path and the parameters to JSON-ready values."""

QUOTE = "/v1/quote"
RESOURCE = "account"
"""Of everything here, for `X-RateLimit-Resource`."""
_GETS = ("GET", "HEAD")
_REQUEST_ID = re.compile(r"req_[0-9a-hjkmnp-tv-z]{26}")


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
        self._prefixed: dict[str, Answer] = {"/v1/models/": self._model, "/v1/receipts/": self._receipt}

    @property
    def routes(self) -> list[str]:
        """Every address answered here; those that end in a slash take the rest as an id."""
        return [*self._health.paths, QUOTE, *self._exact, *self._prefixed]

    async def answer(self, method: str, path: str, query: bytes, wishes: Wishes, ask: Asking) -> Response:
        """Answer one request, or say that there is no such address."""
        if path == QUOTE:
            return await self._quote(wishes, ask) if method == "POST" else _wrong_method(POST_ONLY, ask)
        public = self._health.paths.get(path)
        if public is not None:
            return _respond(public(wishes.secret), ask, None) if method in _GETS else _wrong_method(GET_ONLY, ask)
        found = self._route(path)
        if found is None:
            return _respond(_NO_ROUTE, ask, None)
        if method not in _GETS:
            return _wrong_method(GET_ONLY, ask)
        view = await self._caller(wishes, ask)
        return view if isinstance(view, Response) else await self._read(view, found, query, ask)

    def _route(self, path: str) -> tuple[Answer, str] | None:
        exact = self._exact.get(path)
        if exact is not None:
            return exact, ""
        for prefix, answer in self._prefixed.items():
            if path.startswith(prefix) and len(path) > len(prefix):
                return answer, path[len(prefix) :]
        return None

    async def _caller(self, wishes: Wishes, ask: Asking) -> KeyView | Response:
        if not wishes.secret:
            return _respond(MISSING_KEY, ask, None)
        view = await self._relay.caller(wishes.secret, ask.client_ip, RESOURCE)
        if isinstance(view, Refused):
            return _respond(view.refusal, ask, view.standing)
        ask.trace.account_id, ask.trace.key_id = view.account.id, view.key.id
        return view

    async def _read(self, view: KeyView, found: tuple[Answer, str], query: bytes, ask: Asking) -> Response:
        route, rest = found
        parameters = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
        try:
            answer = await route(view, rest, parameters)
        except LedgerUnavailable:
            answer = ledger_refusal()
        return _respond(answer, ask, self._relay.standing(view, RESOURCE))

    async def _quote(self, wishes: Wishes, ask: Asking) -> Response:
        view = await self._caller(wishes, ask)
        if isinstance(view, Response):
            return view
        answer = wishes.refusal or await ask.read_body()
        if isinstance(answer, bytes):
            call = Ask(
                ask.request_id,
                _dialect_of(answer),
                wishes.secret,
                [],
                answer,
                ask.client_ip,
                ceiling=wishes.ceiling,
            )
            try:
                answer = await self._quotes.quote(call, view)
            except LedgerUnavailable:
                answer = ledger_refusal()
        return _respond(answer, ask, self._relay.standing(view, RESOURCE))

    # Routes ---------------------------------------------------------------------------------

    async def _models(self, view: KeyView, _: str, parameters: dict[str, str]) -> dict[str, Any]:
        await self._catalogue.verify()
        models = [model for model in self._catalogue.current.models.values() if _fits(model, parameters)]
        shapes = [model_shape(model, view.read_us) for model in models]
        return {"object": "list", "data": [shape for shape in shapes if shape is not None]}

    async def _model(self, view: KeyView, name: str, _: dict[str, str]) -> dict[str, Any] | Refusal:
        await self._catalogue.verify()
        model = self._catalogue.current.names.get(name)
        return (model and model_shape(model, view.read_us)) or _NO_MODEL

    async def _receipt(self, view: KeyView, request_id: str, _: dict[str, str]) -> dict[str, Any] | Refusal:
        known = _REQUEST_ID.fullmatch(request_id)
        found = await self._history.receipt(view.account.id, request_id) if known else None
        return _NO_RECEIPT if found is None else receipt_shape(found)

    async def _me(self, view: KeyView, _: str, __: dict[str, str]) -> dict[str, Any]:
        return me_shape(view, self._catalogue.current.tiers[view.account.tier])

    async def _key(self, view: KeyView, _: str, __: dict[str, str]) -> dict[str, Any]:
        return key_shape(view)

    async def _subscription(self, view: KeyView, _: str, __: dict[str, str]) -> dict[str, Any]:
        return subscription(view, await self._history.granted(view.account.id))

    async def _usage(self, view: KeyView, _: str, parameters: dict[str, str]) -> dict[str, Any] | Refusal:
        span = await self._history.span(parameters.get("start_date"), parameters.get("end_date"))
        return _BAD_DATES if span is None else usage_shape(await self._history.by_day(view.account.id, span))

    async def _credit_grants(self, view: KeyView, _: str, __: dict[str, str]) -> dict[str, Any]:
        return credit_grants(view, await self._history.lots(view.account.id))


def _fits(model: PricedModel, parameters: dict[str, str]) -> bool:
    """The filters of the list: `provider`, `type`, `capability`."""
    facts = model.model
    return (
        parameters.get("provider") in (None, facts.provider)
        and parameters.get("type") in (None, facts.type.value)
        and (parameters.get("capability") is None or parameters["capability"] in facts.capabilities)
    )


class _Shape(msgspec.Struct):
    messages: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT


def _dialect_of(body: bytes) -> Dialect:
    """Which model call a quote is asked for: `input` without `messages` is an embedding."""
    try:
        shape = msgspec.json.decode(body, type=_Shape)
    except (msgspec.DecodeError, RecursionError):
        return OPENAI_CHAT
    return OPENAI_EMBEDDINGS if is_present(shape.input) and not is_present(shape.messages) else OPENAI_CHAT


def _respond(answer: Response | dict[str, Any] | Refusal, ask: Asking, standing: Standing | None) -> Response:
    if isinstance(answer, Refusal):
        ask.trace.code = answer.code.value
        return refused(answer, standing)
    if isinstance(answer, Response):
        return answer
    known = b"" if standing is None else standing_lines(standing)
    return Response(200, JSON + known, msgspec.json.encode(answer))


def _wrong_method(allow: bytes, ask: Asking) -> Response:
    ask.trace.code = RefusalCode.METHOD_NOT_ALLOWED.value
    return wrong_method(allow)


_NO_ROUTE = Refusal(RefusalCode.NOT_FOUND, "There is nothing at this address. The reference lists all of them.")
_NO_MODEL = Refusal(RefusalCode.INVALID_MODEL, "This model does not exist here. GET /v1/models lists all.", "model")
_NO_RECEIPT = Refusal(RefusalCode.NOT_FOUND, "There is no receipt of this request in your account.")
_BAD_DATES = Refusal(
    RefusalCode.INVALID_PARAMETER, "start_date and end_date are days like 2026-11-21, the start not after the end."
)
