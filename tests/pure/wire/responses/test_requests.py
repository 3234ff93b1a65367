"""Requests of this dialect in the neutral form: as its clients write them, and what goes to its providers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.pure.wire.responses.bodies import call_of, user

from farebox.wire.call import PLAIN_BODY, Call, ChannelBody, Malformed, raw
from farebox.wire.chat.features import Feature
from farebox.wire.chat.request import (
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
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from farebox.wire.responses.envelope import Envelope, wrap
from farebox.wire.responses.parse import parse
from farebox.wire.responses.read_request import read_request
from farebox.wire.responses.write_request import write_request

WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "Looks",
    "parameters": {"type": "object"},
}


def read(**fields: Any) -> ChatRequest:
    request = read_request(call_of(**fields))
    assert isinstance(request, ChatRequest), request
    return request


def refused(**fields: Any) -> Malformed:
    request = read_request(call_of(**fields))
    assert isinstance(request, Malformed), request
    return request


def sent(request: ChatRequest, channel: ChannelBody = PLAIN_BODY) -> dict[str, Any]:
    return json.loads(write_request(request, upstream_model="up", channel=channel))


# Read -----------------------------------------------------------------------------------------------


def test_text_alone_is_a_question() -> None:
    request = read(instructions="be kind", input="hello")
    assert request.messages == (Message(Role.SYSTEM, (Text("be kind"),)), Message(Role.USER, (Text("hello"),)))


def test_an_agents_conversation_is_read_turn_by_turn() -> None:
    request = read(
        input=[
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
            {"role": "user", "content": "weather?"},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
                "encrypted_content": "gAAAA",
            },
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Looking.", "annotations": []}],
            },
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'},
            {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
            {
                "type": "function_call_output",
                "call_id": "c2",
                "output": [{"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"}],
            },
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            {"role": "user", "content": "thanks"},
        ]
    )
    assert request.messages == (
        Message(Role.SYSTEM, (Text("rules"),)),
        Message(Role.USER, (Text("weather?"),)),
        Message(
            Role.ASSISTANT,
            (
                Thinking("openai_responses", "a\n\nb", sealed="gAAAA", id="rs_1"),
                Text("Looking."),
                ToolUse("c1", "weather", '{"city":"Oslo"}'),
                ToolUse("c2", "weather", "{}"),
            ),
        ),
        Message(
            Role.USER,
            (
                ToolResult("c1", (Text("sunny"),), "weather"),
                ToolResult("c2", (Image(Source(url="https://example.com/a.png"), detail="low"),), "weather"),
            ),
        ),
        Message(Role.USER, (Text("thanks"),)),
    )


def test_media_and_refusals_are_read() -> None:
    request = read(
        input=[
            user(
                {"type": "input_image", "image_url": "data:image/jpeg;base64,AAAA"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"},
                {"type": "input_file", "file_url": "https://example.com/b.pdf"},
                {"type": "input_file", "filename": "c.pdf", "file_data": "CCCC"},
            ),
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        ]
    )
    assert request.messages[0].blocks == (
        Image(Source(base64="AAAA", media_type="image/jpeg")),
        Document(Source(base64="BBBB", media_type="application/pdf"), "a.pdf"),
        Document(Source(url="https://example.com/b.pdf")),
        Document(Source(base64="CCCC", media_type="application/pdf"), "c.pdf"),
    )
    assert request.messages[1].blocks == (Refusal("no"),)


def test_wishes_are_read() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    request = read(
        tools=[WEATHER | {"strict": True}, {"type": "custom", "name": "shell"}],
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=False,
        temperature=0.5,
        max_output_tokens=300,
        text={"format": {"type": "json_schema", "name": "a", "schema": schema, "strict": True}, "verbosity": "low"},
        reasoning={"effort": "high", "summary": "auto"},
        safety_identifier="someone",
        service_tier="flex",
    )
    assert request.tools == (Tool("weather", "Looks", raw({"type": "object"}), strict=True), Tool("shell", custom=True))
    assert request.tool_choice == ToolChoice("named", ("weather",), parallel=False)
    assert (bytes(request.temperature), request.output_limit, request.verbosity) == (b"0.5", 300, "low")
    assert request.format == Format("json_schema", "a", raw(schema), strict=True)
    assert request.reasoning == Reasoning("high", show=True)
    assert (request.end_user, request.service_tier) == ("someone", "flex")


def test_allowed_tools_narrow_or_force() -> None:
    tools = [WEATHER, WEATHER | {"name": "other"}]
    names = [{"type": "function", "name": "other"}]
    narrowed = read(tools=tools, tool_choice={"type": "allowed_tools", "mode": "auto", "tools": names})
    assert ([tool.name for tool in narrowed.tools], narrowed.tool_choice) == (["other"], None)
    forced = read(tools=tools, tool_choice={"type": "allowed_tools", "mode": "required", "tools": names})
    assert (len(forced.tools), forced.tool_choice) == (2, ToolChoice("named", ("other",)))


def test_what_a_table_may_object_to_is_named() -> None:
    asked = read(tools=[WEATHER, {"type": "web_search"}], include=["message.output_text.logprobs"])
    assert asked.others == {Feature.WEB_SEARCH.value, Feature.LOGPROBS.value}
    assert [tool.name for tool in asked.tools] == ["weather"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "local_shell"}]}, "tools[0]"),
        ({"tools": [{"type": "custom", "name": "x", "format": {"type": "grammar", "syntax": "lark"}}]}, "tools[0]"),
        ({"input": [{"type": "computer_call", "call_id": "c"}]}, "input[0]"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0]"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0]"),
        ({"input": [user({"type": "input_dream"})]}, "input[0]"),
    ],
)
def test_what_only_this_dialect_knows_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    assert refused(**fields).param == param


def test_reasoning_of_other_providers_comes_back_as_theirs() -> None:
    sealed = wrap(Envelope("anthropic", signature="sig"))
    item = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": sealed}
    (message, _) = read(input=[item, {"role": "user", "content": "go on"}]).messages
    assert message.blocks == (Thinking("anthropic", "hm", signature="sig"),)


# Written --------------------------------------------------------------------------------------------


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    return msgspec.structs.replace(ChatRequest(messages=messages or (Message(Role.USER, (Text("hi"),)),)), **fields)


def test_a_conversation_is_written_item_by_item() -> None:
    body = sent(
        asked(
            Message(Role.SYSTEM, (Text("rules"),)),
            Message(Role.USER, (Text("look"), Image(Source(base64="AAAA", media_type="image/png")))),
            Message(
                Role.ASSISTANT,
                (
                    Thinking("openai_responses", "hm", sealed="gAAAA", id="rs_1"),
                    Thinking("anthropic", "not for you", signature="sig"),
                    Text("ok"),
                    ToolUse("c1", "weather", ""),
                ),
            ),
            Message(Role.USER, (ToolResult("c1", (Text("sunny"),), is_error=True), Text("and?"))),
        )
    )
    assert body["instructions"] == "rules"
    assert [item["type"] for item in body["input"]] == [
        "message", "reasoning", "message", "function_call", "function_call_output", "message"
    ]  # fmt: skip
    assert body["input"][1]["encrypted_content"] == "gAAAA"
    assert body["input"][2]["content"] == [{"type": "output_text", "text": "ok"}]
    assert body["input"][3]["arguments"] == "{}"
    assert body["input"][4] == {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
    assert "not for you" not in json.dumps(body)


def test_nothing_is_stored_and_no_override_undoes_the_hold() -> None:
    loose = ChannelBody(overrides={"store": raw(True), "max_output_tokens": raw(9), "metadata": raw({"a": "b"})})
    body = sent(asked(output_limit=50), loose)
    assert (body["store"], body["max_output_tokens"], body["metadata"]) == (False, 50, {"a": "b"})


def test_tools_are_not_strict_unless_they_were() -> None:
    body = sent(asked(tools=(Tool("a"), Tool("b", strict=True))))
    assert [tool["strict"] for tool in body["tools"]] == [False, True]


@pytest.mark.parametrize(
    ("wish", "written"),
    [
        (Reasoning("low"), {"effort": "low"}),
        (Reasoning(budget=1_000, show=True), {"effort": "low", "summary": "auto"}),
        (Reasoning(budget=8_000), {"effort": "medium"}),
        (Reasoning(budget=30_000), {"effort": "high"}),
        (Reasoning(budget=0), None),
        (Reasoning(budget=-1), None),
    ],
)
def test_reasoning_is_an_effort_here(wish: Reasoning, written: dict[str, str] | None) -> None:
    body = sent(asked(reasoning=wish))
    assert body.get("reasoning") == written
    assert body.get("include") == (["reasoning.encrypted_content"] if written else None)


def test_what_is_written_is_a_request_of_this_dialect() -> None:
    body = write_request(asked(tools=(Tool("a"),), stream=True), upstream_model="up", channel=PLAIN_BODY)
    assert isinstance(parse(body), Call)
