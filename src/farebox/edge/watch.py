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
from farebox.observe.metrics import Metrics, Stage
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
        route = _route(trace.path)
        times = _times(trace, began)
        metrics = self.metrics
        metrics.request_ended(route, code)
        for stage, duration_us in times.items():
            metrics.stage(stage, duration_us)
        if trace.channel is not None:
            metrics.upstream_answered(trace.channel, trace.stamp or "none")
        if self._lines is not None and route not in _QUIET:
            self._lines.write(_line(trace, route, status, code, times))


def _times(trace: Trace, began: float) -> dict[Stage, int]:
    """Where the time went, as far as the request came."""
    times = {Stage.TOTAL: int((time.monotonic() - began) * 1_000_000)}
    if trace.admitted_at:
        times[Stage.ADMIT] = int((trace.admitted_at - began) * 1_000_000)
        times[Stage.QUEUE] = trace.queue_wait_ms * 1000
    if trace.answered_at:
        times[Stage.FIRST_BYTE] = int((trace.answered_at - trace.admitted_at) * 1_000_000)
        if trace.settling_at:
            times[Stage.UPSTREAM] = int((trace.settling_at - trace.answered_at) * 1_000_000)
    if trace.settled_at:
        times[Stage.SETTLE] = int((trace.settled_at - trace.settling_at) * 1_000_000)
    return times


def _line(trace: Trace, route: str, status: int, code: str, times: dict[Stage, int]) -> RequestLine:
    return RequestLine(
        at=datetime.now(UTC),
        request_id=trace.request_id,
        route=route,
        code=code,
        status=status,
        account_id=trace.account_id or "",
        key_id=trace.key_id or "",
        model=trace.model or "",
        channel=trace.channel or "",
        stream=trace.stream,
        attempts=trace.attempts,
        ended=trace.stamp or "",
        charged=format_credits(trace.charged) if trace.held else "",
        queue_us=trace.queue_wait_ms * 1000,
        total_us=times[Stage.TOTAL],
        admit_us=times.get(Stage.ADMIT, 0),
        first_byte_us=times.get(Stage.FIRST_BYTE, 0),
        upstream_us=times.get(Stage.UPSTREAM, 0),
        settle_us=times.get(Stage.SETTLE, 0),
    )


def _route(path: str) -> str:
    known = ROUTES.get(path)
    if known is not None:
        return known
    for prefix, name in (("/v1/models/", "models"), ("/v1/receipts/", "receipts"), ("/v1/dashboard/", "billing")):
        if path.startswith(prefix):
            return name
    return "unknown"
