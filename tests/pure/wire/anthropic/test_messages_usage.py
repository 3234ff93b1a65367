"""Usage as Anthropic states it, against recorded samples, and the two words on it in a stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import written

from farebox.tariff.meters import Meter, input_tokens, output_tokens
from farebox.wire.anthropic.usage import ANTHROPIC, merged
from farebox.wire.usage import ReportedUsage, UsageFault, read_usage

SAMPLES = json.loads((Path(__file__).parents[1] / "samples" / "anthropic.json").read_text())


def meters_of(stated: Any, **how: Any) -> dict[str, int]:
    read = read_usage(written(stated), ANTHROPIC, **how)
    assert isinstance(read, ReportedUsage), read
    return {meter.value: count for meter, count in read.meters.items()}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["name"])
def test_d26_recorded_usage_becomes_disjoint_meters(sample: dict[str, Any]) -> None:
    if "fault" in sample:
        assert read_usage(written(sample["usage"]), ANTHROPIC) == UsageFault(sample["fault"])
    else:
        assert meters_of(sample["usage"]) == sample["meters"]


def test_d27_unsplit_writes_belong_to_the_lifetime_asked_for() -> None:
    stated = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 40}
    assert meters_of(stated, cache_write_meter=Meter.CACHE_WRITE_1H)["cache_write_1h"] == 40


def test_d27_split_writes_keep_their_lifetimes_whatever_was_asked_for() -> None:
    split = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 10}
    stated = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 40, "cache_creation": split}
    read = meters_of(stated, cache_write_meter=Meter.CACHE_WRITE_1H)
    assert (read["cache_write_5m"], read["cache_write_1h"]) == (30, 10)


COUNTS = st.integers(0, 3000)


@given(plain=COUNTS, read=COUNTS, short=COUNTS, long=COUNTS, later=COUNTS, produced=COUNTS, thought=COUNTS)
def test_everything_beside_and_inside_adds_up(
    plain: int, read: int, short: int, long: int, later: int, produced: int, thought: int
) -> None:
    stated = {
        "input_tokens": plain,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": short + long + later,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "output_tokens": produced,
        "output_tokens_details": {"thinking_tokens": thought},
    }
    usage = read_usage(written(stated), ANTHROPIC)
    if thought > produced:
        assert usage is UsageFault.PARTS_EXCEED_WHOLE
        return
    assert isinstance(usage, ReportedUsage)
    assert (input_tokens(usage.meters), output_tokens(usage.meters)) == (plain + read + short + long + later, produced)


ODD = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)


@given(
    st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens", "cache_creation", "cache_creation_input_tokens"]),
        ODD | st.dictionaries(st.sampled_from(["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]), ODD),
    )
)
def test_d28_odd_figures_are_a_fault_or_never_negative(stated: dict[str, Any]) -> None:
    read = read_usage(written(stated), ANTHROPIC)
    assert isinstance(read, UsageFault) or min(read.meters.values()) >= 0


def both(first: Any, last: Any) -> Any:
    return json.loads(bytes(merged(msgspec.Raw(written(first)), msgspec.Raw(written(last)))))


def test_d24_the_last_word_on_each_figure_counts() -> None:
    first = {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1, "service_tier": "standard"}
    assert both(first, {"output_tokens": 15}) == first | {"output_tokens": 15}
    assert both(first, {"input_tokens": 30, "output_tokens": 15}) == first | {"input_tokens": 30, "output_tokens": 15}


def test_d25_null_undoes_nothing_and_zero_is_a_word() -> None:
    first = {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1}
    assert both(first, {"input_tokens": None, "cache_read_input_tokens": 0}) == first | {"cache_read_input_tokens": 0}
