"""Refusals as HTTP: the one table of statuses and types, and the error body in the caller's dialect.

A new refusal is a row in `admission.refusals` and a row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.money import format_credits
from farebox.wire import openai_errors
from farebox.wire.dialect import Dialect
from farebox.wire.openai_errors import UpstreamError


class Row(NamedTuple):
    status: int
    type: str


_AUTHENTICATION = "authentication_error"
_PERMISSION = "permission_error"
_REQUEST = "invalid_request_error"
_UNAVAILABLE = "service_unavailable"

STATUSES: Mapping[RefusalCode, Row] = {
    RefusalCode.NOT_FOUND: Row(404, "not_found_error"),
    RefusalCode.METHOD_NOT_ALLOWED: Row(405, _REQUEST),
    RefusalCode.MISSING_API_KEY: Row(401, _AUTHENTICATION),
    RefusalCode.INVALID_API_KEY: Row(401, _AUTHENTICATION),
    RefusalCode.KEY_REVOKED: Row(401, _AUTHENTICATION),
    RefusalCode.KEY_EXPIRED: Row(401, _AUTHENTICATION),
    RefusalCode.ACCOUNT_SUSPENDED: Row(403, _PERMISSION),
    RefusalCode.KEY_DISABLED: Row(403, _PERMISSION),
    RefusalCode.IP_NOT_ALLOWED: Row(403, _PERMISSION),
    RefusalCode.IDEMPOTENCY_MISMATCH: Row(409, "conflict_error"),
    RefusalCode.IDEMPOTENCY_IN_PROGRESS: Row(409, "conflict_error"),
    RefusalCode.IDEMPOTENCY_COMPLETED: Row(409, "conflict_error"),
    RefusalCode.BODY_TOO_LARGE: Row(413, _REQUEST),
    RefusalCode.FILE_TOO_LARGE: Row(413, _REQUEST),
    RefusalCode.UNSUPPORTED_MEDIA_TYPE: Row(415, _REQUEST),
    RefusalCode.INVALID_JSON: Row(400, _REQUEST),
    RefusalCode.INVALID_MESSAGES: Row(400, _REQUEST),
    RefusalCode.MISSING_PARAMETER: Row(400, _REQUEST),
    RefusalCode.INVALID_PARAMETER: Row(400, _REQUEST),
    RefusalCode.INVALID_PURPOSE: Row(400, _REQUEST),
    RefusalCode.PREVIOUS_RESPONSE_NOT_FOUND: Row(400, _REQUEST),
    RefusalCode.CONTEXT_LENGTH_EXCEEDED: Row(400, _REQUEST),
    RefusalCode.CONTENT_FILTER: Row(400, _REQUEST),
    RefusalCode.INVALID_MODEL: Row(404, "not_found_error"),
    RefusalCode.MODEL_NOT_ALLOWED: Row(403, _PERMISSION),
    RefusalCode.MODEL_TIER_RESTRICTED: Row(403, _PERMISSION),
    RefusalCode.BILLING_MODE_UNSUPPORTED: Row(403, _PERMISSION),
    RefusalCode.MODEL_UNPRICED: Row(503, _UNAVAILABLE),
    RefusalCode.RATE_LIMIT_EXCEEDED: Row(429, "rate_limit_error"),
    RefusalCode.STORAGE_FULL: Row(403, _PERMISSION),
    RefusalCode.INSUFFICIENT_CREDITS: Row(402, "billing_error"),
    RefusalCode.KEY_LIMIT_REACHED: Row(402, "billing_error"),
    RefusalCode.BUDGET_EXCEEDED: Row(402, "billing_error"),
    RefusalCode.NO_UPSTREAM_AVAILABLE: Row(503, _UNAVAILABLE),
    RefusalCode.LEDGER_UNAVAILABLE: Row(503, _UNAVAILABLE),
    RefusalCode.QUEUE_TIMEOUT: Row(503, _UNAVAILABLE),
    RefusalCode.STORAGE_UNAVAILABLE: Row(503, _UNAVAILABLE),
    RefusalCode.UPSTREAM_ERROR: Row(502, "upstream_error"),
    RefusalCode.UPSTREAM_TIMEOUT: Row(504, "upstream_error"),
}
INTERNAL = Row(500, "internal_error")
NO_RETRY = b"x-should-retry: false\r\n"

_NAME_THEIR_ERRORS = frozenset({"anthropic", "openai_responses"})
_PASSED_ON_TYPES = {404: "not_found_error", 409: "conflict_error", 422: "validation_error"}


def render_refusal(refusal: Refusal, *, dialect: Dialect | None = None, top_up_url: str = "") -> bytes:
    """The body of a refusal; amounts as decimal strings of credits."""
    extra: dict[str, object] = {}
    for name in ("required", "available", "held"):
        amount = getattr(refusal, name)
        if amount is not None:
            extra[name] = format_credits(amount)
    if refusal.affordable_max_tokens is not None:
        extra["affordable_max_tokens"] = refusal.affordable_max_tokens
    if refusal.tier is not None:
        extra["tier"] = refusal.tier
    if refusal.resets_us is not None:
        extra["resets_at"] = refusal.resets_us // 1_000_000
    if refusal.top_up and top_up_url:
        extra["top_up_url"] = top_up_url
    render = openai_errors.render if dialect is None else dialect.render_error
    return render(STATUSES[refusal.code].type, refusal.code.value, refusal.message, param=refusal.param, extra=extra)


def render_passed_on(status: int, error: UpstreamError, dialect: Dialect) -> bytes:
    """A provider's own refusal, scrubbed, in the caller's dialect."""
    kind = _PASSED_ON_TYPES.get(status, _REQUEST)
    code = error.code or ("context_length_exceeded" if _speaks_of_context(error.message) else "invalid_request")
    return dialect.render_error(kind, code, error.message, param=error.param)


def render_internal(request_id: str, dialect: Dialect | None = None) -> bytes:
    """What a mistake of ours looks like from outside: an id to ask about, and nothing else."""
    message = (
        f"Something went wrong here. Please tell the operator the request id {request_id}; "
        "if anything was charged, its receipt says so."
    )
    render = openai_errors.render if dialect is None else dialect.render_error
    return render(INTERNAL.type, "internal_error", message)


def error_event(body: bytes, dialect: Dialect | None) -> bytes:
    """An error body as the last event of a stream that is broken off; clients of some dialects look at its name."""
    name = b"event: error\n" if dialect is not None and dialect.name in _NAME_THEIR_ERRORS else b""
    return name + b"data: " + body + b"\n\n"


def retry_lines(refusal: Refusal) -> bytes:
    """When to come back, and whether an SDK should try by itself."""
    when = b"" if refusal.retry_after_s is None else b"retry-after: %d\r\n" % refusal.retry_after_s
    return when if refusal.retry_helps else when + NO_RETRY


def _speaks_of_context(message: str) -> bool:
    lowered = message.lower()
    return "context" in lowered and ("length" in lowered or "window" in lowered)
