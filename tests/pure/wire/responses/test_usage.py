"""Usage of this dialect against recorded samples, and how it is shown again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import written

from farebox.tariff.meters import Meter, Usage
from farebox.wire.responses.usage import RESPONSES, usage_shown, usage_written, with_tool_calls
from farebox.wire.usage import ReportedUsage, UsageFault, read_usage

SAMPLES = json.loads((Path(__file__).parent.parent / "samples" / "openai_responses.json").read_text())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["name"])
def test_d26_recorded_usage_becomes_disjoint_meters(sample: dict[str, Any]) -> None:
    read = read_usage(written(sample["usage"]), RESPONSES)
    if "fault" in sample:
        assert read == UsageFault(sample["fault"])
    else:
        assert isinstance(read, ReportedUsage)
        assert {meter.value: count for meter, count in read.meters.items()} == sample["meters"]


def test_written_input_is_counted_by_the_lifetime_asked_for_where_the_provider_does_not_say() -> None:
    stated = written({"input_tokens": 9, "output_tokens": 1, "input_tokens_details": {"cache_write_tokens": 4}})
    read = read_usage(stated, RESPONSES, cache_write_meter=Meter.CACHE_WRITE_1H)
    assert isinstance(read, ReportedUsage)
    assert read.meters[Meter.CACHE_WRITE_1H] == 4


COUNTS = st.integers(0, 10_000)
METERS = (Meter.INPUT, Meter.CACHED_INPUT, Meter.CACHE_WRITE_5M, Meter.OUTPUT, Meter.REASONING)


@given(st.fixed_dictionaries(dict.fromkeys(METERS, COUNTS)))
def test_usage_written_is_read_as_it_was(meters: dict[Meter, int]) -> None:
    read = read_usage(written(usage_written(Usage(meters))), RESPONSES)
    assert isinstance(read, ReportedUsage)
    assert read.meters == meters


def test_what_is_shown_is_what_was_reported_with_our_charge_and_nothing_of_the_providers() -> None:
    stated = msgspec.Raw(written({"input_tokens": 5, "output_tokens": 2, "cost": 0.1, "odd": 1}))
    counted = with_tool_calls(stated, {Meter.SEARCHES: 2})
    shown = json.loads(msgspec.json.encode(usage_shown(counted, None, "0.5")))
    assert shown == {"input_tokens": 5, "output_tokens": 2, "odd": 1, "cost": "0.5"}
