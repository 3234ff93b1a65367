"""Meters: the inheritance table, and counts that are no usage."""

from __future__ import annotations

import pytest

from farebox.tariff.meters import (
    INPUT_TOKENS,
    MAX_QUANTITY,
    OUTPUT_TOKENS,
    PARENT,
    SUBUNITS,
    Meter,
    UsageProblem,
    UsageRefusal,
    default_per,
    input_tokens,
    output_tokens,
    read_usage,
)


def test_a_meter_inherits_from_its_own_side_and_never_in_a_circle() -> None:
    for meter, parent in PARENT.items():
        assert ({meter, parent} <= INPUT_TOKENS) or ({meter, parent} <= OUTPUT_TOKENS)
        seen = {meter}
        while parent in PARENT:
            assert parent not in seen
            seen.add(parent)
            parent = PARENT[parent]
        assert parent in (Meter.INPUT, Meter.OUTPUT)


def test_every_token_meter_but_the_two_roots_has_a_parent() -> None:
    assert set(PARENT) == (INPUT_TOKENS | OUTPUT_TOKENS) - {Meter.INPUT, Meter.OUTPUT}


def test_tokens_are_priced_by_the_million_and_seconds_counted_in_milliseconds() -> None:
    assert {meter for meter in Meter if default_per(meter) == 1_000_000} == INPUT_TOKENS | OUTPUT_TOKENS
    assert {meter for meter in Meter if meter.endswith("_seconds")} == set(SUBUNITS)


@pytest.mark.parametrize(
    ("count", "problem"),
    [
        (-1, UsageProblem.NEGATIVE),
        (None, UsageProblem.NOT_WHOLE),
        (1.0, UsageProblem.NOT_WHOLE),
        ("7", UsageProblem.NOT_WHOLE),
        (True, UsageProblem.NOT_WHOLE),
        (MAX_QUANTITY + 1, UsageProblem.TOO_LARGE),
    ],
)
def test_d28_a_count_that_cannot_be_is_refused_as_usage(count: object, problem: UsageProblem) -> None:
    assert read_usage({"input": 1, "output": count}) == UsageRefusal("output", problem)


def test_a_meter_nobody_knows_is_refused() -> None:
    assert read_usage({"thoughts": 1}) == UsageRefusal("thoughts", UsageProblem.UNKNOWN_METER)


def test_d25_a_stated_zero_stays_and_a_missing_count_stays_missing() -> None:
    usage = read_usage({"input": 5, "cached_input": 0, "reasoning": 2})
    assert usage == {Meter.INPUT: 5, Meter.CACHED_INPUT: 0, Meter.REASONING: 2}
    assert not isinstance(usage, UsageRefusal)
    assert (input_tokens(usage), output_tokens(usage)) == (5, 2)
