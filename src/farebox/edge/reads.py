"""Everything that is no model call: finds the route, reads the key afresh, answers in the caller's shape.

The routes themselves stand in tables (`routes.Routes`) that `main` hands over. None of them counts
against a limit, and none reaches a provider (d41).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.app import MISSING_KEY, Asking
from farebox.edge.headers import Wishes, standing_lines
from farebox.edge.health import Health
from farebox.edge.replies import GET_ONLY, JSON, POST_ONLY, Download, Response, refused, wrong_method
from farebox.edge.routes import Answer, Question, Routes
from farebox.faults import LedgerUnavailable
from farebox.relay.ask import Refused, Standing
from farebox.relay.buffered import ledger_refusal
from farebox.relay.relay import Relay
from farebox.store.keyring import KeyView
from farebox.wire.addresses import tidied
from farebox.wire.dialect import ANTHROPIC, OPENAI_CHAT, Dialect, dialect_at
from farebox.wire.gemini.dialect import ROUTES as GEMINI_ROUTES

RESOURCE = "account"
"""Of everything here, for `X-RateLimit-Resource`."""
_GETS = ("GET", "HEAD")
_SHAPES: Mapping[str, Dialect] = {"anthropic": ANTHROPIC, "gemini": GEMINI_ROUTES[0]}


class Reads:
    """See the module."""

    def __init__(self, relay: Relay, health: Health, tables: Sequence[Routes]) -> None:
        self._relay = relay
        self._health = health
        self._methods: dict[str, dict[str, Answer]] = {}
        for table in tables:
            for address, methods in table.items():
                self._methods.setdefault(address, {}).update(methods)
        self._prefixes = sorted((each for each in self._methods if each.endswith("/")), key=len, reverse=True)

    @property
    def routes(self) -> list[str]:
        """Every address answered here; those that end in a slash take the rest as an id."""
        return [*self._health.paths, *self._methods]

    async def answer(self, method: str, path: str, query: bytes, wishes: Wishes, ask: Asking) -> Response | Download:
        """Answer one request, or say that there is no such address."""
        public = self._health.paths.get(path)
        dialect = _SHAPES.get("gemini" if "/v1beta/" in path else wishes.speaks, OPENAI_CHAT)
        if public is not None:
            answer = public(wishes.secret) if method in _GETS else wrong_method(GET_ONLY)
            return _respond(answer, dialect, ask, None)
        found = self._found(path) or self._found(path := tidied(path))
        if found is None:
            is_call = dialect_at(path) is not None
            return _respond(wrong_method(POST_ONLY) if is_call else _NO_ROUTE, dialect, ask, None)
        methods, rest = found
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            return _respond(wrong_method(_allowed(methods)), dialect, ask, None)
        view = await self._caller(wishes, ask)
        if isinstance(view, Refused):
            return _respond(view.refusal, dialect, ask, view.standing)
        return await self._answer(route, Question(view, path, rest, query, wishes, ask, dialect))

    def _found(self, path: str) -> tuple[dict[str, Answer], str] | None:
        exact = self._methods.get(path)
        if exact is not None:
            return exact, ""
        for prefix in self._prefixes:
            if path.startswith(prefix) and len(path) > len(prefix):
                return self._methods[prefix], path[len(prefix) :]
        return None

    async def _caller(self, wishes: Wishes, ask: Asking) -> KeyView | Refused:
        if not wishes.secret:
            return Refused(MISSING_KEY)
        view = await self._relay.caller(wishes.secret, ask.client_ip, RESOURCE)
        if not isinstance(view, Refused):
            ask.trace.account_id, ask.trace.key_id = view.account.id, view.key.id
        return view

    async def _answer(self, route: Answer, question: Question) -> Response | Download:
        try:
            answer = await route(question)
        except LedgerUnavailable:
            answer = ledger_refusal()
        standing = self._relay.standing(question.view, RESOURCE)
        if isinstance(answer, Download):
            return answer._replace(lines=answer.lines + standing_lines(standing))
        return _respond(answer, question.dialect, question.asking, standing)


def _respond(
    answer: Response | dict[str, Any] | Refusal, dialect: Dialect, ask: Asking, standing: Standing | None
) -> Response:
    if isinstance(answer, Refusal):
        ask.trace.code = answer.code.value
        return refused(answer, standing, dialect=dialect)
    if isinstance(answer, Response):
        if answer.status == 405:
            ask.trace.code = RefusalCode.METHOD_NOT_ALLOWED.value
        return answer
    known = b"" if standing is None else standing_lines(standing)
    return Response(200, JSON + known, msgspec.json.encode(answer))


def _allowed(methods: Mapping[str, Answer]) -> bytes:
    known = [name for name in ("GET", "POST", "DELETE") if name in methods]
    return ", ".join([*known, *(["HEAD"] if "GET" in methods else []), "OPTIONS"]).encode()


_NO_ROUTE = Refusal(RefusalCode.NOT_FOUND, "There is nothing at this address. The reference lists all of them.")
