"""Gemini's usage against recorded samples, and against the same usage in OpenAI's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import written

from farebox.tariff.meters import input_tokens, output_tokens
from farebox.wire.gemini.chunks import usage_written
from farebox.wire.gemini.usage import GEMINI
from farebox.wire.usage import OPENAI_CHAT, ReportedUsage, UsageFault, read_usage

SAMPLES = json.loads((Path(__file__).parents[1] / "samples" / "gemini.json").read_text())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["name"])
def test_d26_recorded_usage_becomes_disjoint_meters(sample: dict[str, Any]) -> None:
    read = read_usage(written(sample["usage"]), GEMINI)
    if "fault" in sample:
        assert read == UsageFault(sample["fault"])
    else:
        assert isinstance(read, ReportedUsage)
        assert {meter.value: count for meter, count in read.meters.items()} == sample["meters"]


COUNTS = st.integers(0, 5000)


@given(fresh=COUNTS, cached=COUNTS, made=COUNTS, thoughts=COUNTS, tools=COUNTS)
def test_d26_the_same_call_in_openais_words_is_the_same_usage(
    fresh: int, cached: int, made: int, thoughts: int, tools: int
) -> None:
    prompt = fresh + cached
    google = {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": cached,
        "candidatesTokenCount": made,
        "thoughtsTokenCount": thoughts,
        "toolUsePromptTokenCount": tools,
        "totalTokenCount": prompt + made + thoughts + tools,
    }
    openai = {
        "prompt_tokens": prompt + tools,
        "completion_tokens": made + thoughts,
        "total_tokens": prompt + tools + made + thoughts,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }
    left, right = read_usage(written(google), GEMINI), read_usage(written(openai), OPENAI_CHAT)
    assert isinstance(left, ReportedUsage)
    assert isinstance(right, ReportedUsage)
    assert left.meters == right.meters


@given(fresh=COUNTS, cached=COUNTS, made=COUNTS, thoughts=COUNTS)
def test_usage_written_is_read_as_what_it_was(fresh: int, cached: int, made: int, thoughts: int) -> None:
    stated = {"prompt_tokens": fresh + cached, "completion_tokens": made + thoughts}
    details = {
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }
    first = read_usage(written(stated | details), OPENAI_CHAT)
    assert isinstance(first, ReportedUsage)
    again = read_usage(written(usage_written(first.meters)), GEMINI)
    assert isinstance(again, ReportedUsage)
    assert {m: n for m, n in again.meters.items() if n} == {m: n for m, n in first.meters.items() if n}


@given(st.dictionaries(st.sampled_from(["promptTokenCount", "candidatesTokenCount", "totalTokenCount"]), st.integers()))
def test_d28_no_reading_is_ever_negative(stated: dict[str, int]) -> None:
    read = read_usage(written(stated), GEMINI)
    if isinstance(read, ReportedUsage):
        assert min(read.meters.values()) >= 0


VALUES = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3))
NAMES = ["promptTokenCount", "candidatesTokenCount", "totalTokenCount", "promptTokensDetails", "cacheTokensDetails"]


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_odd_usage_never_raises(stated: dict[str, Any]) -> None:
    read = read_usage(written(stated), GEMINI)
    if isinstance(read, ReportedUsage):
        assert input_tokens(read.meters) >= 0
        assert output_tokens(read.meters) >= 0
