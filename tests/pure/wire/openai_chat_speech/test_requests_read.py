"""Chat completion requests as clients write them, and what they are in the neutral form."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.pure.wire.bodies import HELLO, chat_call

from farebox.wire.call import Malformed
from farebox.wire.chat.features import Feature
from farebox.wire.chat.request import (
    Audio,
    ChatRequest,
    Document,
    Format,
    Image,
    Message,
    Reasoning,
    Refusal,
    Role,
    Source,
    Text,
    Thinking,
    ToolChoice,
    ToolResult,
    ToolUse,
    Video,
)
from farebox.wire.openai_chat_speech.read_request import read_request

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}, "strict": True}}
SHELL = {"type": "custom", "custom": {"name": "shell", "description": "Runs a line"}}
USE = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}


def read(**fields: Any) -> ChatRequest:
    request = read_request(chat_call(**fields))
    assert isinstance(request, ChatRequest), request
    return request


def turns(*messages: dict[str, Any]) -> tuple[Message, ...]:
    return read(messages=list(messages)).messages


PARTS = [
    ({"type": "text", "text": "a"}, Text("a")),
    ({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, Text("a", cache_ttl="5m")),
    ({"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}, Text("a", cache_ttl="1h")),
    ({"type": "image_url", "image_url": {"url": "https://x/a.png"}}, Image(Source(url="https://x/a.png"))),
    ({"type": "image_url", "image_url": "https://x/a.png"}, Image(Source(url="https://x/a.png"))),
    (
        {"type": "image_url", "image_url": {"url": "data:image/PNG;base64,AAAA", "detail": "high"}},
        Image(Source(base64="AAAA", media_type="image/png"), detail="high"),
    ),
    (
        {"type": "image_url", "image_url": {"url": "data:image/svg+xml;charset=utf-8;base64,AAAA"}},
        Image(Source(base64="AAAA", media_type="image/svg+xml")),
    ),
    (
        {"type": "image_url", "image_url": {"url": "data:image/svg+xml,%3Csvg/%3E"}},
        Image(Source(url="data:image/svg+xml,%3Csvg/%3E")),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        Audio(Source(base64="AAAA", media_type="audio/mpeg")),
    ),
    (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        Document(Source(base64="AAAA", media_type="application/pdf"), "a.pdf"),
    ),
    (
        {"type": "file", "file": {"filename": "a.csv", "file_data": "AAAA"}},
        Document(Source(base64="AAAA", media_type="text/csv"), "a.csv"),
    ),
    ({"type": "file_url", "file_url": {"url": "https://x/a.pdf"}}, Document(Source(url="https://x/a.pdf"))),
    ({"type": "video_url", "video_url": {"url": "https://x/a.mp4"}}, Video(Source(url="https://x/a.mp4"))),
]


@pytest.mark.parametrize(("part", "block"), PARTS)
def test_a_part_becomes_a_block(part: dict[str, Any], block: object) -> None:
    assert turns({"role": "user", "content": [part]}) == (Message(Role.USER, (block,)),)  # type: ignore[arg-type]


def test_system_and_developer_are_one_role_wherever_they_stand() -> None:
    said = turns(
        {"role": "system", "content": "a"},
        {"role": "user", "content": "b", "name": "eve"},
        {"role": "developer", "content": "c"},
    )
    assert [(turn.role, turn.name) for turn in said] == [(Role.SYSTEM, None), (Role.USER, "eve"), (Role.SYSTEM, None)]


def test_results_of_parallel_calls_become_one_turn_and_take_the_names_of_their_calls() -> None:
    second = {**USE, "id": "call_2"}
    _, answer, results, question = turns(
        *HELLO,
        {"role": "assistant", "content": "Looking.", "reasoning_content": "hm", "tool_calls": [USE, second]},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "rain"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
        {"role": "user", "content": "and?"},
    )
    uses = [ToolUse(name, "weather", '{"city":"Oslo"}') for name in ("call_1", "call_2")]
    assert answer.blocks == (Thinking("openai_chat", "hm"), Text("Looking."), *uses)
    rain, sun = ToolResult("call_2", (Text("rain"),), "weather"), ToolResult("call_1", (Text("sun"),), "weather")
    assert (results.role, results.blocks) == (Role.USER, (rain, sun))
    assert question.blocks == (Text("and?"),)


def test_the_deprecated_function_call_is_a_call_with_an_id_made_up() -> None:
    _, answer, result = turns(
        *HELLO,
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
        {"role": "function", "name": "weather", "content": "sun"},
    )
    assert answer.blocks == (ToolUse("call_0", "weather", "{}"),)
    assert result.blocks == (ToolResult("call_0", (Text("sun"),), "weather"),)


DETAILS: list[tuple[dict[str, Any], Thinking]] = [
    (
        {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
        Thinking("anthropic", "hm", signature="s"),
    ),
    (
        {"type": "reasoning.encrypted", "data": "xx", "format": "anthropic-claude-v1"},
        Thinking("anthropic", "shown", sealed="xx"),
    ),
    (
        {"type": "reasoning.encrypted", "data": "xx", "id": "rs_1", "format": "openai-responses-v1"},
        Thinking("openai_responses", "shown", sealed="xx", id="rs_1"),
    ),
    ({"type": "reasoning.text", "text": "hm", "format": "unknown"}, Thinking("openai_chat", "shown")),
    ({"type": "reasoning.summary", "summary": "hm", "format": "openai-responses-v1"}, Thinking("openai_chat", "shown")),
]


@pytest.mark.parametrize(("detail", "thought"), DETAILS)
def test_reasoning_finds_its_way_back_to_the_provider_that_signed_it(detail: dict[str, Any], thought: Thinking) -> None:
    said = {"role": "assistant", "content": "a", "reasoning_content": "shown", "reasoning_details": [detail]}
    call = chat_call(messages=[*HELLO, said])
    request = read_request(call)
    assert isinstance(request, ChatRequest)
    assert request.messages[-1].blocks == (thought, Text("a"))
    assert call.sealed == (thought.sealed is not None)


def test_a_custom_tool_takes_free_text() -> None:
    use = {"id": "c", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}}
    answer = {"role": "assistant", "tool_calls": [use]}
    _, asked, result = turns(*HELLO, answer, {"role": "tool", "tool_call_id": "c", "content": "x"})
    assert asked.blocks == (ToolUse("c", "shell", "ls -l", custom=True),)
    assert result.blocks == (ToolResult("c", (Text("x"),), "shell", custom=True),)


def test_an_earlier_refusal_and_a_thought_signature_are_kept() -> None:
    signed = USE | {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    _, refused, asked = turns(
        *HELLO,
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "assistant", "content": "", "tool_calls": [signed]},
    )
    assert refused.blocks == (Refusal("No."),)
    assert asked.blocks == (ToolUse("call_1", "weather", '{"city":"Oslo"}', signature="c2ln"),)


CHOICES: list[tuple[dict[str, Any], ToolChoice | None]] = [
    ({}, None),
    ({"tool_choice": "auto"}, ToolChoice()),
    ({"tool_choice": "none"}, ToolChoice("none")),
    ({"tool_choice": "required", "parallel_tool_calls": False}, ToolChoice("required", parallel=False)),
    ({"tool_choice": {"type": "function", "function": {"name": "weather"}}}, ToolChoice("named", ("weather",))),
    ({"tool_choice": {"type": "custom", "custom": {"name": "shell"}}}, ToolChoice("named", ("shell",))),
    ({"function_call": {"name": "weather"}}, ToolChoice("named", ("weather",))),
    ({"parallel_tool_calls": True}, ToolChoice(parallel=True)),
]


@pytest.mark.parametrize(("fields", "choice"), CHOICES)
def test_choices_of_tools(fields: dict[str, Any], choice: ToolChoice | None) -> None:
    request = read(tools=[WEATHER, SHELL], **fields)
    assert request.tool_choice == choice
    assert [(tool.name, tool.custom, tool.strict) for tool in request.tools] == [
        ("weather", False, True),
        ("shell", True, None),
    ]


def test_allowed_tools_that_must_be_called_are_named_and_those_that_may_are_all_there_are() -> None:
    allowed: dict[str, Any] = {"mode": "required", "tools": [WEATHER, SHELL]}
    request = read(tools=[WEATHER, SHELL], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert request.tool_choice == ToolChoice("named", ("weather", "shell"))
    allowed = {"mode": "auto", "tools": [WEATHER]}
    request = read(tools=[WEATHER, SHELL], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert (request.tool_choice, [tool.name for tool in request.tools]) == (None, ["weather"])


REASONING: list[tuple[dict[str, Any], Reasoning | None]] = [
    ({}, None),
    ({"reasoning_effort": "high"}, Reasoning("high")),
    ({"reasoning": {"effort": "low"}}, Reasoning("low")),
    ({"reasoning": {"max_tokens": 2000, "exclude": True}}, Reasoning(budget=2000, show=False)),
    ({"thinking": {"type": "enabled", "budget_tokens": 10000}}, Reasoning(budget=10000, show=True)),
    ({"thinking": {"type": "enabled"}}, Reasoning(budget=-1, show=True)),
    ({"thinking": {"type": "disabled"}}, Reasoning(budget=0, show=False)),
]


@pytest.mark.parametrize(("fields", "reasoning"), REASONING)
def test_reasoning_is_read_in_every_spelling(fields: dict[str, Any], reasoning: Reasoning | None) -> None:
    assert read(**fields).reasoning == reasoning


def test_the_form_of_the_answer() -> None:
    form = read(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "strict": True}})
    assert form.format == Format("json_schema", "x", form.format.schema, strict=True)  # type: ignore[union-attr]
    assert read(response_format={"type": "json_object"}).format == Format("json_object")
    assert read(response_format={"type": "text"}).format is None


OTHERS: list[tuple[dict[str, Any], set[Feature]]] = [
    ({"n": 2}, {Feature.CHOICES}),
    ({"n": 1}, set()),
    ({"logprobs": True, "top_logprobs": 3}, {Feature.LOGPROBS}),
    ({"logprobs": False}, set()),
    ({"logit_bias": {"5": 1}}, {Feature.LOGIT_BIAS}),
    ({"logit_bias": {}}, set()),
    ({"prediction": {"type": "content", "content": "x"}}, {Feature.PREDICTION}),
    ({"web_search_options": {}}, {Feature.WEB_SEARCH}),
    ({"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}}, {Feature.AUDIO_OUTPUT}),
    ({"modalities": ["text", "image"]}, {Feature.IMAGE_OUTPUT}),
    ({"modalities": ["text"]}, set()),
    ({"messages": [{"role": "assistant", "audio": {"id": "a"}}, *HELLO]}, {Feature.AUDIO_OUTPUT}),
]


@pytest.mark.parametrize(("fields", "others"), OTHERS)
def test_what_no_dialect_shares_is_named(fields: dict[str, Any], others: set[Feature]) -> None:
    assert read(**fields).others == {feature.value for feature in others}


def test_numbers_stay_as_they_were_written() -> None:
    call = chat_call()
    body = call.body.replace(b'"messages"', b'"temperature":0.70,"top_p":1e0,"presence_penalty":null,"messages"')
    request = read_request(msgspec.structs.replace(call, body=body))
    assert isinstance(request, ChatRequest)
    given = (request.temperature, request.top_p, request.presence_penalty)
    assert [bytes(number) for number in given] == [b"0.70", b"1e0", b""]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "narrator", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]"),
    ({"tools": [{"type": "custom", "custom": {"name": "x", "format": {"type": "grammar"}}}]}, "tools[0].custom.format"),
    ({"tools": [{"type": "function"}]}, "tools[0]"),
    ({"stop": 5}, "stop"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_what_cannot_be_carried_is_refused_by_its_field(fields: dict[str, Any], param: str) -> None:
    problem = read_request(chat_call(**fields))
    assert isinstance(problem, Malformed)
    assert problem.param == param
