"""Answers as clients of chat completions get them, when another dialect produced them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.pure.wire.bodies import chat_call, payloads

from farebox.tariff.meters import Meter, Usage
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    RefusalDelta,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSigned,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.speech import Whole
from farebox.wire.openai_chat_speech.usage import usage_written
from farebox.wire.openai_chat_speech.writer import ChunkWriter, write_whole

USAGE = Usage({Meter.INPUT: 5, Meter.OUTPUT: 2})
ASKED = {"stream_options": {"include_usage": True}}
FUNCTIONS = [{"name": "f", "parameters": {"type": "object"}}]


def streamed(*events: ChatEvent, reason: StopReason = StopReason.STOP, **fields: Any) -> list[Any]:
    writer = ChunkWriter(chat_call(stream=True, **fields))
    return payloads(b"".join(map(writer.write, events)) + writer.finish(Ended(reason), USAGE, "0.5"))


def deltas(*events: ChatEvent, **fields: Any) -> list[Any]:
    return [event["choices"][0]["delta"] for event in streamed(*events, **fields)[:-1] if event["choices"]]


def test_the_role_comes_first_the_end_mark_last_and_every_chunk_is_of_one_answer() -> None:
    events = streamed(Started("msg_1"), TextDelta("hello"))
    assert [event["choices"][0]["delta"] for event in events[:-1]] == [
        {"role": "assistant", "content": ""},
        {"content": "hello"},
        {},
    ]
    heads = {(event["id"], event["model"], event["object"]) for event in events[:-1]}
    assert heads == {("chatcmpl-msg_1", "gpt-4o", "chat.completion.chunk")}
    assert [event["choices"][0]["finish_reason"] for event in events[:-1]] == [None, None, "stop"]
    assert events[-1] == "[DONE]"


def test_an_answer_without_an_event_is_well_formed_too() -> None:
    assert deltas() == [{"role": "assistant", "content": ""}, {}]


def test_usage_is_for_those_who_asked_and_carries_the_charge() -> None:
    assert all("usage" not in event for event in streamed(TextDelta("a"))[:-1])
    usage = streamed(TextDelta("a"), **ASKED)[-2]
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "cost": "0.5"}


def test_reasoning_refusals_and_calls() -> None:
    signed = ThinkingSigned("anthropic", signature="x")
    detail = {"type": "reasoning.text", "text": "hm", "signature": "x", "id": None, "format": "anthropic-claude-v1"}
    found = deltas(
        Started("1"),
        ThinkingDelta("hm"),
        signed,
        TextDelta("a"),
        RefusalDelta("no"),
        ToolStart("t1", "f"),
        ToolArguments('{"x":'),
        ToolArguments("1}"),
        ToolStart("t2", "shell", custom=True, signature="c2ln"),
        ToolArguments("ls"),
    )
    custom = {"type": "custom", "custom": {"name": "shell", "input": ""}}
    assert found[1:-1] == [
        {"reasoning_content": "hm"},
        {"reasoning_details": [detail | {"index": 0}]},
        {"content": "a"},
        {"refusal": "no"},
        {"tool_calls": [{"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        {"tool_calls": [{"index": 1, "id": "t2", "extra_content": {"google": {"thought_signature": "c2ln"}}} | custom]},
        {"tool_calls": [{"index": 1, "custom": {"input": "ls"}}]},
    ]


def test_clients_of_the_deprecated_functions_get_the_first_call_in_their_words() -> None:
    two = (ToolStart("a", "f"), ToolArguments("{}"), ToolStart("b", "g"), ToolArguments("{}"))
    found = deltas(*two, functions=FUNCTIONS)
    assert found[1:-1] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
    ]
    events = streamed(*two, reason=StopReason.TOOL_CALLS, functions=FUNCTIONS)
    assert events[-2]["choices"][0]["finish_reason"] == "function_call"
    whole = Whole(list(two), Ended(StopReason.TOOL_CALLS), None)
    choice = json.loads(write_whole(chat_call(functions=FUNCTIONS), whole, USAGE))["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"


REASONS = [
    (StopReason.STOP, "stop"),
    (StopReason.STOP_SEQUENCE, "stop"),
    (StopReason.PAUSE, "stop"),
    (StopReason.LENGTH, "length"),
    (StopReason.TOOL_CALLS, "tool_calls"),
    (StopReason.CONTENT_FILTER, "content_filter"),
    (StopReason.REFUSAL, "content_filter"),
]


@pytest.mark.parametrize(("reason", "expected"), REASONS)
def test_every_reason_has_a_word(reason: StopReason, expected: str) -> None:
    assert streamed(TextDelta("a"), reason=reason)[-2]["choices"][0]["finish_reason"] == expected


def test_a_whole_answer() -> None:
    events: list[ChatEvent] = [Started("msg_1"), ThinkingDelta("h"), ThinkingDelta("m"), TextDelta("a"), TextDelta("b")]
    whole = Whole(events, Ended(StopReason.STOP), None, service_tier="priority")
    assert json.loads(write_whole(chat_call(), whole, USAGE)) == {
        "id": "chatcmpl-msg_1",
        "object": "chat.completion",
        "created": 0,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab", "refusal": None, "reasoning_content": "hm"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        "service_tier": "priority",
    }


def test_d26_tokens_outside_one_another_are_shown_inside() -> None:
    usage = Usage(
        {
            Meter.INPUT: 10,
            Meter.CACHED_INPUT: 30,
            Meter.CACHE_WRITE_1H: 5,
            Meter.OUTPUT: 7,
            Meter.REASONING: 0,
        }
    )
    assert usage_written(usage) == {
        "prompt_tokens": 45,
        "completion_tokens": 7,
        "total_tokens": 52,
        "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
