"""Requests of the neutral form as bodies of chat completions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.pure.wire.bodies import written

from farebox.wire.call import PLAIN_BODY, ChannelBody, raw
from farebox.wire.chat.request import (
    ChatRequest,
    Document,
    Image,
    Message,
    Reasoning,
    Role,
    Source,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from farebox.wire.openai_chat_speech.write_request import write_request

HELLO = (Message(Role.USER, (Text("hello"),)),)
PNG = Image(Source(base64="AAAA", media_type="image/png"))


def body(request: ChatRequest, channel: ChannelBody = PLAIN_BODY) -> Any:
    return json.loads(write_request(request, upstream_model="up", channel=channel))


def test_nothing_is_written_that_was_not_said() -> None:
    assert body(ChatRequest(messages=HELLO)) == {"model": "up", "messages": [{"role": "user", "content": "hello"}]}


def test_law_1_no_override_undoes_what_the_hold_stands_on() -> None:
    overrides = {name: raw(99) for name in ("model", "n", "stream", "max_tokens", "max_completion_tokens", "messages")}
    channel = ChannelBody(overrides=overrides | {"stream_options": raw({}), "top_k": raw(5), "user": raw("u")})
    sent = body(ChatRequest(messages=HELLO, output_limit=10, stream=True, end_user="me"), channel)
    assert sent == {
        "model": "up",
        "messages": [{"role": "user", "content": "hello"}],
        "user": "u",
        "top_k": 5,
        "max_completion_tokens": 10,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_channel_says_where_the_limit_goes_and_whether_usage_can_be_asked_for() -> None:
    channel = ChannelBody(limit_field="max_tokens", stream_usage=False, safety_identifier="hash")
    sent = body(ChatRequest(messages=HELLO, output_limit=10, stream=True), channel)
    assert (sent["max_tokens"], sent["safety_identifier"]) == (10, "hash")
    assert "stream_options" not in sent


def test_results_of_tools_come_first_and_their_media_after_them() -> None:
    results = (
        Text("and now?"),
        ToolResult("a", (Text("sun"), PNG)),
        ToolResult("b", (Document(Source(text="rain")),), is_error=True),
        ToolResult("c", (Text("x"), Text("y"))),
    )
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert body(ChatRequest(messages=(Message(Role.USER, results),)))["messages"] == [
        {"role": "tool", "tool_call_id": "a", "content": "sun"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {
            "role": "tool",
            "tool_call_id": "c",
            "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "From the result of a:"},
                url,
                {"type": "text", "text": "From the result of b:"},
                {"type": "text", "text": "rain"},
            ],
        },
        {"role": "user", "content": "and now?"},
    ]


def test_an_answer_with_calls_has_no_text_of_its_own() -> None:
    blocks = (
        Thinking("anthropic", "signed", signature="x"),
        Thinking("openai_responses", sealed="xx"),
        Thinking("anthropic", "open"),
        ToolUse("a", "weather", "{}"),
        ToolUse("b", "shell", "ls", custom=True),
    )
    (said,) = body(ChatRequest(messages=(Message(Role.ASSISTANT, blocks),)))["messages"]
    assert said == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "open",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            {"id": "b", "type": "custom", "custom": {"name": "shell", "input": "ls"}},
        ],
    }


@pytest.mark.parametrize("model", ["gemini-3-pro", "gpt-4o"])
def test_a_thought_signature_goes_to_googles_models_only(model: str) -> None:
    request = ChatRequest(messages=(Message(Role.ASSISTANT, (ToolUse("a", "f", "{}", signature="c2ln"),)),))
    sent = write_request(request, upstream_model=model, channel=PLAIN_BODY)
    assert (b'"extra_content":{"google":{"thought_signature":"c2ln"}}' in sent) == model.startswith("gemini")
    assert (b"c2ln" in sent) == model.startswith("gemini")


EFFORTS = [
    (None, None),
    (Reasoning("high"), "high"),
    (Reasoning("max"), "xhigh"),
    (Reasoning("low", budget=30_000), "low"),
    (Reasoning(budget=0), None),
    (Reasoning(budget=-1), None),
    (Reasoning(budget=1_024), "low"),
    (Reasoning(budget=8_192), "medium"),
    (Reasoning(budget=8_193), "high"),
    (Reasoning(show=True), None),
]


@pytest.mark.parametrize(("reasoning", "effort"), EFFORTS)
def test_a_budget_becomes_an_effort(reasoning: Reasoning | None, effort: str | None) -> None:
    assert body(ChatRequest(messages=HELLO, reasoning=reasoning)).get("reasoning_effort") == effort


CHOICES: list[tuple[ToolChoice, Any]] = [
    (ToolChoice(), None),
    (ToolChoice("none"), "none"),
    (ToolChoice("required"), "required"),
    (ToolChoice("named", ("weather",)), {"type": "function", "function": {"name": "weather"}}),
    (ToolChoice("named", ("shell",)), {"type": "custom", "custom": {"name": "shell"}}),
    (
        ToolChoice("named", ("weather", "shell")),
        {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "required",
                "tools": [
                    {"type": "function", "function": {"name": "weather"}},
                    {"type": "custom", "custom": {"name": "shell"}},
                ],
            },
        },
    ),
]


@pytest.mark.parametrize(("choice", "expected"), CHOICES)
def test_choices_of_tools(choice: ToolChoice, expected: Any) -> None:
    tools = (Tool("weather", "Looks up", raw({"type": "object"}), strict=True), Tool("shell", custom=True))
    sent = body(ChatRequest(messages=HELLO, tools=tools, tool_choice=choice))
    assert sent.get("tool_choice") == expected
    function = {"name": "weather", "parameters": {"type": "object"}, "description": "Looks up", "strict": True}
    assert sent["tools"] == [
        {"type": "function", "function": function},
        {"type": "custom", "custom": {"name": "shell"}},
    ]


def test_without_tools_there_is_no_choice() -> None:
    assert "tool_choice" not in body(ChatRequest(messages=HELLO, tool_choice=ToolChoice("none", parallel=False)))


def test_numbers_go_out_as_they_came() -> None:
    request = ChatRequest(messages=HELLO, temperature=raw(0), top_p=raw(1))
    assert b'"temperature":0,"top_p":1' in write_request(request, upstream_model="up", channel=PLAIN_BODY)
    assert written(body(request)).count(b"null") == 0
