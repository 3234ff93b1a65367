"""What a provider's status means for the request, for its key and for its channel.

The table of `docs/concepts/failures.md`: who is at fault decides whether another upstream is
tried, whose health suffers, and what the customer is told.
"""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    ANSWERED = "answered"
    CALLER_ERROR = "caller_error"
    """About the request: passed on, no failover, no effect on health."""
    RATE_LIMITED = "rate_limited"
    """This upstream key must rest; another may serve."""
    KEY_REJECTED = "key_rejected"
    """This upstream key is benched and the operator told; another may serve."""
    FAILED = "failed"
    """The provider is in trouble; another may serve while nothing was sent."""


CALLER_ERRORS = frozenset({400, 404, 409, 413, 415, 422})
RATE_LIMITS = frozenset({429, 529})
KEY_REJECTIONS = frozenset({401, 402, 403})
OUT_OF_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""Codes by which a 429, or Anthropic's 400, says that the operator's own account is empty: waiting does not help."""

BAD_KEY = frozenset({"invalid_api_key"})
"""What Google's 400 says of a key it does not know."""


def verdict_on(status: int, code: str | None = None) -> Verdict:
    """Judge a final status and the error code beside it; anything unknown counts as the provider's failure."""
    if 200 <= status < 300:
        return Verdict.ANSWERED
    if status in CALLER_ERRORS:
        return Verdict.KEY_REJECTED if code in OUT_OF_MONEY or code in BAD_KEY else Verdict.CALLER_ERROR
    if status in RATE_LIMITS:
        return Verdict.KEY_REJECTED if code in OUT_OF_MONEY else Verdict.RATE_LIMITED
    return Verdict.KEY_REJECTED if status in KEY_REJECTIONS else Verdict.FAILED


def retry_after_s(headers: list[tuple[bytes, bytes]]) -> float | None:
    """The seconds of a `Retry-After` header; None where there is none, or it is a date or nonsense."""
    for name, value in headers:
        if name == b"retry-after" and value.isdigit() and len(value) < 7:
            return float(value)
    return None
