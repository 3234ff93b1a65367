"""Conditions: what matches, and what could or must come to match."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pure.tariff import cards

from farebox.tariff.conditions import DAY_US, Circumstances, Condition, Possibility, Prospect, When

HOUR_US = DAY_US // 24
IMPOSSIBLE, POSSIBLE, CERTAIN = Possibility


def condition(raw: dict[str, Any]) -> Condition:
    return Condition(msgspec.convert(raw, When))


@settings(max_examples=200, deadline=None)
@given(cards.whens(), cards.circumstances, st.integers(0, 6000), st.data())
def test_what_matches_was_possible_and_what_was_certain_matches(
    raw: dict[str, Any], served: Circumstances, input_tokens: int, data: st.DataObject
) -> None:
    prospect, bound = data.draw(cards.prospects_of(served)), input_tokens + data.draw(st.integers(0, 3000))
    possibility = condition(raw).possibility(prospect, bound)
    matches = condition(raw).matches(served, input_tokens)
    assert possibility is not IMPOSSIBLE or not matches
    assert possibility is not CERTAIN or matches


FLEX = {"service_tier": ["flex", "batch_flex"]}
CLIP = {"parameters": {"duration": [5, 10], "resolution": "1080p"}}
NIGHT = {"utc_window": "22:00-06:00"}
WEEKEND = {"utc_weekdays": [6, 7]}
SATURDAY = 2 * DAY_US
"""The third of January 1970."""


@pytest.mark.parametrize(
    ("raw", "prospect", "expected"),
    [
        ({"input_above": 99}, Prospect(), POSSIBLE),
        ({"input_above": 100}, Prospect(), IMPOSSIBLE),
        ({"batch": True}, Prospect(batch=True), CERTAIN),
        ({"batch": True}, Prospect(), IMPOSSIBLE),
        ({"batch": True, "input_above": 50}, Prospect(batch=True), POSSIBLE),
        (FLEX, Prospect(), POSSIBLE),
        (FLEX, Prospect(service_tiers=frozenset({"flex"})), CERTAIN),
        (FLEX, Prospect(service_tiers=frozenset({"flex", None})), POSSIBLE),
        (FLEX, Prospect(service_tiers=frozenset({"default", None})), IMPOSSIBLE),
        (CLIP, Prospect(), POSSIBLE),
        (CLIP, Prospect(parameters={"duration": "5"}), POSSIBLE),
        (CLIP, Prospect(parameters={"duration": "8"}), IMPOSSIBLE),
        (CLIP, Prospect(parameters={"duration": "5", "resolution": None}), IMPOSSIBLE),
        (CLIP, Prospect(parameters={"duration": "5", "resolution": "1080p"}), CERTAIN),
        (NIGHT, Prospect(), POSSIBLE),
        (NIGHT, Prospect(span_us=(22 * HOUR_US, 30 * HOUR_US - 1)), CERTAIN),
        (NIGHT, Prospect(span_us=(23 * HOUR_US, 30 * HOUR_US)), POSSIBLE),
        (NIGHT, Prospect(span_us=(6 * HOUR_US, 22 * HOUR_US - 1)), IMPOSSIBLE),
        (NIGHT, Prospect(span_us=(6 * HOUR_US, 22 * HOUR_US)), POSSIBLE),
        (WEEKEND, Prospect(), POSSIBLE),
        (WEEKEND, Prospect(span_us=(SATURDAY, SATURDAY + 2 * DAY_US - 1)), CERTAIN),
        (WEEKEND, Prospect(span_us=(SATURDAY, SATURDAY + 2 * DAY_US)), POSSIBLE),
        (WEEKEND, Prospect(span_us=(SATURDAY - 1, SATURDAY)), POSSIBLE),
        (WEEKEND, Prospect(span_us=(SATURDAY - DAY_US, SATURDAY - 1)), IMPOSSIBLE),
        (WEEKEND, Prospect(span_us=(0, 7 * DAY_US)), POSSIBLE),
    ],
)
def test_the_possibility_of_a_condition(raw: dict[str, Any], prospect: Prospect, expected: Possibility) -> None:
    assert condition(raw).possibility(prospect, 100) is expected


def test_a_tier_or_parameter_that_is_not_stated_matches_nothing() -> None:
    silent = Circumstances(at_us=0)
    assert not condition(FLEX).matches(silent, 0)
    assert not condition(CLIP).matches(silent, 0)
    assert condition(CLIP).matches(Circumstances(0, parameters={"duration": "10", "resolution": "1080p"}), 0)


@pytest.mark.parametrize("week", [0, 1, 2_960])
def test_a_weekday_is_that_of_the_arrival_in_utc(week: int) -> None:
    days = [condition({"utc_weekdays": [day]}) for day in range(1, 8)]
    thursday = week * 7 * DAY_US
    for after, expected in enumerate([4, 5, 6, 7, 1, 2, 3]):
        for at_us in (thursday + after * DAY_US, thursday + (after + 1) * DAY_US - 1):
            matching = [day for day, each in enumerate(days, 1) if each.matches(Circumstances(at_us), 0)]
            assert matching == [expected]


def test_a_day_of_the_week_that_is_none_is_refused() -> None:
    for wrong in ([0], [8], [1, 9]):
        with pytest.raises(msgspec.ValidationError, match="utc_weekdays"):
            condition({"utc_weekdays": wrong})
