"""Is it alive, is it ready, what has it counted: for orchestrators and Prometheus, not for customers.

Enters: a path without a key. Leaves: JSON, or Prometheus' text, which may ask for a word of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hmac import compare_digest

import msgspec

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.replies import JSON, Response

EXPOSITION = b"content-type: text/plain; version=0.0.4; charset=utf-8\r\n"


class Health:
    """Made by `main`. `ready` says what is missing, None if nothing is."""

    def __init__(
        self, ready: Callable[[], str | None], metrics: Callable[[], bytes] | None, metrics_token: str
    ) -> None:
        self._why_not_ready = ready
        self._metrics_word = metrics_token.encode()
        self.paths: Mapping[str, Callable[[str], Response | Refusal]] = {
            "/": lambda _: _json(200, {"service": "farebox", "api": "/v1"}),
            "/livez": lambda _: _json(200, {"status": "ok"}),
            "/readyz": lambda _: self._readyz(),
            **({} if metrics is None else {"/metrics": lambda word: self._counted(word, metrics)}),
        }
        """What is answered to the word that was given, by path."""

    def _readyz(self) -> Response:
        trouble = self._why_not_ready()
        return _json(200, {"status": "ok"}) if trouble is None else _json(503, {"status": "not ready", "why": trouble})

    def _counted(self, word: str, metrics: Callable[[], bytes]) -> Response | Refusal:
        if self._metrics_word and not compare_digest(word.encode(), self._metrics_word):
            return _WRONG_WORD
        return Response(200, EXPOSITION, metrics())


def _json(status: int, value: dict[str, str]) -> Response:
    return Response(status, JSON, msgspec.json.encode(value))


_WRONG_WORD = Refusal(
    RefusalCode.INVALID_API_KEY,
    "The metrics of this service ask for a word of their own (the setting metrics_token) as `Authorization: Bearer`.",
)
