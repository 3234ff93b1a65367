"""Windows: never more than the limit in any real minute or day, exact sums, few bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.admission.worlds import DAY, MINUTE, NOON, SECOND

from farebox.admission.limits import Windows

HOUR = 3600 * SECOND

gaps = st.one_of(
    st.integers(0, 2 * SECOND),
    st.sampled_from([MINUTE - 1, MINUTE, MINUTE - 800_000, MINUTE + SECOND]),
    st.integers(0, 2 * MINUTE),
)
arrivals = st.lists(st.tuples(gaps, st.integers(0, 60)), max_size=120)


def most_within(span_us: int, events: list[tuple[int, int]]) -> int:
    """The largest sum of any span of that length, by looking at every span that begins with an event."""
    return max((sum(n for at, n in events if first <= at <= first + span_us) for first, _ in events), default=0)


@given(arrivals, st.integers(1, 8), st.integers(60, 200))
def test_no_real_minute_holds_more_requests_or_tokens_than_the_limit(
    history: list[tuple[int, int]], requests_limit: int, tokens_limit: int
) -> None:
    packed, now, requests, tokens = b"", NOON, [], []
    for gap, size in history:
        now += gap
        windows = Windows(packed, now)
        if windows.requests_minute < requests_limit and windows.tokens_minute + size <= tokens_limit:
            windows.add(1, size)
            requests.append((now, 1))
            tokens.append((now, size))
        packed = windows.pack()
    assert most_within(MINUTE, requests) <= requests_limit
    assert most_within(MINUTE, tokens) <= tokens_limit


@given(st.lists(st.sampled_from([0, HOUR - 1, 5 * HOUR, 24 * HOUR - 1, 24 * HOUR]), max_size=60), st.integers(1, 4))
def test_no_real_day_holds_more_requests_than_the_limit(history: list[int], limit: int) -> None:
    packed, now, admitted = b"", NOON + 1_234_567, []
    for gap in history:
        now += gap
        windows = Windows(packed, now)
        if windows.requests_day < limit:
            windows.add(1, 0)
            admitted.append((now, 1))
        packed = windows.pack()
    assert most_within(DAY, admitted) <= limit


def test_two_bursts_59_2_seconds_apart_share_one_window() -> None:
    first = NOON + 900_000
    windows = Windows(b"", first)
    windows.add(10, 0)
    assert Windows(windows.pack(), first + 59_200_000).requests_minute == 10


def test_a_bucket_leaves_when_the_61st_second_after_it_begins() -> None:
    windows = Windows(b"", NOON + 999_999)
    windows.add(3, 30)
    packed = windows.pack()
    assert Windows(packed, NOON + 61 * SECOND - 1).requests_minute == 3
    assert Windows(packed, NOON + 61 * SECOND).requests_minute == 0
    assert Windows(packed, NOON + 61 * SECOND).requests_day == 3


@given(st.lists(st.tuples(st.integers(0, 3 * MINUTE), st.integers(0, 9), st.integers(-500, 500)), max_size=60))
def test_running_sums_equal_a_plain_count_of_buckets(steps: list[tuple[int, int, int]]) -> None:
    packed, now = b"", NOON
    requests: dict[int, int] = {}
    tokens: dict[int, int] = {}
    for gap, count, delta in steps:
        now += gap
        windows = Windows(packed, now)
        second = now // SECOND
        if count:
            windows.add(count, count * 100)
            requests[second] = requests.get(second, 0) + count
            tokens[second] = tokens.get(second, 0) + count * 100
        earlier = second - gap // SECOND
        windows.correct_tokens(earlier * SECOND, delta)
        if earlier in tokens and earlier > second - 61:
            tokens[earlier] = max(0, tokens[earlier] + delta)
        packed = windows.pack()
        again = Windows(packed, now)
        assert again.requests_minute == sum(n for at, n in requests.items() if at > second - 61)
        assert again.tokens_minute == sum(n for at, n in tokens.items() if at > second - 61)
        assert again.requests_day == sum(n for at, n in requests.items() if at // 3600 > second // 3600 - 25)


@given(st.lists(st.tuples(gaps, st.integers(0, 9), gaps, st.integers(-500, 500)), max_size=60))
def test_windows_kept_open_tell_the_same_as_windows_packed_in_between(steps: list[tuple[int, int, int, int]]) -> None:
    kept, packed, now = Windows(), b"", NOON
    for gap, count, back, delta in steps:
        now += gap
        fresh = Windows(packed, now)
        for windows in (kept.at(now), fresh):
            if count:
                windows.add(count, count * 100)
            windows.correct_tokens(now - back, delta)
        packed = fresh.pack()
        assert kept.pack() == packed
        assert kept.at(now - 1).pack() == packed
        assert (kept.requests_minute, kept.tokens_minute) == (fresh.requests_minute, fresh.tokens_minute)
        assert (kept.requests_day, kept.minute_empty_us) == (fresh.requests_day, fresh.minute_empty_us)


def test_an_idle_window_takes_no_bytes_and_a_busy_one_about_a_kilobyte() -> None:
    assert Windows(b"", NOON).pack() == b""
    packed = b""
    for step in range(2 * 90_000 // 30):
        windows = Windows(packed, NOON + step * 30 * SECOND)
        windows.add(1, 1)
        packed = windows.pack()
    assert len(packed) < 300
    for step in range(200):
        windows = Windows(packed, NOON + 2 * DAY + DAY // 4 + step * SECOND)
        windows.add(1, 1)
        packed = windows.pack()
    assert len(packed) < 1200
    assert Windows(packed, NOON + 9 * DAY).pack() == b""


def test_a_clock_that_stands_still_or_steps_back_counts_in_the_newest_bucket() -> None:
    windows = Windows(b"", NOON)
    windows.add(1, 5)
    back = Windows(windows.pack(), NOON - 5 * SECOND)
    back.add(1, 5)
    assert (back.requests_minute, back.tokens_minute) == (2, 10)
    assert Windows(back.pack(), NOON + 60 * SECOND).requests_minute == 2
    back.correct_tokens(NOON, -10)
    assert back.tokens_minute == 0


def test_a_correction_never_takes_a_bucket_below_zero_and_stops_when_it_left() -> None:
    windows = Windows(b"", NOON)
    windows.add(1, 100)
    windows.correct_tokens(NOON, -500)
    assert windows.tokens_minute == 0
    windows.correct_tokens(NOON, 40)
    assert windows.tokens_minute == 40
    later = Windows(windows.pack(), NOON + 2 * MINUTE)
    later.correct_tokens(NOON, 1_000)
    assert later.tokens_minute == 0


@given(st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(1, 50)), min_size=1, max_size=40), st.data())
def test_the_wait_is_the_shortest_after_which_it_fits(history: list[tuple[int, int]], data: st.DataObject) -> None:
    packed, now = b"", NOON
    for gap, size in history:
        now += gap
        windows = Windows(packed, now)
        windows.add(1, size)
        packed = windows.pack()
    windows = Windows(packed, now)
    most = data.draw(st.integers(0, windows.requests_minute - 1))
    wait_s = windows.until_requests_minute_s(most)
    assert Windows(packed, now + wait_s * SECOND).requests_minute <= most
    assert wait_s == 1 or Windows(packed, now + (wait_s - 1) * SECOND).requests_minute > most
    most = data.draw(st.integers(0, windows.tokens_minute - 1))
    wait_s = windows.until_tokens_minute_s(most)
    assert Windows(packed, now + wait_s * SECOND).tokens_minute <= most
    assert wait_s == 1 or Windows(packed, now + (wait_s - 1) * SECOND).tokens_minute > most


@pytest.mark.parametrize("minute", [0, 30, 59])
def test_a_full_day_waits_until_its_oldest_hour_has_left(minute: int) -> None:
    now = NOON + minute * MINUTE
    windows = Windows(b"", now)
    windows.add(5, 0)
    wait_s = windows.until_requests_day_s(4)
    assert wait_s == 25 * 3600 - minute * 60
    assert Windows(windows.pack(), now + wait_s * SECOND).requests_day == 0
