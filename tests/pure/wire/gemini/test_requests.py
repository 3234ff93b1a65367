"""Requests into the neutral form and out of it, in the words of Google's own documentation."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.pure.wire.bodies import chat_call
from tests.pure.wire.gemini.calls import at, call, part

from farebox.wire.call import PLAIN_BODY, Call, ChannelBody, Malformed, raw
from farebox.wire.chat.features import Feature
from farebox.wire.chat.request import (
    Audio,
    Block,
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
    Video,
)
from farebox.wire.gemini.schema import to_json_schema
from farebox.wire.gemini.speech import GEMINI_SPEECH
from farebox.wire.passage import Translation
from farebox.wire.speeches import SPEECHES


def asked(**fields: Any) -> ChatRequest:
    read = GEMINI_SPEECH.read_request(call(**fields))
    assert isinstance(read, ChatRequest), read
    return read


def written(request: ChatRequest, *, model: str = "gemini-2.5-flash", channel: ChannelBody = PLAIN_BODY) -> Any:
    return json.loads(GEMINI_SPEECH.write_request(request, upstream_model=model, channel=channel))


def said(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest(messages=messages or (Message(Role.USER, (Text("hi"),)),), **fields)


TOOL_LOOP: list[Any] = [
    {"role": "user", "parts": [{"text": "What is the weather in Paris and in London?"}]},
    {
        "role": "model",
        "parts": [
            {"text": "I look it up.", "thought": True},
            {"functionCall": {"name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": "c2lnbmVk"},
            {"functionCall": {"name": "weather", "args": {"city": "London"}}},
        ],
    },
    {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "weather", "response": {"output": "15C"}}},
            {"functionResponse": {"name": "weather", "response": {"temp": "12C"}}},
        ],
    },
]


def test_calls_side_by_side_find_their_results_by_name_in_their_order() -> None:
    messages = asked(contents=TOOL_LOOP).messages
    assert messages[1].blocks == (
        Thinking("gemini", "I look it up."),
        ToolUse("call_1", "weather", '{"city":"Paris"}', signature="c2lnbmVk"),
        ToolUse("call_2", "weather", '{"city":"London"}'),
    )
    assert messages[2].blocks == (
        ToolResult("call_1", (Text("15C"),), name="weather"),
        ToolResult("call_2", (Text('{"temp":"12C"}'),), name="weather"),
    )


def test_results_with_an_id_find_their_call_by_it() -> None:
    contents: list[Any] = [
        {"role": "model", "parts": [{"functionCall": {"id": one, "name": "f", "args": {}}} for one in ("a", "b")]},
        {"role": "user", "parts": [{"functionResponse": {"id": "b", "name": "f", "response": {"error": "no"}}}]},
    ]
    (result,) = asked(contents=contents).messages[1].blocks
    assert result == ToolResult("b", (Text("no"),), name="f", is_error=True)


MEDIA: list[Any] = [
    ({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, Image(Source(base64="AAAA", media_type="image/png"))),
    ({"inline_data": {"mime_type": "audio/wav", "data": "AA"}}, Audio(Source(base64="AA", media_type="audio/wav"))),
    (
        {"inlineData": {"mimeType": "application/pdf", "data": "AA"}},
        Document(Source(base64="AA", media_type="application/pdf")),
    ),
    ({"inlineData": {"mimeType": "text/csv", "data": "YSxi"}}, Document(Source(text="a,b", media_type="text/csv"))),
    (
        {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}},
        Image(Source(url="https://example.com/a.png")),
    ),
    ({"fileData": {"fileUri": "https://youtu.be/abc"}}, Video(Source(url="https://youtu.be/abc"))),
    ({"executableCode": {"language": "PYTHON", "code": "1+1"}}, Text("1+1")),
]


@pytest.mark.parametrize(("given", "block"), MEDIA)
def test_media_are_what_their_type_says(given: dict[str, Any], block: Block) -> None:
    assert asked(contents=part(**given)).messages[0].blocks == (block,)


def test_settings_are_read() -> None:
    request = asked(
        systemInstruction={"parts": [{"text": "Be brief."}]},
        tools=[{"functionDeclarations": [{"name": "f", "description": "d", "parameters": {"type": "OBJECT"}}]}],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        generationConfig={
            "temperature": 0.70,
            "topK": 40,
            "stopSequences": ["x"],
            "maxOutputTokens": 9,
            "responseMimeType": "application/json",
            "responseSchema": {"type": "ARRAY", "items": {"type": "STRING", "nullable": True}},
            "thinkingConfig": {"thinkingBudget": 0, "includeThoughts": False},
        },
        serviceTier="priority",
    )
    assert request.messages[0] == Message(Role.SYSTEM, (Text("Be brief."),))
    assert [(tool.name, bytes(tool.schema)) for tool in request.tools] == [("f", b'{"type":"object"}')]
    assert request.tool_choice == ToolChoice("named", ("f",))
    assert (bytes(request.temperature), request.top_k, request.stop, request.output_limit) == (b"0.7", 40, ("x",), 9)
    assert request.format is not None
    assert json.loads(bytes(request.format.schema)) == {"type": "array", "items": {"type": ["string", "null"]}}
    assert request.reasoning == Reasoning(budget=0, show=False)
    assert request.service_tier == "priority"


OTHERS: list[Any] = [
    ({"generationConfig": {"candidateCount": 2}}, Feature.CHOICES),
    ({"generationConfig": {"responseLogprobs": True}}, Feature.LOGPROBS),
    ({"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}, Feature.IMAGE_OUTPUT),
    ({"tools": [{"googleSearch": {}}]}, Feature.WEB_SEARCH),
    (
        {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]},
        Feature.SAFETY_SETTINGS,
    ),
]


@pytest.mark.parametrize(("fields", "feature"), OTHERS)
def test_what_has_no_word_is_named(fields: dict[str, Any], feature: Feature) -> None:
    assert asked(**fields).others == {feature.value}


@pytest.mark.parametrize("tool", ["codeExecution", "urlContext", "computerUse"])
def test_tools_of_google_are_refused_where_another_serves(tool: str) -> None:
    assert isinstance(GEMINI_SPEECH.read_request(call(tools=[{tool: {}}])), Malformed)


def test_a_part_of_no_known_kind_is_refused_by_its_place() -> None:
    problem = GEMINI_SPEECH.read_request(call(contents=part(somethingNew={})))
    assert isinstance(problem, Malformed)
    assert problem.param == "contents[0].parts[0]"


# Out of the neutral form ----------------------------------------------------------------------------


def test_a_conversation_of_openais_is_written_as_google_wants_it() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}},
                {"id": "b", "type": "function", "function": {"name": "clock", "arguments": ""}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "15C"},
        {"role": "tool", "tool_call_id": "b", "content": "noon"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
    ]
    way = Translation(SPEECHES["openai_chat"], GEMINI_SPEECH)
    made = chat_call(messages=messages, max_tokens=50, temperature=0.5)
    body = json.loads(way.forward(made, upstream_model="gemini-2.5-flash", output_limit=40))
    assert way.upstream_path(made, "gemini-2.5-flash") == "/models/gemini-2.5-flash:generateContent"
    assert body == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Weather?"}]},
            {
                "role": "model",
                "parts": [
                    {"functionCall": {"id": "a", "name": "weather", "args": {"city": "Paris"}}},
                    {"functionCall": {"id": "b", "name": "clock", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "a", "name": "weather", "response": {"output": "15C"}}},
                    {"functionResponse": {"id": "b", "name": "clock", "response": {"output": "noon"}}},
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                ],
            },
        ],
        "generationConfig": {"temperature": 0.5, "maxOutputTokens": 40},
    }


def test_the_result_is_a_call_of_the_dialect() -> None:
    body = GEMINI_SPEECH.write_request(said(), upstream_model="x", channel=PLAIN_BODY)
    assert isinstance(at().parse(body), Call)


THINKING: list[Any] = [
    # model                     wish                     written
    ("gemini-2.5-flash", Reasoning("none"), {"thinkingBudget": 0}),
    ("gemini-2.5-pro", Reasoning("none"), {"thinkingBudget": 128}),
    ("gemini-2.5-flash", Reasoning("low"), {"thinkingBudget": 1024}),
    ("gemini-2.5-flash", Reasoning("medium"), {"thinkingBudget": 8192}),
    ("gemini-2.5-flash", Reasoning("xhigh"), {"thinkingBudget": 24576}),
    ("gemini-2.5-flash", Reasoning(budget=-1, show=True), {"thinkingBudget": -1, "includeThoughts": True}),
    ("gemini-3-pro-preview", Reasoning("medium"), {"thinkingLevel": "high"}),
    ("gemini-3-pro-preview", Reasoning("minimal"), {"thinkingLevel": "low"}),
    ("gemini-3.5-flash", Reasoning("none"), {"thinkingLevel": "minimal"}),
    ("gemini-3.5-flash", Reasoning("medium"), {"thinkingLevel": "medium"}),
    ("models/gemini-3.1-pro", Reasoning("max"), {"thinkingLevel": "high"}),
    ("gemini-2.0-flash", Reasoning("high"), None),
    ("somebody-else", Reasoning("low"), {"thinkingBudget": 1024}),
]


@pytest.mark.parametrize(("model", "wish", "config"), THINKING)
def test_how_much_to_think_is_said_in_the_way_the_model_knows(
    model: str, wish: Reasoning, config: dict[str, Any] | None
) -> None:
    body = written(said(reasoning=wish), model=model)
    assert body.get("generationConfig", {}).get("thinkingConfig") == config


def test_a_call_another_model_made_is_marked_for_models_that_want_signatures() -> None:
    uses = Message(Role.ASSISTANT, (ToolUse("a", "f", "{}"), ToolUse("b", "f", "{}")))
    (_, model) = written(said(Message(Role.USER, (Text("x"),)), uses), model="gemini-3-pro")["contents"]
    assert [part.get("thoughtSignature") for part in model["parts"]] == ["skip_thought_signature_validator", None]
    (_, model) = written(said(Message(Role.USER, (Text("x"),)), uses))["contents"]
    assert all("thoughtSignature" not in part for part in model["parts"])


def test_another_providers_thoughts_and_sealed_ones_are_left_out() -> None:
    thoughts = (Thinking("anthropic", "hm", "sig"), Thinking("gemini", sealed="xyz"), Thinking("gemini", "mine", "sig"))
    (content,) = written(said(Message(Role.ASSISTANT, thoughts)))["contents"]
    assert content["parts"] == [{"text": "mine", "thought": True, "thoughtSignature": "sig"}]


def test_system_words_alone_are_asked_as_a_question_and_late_ones_stay_in_their_place() -> None:
    system = Message(Role.SYSTEM, (Text("s"),))
    assert written(said(system)) == {"contents": [{"role": "user", "parts": [{"text": "s"}]}]}
    late = written(said(Message(Role.USER, (Text("q"),)), Message(Role.ASSISTANT, (Text("a"),)), system))
    assert [content["role"] for content in late["contents"]] == ["user", "model", "user"]


def test_arguments_that_are_no_object_are_sent_under_a_name() -> None:
    (content,) = written(said(Message(Role.ASSISTANT, (ToolUse("a", "f", "{broken"),))))["contents"]
    assert content["parts"][0]["functionCall"]["args"] == {"input": "{broken"}


def test_law_1_no_override_undoes_the_limit() -> None:
    channel = ChannelBody(
        overrides={
            "generationConfig": raw({"maxOutputTokens": 9999, "candidateCount": 8, "topK": 1}),
            "safetySettings": raw([]),
        }
    )
    body = written(said(output_limit=50, top_k=7), channel=channel)
    assert body["generationConfig"] == {"topK": 1, "maxOutputTokens": 50}
    assert body["safetySettings"] == []


def test_a_schema_goes_out_as_it_came() -> None:
    schema = msgspec.Raw(b'{"type": "object", "properties": {"n": {"type": "number", "minimum": 0.50}}}')
    body = GEMINI_SPEECH.write_request(said(tools=(Tool("f", schema=schema),)), upstream_model="x", channel=PLAIN_BODY)
    assert b'"parametersJsonSchema":' + bytes(schema) in body


SCHEMAS: list[Any] = [
    # Google's                                             JSON Schema
    ({"type": "STRING", "enum": ["A"], "format": "enum"}, {"type": "string", "enum": ["A"], "format": "enum"}),
    ({"type": "OBJECT", "nullable": True}, {"type": ["object", "null"]}),
    ({"anyOf": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"anyOf": [{"type": "string"}]}, {"type": "null"}]}),
    (
        {"type": "ARRAY", "minItems": "2", "max_items": 3, "items": {"type": "INTEGER"}},
        {"type": "array", "minItems": 2, "maxItems": 3, "items": {"type": "integer"}},
    ),
    (
        {"type": "OBJECT", "properties": {"type": {"type": "STRING"}, "any_of": {"type": "NUMBER"}}},
        {"type": "object", "properties": {"type": {"type": "string"}, "any_of": {"type": "number"}}},
    ),
    ({"propertyOrdering": ["a"], "example": 1, "title": "t"}, {"title": "t"}),
    (
        {"ref": "#/$defs/x", "defs": {"x": {"type": "STRING"}}},
        {"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}},
    ),
    ({"type": "NUMBER", "minimum": 0.5}, {"type": "number", "minimum": 0.5}),
    ({"type": 5, "items": None}, {"type": 5, "items": None}),
    ("no schema", "no schema"),
]


@pytest.mark.parametrize(("google", "json_schema"), SCHEMAS)
def test_googles_schemas_become_json_schema(google: Any, json_schema: Any) -> None:
    assert json.loads(bytes(to_json_schema(raw(google)))) == json_schema
