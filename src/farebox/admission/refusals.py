"""Refusals: why a request does not go on, as values, and which reason wins.

A refusal says what is wrong, what to do next and whether trying again can help. It knows no
HTTP status and no dialect (the edge gives it both) and never carries a secret, an upstream's
name or another customer's numbers. A new refusal is one row in `RefusalCode`, at its place.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from farebox.money import NANO_PER_CREDIT, Nano, format_credits


class RefusalCode(StrEnum):
    """Every reason, in the order they are looked at: the first that holds is the answer."""

    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"

    MISSING_API_KEY = "missing_api_key"
    INVALID_API_KEY = "invalid_api_key"
    KEY_REVOKED = "key_revoked"
    KEY_EXPIRED = "key_expired"

    ACCOUNT_SUSPENDED = "account_suspended"
    KEY_DISABLED = "key_disabled"
    IP_NOT_ALLOWED = "ip_not_allowed"

    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    IDEMPOTENCY_COMPLETED = "idempotency_completed"

    BODY_TOO_LARGE = "body_too_large"
    FILE_TOO_LARGE = "file_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    INVALID_JSON = "invalid_json"
    INVALID_MESSAGES = "invalid_messages"
    MISSING_PARAMETER = "missing_parameter"
    INVALID_PARAMETER = "invalid_parameter"
    INVALID_PURPOSE = "invalid_purpose"
    PREVIOUS_RESPONSE_NOT_FOUND = "previous_response_not_found"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    CONTENT_FILTER = "content_filter"

    INVALID_MODEL = "invalid_model"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    MODEL_TIER_RESTRICTED = "model_tier_restricted"
    BILLING_MODE_UNSUPPORTED = "billing_mode_unsupported"
    MODEL_UNPRICED = "model_unpriced"

    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    STORAGE_FULL = "storage_full"

    INSUFFICIENT_CREDITS = "insufficient_credits"
    KEY_LIMIT_REACHED = "key_limit_reached"
    BUDGET_EXCEEDED = "budget_exceeded"

    NO_UPSTREAM_AVAILABLE = "no_upstream_available"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    QUEUE_TIMEOUT = "queue_timeout"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_TIMEOUT = "upstream_timeout"


ORDER: tuple[RefusalCode, ...] = tuple(RefusalCode)
"""The precedence of refusals; a lower position wins."""

_POSITION = {code: position for position, code in enumerate(ORDER)}


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Why this request is refused. Nothing is held, counted or charged for it."""

    code: RefusalCode
    message: str
    """For the customer: what is wrong, then what to do."""
    param: str | None = None
    """The field, the limit or the budget it is about."""
    retry_after_s: int | None = None
    retry_helps: bool = False
    """False where the same request again cannot succeed soon; SDKs are told not to retry."""
    required: Nano | None = None
    available: Nano | None = None
    held: Nano | None = None
    affordable_max_tokens: int | None = None
    """The largest output limit (for each choice) that could be held now; None where output has no price."""
    top_up: bool = False
    """Buying credits helps: the edge says where."""
    resets_us: int | None = None
    """When the cap or budget starts again, in microseconds since 1970."""
    tier: str | None = None
    """The lowest tier that would do."""


def first(refusals: list[Refusal]) -> Refusal | None:
    """The refusal that wins of several that hold at once."""
    return min(refusals, key=lambda refusal: _POSITION[refusal.code], default=None)


def in_credits(amount: int) -> str:
    """An amount for a message: `"0.25 credits"`."""
    return f"{format_credits(amount)} {'credit' if amount == NANO_PER_CREDIT else 'credits'}"
