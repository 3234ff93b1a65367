"""Caps and budgets: what they have left, what they count, when they start again.

In: a budget, amounts in nanocredits, microseconds since 1970. Out: a new budget; the old one
is never changed. Holds, extensions, captures and corrections all count in the period in which
the request was admitted, whenever they come. Calendar periods start in UTC, where every day has
86,400 seconds: no time zone and no clock change can move them.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import msgspec

from farebox.admission.state import Budget, Period
from farebox.money import MAX_NANO, Nano

DAY_US = 86_400_000_000
_LIFETIME, _WEEKLY, _MONTHLY = Period.LIFETIME, Period.WEEKLY, Period.MONTHLY
"""Bound once: reading a member from its class costs 0.1 µs, and a budget is looked at four times a request."""
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MONDAY_OFFSET = 3
"""1970 began on a Thursday."""


class Announcement(msgspec.Struct, frozen=True, gc=False):
    """A threshold of a budget is reached: told once a period."""

    budget_id: str
    threshold: int
    """Per cent of the limit."""
    charged: Nano
    """Charged in this period; holds under way are not in it."""
    limit: Nano
    period_start_us: int


def period_start_us(period: Period, now_us: int) -> int:
    """When the period around `now_us` began; 0 for a lifetime."""
    if period is _LIFETIME:
        return 0
    days = now_us // DAY_US
    if period is _WEEKLY:
        days -= (days + _MONDAY_OFFSET) % 7
    elif period is _MONTHLY:
        days = _month_start(days)
    return days * DAY_US


def next_period_us(period: Period, now_us: int) -> int | None:
    """When the period after the one around `now_us` begins; None for a lifetime."""
    if period is _LIFETIME:
        return None
    longest_days = {Period.DAILY: 1, Period.WEEKLY: 7, Period.MONTHLY: 31}[period]
    return period_start_us(period, period_start_us(period, now_us) + longest_days * DAY_US)


def check_budget(settings: Budget) -> None:
    """Refuse, with `ValueError`, a limit that is no amount of the books and thresholds that are no percentages."""
    if not 0 <= settings.limit <= MAX_NANO:
        raise ValueError(f"the limit of {settings.id} must be zero or more credits")
    if any(threshold <= 0 for threshold in settings.thresholds):
        raise ValueError(f"the thresholds of {settings.id} must be percentages above zero")


def started(settings: Budget, *, now_us: int) -> Budget:
    """A new budget: what was admitted before `now_us` is not counted and not stopped by it."""
    return msgspec.structs.replace(
        settings, period_start_us=now_us, used=0, held=0, announced=0, earlier_start_us=now_us, earlier_used=0
    )


def edited(current: Budget, settings: Budget, *, now_us: int) -> Budget:
    """`current` with the limit, action and thresholds of `settings` and its own counters.

    What requests under way have counted stays counted. Another period starts counting anew. A
    threshold that a higher limit puts out of reach again may be announced again.
    """
    if settings.period is not current.period:
        return started(settings, now_us=now_us)
    return msgspec.structs.replace(
        current,
        limit=settings.limit,
        action=settings.action,
        thresholds=settings.thresholds,
        announced=min(current.announced, _percent(current.used - current.held, settings.limit)),
    )


def roll(budget: Budget, *, now_us: int) -> Budget:
    """The budget in the period of `now_us`: itself, or with counters at zero if a new one has begun."""
    if now_us // DAY_US == budget.period_start_us // DAY_US:
        return budget
    start_us = period_start_us(budget.period, now_us)
    if start_us <= budget.period_start_us:
        return budget
    return msgspec.structs.replace(
        budget,
        period_start_us=start_us,
        used=0,
        held=0,
        announced=0,
        earlier_start_us=budget.period_start_us,
        earlier_used=budget.used,
    )


def rest(budget: Budget, *, admitted_us: int, now_us: int) -> int:
    """What a request admitted at `admitted_us` may still hold or charge under this budget; never below zero.

    A request from before the budget, or from more than a period ago, is not bound by it.
    """
    budget = roll(budget, now_us=now_us)
    if admitted_us >= budget.period_start_us:
        return max(0, budget.limit - budget.used)
    if admitted_us >= budget.earlier_start_us:
        return max(0, budget.limit - budget.earlier_used)
    return MAX_NANO


def add(budget: Budget, amount: int, *, admitted_us: int, now_us: int) -> Budget:
    """Count a hold, or what a hold grows by."""
    return _count(roll(budget, now_us=now_us), amount, amount, admitted_us)


def correct(budget: Budget, *, held: int, charged: int, admitted_us: int, now_us: int) -> Budget:
    """Replace a hold of `held` by its charge; a late charge has held nothing."""
    return _count(roll(budget, now_us=now_us), charged - held, -held, admitted_us)


def announce(budget: Budget) -> tuple[Budget, list[Announcement]]:
    """The thresholds that this period's charges have reached and nobody was told of, lowest first."""
    charged = budget.used - budget.held
    percent = _percent(charged, budget.limit)
    if not budget.thresholds or percent <= budget.announced:
        return budget, []
    reached = sorted(threshold for threshold in budget.thresholds if budget.announced < threshold <= percent)
    if not reached:
        return budget, []
    told = [Announcement(budget.id, each, Nano(charged), budget.limit, budget.period_start_us) for each in reached]
    return msgspec.structs.replace(budget, announced=reached[-1]), told


def _percent(charged: int, limit: int) -> int:
    """Whole per cent of the limit, rounded down: a threshold is reached, not nearly reached."""
    if charged <= 0:
        return 0
    return charged * 100 // limit if limit else MAX_NANO


@lru_cache(maxsize=64)
def _month_start(days: int) -> int:
    """The first day of the month of `days` since 1970, remembered because most requests share the day."""
    return days - date.fromordinal(_EPOCH_ORDINAL + days).day + 1


def _count(budget: Budget, used: int, held: int, admitted_us: int) -> Budget:
    if admitted_us >= budget.period_start_us:
        return msgspec.structs.replace(budget, used=budget.used + used, held=budget.held + held)
    if admitted_us >= budget.earlier_start_us:
        return msgspec.structs.replace(budget, earlier_used=budget.earlier_used + used)
    return budget
