"""A request's end, told to the log and the metrics: one line, a handful of counters.

Enters: the trace that travelled with the request. Leaves: nothing that a customer wrote.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import structlog

from farebox.admission.commands import Ended
from farebox.money import format_credits
from farebox.observe.logs import RequestLine, RequestLog
from farebox.observe.metrics import Metrics, StageTimes
from farebox.relay.job import Job, Trace

ROUTES = {
    "/v1/chat/completions": "chat",
    "/v1/embeddings": "embeddings",
    "/v1/models": "models",
    "/v1/key": "key",
    "/v1/quote": "quote",
    "/api/auth/me": "me",
    "/livez": "health",
    "/readyz": "health",
    "/metrics": "metrics",
}
log: Any = structlog.get_logger("farebox.requests")
_QUIET = frozenset({"health", "metrics"})


class RequestWatch:
    """Hears of every committed end and every finished request of this process."""

    def __init__(self, metrics: Metrics, lines: RequestLog | None) -> None:
        self.metrics = metrics
        self._lines = lines

    def committed(self, job: Job, ended: Ended) -> None:
        """A hold ended, with what charge."""
        job.trace.charged = ended.amount
        self.metrics.hold_ended()
        if ended.shortfall:
            self.metrics.charged_beyond_available(ended.shortfall)
            log.warning(
                "a charge went to shortfall", request_id=job.ask.request_id, shortfall=format_credits(ended.shortfall)
            )
        for news in ended.announcements:
            log.warning(
                "a budget reached a threshold",
                account_id=job.trace.account_id,
                budget=news.budget_id,
                percent=news.threshold,
                charged=format_credits(news.charged),
                limit=format_credits(news.limit),
            )

    def finished(self, trace: Trace, status: int, code: str, began: float) -> None:
        """The answer is out, or the client is gone."""
        route = ROUTES.get(trace.path) or _route(trace.path)
        times = _times(trace, began)
        metrics = self.metrics
        metrics.request_ended(route, code)
        metrics.stages_took(times)
        if trace.channel is not None:
            metrics.upstream_answered(trace.channel, trace.stamp or "none")
        if self._lines is not None and route not in _QUIET:
            self._lines.write(_line(trace, route, status, code, times))


def _times(trace: Trace, began: float) -> StageTimes:
    """Where the time went, as far as the request came."""
    total = int((time.monotonic() - began) * 1_000_000)
    admitted, answered, settling, settled = trace.admitted_at, trace.answered_at, trace.settling_at, trace.settled_at
    return StageTimes(
        int((admitted - began) * 1_000_000) if admitted else None,
        trace.queue_wait_ms * 1000 if admitted else None,
        int((answered - admitted) * 1_000_000) if answered else None,
        int((settling - answered) * 1_000_000) if answered and settling else None,
        int((settled - settling) * 1_000_000) if settled else None,
        total,
    )


def _line(trace: Trace, route: str, status: int, code: str, times: StageTimes) -> RequestLine:
    # In the order of the fields: giving their names would cost more than writing the line.
    return RequestLine(
        datetime.now(UTC),
        trace.request_id,
        route,
        code,
        status,
        trace.account_id or "",
        trace.key_id or "",
        trace.model or "",
        trace.channel or "",
        trace.stream,
        trace.attempts,
        trace.stamp or "",
        format_credits(trace.charged) if trace.held else "",
        times.total or 0,
        times.admit or 0,
        times.queue or 0,
        times.first_byte or 0,
        times.upstream or 0,
        times.settle or 0,
    )


def _route(path: str) -> str:
    for prefix, name in (("/v1/models/", "models"), ("/v1/receipts/", "receipts"), ("/v1/dashboard/", "billing")):
        if path.startswith(prefix):
            return name
    return "unknown"
