"""One answer as each provider would send it, shown in every other dialect: not our writers' idea of a provider.

The recordings come from `tests.support`, where they follow the public formats: Anthropic's blocks and
pings, Google's whole calls between CRLFs, the many events of Responses, OpenAI's pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pure.wire.answers import call_for, comparable, cut_anywhere, events_of_stream, native_usage, shown
from tests.pure.wire.conversations import dialect_of
from tests.support import anthropic_answers, gemini_answers, openai_answers, responses_answers
from tests.support.script import Script

from farebox.tariff.meters import Meter, Usage
from farebox.wire.chat.speech import Speech
from farebox.wire.chat.translated import TranslatedMeter
from farebox.wire.passage import Translation
from farebox.wire.speeches import SPEECHES

TEXT = "Let me look, 你好."
THOUGHT = "They want the weather twice."
CALLS = (("weather", '{"city":"Oslo","days":[1,2]}'), ("weather", "{}"))
USAGE = Usage({Meter.INPUT: 60, Meter.CACHED_INPUT: 40, Meter.OUTPUT: 15, Meter.REASONING: 5})
"""The same call everywhere: 100 tokens in, 40 of them from a cache, 20 out, 5 of them reasoning (d26)."""


def _openai(stream: bool) -> Script:
    usage = openai_answers.usage(100, 20, cached=40, reasoning=5)
    if not stream:
        message = {"text": TEXT, "reasoning": THOUGHT, "tool_calls": (), "finish": "stop"}
        return openai_answers.chat_answer(**message, usage=usage)
    return openai_answers.chat_stream(text=TEXT, reasoning=THOUGHT, usage=usage)


def _openai_calls(stream: bool) -> Script:
    made = openai_answers.chat_stream if stream else openai_answers.chat_answer
    usage = openai_answers.usage(100, 20, cached=40, reasoning=5)
    return made(tool_calls=CALLS, reasoning=THOUGHT, finish="tool_calls", usage=usage)


def _anthropic(stream: bool, **shape: Any) -> Script:
    made = anthropic_answers.message_stream if stream else anthropic_answers.message_answer
    details = {"output_tokens_details": {"thinking_tokens": 5}}
    usage = anthropic_answers.usage(60, 20, cache_read_input_tokens=40, **details)
    return made(thinking=THOUGHT, usage=usage, ending_usage={"output_tokens": 20, **details}, **shape)


def _responses(stream: bool, **shape: Any) -> Script:
    made = responses_answers.response_stream if stream else responses_answers.response_answer
    return made(reasoning=THOUGHT, usage=responses_answers.usage(100, 20, cached=40, reasoning=5), **shape)


def _gemini(stream: bool, **shape: Any) -> Script:
    made = gemini_answers.gemini_stream if stream else gemini_answers.gemini_answer
    return made(thoughts=THOUGHT, usage=gemini_answers.usage(100, 15, thoughts=5, cached=40), **shape)


_GEMINI_CALLS = (
    {"functionCall": {"name": "weather", "args": {"city": "Oslo", "days": [1, 2]}}, "thoughtSignature": "c2ln"},
    {"functionCall": {"name": "weather", "args": {}}},
)
WORDS: dict[str, Callable[[bool], Script]] = {
    "openai_chat": _openai,
    "anthropic": lambda stream: _anthropic(stream, text=TEXT),
    "openai_responses": lambda stream: _responses(stream, text=TEXT),
    "gemini": lambda stream: _gemini(stream, text=TEXT),
}
TOOLS: dict[str, Callable[[bool], Script]] = {
    "openai_chat": _openai_calls,
    "anthropic": lambda stream: _anthropic(stream, text="", tool_calls=CALLS, stop_reason="tool_use"),
    "openai_responses": lambda stream: _responses(stream, text="", tool_calls=CALLS),
    "gemini": lambda stream: _gemini(stream, parts=_GEMINI_CALLS),
}
EXPECTED_CALLS = [{"city": "Oslo", "days": [1, 2]}, {}]

PAIRS = [
    pytest.param(ours, theirs, id=f"{ours.name} served by {theirs.name}")
    for ours in SPEECHES.values()
    for theirs in SPEECHES.values()
    if ours is not theirs
]
EACH = pytest.mark.parametrize(("ours", "theirs"), PAIRS)
KINDS = pytest.mark.parametrize("recordings", [WORDS, TOOLS], ids=["words", "tools"])


def streamed(ours: Speech, theirs: Speech, pieces: list[bytes]) -> tuple[dict[str, Any], Usage]:
    """What a client of `ours` understands of a provider's stream, and the usage it is shown."""
    meter = TranslatedMeter(call_for(ours, stream=True), ours=ours, theirs=theirs)
    passed = b"".join(map(meter.feed, pieces)) + meter.end()
    assert meter.finished
    assert meter.usage is not None
    assert native_usage(meter.usage, theirs) == USAGE
    read = events_of_stream(ours, passed + meter.finish("0.5"))
    assert read.complete
    return comparable(read.events, read.ended), native_usage(read.usage, ours)


