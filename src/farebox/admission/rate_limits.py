"""Requests and tokens per minute, requests per day, concurrency: what is refused, counted and shown.

In: the gates under the lock, the tokens a request may use. Out: a refusal with the seconds to
wait, what was counted in the gates' windows, or the numbers for the rate-limit headers. A tier's
limits count over the account or for each key (`limit_scope`); a key's own limits count for the key,
beside them. Never lets more through a window than its limit, whatever the moment it is looked at.
"""

from __future__ import annotations

import msgspec

from farebox.admission.limits import Windows
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.admission.state import UNLIMITED, AdmissionRequest, Gates, Limits, LimitScope
from farebox.admission.tiers import lowest_fitting

_PER_KEY = LimitScope.KEY
CONCURRENCY_RETRY_S = 1
"""When a running request ends is unknown; a second is the least a client can be told to wait."""


class RateNow(msgspec.Struct, frozen=True, gc=False):
    """Requests per minute, for the headers. `limit` and `remaining` are None where unlimited."""

    limit: int | None
    remaining: int | None
    used: int
    reset_s: int
    """Unix second at which the whole limit is free again, if nothing more is asked."""


def check_limits(limits: Limits) -> None:
    """Refuse, with `ValueError`, a limit below one: `None` is unlimited, and a key is switched off by its own flag."""
    for name in limits.__struct_fields__:
        limit = getattr(limits, name)
        if limit is not None and limit < 1:
            raise ValueError(f"{name} must be at least 1, or none at all")


def check_size(gates: Gates, request: AdmissionRequest) -> Refusal | None:
    """Refuse what could never fit: an input larger than a whole minute's tokens. Waiting cannot help it."""
    limit = _least(gates.tier.limits.tokens_per_minute, gates.key.limits.tokens_per_minute)
    if limit is None or request.input_tokens <= limit:
        return None
    own = gates.key.limits.tokens_per_minute
    fitting = lowest_fitting(gates.rules.tiers, request.input_tokens)
    if own is not None and request.input_tokens > own:
        advice, fitting = "Raise the key's own limit, or use another key.", None
    else:
        advice = f"Tier {fitting.name} would fit it." if fitting else "No tier would fit it: send less."
    return Refusal(
        RefusalCode.INVALID_PARAMETER,
        f"The input counts as {request.input_tokens} tokens, more than the {limit} a minute that are allowed. {advice}",
        param="tokens_per_minute",
        tier=fitting.name if fitting else None,
    )


def check_rate(gates: Gates, tokens: int, *, now_us: int) -> Refusal | None:
    """Refuse what does not fit now; `tokens` is what the request may use in all, input and held output."""
    account, key, tier = gates.account, gates.key, gates.tier
    if gates.rules.limit_scope is _PER_KEY:
        limits = _lower(tier.limits, key.limits)
        return _check(limits, key.windows.at(now_us), key.running, tokens)
    refusal = None
    if tier.limits != UNLIMITED:
        refusal = _check(tier.limits, account.windows.at(now_us), account.running, tokens)
    if refusal is None and key.limits != UNLIMITED:
        refusal = _check(key.limits, key.windows.at(now_us), key.running, tokens)
    return refusal


def tokens_to_reserve(gates: Gates, tokens: int) -> int:
    """What of `tokens` to count before the answer: no more than the largest limit that applies."""
    tier, key = gates.tier.limits.tokens_per_minute, gates.key.limits
    if tier is None:
        return tokens if key == UNLIMITED or key.tokens_per_minute is None else min(tokens, key.tokens_per_minute)
    return min(tokens, max(tier, key.tokens_per_minute or 0))


def count(gates: Gates, tokens: int, *, now_us: int) -> None:
    """Count one admitted request and its reserved tokens, in every window that is kept."""
    if gates.rules.limit_scope is not _PER_KEY:
        gates.account.windows.at(now_us).add(1, tokens)
    if _keeps_key_windows(gates):
        gates.key.windows.at(now_us).add(1, tokens)


def correct(gates: Gates, delta: int, *, admitted_us: int, now_us: int) -> None:
    """Put the tokens of a request admitted at `admitted_us` right by `delta`. Requests are never given back."""
    if delta == 0:
        return
    if gates.rules.limit_scope is not _PER_KEY:
        gates.account.windows.at(now_us).correct_tokens(admitted_us, delta)
    if _keeps_key_windows(gates):
        gates.key.windows.at(now_us).correct_tokens(admitted_us, delta)


def rate_now(gates: Gates, *, now_us: int) -> RateNow:
    """Where the caller stands on requests per minute: by the limit that leaves least."""
    account, key, tier = gates.account, gates.key, gates.tier
    if gates.rules.limit_scope is _PER_KEY:
        limit = _least(tier.limits.requests_per_minute, key.limits.requests_per_minute)
        return _rate(limit, key.windows.at(now_us))
    of_account = _rate(tier.limits.requests_per_minute, account.windows.at(now_us))
    if key.limits.requests_per_minute is None:
        return of_account
    of_key = _rate(key.limits.requests_per_minute, key.windows.at(now_us))
    if of_account.remaining is not None and of_account.remaining < (of_key.remaining or 0):
        return of_account
    return of_key


def _check(limits: Limits, windows: Windows, running: int, tokens: int) -> Refusal | None:
    most = limits.requests_per_minute
    if most is not None and windows.requests_minute >= most:
        wait_s = windows.until_requests_minute_s(most - 1)
        return _exceeded("requests_per_minute", f"{most} requests per minute", wait_s)
    most = limits.tokens_per_minute
    if most is not None and windows.tokens_minute + min(tokens, most) > most:
        wait_s = windows.until_tokens_minute_s(most - min(tokens, most))
        return _exceeded("tokens_per_minute", f"{most} tokens per minute", wait_s)
    most = limits.requests_per_day
    if most is not None and windows.requests_day >= most:
        wait_s = windows.until_requests_day_s(most - 1)
        return _exceeded("requests_per_day", f"{most} requests per day", wait_s, retry_helps=False)
    most = limits.concurrency
    if most is not None and running >= most:
        return _exceeded("concurrency", f"{most} requests at a time", CONCURRENCY_RETRY_S)
    return None


def _exceeded(limit: str, words: str, wait_s: int, *, retry_helps: bool = True) -> Refusal:
    return Refusal(
        RefusalCode.RATE_LIMIT_EXCEEDED,
        f"The limit of {words} is reached. Retry after {wait_s} seconds, or move to a higher tier.",
        param=limit,
        retry_after_s=wait_s,
        retry_helps=retry_helps,
    )


def _rate(limit: int | None, windows: Windows) -> RateNow:
    used = windows.requests_minute
    remaining = None if limit is None else limit - used if limit > used else 0
    return RateNow(limit, remaining, used, -(-windows.minute_empty_us // 1_000_000))


def _keeps_key_windows(gates: Gates) -> bool:
    return gates.rules.limit_scope is _PER_KEY or gates.key.limits != UNLIMITED


def _lower(one: Limits, other: Limits) -> Limits:
    if other == UNLIMITED:
        return one
    return Limits(
        _least(one.requests_per_minute, other.requests_per_minute),
        _least(one.tokens_per_minute, other.tokens_per_minute),
        _least(one.requests_per_day, other.requests_per_day),
        _least(one.concurrency, other.concurrency),
    )


def _least(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
