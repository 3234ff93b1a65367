"""A small world to admit into: gates with money, requests with prices, and the ledger's part played plainly."""

from __future__ import annotations

from typing import Any

import msgspec

from farebox.admission.admit import admit, extend, reserve, settle
from farebox.admission.budgets import Announcement
from farebox.admission.refusals import Refusal
from farebox.admission.state import (
    UNLIMITED,
    AccountGate,
    AdmissionRequest,
    Admitted,
    Gates,
    KeyGate,
    LimitScope,
    Rules,
    Settlement,
    Stale,
    Tier,
)
from farebox.admission.tiers import DEFAULT_TIERS
from farebox.ids import AccountId, KeyId
from farebox.ledger.commands import Books
from farebox.money import Nano

NOON = 1_793_534_400_000_000
"""2026-11-01 12:00 UTC, a Sunday."""
SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
CREDIT = 1_000_000_000

BOUNDLESS = Tier(name="boundless", rank=9, priority=4, limits=UNLIMITED)


def gates(available: int = 100 * CREDIT, *, tier: Tier = BOUNDLESS, per_key: bool = False, **key: Any) -> Gates:
    """An account with one key; further arguments are fields of the key."""
    account = AccountGate(id=AccountId("acct_a"), tier=tier.name)
    of_key = KeyGate(id=KeyId("key_a"), account_id=account.id, **key)
    scope = LimitScope.KEY if per_key else LimitScope.ACCOUNT
    books = Books(account_id=account.id, available=available)
    return Gates(account, of_key, books, tier, Rules(tiers=DEFAULT_TIERS, limit_scope=scope))


def asks(**fields: Any) -> AdmissionRequest:
    """A request at 2.50 a million input tokens and 10 a million output tokens, 1,000 of each, unless told otherwise."""
    plain: dict[str, Any] = {
        "model": "gpt-5",
        "model_rank": 0,
        "account_version": 1,
        "key_version": 1,
        "input_tokens": 1_000,
        "input_numerator": 1_000 * 2_500,
        "output_numerator": 10_000,
        "denominator": 1,
        "output_limit": 1_000,
        "output_max": 16_000,
    }
    return AdmissionRequest(**(plain | fields))


PRICE = 1_000 * 2_500 + 1_000 * 10_000
"""The worst case of `asks()`, in nanocredits."""


def take(world: Gates, request: AdmissionRequest, *, now_us: int = NOON) -> Admitted | Refusal | Stale:
    """Admit, and if admitted reserve and hold, as one command of the writer does."""
    answer = admit(world, request, now_us=now_us)
    if isinstance(answer, Admitted):
        reserve(world, answer, now_us=now_us)
        world.books.available -= answer.amount
        world.books.held += answer.amount
    return answer


def grow(
    world: Gates, request: AdmissionRequest, held: int, *, admitted_us: int = NOON, now_us: int = NOON
) -> int | Refusal:
    """Extend, and move the credits as the writer does."""
    amount = extend(world, request, held=Nano(held), admitted_us=admitted_us, now_us=now_us)
    if not isinstance(amount, Refusal):
        world.books.available -= amount
        world.books.held += amount
    return amount


def end(
    world: Gates,
    admitted: Admitted,
    *,
    charged: int,
    held: int | None = None,
    tokens_used: int = 0,
    admitted_us: int = NOON,
    now_us: int = NOON,
) -> list[Announcement]:
    """Settle and release, as one capture (or, with nothing charged, one void) of the writer does."""
    amount = admitted.amount if held is None else held
    ended = Settlement(admitted_us, admitted.tokens_reserved, tokens_used, Nano(amount), Nano(charged))
    told = settle(world, ended, now_us=now_us)
    world.books.held -= amount
    world.books.available += amount - charged
    return told


def with_limits(**limits: int) -> Tier:
    """A tier with these limits and no others."""
    return msgspec.structs.replace(BOUNDLESS, name="limited", limits=msgspec.structs.replace(UNLIMITED, **limits))