def whole(ours: Speech, theirs: Speech, body: bytes) -> tuple[dict[str, Any], Usage]:
    """The same of a buffered answer."""
    answer = Translation(ours, theirs).read_answer(body, call_for(ours))
    assert answer is not None
    assert answer.render is not None
    assert native_usage(answer.usage, theirs) == USAGE
    read = ours.read_whole(answer.render(USAGE))
    assert read is not None
    return comparable(read.events, read.ended), native_usage(read.usage, ours)


@EACH
@pytest.mark.parametrize("stream", [False, True])
def test_words_and_thoughts_arrive(ours: Speech, theirs: Speech, stream: bool) -> None:
    script = WORDS[theirs.name](stream)
    said, usage = streamed(ours, theirs, [script.body]) if stream else whole(ours, theirs, script.body)
    assert said == {"text": TEXT, "thinking": THOUGHT, "calls": [], "reason": "stop"}
    assert usage == shown(USAGE, ours)


@EACH
@pytest.mark.parametrize("stream", [False, True])
def test_parallel_calls_arrive_each_with_an_id_of_its_own(ours: Speech, theirs: Speech, stream: bool) -> None:
    script = TOOLS[theirs.name](stream)
    said, usage = streamed(ours, theirs, [script.body]) if stream else whole(ours, theirs, script.body)
    assert (said["text"], said["thinking"], said["reason"]) == ("", THOUGHT, "tool_calls")
    assert [(call["name"], call["arguments"]) for call in said["calls"]] == [("weather", a) for a in EXPECTED_CALLS]
    assert len({call["id"] for call in said["calls"]} - {""}) == 2
    assert usage == shown(USAGE, ours)


@EACH
@KINDS
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=20))
def test_d39_a_recording_cut_anywhere_says_the_same(
    ours: Speech, theirs: Speech, recordings: dict[str, Callable[[bool], Script]], cuts: list[int]
) -> None:
    body = recordings[theirs.name](True).body
    assert streamed(ours, theirs, cut_anywhere(body, cuts)) == streamed(ours, theirs, [body])


@pytest.mark.parametrize("theirs", SPEECHES.values(), ids=SPEECHES)
@KINDS
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=20))
def test_d39_passed_on_as_it_came_cut_anywhere_it_is_the_same_answer(
    theirs: Speech, recordings: dict[str, Callable[[bool], Script]], cuts: list[int]
) -> None:
    body = recordings[theirs.name](True).body
    call = call_for(theirs, stream=True)
    one, many = dialect_of(theirs, stream=True).meter(call), dialect_of(theirs, stream=True).meter(call)
    expected = one.feed(body) + one.end() + one.finish("0.5")
    assert b"".join(map(many.feed, cut_anywhere(body, cuts))) + many.end() + many.finish("0.5") == expected
    assert native_usage(one.usage, theirs) == native_usage(many.usage, theirs) == USAGE
    assert one.finished
    assert many.finished
    assert many.output.drain() == one.output.drain()
