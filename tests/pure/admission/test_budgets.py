"""Caps and budgets: calendar periods in UTC, counters that end at what was charged, edits that lose nothing."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.admission.worlds import DAY, NOON

from farebox.admission.budgets import (
    add,
    announce,
    correct,
    edited,
    next_period_us,
    period_start_us,
    rest,
    roll,
    started,
)
from farebox.admission.state import Budget, BudgetAction, Period
from farebox.money import Nano

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def budget(limit: int = 1_000, period: Period = Period.LIFETIME, **fields: object) -> Budget:
    return msgspec.structs.replace(Budget(id="budget_a", limit=Nano(limit), period=period), **fields)


PERIODS = [
    # now                           daily         weekly        monthly
    ("2026-11-01T12:00:00", "2026-11-01", "2026-10-26", "2026-11-01"),  # a Sunday
    ("2026-11-02T00:00:00", "2026-11-02", "2026-11-02", "2026-11-01"),  # a Monday, to the second
    ("2026-11-01T23:59:59.999999", "2026-11-01", "2026-10-26", "2026-11-01"),
    ("2026-01-31T23:59:59", "2026-01-31", "2026-01-26", "2026-01-01"),  # a month of 31 days
    ("2028-02-29T08:00:00", "2028-02-29", "2028-02-28", "2028-02-01"),  # a leap day
    ("2028-03-01T00:00:00", "2028-03-01", "2028-02-28", "2028-03-01"),
    ("2100-02-28T23:00:00", "2100-02-28", "2100-02-22", "2100-02-01"),  # no leap year
    ("2100-03-01T00:00:00", "2100-03-01", "2100-03-01", "2100-03-01"),
    ("2026-03-29T01:30:00", "2026-03-29", "2026-03-23", "2026-03-01"),  # Europe puts its clocks forward
    ("2026-10-25T01:30:00", "2026-10-25", "2026-10-19", "2026-10-01"),  # and back
    ("2026-12-31T23:59:59", "2026-12-31", "2026-12-28", "2026-12-01"),
    ("2027-01-01T00:00:00", "2027-01-01", "2026-12-28", "2027-01-01"),
]


@pytest.mark.parametrize(("now", "daily", "weekly", "monthly"), PERIODS)
def test_d51_periods_start_on_the_calendar_in_utc(now: str, daily: str, weekly: str, monthly: str) -> None:
    assert period_start_us(Period.DAILY, us(now)) == us(daily)
    assert period_start_us(Period.WEEKLY, us(now)) == us(weekly)
    assert period_start_us(Period.MONTHLY, us(now)) == us(monthly)
    assert period_start_us(Period.LIFETIME, us(now)) == 0


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))
def test_d51_periods_agree_with_the_calendar_of_the_standard_library(moment: datetime) -> None:
    now = us(moment.isoformat())
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    month = midnight.replace(day=1)
    assert period_start_us(Period.DAILY, now) == us(midnight.isoformat())
    assert period_start_us(Period.WEEKLY, now) == us((midnight - timedelta(days=midnight.weekday())).isoformat())
    assert period_start_us(Period.MONTHLY, now) == us(month.isoformat())
    following = month + timedelta(days=monthrange(month.year, month.month)[1])
    assert next_period_us(Period.MONTHLY, now) == us(following.isoformat())


def test_d51_monthly_resets_do_not_drift_over_four_years() -> None:
    current, now, resets = budget(period=Period.MONTHLY, period_start_us=us("2025-01-01")), us("2025-01-01"), []
    while now < us("2029-01-01"):
        now += DAY
        rolled = roll(add(current, 1, admitted_us=now - 1, now_us=now - 1), now_us=now)
        if rolled.period_start_us != current.period_start_us:
            resets.append(rolled.period_start_us)
        current = rolled
    firsts = [us(f"{year}-{month:02}-01") for year in range(2025, 2029) for month in range(1, 13)]
    assert resets == [*firsts[1:], us("2029-01-01")]


def test_a_new_period_starts_at_zero_and_an_old_clock_never_brings_the_past_back() -> None:
    yesterday = add(budget(period=Period.DAILY), 600, admitted_us=NOON, now_us=NOON)
    assert rest(yesterday, admitted_us=NOON, now_us=NOON) == 400
    assert rest(yesterday, admitted_us=NOON + DAY, now_us=NOON + DAY) == 1_000
    today = roll(yesterday, now_us=NOON + DAY)
    assert (today.used, today.held, today.announced) == (0, 0, 0)
    assert roll(today, now_us=NOON) is today


def test_a_correction_counts_in_the_period_of_admission() -> None:
    before, after = us("2026-11-01T23:59:50"), us("2026-11-02T00:00:10")
    daily = add(budget(period=Period.DAILY), 600, admitted_us=before, now_us=before)
    daily = add(daily, 300, admitted_us=after, now_us=after)
    daily = correct(daily, held=600, charged=100, admitted_us=before, now_us=after)
    assert (daily.used, daily.held, daily.earlier_used) == (300, 300, 100)
    assert rest(daily, admitted_us=after, now_us=after) == 700


def test_a_stream_over_midnight_stays_within_the_cap_of_the_day_it_was_admitted_in() -> None:
    before, after = us("2026-11-01T23:59:50"), us("2026-11-02T00:00:10")
    daily = add(budget(period=Period.DAILY), 900, admitted_us=before, now_us=before)
    assert rest(daily, admitted_us=before, now_us=after) == 100
    daily = add(daily, 100, admitted_us=before, now_us=after)
    assert rest(daily, admitted_us=before, now_us=after) == 0
    assert rest(daily, admitted_us=after, now_us=after) == 1_000


def test_a_new_budget_neither_counts_nor_stops_what_was_admitted_before_it() -> None:
    fresh = started(budget(period=Period.MONTHLY), now_us=NOON)
    fresh = correct(fresh, held=500, charged=200, admitted_us=NOON - 1, now_us=NOON + 5)
    assert (fresh.used, fresh.held) == (0, 0)
    assert rest(fresh, admitted_us=NOON - 1, now_us=NOON + 5) > 1_000
    fresh = add(fresh, 300, admitted_us=NOON + 5, now_us=NOON + 5)
    assert rest(fresh, admitted_us=NOON + 5, now_us=NOON + 5) == 700


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 2 * 10**6), st.integers(0, 40 * DAY)), max_size=30),
    st.sampled_from(list(Period)),
    st.randoms(use_true_random=False),
)
def test_counters_return_to_what_was_charged_in_the_period(
    requests: list[tuple[int, int, int]], period: Period, shuffle: object
) -> None:
    now, current, open_holds = NOON, budget(10**9, period), list[tuple[int, int, int]]()
    for held, charged, gap in requests:
        now += gap
        current = add(current, held, admitted_us=now, now_us=now)
        open_holds.append((now, held, charged))
    shuffle.shuffle(open_holds)  # pyright: ignore
    for at, held, charged in open_holds:
        current = correct(current, held=held, charged=charged, admitted_us=at, now_us=now)
    start = period_start_us(period, now)
    assert current.held == 0
    assert current.used == sum(charged for at, _, charged in open_holds if at >= start)


def test_d12_editing_a_cap_while_requests_run_loses_nothing() -> None:
    cap = add(budget(1_000), 400, admitted_us=NOON, now_us=NOON)
    cap = edited(cap, budget(5_000, thresholds=(80,)), now_us=NOON)
    cap = add(cap, 300, admitted_us=NOON, now_us=NOON)
    cap = correct(cap, held=400, charged=150, admitted_us=NOON, now_us=NOON)
    cap = edited(cap, budget(500), now_us=NOON)
    cap = correct(cap, held=300, charged=50, admitted_us=NOON, now_us=NOON)
    assert (cap.limit, cap.used, cap.held) == (500, 200, 0)
    assert rest(cap, admitted_us=NOON, now_us=NOON) == 300


def test_a_cap_with_another_period_counts_anew() -> None:
    cap = add(budget(1_000, Period.DAILY), 400, admitted_us=NOON, now_us=NOON)
    cap = edited(cap, budget(1_000, Period.MONTHLY), now_us=NOON + 1)
    assert (cap.period, cap.used, cap.period_start_us) == (Period.MONTHLY, 0, NOON + 1)


ANNOUNCED = [
    # charged one after the other   announced after each
    ([499, 1, 1], [[], [50], []]),
    ([800], [[50, 80]]),
    ([500, 500, 1], [[50], [80, 100], []]),
    ([2_000], [[50, 80, 100]]),
]


@pytest.mark.parametrize(("charges", "expected"), ANNOUNCED)
@pytest.mark.parametrize("action", list(BudgetAction))
def test_each_threshold_is_announced_once(charges: list[int], expected: list[list[int]], action: BudgetAction) -> None:
    current, told = budget(1_000, thresholds=(100, 50, 80), action=action), []
    for amount in charges:
        current = add(current, amount, admitted_us=NOON, now_us=NOON)
        current = correct(current, held=amount, charged=amount, admitted_us=NOON, now_us=NOON)
        current, news = announce(current)
        told.append([each.threshold for each in news])
    assert told == expected


def test_a_hold_alone_announces_nothing() -> None:
    held = add(budget(1_000, thresholds=(50,)), 900, admitted_us=NOON, now_us=NOON)
    assert announce(held) == (held, [])
    charged = correct(held, held=900, charged=100, admitted_us=NOON, now_us=NOON)
    assert announce(charged)[1] == []


def test_a_new_period_announces_again_and_a_higher_limit_too() -> None:
    def spend(current: Budget, amount: int, now: int) -> tuple[Budget, list[int]]:
        counted = correct(current, held=0, charged=amount, admitted_us=now, now_us=now)
        after, news = announce(counted)
        return after, [each.threshold for each in news]

    current, told = spend(budget(1_000, Period.DAILY, thresholds=(80,)), 800, NOON)
    assert told == [80]
    raised, told = spend(edited(current, budget(2_000, Period.DAILY, thresholds=(80,)), now_us=NOON), 800, NOON)
    assert (raised.used, told) == (1_600, [80])
    _, told = spend(current, 900, NOON + DAY)
    assert told == [80]


def test_a_budget_of_zero_is_reached_by_the_first_charge() -> None:
    nothing = budget(0, thresholds=(50, 100))
    assert announce(nothing)[1] == []
    charged = correct(nothing, held=0, charged=1, admitted_us=NOON, now_us=NOON)
    assert [each.threshold for each in announce(charged)[1]] == [50, 100]
