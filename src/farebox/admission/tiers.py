"""Tiers: the defaults a fresh installation starts with, and which tier would help.

Tiers are rows the operator edits; nothing else in the code knows their names or numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

from farebox.admission.state import Limits, Tier
from farebox.faults import SetupFault

_MB = 1 << 20
_GB = 1 << 30

DEFAULT_TIERS: tuple[Tier, ...] = (
    Tier(
        name="free",
        rank=0,
        priority=1,
        limits=Limits(requests_per_minute=10, tokens_per_minute=40_000, requests_per_day=500),
        max_api_keys=5,
        max_file_bytes=10 * _MB,
        max_storage_bytes=100 * _MB,
    ),
    Tier(
        name="basic",
        rank=1,
        priority=2,
        limits=Limits(requests_per_minute=50, tokens_per_minute=200_000, requests_per_day=10_000),
        max_api_keys=20,
        max_file_bytes=100 * _MB,
        max_storage_bytes=1 * _GB,
    ),
    Tier(
        name="pro",
        rank=2,
        priority=3,
        limits=Limits(requests_per_minute=100, tokens_per_minute=1_000_000, requests_per_day=100_000),
        webhooks=True,
        max_api_keys=100,
        max_file_bytes=512 * _MB,
        max_storage_bytes=10 * _GB,
    ),
    Tier(
        name="enterprise",
        rank=3,
        priority=4,
        webhooks=True,
        max_file_bytes=2 * _GB,
        max_storage_bytes=100 * _GB,
    ),
)


def named(tiers: Iterable[Tier], name: str) -> Tier:
    """The tier called `name`. Raises `SetupFault` if an account has a tier that does not exist."""
    for tier in tiers:
        if tier.name == name:
            return tier
    raise SetupFault(f"there is no tier {name!r}: create it, or move its accounts to another tier")


def lowest_reaching(tiers: Iterable[Tier], rank: int) -> Tier | None:
    """The lowest tier that may use models of `rank`; None if no tier may."""
    return _lowest(tier for tier in tiers if tier.rank >= rank)


def lowest_fitting(tiers: Iterable[Tier], tokens: int) -> Tier | None:
    """The lowest tier whose minute ever has room for `tokens`; None if no tier's has."""
    return _lowest(tier for tier in tiers if _fits(tier.limits.tokens_per_minute, tokens))


def _lowest(tiers: Iterable[Tier]) -> Tier | None:
    return min(tiers, key=lambda tier: tier.rank, default=None)


def _fits(limit: int | None, tokens: int) -> bool:
    return limit is None or tokens <= limit
