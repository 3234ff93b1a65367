"""Usage as providers state it, against recorded samples, and what is not believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import chat_call, written

from farebox.tariff.meters import Meter, Usage, input_tokens, output_tokens
from farebox.wire import rerank
from farebox.wire.audio.usage import SPOKEN, TRANSCRIPTS
from farebox.wire.images.usage import IMAGES
from farebox.wire.usage import (
    OPENAI_CHAT,
    OPENAI_EMBEDDINGS,
    Convention,
    ReportedUsage,
    UsageFault,
    check_bounds,
    counted_usage,
    read_usage,
)

SAMPLES = Path(__file__).parent / "samples"
CONVENTIONS = {
    "openai_chat": OPENAI_CHAT,
    "openai_embeddings": OPENAI_EMBEDDINGS,
    "openai_completions": OPENAI_CHAT,
    "openai_moderations": OPENAI_EMBEDDINGS,
    "rerank": rerank.CONVENTION,
    "images": IMAGES,
    "audio_transcripts": TRANSCRIPTS,
    "audio_speech": SPOKEN,
}


def samples() -> list[Any]:
    rows: list[Any] = []
    for name, convention in CONVENTIONS.items():
        for sample in json.loads((SAMPLES / f"{name}.json").read_text()):
            rows.append(pytest.param(convention, sample, id=f"{name}: {sample['name']}"))
    return rows


@pytest.mark.parametrize(("convention", "sample"), samples())
def test_d26_recorded_usage_becomes_disjoint_meters(convention: Convention, sample: dict[str, Any]) -> None:
    read = read_usage(written(sample["usage"]), convention)
    if "fault" in sample:
        assert read == UsageFault(sample["fault"])
    else:
        assert isinstance(read, ReportedUsage)
        assert {meter.value: count for meter, count in read.meters.items()} == sample["meters"]


COUNTS = st.integers(0, 3000)


@given(prompt=COUNTS, completion=COUNTS, cached=COUNTS, wrote=COUNTS, audio=COUNTS, image=COUNTS, reasoning=COUNTS)
def test_parts_and_rest_add_up_to_what_was_stated(
    prompt: int, completion: int, cached: int, wrote: int, audio: int, image: int, reasoning: int
) -> None:
    stated = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": cached,
            "cache_write_tokens": wrote,
            "audio_tokens": audio,
            "image_tokens": image,
        },
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    read = read_usage(written(stated), OPENAI_CHAT)
    if max(cached + wrote, audio + image) > prompt or reasoning > completion:
        assert read is UsageFault.PARTS_EXCEED_WHOLE
        return
    assert isinstance(read, ReportedUsage)
    assert all(count >= 0 for count in read.meters.values())
    assert (input_tokens(read.meters), output_tokens(read.meters)) == (prompt, completion)


@given(st.binary(max_size=60))
def test_any_bytes_are_usage_or_a_fault(stated: bytes) -> None:
    assert isinstance(read_usage(stated, OPENAI_CHAT), ReportedUsage | UsageFault)


@given(st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens"]), st.integers()))
def test_d28_no_reading_is_ever_negative(stated: dict[str, int]) -> None:
    read = read_usage(written(stated), OPENAI_CHAT)
    if isinstance(read, ReportedUsage):
        assert min(read.meters.values()) >= 0


def test_d27_cache_writes_are_counted_by_the_lifetime_asked_for() -> None:
    stated = {"prompt_tokens": 50, "completion_tokens": 1, "prompt_tokens_details": {"cache_write_tokens": 40}}
    read = read_usage(written(stated), OPENAI_CHAT, cache_write_meter=Meter.CACHE_WRITE_1H)
    assert isinstance(read, ReportedUsage)
    assert read.meters == {Meter.INPUT: 10, Meter.CACHE_WRITE_1H: 40, Meter.OUTPUT: 1}


BOUNDS = [
    # meters                                  input  output  fault
    ({Meter.INPUT: 100, Meter.OUTPUT: 10}, 100, 10, None),
    ({Meter.INPUT: 101, Meter.OUTPUT: 10}, 100, 10, UsageFault.MORE_INPUT_THAN_SENT),
    ({Meter.INPUT: 60, Meter.CACHED_INPUT: 41}, 100, 10, UsageFault.MORE_INPUT_THAN_SENT),
    ({Meter.INPUT: 100, Meter.OUTPUT: 11}, 100, 10, UsageFault.MORE_OUTPUT_THAN_LIMIT),
    ({Meter.OUTPUT: 1, Meter.REASONING: 10}, 100, 10, UsageFault.MORE_OUTPUT_THAN_LIMIT),
    ({Meter.INPUT: 10**9, Meter.OUTPUT: 10**9}, None, None, None),
    ({Meter.INPUT_AUDIO: 1}, 100, 10, UsageFault.MORE_THAN_HELD),
    ({Meter.INPUT_AUDIO: 0}, 100, 10, None),
]


@pytest.mark.parametrize(("meters", "input_most", "output_most", "fault"), BOUNDS)
def test_usage_beyond_what_was_sent_or_held_is_not_believed(
    meters: dict[Meter, int], input_most: int | None, output_most: int | None, fault: UsageFault | None
) -> None:
    reported = ReportedUsage(Usage(meters))
    bounds = {"input_most": input_most, "output_most": output_most, "at_most": chat_call().at_most}
    assert check_bounds(reported, **bounds) is fault


def test_d60_hidden_reasoning_is_output() -> None:
    assert ReportedUsage(Usage({Meter.OUTPUT: 0, Meter.REASONING: 7})).output == 7


def test_what_we_counted_reads_like_what_is_reported() -> None:
    assert counted_usage(input_count=5, output_count=0) == {Meter.INPUT: 5, Meter.OUTPUT: 0}
    assert counted_usage(input_count=5, output_count=None, reasoning_count=2) == {Meter.INPUT: 5, Meter.REASONING: 2}
