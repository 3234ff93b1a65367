"""Why a request got no answer: the provider's refusal of it, or ours in the provider's place.

The sentences a customer reads when a provider failed. They name no provider, key or address (d50).
"""

from __future__ import annotations

import msgspec

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.relay.job import Stamp
from farebox.upstream.channels import Health, NoneAvailable
from farebox.upstream.trouble import TimedOut, UpstreamFault
from farebox.wire.openai_errors import UpstreamError

LONGEST_ADVICE_S = 60
NOTHING_SAID = UpstreamError("The provider refused the request.")


class CallerRefused(msgspec.Struct, frozen=True, gc=False):
    """The provider refused the request itself."""

    status: int
    error: UpstreamError


class NotSent(msgspec.Struct, frozen=True, gc=False):
    """Nobody served it: why, and which row of the failure policy that is."""

    refusal: Refusal
    stamp: Stamp


def queue_timeout() -> NotSent:
    """No slot came free in time."""
    return NotSent(
        Refusal(
            RefusalCode.QUEUE_TIMEOUT,
            "Every channel for this model is busy and no slot came free in time. Try again shortly.",
            retry_after_s=5,
            retry_helps=True,
        ),
        Stamp.NO_UPSTREAM,
    )


def none_available(none: NoneAvailable) -> NotSent:
    """No place serves now; a provider's rate limit is told as one."""
    if none.health is Health.COOLING:
        return rate_limited(none.retry_after_s)
    return NotSent(
        Refusal(
            RefusalCode.NO_UPSTREAM_AVAILABLE,
            "No provider can serve this model at the moment. Try again later, or use another model.",
            retry_after_s=min(none.retry_after_s, LONGEST_ADVICE_S),
            retry_helps=True,
        ),
        Stamp.NO_UPSTREAM,
    )


def key_rejected() -> NotSent:
    """The provider turned the operator's key away: never the customer's 401."""
    refused = none_available(NoneAvailable(Health.BENCHED, 30))
    return NotSent(refused.refusal, Stamp.UPSTREAM_FAILED)


def rate_limited(wait_s: float | None) -> NotSent:
    """Every key for this model rests."""
    seconds = max(1, int(wait_s or 1))
    return NotSent(
        Refusal(
            RefusalCode.RATE_LIMIT_EXCEEDED,
            f"The provider of this model is at its own limit. Try again in {seconds} s.",
            param="upstream",
            retry_after_s=seconds,
            retry_helps=True,
        ),
        Stamp.UPSTREAM_FAILED,
    )


def upstream_failed(fault: UpstreamFault | None = None) -> NotSent:
    """The provider answered with a failure, or not at all."""
    code, what = RefusalCode.UPSTREAM_ERROR, "failed to answer"
    if isinstance(fault, TimedOut):
        code, what = RefusalCode.UPSTREAM_TIMEOUT, "did not answer in time"
    message = f"The provider {what}. Nothing was charged; the request can be repeated."
    return NotSent(Refusal(code, message, retry_helps=True), Stamp.UPSTREAM_FAILED)
