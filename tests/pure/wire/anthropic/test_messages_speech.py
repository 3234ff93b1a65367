"""What is particular to putting requests into the Messages dialect and out of it, and its answers into others."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.pure.wire.anthropic.messages import (
    ERROR,
    PDF,
    PIXEL,
    SEARCH,
    START,
    STREAM,
    WEATHER,
    asked,
    call_for,
    payloads,
    text,
)
from tests.pure.wire.bodies import written

from farebox.tariff.meters import Meter, Usage
from farebox.wire.anthropic import models
from farebox.wire.anthropic.forward import forward
from farebox.wire.anthropic.parse import parse
from farebox.wire.anthropic.speech import ANTHROPIC_SPEECH
from farebox.wire.anthropic.unsigned import UNSIGNED
from farebox.wire.anthropic.write_messages import SILENT
from farebox.wire.anthropic.write_request import JSON_ONLY
from farebox.wire.call import Call, ChannelBody, Malformed, raw
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSigned,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.features import Feature, features_of
from farebox.wire.chat.request import (
    Block,
    ChatRequest,
    Document,
    Format,
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
from farebox.wire.chat.speech import Whole
from farebox.wire.sse import SseSplitter

OLD, BETWEEN, NEW = "claude-3-5-sonnet-20241022", "claude-opus-4-1", "claude-opus-4-7"
QUESTION = Message(Role.USER, (Text("hello"),))
TOOL = Tool("get_weather")


def sent(*messages: Message, model: str = "some-server", channel: ChannelBody | None = None, **fields: Any) -> Any:
    request = ChatRequest(messages=messages or (QUESTION,), **fields)
    body = ANTHROPIC_SPEECH.write_request(request, upstream_model=model, channel=channel or ChannelBody())
    return json.loads(body)


def read(**fields: Any) -> ChatRequest:
    request = ANTHROPIC_SPEECH.read_request(call_for(**fields))
    assert isinstance(request, ChatRequest), request
    return request


def user(*blocks: Block) -> Message:
    return Message(Role.USER, blocks)


def assistant(*blocks: Block) -> Message:
    return Message(Role.ASSISTANT, blocks)


# Turns ------------------------------------------------------------------------------------------------


def test_a_turn_is_one_message_however_it_was_cut_and_results_come_first() -> None:
    body = sent(
        QUESTION,
        assistant(Text("Let me see."), ToolUse("a", "get_weather", "{}"), ToolUse("b", "get_weather", '{"n":1}')),
        user(ToolResult("a", (Text("sunny"),))),
        user(Text("And?"), ToolResult("b", (Text("rain"),), is_error=True)),
    )
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    first, second, words = body["messages"][2]["content"]
    assert (first["tool_use_id"], second["tool_use_id"], words["text"]) == ("a", "b", "And?")
    assert (second["is_error"], second["content"]) == (True, "rain")
    assert body["messages"][1]["content"][2]["input"] == {"n": 1}


def test_the_first_turn_is_the_users() -> None:
    assert sent(assistant(Text("Hello.")), QUESTION)["messages"][0] == {"role": "user", "content": SILENT}
    assert sent(Message(Role.SYSTEM, (Text("Begin."),))) == {
        "model": "some-server",
        "messages": [{"role": "user", "content": SILENT}],
        "system": "Begin.",
        "max_tokens": models.DEFAULT_LIMIT,
    }


def test_what_the_provider_refuses_is_not_written() -> None:
    body = sent(user(Text("  "), Text("hello")), assistant(Text("")), user(Text("again")), assistant(Text("So: ")))
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "text", "text": "again"}]},
        {"role": "assistant", "content": "So:"},
    ]


def test_ids_of_calls_have_signs_the_provider_takes_on_both_sides() -> None:
    body = sent(
        QUESTION, assistant(ToolUse("functions.f:0", "f", "{}")), user(ToolResult("functions.f:0", (Text("x"),)))
    )
    (use,), (result,) = body["messages"][1]["content"], body["messages"][2]["content"]
    assert use["id"] == result["tool_use_id"] == "functions_f_0"


@pytest.mark.parametrize(
    ("arguments", "given"),
    [('{"a": 1.50}', {"a": 1.5}), ("", {}), (" ", {}), ("not json", {"input": "not json"}), ("[1]", {"input": "[1]"})],
)
def test_arguments_are_an_object_whatever_a_model_wrote(arguments: str, given: Any) -> None:
    body = sent(QUESTION, assistant(ToolUse("a", "f", arguments)))
    assert body["messages"][1]["content"][0]["input"] == given


def test_system_messages_are_one_prompt_and_keep_their_cache_marks() -> None:
    plain = sent(Message(Role.SYSTEM, (Text("One."),)), QUESTION, Message(Role.SYSTEM, (Text("Two."),)))
    assert plain["system"] == "One.\n\nTwo."
    marked = sent(Message(Role.SYSTEM, (Text("One.", cache_ttl="1h"), Text("Two.", cache_ttl="5m"))), QUESTION)
    assert [block["cache_control"] for block in marked["system"]] == [
        {"type": "ephemeral", "ttl": "1h"},
        {"type": "ephemeral"},
    ]


def test_only_what_anthropic_signed_goes_back_to_it() -> None:
    body = sent(
        QUESTION,
        assistant(
            Thinking("openai_chat", text="mine"),
            Thinking("gemini", text="mine", signature="c2ln"),
            Thinking("anthropic", text="unsigned"),
            Thinking("anthropic", text="theirs", signature="c2ln"),
            Thinking("anthropic", sealed="c2VhbGVk"),
            Thinking("openai_responses", sealed="c2VhbGVk", id="rs_1"),
            Text("Hi."),
        ),
        QUESTION,
    )
    thinking, redacted, words = body["messages"][1]["content"]
    assert thinking == {"type": "thinking", "thinking": "theirs", "signature": "c2ln"}
    assert redacted == {"type": "redacted_thinking", "data": "c2VhbGVk"}
    assert words["text"] == "Hi."


def test_a_file_of_text_is_written_as_text() -> None:
    body = sent(user(Document(Source(base64="aGVsbG8=", media_type="text/csv"), "a.csv"), Text("what?")))
    document = body["messages"][0]["content"][0]
    assert document["source"] == {"type": "text", "media_type": "text/plain", "data": "hello"}
    assert document["title"] == "a.csv"


# Settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("claude-3-opus-20240229", (3, 0)),
        ("claude-3-5-sonnet-20241022", (3, 5)),
        ("claude-3-7-sonnet-latest", (3, 7)),
        ("claude-opus-4-20250514", (4, 0)),
        ("claude-sonnet-4-5-20250929", (4, 5)),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", (4, 5)),
        ("anthropic/claude-opus-4.7", (4, 7)),
        ("claude-fable-5", (5, 0)),
        ("claude-opus-4-6@20260205", (4, 6)),
        ("kimi-k2", (0, 0)),
    ],
)
def test_a_name_says_its_version(name: str, version: models.Version) -> None:
    assert models.version_in(name) == version


@pytest.mark.parametrize(
    ("model", "limit"), [(OLD, 8_192), (NEW, 32_000), ("claude-3-opus-20240229", 4_096), ("x", 4_096)]
)
def test_a_limit_is_always_written(model: str, limit: int) -> None:
    assert sent(model=model)["max_tokens"] == limit
    assert sent(model=model, output_limit=77)["max_tokens"] == 77


@pytest.mark.parametrize(
    ("wish", "limit", "model", "thinking", "effort"),
    [
        (Reasoning("low"), 8_000, OLD, {"type": "enabled", "budget_tokens": 2_048}, None),
        (Reasoning("high"), 8_000, OLD, {"type": "enabled", "budget_tokens": 6_000}, None),
        (Reasoning(budget=300), 8_000, OLD, {"type": "enabled", "budget_tokens": 1_024}, None),
        (Reasoning(budget=-1), 40_000, OLD, {"type": "enabled", "budget_tokens": 8_192}, None),
        (Reasoning("high"), 1_200, OLD, None, None),
        (Reasoning("none"), 8_000, OLD, None, None),
        (Reasoning(budget=0), 8_000, OLD, None, None),
        (Reasoning("minimal"), 8_000, NEW, {"type": "adaptive"}, "low"),
        (Reasoning("xhigh"), 8_000, NEW, {"type": "adaptive"}, "xhigh"),
        (Reasoning("xhigh"), 8_000, "claude-opus-4-6", {"type": "adaptive"}, "high"),
        (Reasoning("high", show=True), 8_000, NEW, {"type": "adaptive", "display": "summarized"}, "high"),
        (Reasoning(budget=5_000, show=False), 8_000, NEW, {"type": "adaptive", "display": "omitted"}, None),
        (Reasoning("none"), 8_000, NEW, {"type": "disabled"}, None),
        (None, 8_000, NEW, None, None),
    ],
)
def test_thinking_is_asked_for_as_the_model_takes_it(
    wish: Reasoning | None, limit: int, model: str, thinking: Any, effort: str | None
) -> None:
    body = sent(model=model, output_limit=limit, reasoning=wish)
    assert body.get("thinking") == thinking
    assert body.get("output_config") == (None if effort is None else {"effort": effort})


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("named", ("get_weather",))])
@pytest.mark.parametrize("model", [OLD, NEW])
def test_a_model_made_to_call_a_tool_does_not_think(model: str, choice: ToolChoice) -> None:
    body = sent(model=model, output_limit=9_000, reasoning=Reasoning("low"), tools=(TOOL,), tool_choice=choice)
    assert "thinking" not in body


def test_a_budget_needs_back_what_was_thought_before_a_call() -> None:
    turns = (QUESTION, assistant(ToolUse("a", "get_weather", "{}")), user(ToolResult("a", (Text("sunny"),))))
    assert "thinking" not in sent(*turns, model=OLD, output_limit=9_000, reasoning=Reasoning("low"))
    signed = assistant(Thinking("anthropic", text="hm", signature="c2ln"), *turns[1].blocks)
    assert "thinking" in sent(turns[0], signed, turns[2], model=OLD, output_limit=9_000, reasoning=Reasoning("low"))
    assert "thinking" in sent(*turns, model=NEW, output_limit=9_000, reasoning=Reasoning("low"))


SAMPLING: dict[str, Any] = {"temperature": raw(2), "top_p": msgspec.Raw(b"0.95"), "top_k": 40}


@pytest.mark.parametrize(
    ("model", "channel", "more", "goes_out"),
    [
        (OLD, ChannelBody(), {}, {"temperature": 1, "top_p": 0.95, "top_k": 40}),
        (BETWEEN, ChannelBody(), {}, {"temperature": 1, "top_k": 40}),
        (NEW, ChannelBody(), {}, {}),
        (OLD, ChannelBody(api_version="2026-10-21"), {}, {}),
        (OLD, ChannelBody(), {"reasoning": Reasoning("low"), "output_limit": 9_000}, {}),
    ],
)
def test_sampling_goes_to_models_that_take_it(
    model: str, channel: ChannelBody, more: dict[str, Any], goes_out: dict[str, Any]
) -> None:
    body = sent(model=model, channel=channel, **SAMPLING, **more)
    assert {name: body[name] for name in SAMPLING if name in body} == goes_out


@pytest.mark.parametrize(
    ("tier", "model", "goes_out"),
    [
        (None, NEW, "standard_only"),
        (None, "x", None),
        ("default", "x", "standard_only"),
        ("flex", NEW, "standard_only"),
        ("priority", NEW, "auto"),
        ("auto", NEW, "auto"),
    ],
)
def test_no_tier_serves_that_was_not_held(tier: str | None, model: str, goes_out: str | None) -> None:
    assert sent(model=model, service_tier=tier).get("service_tier") == goes_out


def test_stops_of_white_space_are_left_out() -> None:
    assert sent(stop=("END", "\n\n"))["stop_sequences"] == ["END"]
    assert "stop_sequences" not in sent(stop=("\n",))


def test_a_form_stands_beside_the_effort() -> None:
    form = Format("json_schema", "answer", raw({"type": "object"}))
    body = sent(model=NEW, format=form, reasoning=Reasoning("low"))
    assert body["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
    }
    assert sent(Message(Role.SYSTEM, (Text("Hi."),)), QUESTION, format=Format("json_object"))["system"] == (
        f"Hi.\n\n{JSON_ONLY}"
    )


@pytest.mark.parametrize(
    ("choice", "goes_out", "offered"),
    [
        (ToolChoice(), {"type": "auto"}, ["a", "b"]),
        (ToolChoice("none"), {"type": "none"}, ["a", "b"]),
        (ToolChoice("required", parallel=False), {"type": "any", "disable_parallel_tool_use": True}, ["a", "b"]),
        (ToolChoice("named", ("b",)), {"type": "tool", "name": "b"}, ["a", "b"]),
        (ToolChoice("named", ("a", "b")), {"type": "any"}, ["a", "b"]),
        (ToolChoice("named", ("a", "c")), {"type": "any"}, ["a"]),
        (ToolChoice(parallel=True), {"type": "auto", "disable_parallel_tool_use": False}, ["a", "b"]),
    ],
)
def test_which_tool_may_be_called(choice: ToolChoice, goes_out: Any, offered: list[str]) -> None:
    body = sent(tools=(Tool("a"), Tool("b")), tool_choice=choice)
    assert body["tool_choice"] == goes_out
    assert [tool["name"] for tool in body["tools"]] == offered


def test_law_1_no_override_undoes_what_is_held() -> None:
    overrides = {"max_tokens": raw(10**6), "model": raw("dear"), "stream": raw(False), "top_k": raw(5)}
    body = sent(stream=True, output_limit=50, channel=ChannelBody(overrides=overrides, safety_identifier="abc"))
    assert (body["max_tokens"], body["model"], body["stream"], body["top_k"]) == (50, "some-server", True, 5)
    assert body["metadata"] == {"user_id": "abc"}


# Reading requests -------------------------------------------------------------------------------------


def test_content_is_read_whatever_it_is_made_of() -> None:
    content: list[Any] = [
        text("look", cache_control={"type": "ephemeral"}),
        {"type": "image", "source": PIXEL},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": PDF, "title": "a.pdf", "context": "Ours."},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "document", "source": {"type": "content", "content": [text("one"), text("two")]}, "title": "t"},
        {"type": "search_result", "source": "https://e.com", "title": "Found", "content": [text("it")]},
    ]
    (message,) = read(messages=asked(*content)).messages
    assert message.blocks == (
        Text("look", cache_ttl="5m"),
        Image(Source(base64=PIXEL["data"], media_type="image/png")),
        Image(Source(url="https://example.com/a.png")),
        Text("Ours."),
        Document(Source(base64=PDF["data"], media_type="application/pdf"), "a.pdf"),
        Document(Source(text="words")),
        Document(Source(text="one\ntwo"), "t"),
        Text("Found\nhttps://e.com\nit"),
    )


def test_calls_results_and_thoughts_are_read() -> None:
    turns: Any = [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "c2VhbGVk"},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
                {"type": "tool_use", "id": "a", "name": "get_weather", "input": {"city": "Bern"}},
            ],
        },
        *asked({"type": "tool_result", "tool_use_id": "a", "content": "sunny", "is_error": True}),
    ]
    _, said, result = read(messages=turns, tools=[WEATHER]).messages
    assert said.blocks == (
        Thinking("anthropic", "hm", "c2ln"),
        Thinking("anthropic", sealed="c2VhbGVk"),
        ToolUse("a", "get_weather", '{"city":"Bern"}'),
    )
    assert result.blocks == (ToolResult("a", (Text("sunny"),), name="get_weather", is_error=True),)


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, Reasoning(budget=2_000, show=True)),
        ({"thinking": {"type": "adaptive"}}, Reasoning(budget=-1, show=True)),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Reasoning(budget=-1, show=False)),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            Reasoning("max", show=True),
        ),
        ({"thinking": {"type": "disabled"}}, Reasoning(budget=0)),
        ({"output_config": {"effort": "low"}}, Reasoning("low")),
        ({}, None),
    ],
)
def test_how_much_to_think_is_read(fields: dict[str, Any], reasoning: Reasoning | None) -> None:
    assert read(**fields).reasoning == reasoning


@pytest.mark.parametrize("where", ["output_config", "output_format"])
def test_a_form_is_read_where_it_stands_now_and_where_it_stood(where: str) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    request = read(**{where: {"format": form} if where == "output_config" else form})
    assert request.format is not None
    assert json.loads(bytes(request.format.schema)) == {"type": "object"}


def test_a_search_at_the_provider_is_asked_for_by_name() -> None:
    assert Feature.WEB_SEARCH in set(features_of(read(tools=[SEARCH, WEATHER])))
    assert [tool.name for tool in read(tools=[SEARCH, WEATHER]).tools] == ["get_weather"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0]"),
        ({"messages": asked({"type": "a_block_of_next_year"})}, "messages[0].content[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": asked({"type": "tool_use", "name": "x"})}, "messages[0].content[0]"),
    ],
)
def test_what_no_other_dialect_could_be_asked_for_is_refused_by_its_place(fields: dict[str, Any], param: str) -> None:
    refusal = ANTHROPIC_SPEECH.read_request(call_for(**fields))
    assert isinstance(refusal, Malformed)
    assert refusal.param == param


# Answers ----------------------------------------------------------------------------------------------


def events_of(stream: bytes) -> list[ChatEvent]:
    reader = ANTHROPIC_SPEECH.reader()
    return [each for event in SseSplitter().feed(stream) for each in reader.read(event.payload or b"", event.name)]


def test_a_recorded_stream_becomes_events_of_no_dialect() -> None:
    assert events_of(STREAM) == [
        Started("msg_014p7gG3wDgGV9EUtLvnow3U"),
        TextDelta("Okay"),
        TextDelta(", 你好"),
        ToolStart("toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather"),
        ToolArguments('{"location": "San'),
        ToolArguments(' Francisco"}'),
        Ended(StopReason.TOOL_CALLS),
    ]


def named(**payload: Any) -> bytes:
    return b"event: " + payload["type"].encode() + b"\ndata: " + written(payload) + b"\n\n"


def block(start: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    opened = named(type="content_block_start", index=0, content_block=start)
    pieces = [named(type="content_block_delta", index=0, delta=delta) for delta in deltas]
    return opened + b"".join(pieces) + named(type="content_block_stop", index=0)


@pytest.mark.parametrize(
    ("blocks", "events"),
    [
        (
            block(
                {"type": "thinking", "thinking": "", "signature": ""},
                {"type": "thinking_delta", "thinking": "hm"},
                {"type": "signature_delta", "signature": "c2"},
                {"type": "signature_delta", "signature": "ln"},
            ),
            [ThinkingDelta("hm"), ThinkingSigned("anthropic", signature="c2ln")],
        ),
        (
            block({"type": "redacted_thinking", "data": "c2VhbGVk"}),
            [ThinkingSigned("anthropic", sealed="c2VhbGVk")],
        ),
        (
            block({"type": "tool_use", "id": "a", "name": "now", "input": {}}),
            [ToolStart("a", "now"), ToolArguments("{}")],
        ),
        (
            block({"type": "tool_use", "id": "a", "name": "now", "input": {"at": 1}}),
            [ToolStart("a", "now"), ToolArguments('{"at":1}')],
        ),
        (
            block(
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "input_json_delta", "partial_json": '{"query":"x"}'},
            )
            + block({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}),
            [],
        ),
        (
            block({"type": "text", "text": ""}, {"type": "citations_delta", "citation": {"cited_text": "x"}}),
            [],
        ),
    ],
)
def test_every_kind_of_block_is_read(blocks: bytes, events: list[ChatEvent]) -> None:
    assert events_of(START + blocks)[1:] == events


@pytest.mark.parametrize(
    ("written_reason", "reason"),
    [
        ("end_turn", StopReason.STOP),
        ("max_tokens", StopReason.LENGTH),
        ("model_context_window_exceeded", StopReason.LENGTH),
        ("stop_sequence", StopReason.STOP_SEQUENCE),
        ("tool_use", StopReason.TOOL_CALLS),
        ("pause_turn", StopReason.PAUSE),
        ("refusal", StopReason.CONTENT_FILTER),
        ("a_reason_of_next_year", StopReason.STOP),
    ],
)
def test_why_it_ended_is_read(written_reason: str, reason: StopReason) -> None:
    delta = {"stop_reason": written_reason, "stop_sequence": "END"}
    assert events_of(named(type="message_delta", delta=delta)) == [Ended(reason, "END")]


def test_an_error_event_stops_the_reading() -> None:
    reader = ANTHROPIC_SPEECH.reader()
    for event in SseSplitter().feed(START + ERROR):
        reader.read(event.payload or b"", event.name)
    assert reader.error is not None
    assert not reader.complete


def writer_for(**fields: Any) -> tuple[Call, Any]:
    call = call_for(stream=True, **fields)
    return call, ANTHROPIC_SPEECH.writer(call)


SIGNED: list[ChatEvent] = [
    Started("chatcmpl-1"),
    ThinkingDelta("hm"),
    ThinkingSigned("anthropic", signature="c2ln"),
    ThinkingSigned("anthropic", sealed="c2VhbGVk"),
    TextDelta("Hi"),
    TextDelta("."),
    ToolStart("a", "f"),
    ToolArguments('{"n":'),
    ToolArguments("1}"),
    ToolStart("b", "g"),
]
USED = Usage({Meter.INPUT: 10, Meter.CACHED_INPUT: 4, Meter.CACHE_WRITE_1H: 3, Meter.OUTPUT: 6, Meter.REASONING: 2})
CONTENT: list[Any] = [
    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "c2VhbGVk"},
    {"type": "text", "text": "Hi."},
    {"type": "tool_use", "id": "a", "name": "f", "input": {"n": 1}},
    {"type": "tool_use", "id": "b", "name": "g", "input": {}},
]
SHOWN = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 3,
    "cache_read_input_tokens": 4,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 3},
    "output_tokens": 8,
    "output_tokens_details": {"thinking_tokens": 2},
}


def test_an_answer_is_written_whole() -> None:
    whole = Whole(SIGNED, Ended(StopReason.TOOL_CALLS), None)
    answer = json.loads(ANTHROPIC_SPEECH.write_whole(call_for(), whole, USED))
    assert (answer["id"], answer["model"], answer["stop_reason"]) == ("msg_chatcmpl-1", "claude", "tool_use")
    assert answer["content"] == CONTENT
    assert answer["usage"] == SHOWN


def test_an_answer_is_written_as_a_stream_of_blocks() -> None:
    _, writer = writer_for()
    stream = b"".join(writer.write(event) for event in SIGNED)
    events = payloads(stream + writer.finish(Ended(StopReason.TOOL_CALLS), USED, "0.5"))
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["thinking", "redacted_thinking", "text", "tool_use", "tool_use"]
    stops = [event["index"] for event in events if event["type"] == "content_block_stop"]
    assert stops == [0, 1, 2, 3, 4]
    assert events[-2]["usage"] == SHOWN | {"cost": "0.5"}
    assert events[-1] == {"type": "message_stop"}


FOREIGN: list[ChatEvent] = [
    Started("1"),
    ThinkingDelta("hm"),
    ThinkingSigned("openai_responses", sealed="c2VhbGVk"),
    ThinkingSigned("openai_responses", sealed="bW9yZQ=="),
    ToolStart("a", "now", signature="c2ln"),
    ToolArguments("{}"),
]
BACK = (
    Thinking("openai_responses", "hm", sealed="c2VhbGVk"),
    Thinking("openai_responses", sealed="bW9yZQ=="),
    ToolUse("a", "now", "{}", signature="c2ln"),
)


@pytest.mark.parametrize("streamed", [False, True])
def test_what_others_signed_comes_back_to_them_and_never_goes_to_anthropic(streamed: bool) -> None:
    call, writer = writer_for()
    ended = Ended(StopReason.TOOL_CALLS)
    if streamed:
        stream = b"".join(map(writer.write, FOREIGN)) + writer.finish(ended, Usage({}), None)
        blocks = _blocks_streamed(stream)
    else:
        blocks = json.loads(ANTHROPIC_SPEECH.write_whole(call, Whole(FOREIGN, ended, None), Usage({})))["content"]
    assert [block["type"] for block in blocks] == ["thinking", "redacted_thinking", "redacted_thinking", "tool_use"]
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "assistant", "content": blocks}]}
    again = parse(json.dumps(asked).encode())
    assert isinstance(again, Call)
    assert again.sealed
    read = ANTHROPIC_SPEECH.read_request(again)
    assert isinstance(read, ChatRequest)
    assert read.messages[0].blocks == BACK
    (kept,) = json.loads(forward(again, upstream_model="m"))["messages"]
    assert [block["type"] for block in kept["content"]] == ["tool_use"]


def _blocks_streamed(stream: bytes) -> list[dict[str, Any]]:
    """The blocks as a client puts them together."""
    blocks: list[dict[str, Any]] = []
    for line in stream.decode().split("\n"):
        event = json.loads(line[6:]) if line.startswith("data: ") else {}
        delta = event.get("delta", {})
        match event.get("type"), delta.get("type"):
            case "content_block_start", _:
                blocks.append(event["content_block"])
            case _, "thinking_delta":
                blocks[-1]["thinking"] += delta["thinking"]
            case _, "signature_delta":
                blocks[-1]["signature"] = delta["signature"]
            case _:
                pass
    return blocks


def test_thoughts_nobody_signed_are_marked_and_read_as_unsigned() -> None:
    _, writer = writer_for()
    thought = [Started("1"), ThinkingDelta("hm"), TextDelta("Hi.")]
    events = payloads(b"".join(writer.write(event) for event in thought))
    assert [event["delta"] for event in events if event["type"] == "content_block_delta"] == [
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": UNSIGNED},
        {"type": "text_delta", "text": "Hi."},
    ]
    whole = Whole(list(thought), Ended(StopReason.STOP), None)
    (said, _) = json.loads(ANTHROPIC_SPEECH.write_whole(call_for(), whole, USED))["content"]
    assert said == {"type": "thinking", "thinking": "hm", "signature": UNSIGNED}
    (turn,) = read(messages=[{"role": "assistant", "content": [said]}]).messages
    assert turn.blocks == (Thinking("anthropic", "hm"),)


def test_an_empty_answer_is_still_a_message() -> None:
    _, writer = writer_for()
    events = payloads(writer.finish(Ended(StopReason.STOP), Usage({}), None))
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]
