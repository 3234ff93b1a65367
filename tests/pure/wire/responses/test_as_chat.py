"""Bodies of the Responses shape posted to chat completions."""

from __future__ import annotations

import json
from typing import Any

from tests.pure.wire.bodies import written
from tests.pure.wire.responses.bodies import user

from farebox.wire import openai_chat
from farebox.wire.call import Call, Malformed


def parsed(**fields: Any) -> dict[str, Any]:
    call = openai_chat.parse(written({"model": "m"} | fields))
    assert isinstance(call, Call), call
    assert call.fields.keys() == json.loads(call.body).keys()
    return json.loads(call.body)


def test_an_agents_body_becomes_a_chat() -> None:
    body = parsed(
        instructions="rules",
        input=[
            user({"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "https://x/a.png"}),
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        ],
        tools=[{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}],
        tool_choice={"type": "function", "name": "weather"},
        max_output_tokens=50,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}, "verbosity": "low"},
        store=False,
        include=["reasoning.encrypted_content"],
        stream=True,
        temperature=0.5,
        user="me",
    )
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert body["messages"][1]["content"][1] == {"type": "image_url", "image_url": {"url": "https://x/a.png"}}
    assert body["messages"][3]["tool_call_id"] == "c1"
    assert body["tools"][0] == {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object"}, "strict": False},
    }
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert (body["max_completion_tokens"], body["reasoning_effort"], body["verbosity"]) == (50, "low", "low")
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"type": "object"}},
    }
    assert (body["stream"], body["temperature"], body["user"]) == (True, 0.5, "me")
    assert not {"input", "instructions", "text", "reasoning", "store", "include"} & body.keys()


def test_plain_text_is_a_question_and_the_limits_hold() -> None:
    call = openai_chat.parse(written({"model": "m", "input": "hello", "max_output_tokens": 9}))
    assert isinstance(call, Call)
    assert call.output_limit == 9
    assert json.loads(call.body)["messages"] == [{"role": "user", "content": "hello"}]


def test_tools_that_are_nested_already_stay() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    assert parsed(input="x", tools=[tool])["tools"] == [tool]


def test_what_cannot_be_meant_is_refused() -> None:
    for fields in ({"input": 5}, {"input": [{"role": "wizard"}]}, {"input": "x", "tools": [{"type": "web_search"}]}):
        assert isinstance(openai_chat.parse(written({"model": "m"} | fields)), Malformed)
    refused = openai_chat.parse(written({"model": "m", "input": "x", "previous_response_id": "resp_1"}))
    assert isinstance(refused, Malformed)
    assert refused.param == "previous_response_id"
