"""Chat completion answers as servers send them, odd ones too, and the events they become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import chunk, usage_event, written

from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    ImageMade,
    RefusalDelta,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolArguments,
    ToolStart,
)
from farebox.wire.openai_chat_speech.calls import EndlessArguments
from farebox.wire.openai_chat_speech.reader import ChunkReader, read_whole


def piece(index: int | None, *, id: str | None = None, name: str | None = None, arguments: Any = "") -> dict[str, Any]:
    """A tool call's delta. Fields that are None are left out, as servers leave them out."""
    function = {"name": name, "arguments": arguments}
    fields = {
        "index": index,
        "id": id,
        "function": {key: value for key, value in function.items() if value is not None},
    }
    return {key: value for key, value in fields.items() if value is not None}


def read(*events: bytes) -> list[ChatEvent]:
    reader = ChunkReader()
    return [found for event in events for found in reader.read(event[6:-2], None)]


def calls(*pieces: dict[str, Any]) -> list[Any]:
    """Each call whole: its id, its name, its arguments; and that they came one after the other."""
    events = read(*[chunk({"tool_calls": [one]}) for one in pieces], chunk(finish="tool_calls"))
    found: list[Any] = []
    for event in events:
        if isinstance(event, ToolStart):
            found.append([event.id, event.name, ""])
        elif isinstance(event, ToolArguments):
            found[-1][2] += event.text
    assert events[-1] == Ended(StopReason.TOOL_CALLS)
    return found


DELTAS: list[tuple[dict[str, Any], list[ChatEvent]]] = [
    ({"role": "assistant", "content": ""}, []),
    ({"content": "a"}, [TextDelta("a")]),
    ({"reasoning_content": "r"}, [ThinkingDelta("r")]),
    ({"reasoning": "r", "content": None}, [ThinkingDelta("r")]),
    ({"reasoning_content": "r", "reasoning": "r", "content": "a"}, [ThinkingDelta("r"), TextDelta("a")]),
    ({"refusal": "no"}, [RefusalDelta("no")]),
    (
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}, {"type": "text", "text": "a"}]},
        [ThinkingDelta("r"), TextDelta("a")],
    ),
    (
        {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        [ImageMade("image/png", "AAAA")],
    ),
    ({"content": {"odd": "a"}}, [TextDelta("a")]),
]


@pytest.mark.parametrize(("delta", "events"), DELTAS)
def test_every_kind_of_delta(delta: dict[str, Any], events: list[ChatEvent]) -> None:
    first, *found = read(chunk(delta))
    assert isinstance(first, Started)
    assert found == events


TOOL_CALLS: list[tuple[str, list[dict[str, Any]], list[Any]]] = [
    (
        "OpenAI: one after the other, arguments in pieces",
        [
            piece(0, id="a", name="f"),
            piece(0, arguments='{"x"'),
            piece(0, arguments=":1}"),
            piece(1, id="b", name="g"),
            piece(1, arguments="{}"),
        ],
        [["a", "f", '{"x":1}'], ["b", "g", "{}"]],
    ),
    (
        "mixed: both calls grow at once",
        [
            piece(0, id="a", name="f"),
            piece(1, id="b", name="g"),
            piece(0, arguments='{"x"'),
            piece(1, arguments='{"y"'),
            piece(0, arguments=":{}}"),
            piece(1, arguments=":2}"),
        ],
        [["a", "f", '{"x":{}}'], ["b", "g", '{"y":2}']],
    ),
    (
        "whole calls in one delta each, all at place 0 (Gemini's compatible endpoint)",
        [piece(0, id="a", name="f", arguments="{}"), piece(0, id="b", name="f", arguments='{"x":1}')],
        [["a", "f", "{}"], ["b", "f", '{"x":1}']],
    ),
    (
        "no place and no id",
        [piece(None, name="f", arguments="{}"), piece(None, name="g", arguments='{"x":1}')],
        [["call_chatcmpl1_0", "f", "{}"], ["call_chatcmpl1_1", "g", '{"x":1}']],
    ),
    (
        "the id on every piece",
        [piece(0, id="a", name="f", arguments="{"), piece(0, id="a", arguments="}")],
        [["a", "f", "{}"]],
    ),
    (
        "arguments as an object",
        [piece(0, id="a", name="f", arguments={"x": 1})],
        [["a", "f", '{"x":1}']],
    ),
    ("no arguments at all", [piece(0, id="a", name="f"), piece(1, id="b", name="g")], [["a", "f", ""], ["b", "g", ""]]),
    (
        "an empty id, then the real one",
        [piece(0, id="", name="f"), piece(0, id="a", arguments="{}")],
        [["call_chatcmpl1_0", "f", "{}"]],
    ),
]


@pytest.mark.parametrize(("pieces", "expected"), [row[1:] for row in TOOL_CALLS], ids=[row[0] for row in TOOL_CALLS])
def test_tool_calls_of_every_server(pieces: list[dict[str, Any]], expected: list[Any]) -> None:
    assert calls(*pieces) == expected


@given(data=st.data(), count=st.integers(1, 4))
def test_no_mixture_of_parallel_calls_loses_or_mixes_anything(data: st.DataObject, count: int) -> None:
    texts = [json.dumps({"n": n, "text": "}{" * n}) for n in range(count)]
    waiting = {n: [texts[n][at : at + 3] for at in range(0, len(texts[n]), 3)] for n in range(count)}
    pieces = [piece(n, id=f"id{n}", name=f"f{n}") for n in range(count)]
    while waiting:
        n = data.draw(st.sampled_from(sorted(waiting)))
        pieces.append(piece(n, arguments=waiting[n].pop(0)))
        waiting = {key: left for key, left in waiting.items() if left}
    assert calls(*pieces) == [[f"id{n}", f"f{n}", texts[n]] for n in range(count)]


def test_a_call_that_is_whole_makes_way_at_once() -> None:
    reader = ChunkReader()
    passed = [
        reader.read(chunk({"tool_calls": [one]})[6:-2], None)
        for one in (piece(0, id="a", name="f", arguments="{}"), piece(1, id="b", name="g"), piece(1, arguments="{"))
    ]
    assert passed[1:] == [[ToolStart("b", "g")], [ToolArguments("{")]]


def test_arguments_without_end_are_the_providers_fault() -> None:
    reader, endless = ChunkReader(), chunk({"tool_calls": [piece(0, arguments="x" * 1024 * 1024)]})[6:-2]
    for _ in range(16):
        reader.read(endless, None)
    with pytest.raises(EndlessArguments):
        reader.read(endless, None)


def test_words_between_the_pieces_of_a_call_wait_for_its_end() -> None:
    events = read(
        chunk({"tool_calls": [piece(0, id="a", name="f", arguments="{")]}),
        chunk({"content": "meanwhile"}),
        chunk({"tool_calls": [piece(0, arguments="}")]}),
        chunk(finish="stop"),
    )
    assert events[1:] == [
        ToolStart("a", "f"),
        ToolArguments("{"),
        ToolArguments("}"),
        TextDelta("meanwhile"),
        Ended(StopReason.TOOL_CALLS),
    ]


REASONS = [
    ("stop", StopReason.STOP),
    ("length", StopReason.LENGTH),
    ("tool_calls", StopReason.TOOL_CALLS),
    ("function_call", StopReason.TOOL_CALLS),
    ("content_filter", StopReason.CONTENT_FILTER),
    ("eos", StopReason.STOP),
]


@pytest.mark.parametrize(("written_reason", "reason"), REASONS)
def test_why_it_ended(written_reason: str, reason: StopReason) -> None:
    assert read(chunk(finish=written_reason))[-1] == Ended(reason)


def test_d24_usage_is_taken_wherever_it_stands_and_the_last_word_counts() -> None:
    reader = ChunkReader()
    early = {"prompt_tokens": 5, "completion_tokens": 1}
    for event in (chunk({"content": "a"}, usage=early), chunk(finish="stop"), usage_event(5, 9), chunk(usage=None)):
        reader.read(event[6:-2], None)
    assert reader.usage is not None
    assert json.loads(bytes(reader.usage))["completion_tokens"] == 9
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": early}
    reader = ChunkReader()
    reader.read(chunk(choices=[choice])[6:-2], None)
    assert json.loads(bytes(reader.usage or b"{}")) == early


def test_the_end_mark_completes_nothing_and_what_follows_the_end_is_usage_only() -> None:
    reader = ChunkReader()
    assert reader.read(b"[DONE]", None) == []
    assert not reader.complete
    reader.read(chunk(finish="stop")[6:-2], None)
    assert reader.complete
    assert reader.read(chunk({"content": "more"}, finish="length")[6:-2], None) == []


ERRORS = [
    b'{"error":{"message":"no","code":"x"}}',
    b'{"object":"error","message":"no"}',
    b'{"type":"error","message":"no"}',
    chunk(finish="error")[6:-2],
]


@pytest.mark.parametrize("payload", ERRORS)
def test_d22_errors_are_no_events(payload: bytes) -> None:
    reader = ChunkReader()
    assert [event for event in reader.read(payload, None) if not isinstance(event, Started)] == []
    assert reader.error == payload
    assert not reader.complete


WHOLE: dict[str, Any] = {
    "id": "chatcmpl-9",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "service_tier": "default",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Let me look.",
                "reasoning_content": "hm",
                "refusal": None,
                "annotations": [],
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                    {"id": "b", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}


def test_a_whole_answer_is_the_events_it_would_have_been_streamed_as() -> None:
    whole = read_whole(written(WHOLE))
    assert whole is not None
    assert whole.events == [
        Started("chatcmpl-9"),
        ThinkingDelta("hm"),
        TextDelta("Let me look."),
        ToolStart("a", "f"),
        ToolArguments('{"x":1}'),
        ToolStart("b", "shell", custom=True),
        ToolArguments("ls"),
    ]
    assert (whole.ended, whole.service_tier) == (Ended(StopReason.TOOL_CALLS), "default")
    assert json.loads(bytes(whole.usage or b"")) == WHOLE["usage"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices":[]}', b'{"error":{"message":"x"}}', b"<html>", b"[1]"])
def test_what_is_no_answer_is_none(body: bytes) -> None:
    assert read_whole(body) is None
