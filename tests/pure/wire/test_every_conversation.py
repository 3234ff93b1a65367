"""The next turn of a conversation: what a provider signed or sealed goes back to it, whatever its client speaks.

A client appends the answer to its request as it got it, adds the results of the tools, and asks again.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.pure.wire.conversations import call_of, dialect_of
from tests.pure.wire.test_every_provider import CALLS, THOUGHT, TOOLS
from tests.support import anthropic_answers, responses_answers
from tests.support.script import Script

from farebox.tariff.meters import Meter, Usage
from farebox.wire.call import Call, Malformed, raw
from farebox.wire.chat.features import objection
from farebox.wire.chat.request import ChatRequest, Message, Reasoning, Role, Text, Thinking, Tool, ToolResult, ToolUse
from farebox.wire.chat.speech import Speech
from farebox.wire.passage import Translation
from farebox.wire.speeches import SPEECHES

SEALED = "gAAAAABpR0VtY29kZWQgcmVhc29uaW5n"
SIGNATURES = {"anthropic": anthropic_answers.SIGNATURE, "openai_responses": SEALED, "gemini": "c2ln"}
UPSTREAM_MODELS = {"anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}
RESULTS = ("sun", "rain")
ASKED = ChatRequest(
    messages=(Message(Role.USER, (Text("The weather, twice?"),)),),
    tools=(Tool("weather", schema=raw({"type": "object", "properties": {"city": {"type": "string"}}})),),
    output_limit=8_000,
    reasoning=Reasoning(effort="high"),
)
PAIRS = [
    pytest.param(ours, theirs, id=f"{ours.name} served by {theirs.name}")
    for ours in SPEECHES.values()
    for theirs in SPEECHES.values()
    if ours is not theirs
]
EACH = pytest.mark.parametrize(("ours", "theirs"), PAIRS)


def recorded(theirs: Speech) -> Script:
    if theirs.name == "openai_responses":
        return responses_answers.response_answer(text="", reasoning=THOUGHT, sealed=SEALED, tool_calls=CALLS)
    return TOOLS[theirs.name](False)


def next_call(ours: Speech, first: Call, answer: dict[str, Any]) -> Call:
    """The request of the next turn, as a client of the dialect makes it."""
    body: dict[str, Any] = json.loads(first.body)
    match ours.name:
        case "openai_chat":
            message = answer["choices"][0]["message"]
            results = [
                {"role": "tool", "tool_call_id": call["id"], "content": text}
                for call, text in zip(message["tool_calls"], RESULTS, strict=True)
            ]
            body["messages"] += [message, *results]
        case "openai_responses":
            made = [item for item in answer["output"] if item["type"] == "function_call"]
            results = [
                {"type": "function_call_output", "call_id": call["call_id"], "output": text}
                for call, text in zip(made, RESULTS, strict=True)
            ]
            body["input"] = [*_listed(body["input"]), *answer["output"], *results]
        case "anthropic":
            made = [block for block in answer["content"] if block["type"] == "tool_use"]
            results = [
                {"type": "tool_result", "tool_use_id": call["id"], "content": text}
                for call, text in zip(made, RESULTS, strict=True)
            ]
            said = {"role": "assistant", "content": answer["content"]}
            body["messages"] += [said, {"role": "user", "content": results}]
        case _:
            content = answer["candidates"][0]["content"]
            made = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
            results = [
                {"functionResponse": {"id": call.get("id"), "name": call["name"], "response": {"output": text}}}
                for call, text in zip(made, RESULTS, strict=True)
            ]
            body["contents"] += [content, {"role": "user", "parts": results}]
    call = dialect_of(ours).parse(json.dumps(body).encode())
    assert isinstance(call, Call), call
    return call


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [{"role": "user", "content": given}]


def second_turn(ours: Speech, theirs: Speech) -> tuple[Call, Translation]:
    way = Translation(ours, theirs)
    first = call_of(ours, ASKED)
    if ours.name == "openai_responses":  # its clients say whether they want sealed reasoning shown to them
        fields = {**json.loads(first.body), "include": ["reasoning.encrypted_content"]}
        parsed = dialect_of(ours).parse(json.dumps(fields).encode())
        assert isinstance(parsed, Call)
        first = parsed
    answer = way.read_answer(recorded(theirs).body, first)
    assert answer is not None
    assert answer.render is not None
    shown = json.loads(answer.render(Usage({Meter.INPUT: 1, Meter.OUTPUT: 1})))
    return next_call(ours, first, shown), way


def sent(ours: Speech, theirs: Speech) -> bytes:
    call, way = second_turn(ours, theirs)
    assert way.objection(call) is None
    return way.forward(call, upstream_model=UPSTREAM_MODELS.get(theirs.name, "up"), output_limit=8_000)


@EACH
def test_the_provider_is_given_its_calls_and_their_results(ours: Speech, theirs: Speech) -> None:
    arrived = dialect_of(theirs).parse(sent(ours, theirs))
    assert isinstance(arrived, Call), arrived
    read = theirs.read_request(arrived)
    assert not isinstance(read, Malformed)
    blocks = [block for message in read.messages for block in message.blocks]
    uses = [block for block in blocks if isinstance(block, ToolUse)]
    results = [block for block in blocks if isinstance(block, ToolResult)]
    assert [json.loads(use.arguments) for use in uses] == [json.loads(arguments) for _, arguments in CALLS]
    assert [use.id for use in uses] == [result.id for result in results]
    assert [result.blocks for result in results] == [(Text(text),) for text in RESULTS]
    assert objection(read, theirs.table, dialect=theirs.name) is None


@EACH
def test_what_the_provider_signed_comes_back_to_it(ours: Speech, theirs: Speech) -> None:
    if theirs.name in SIGNATURES:
        assert SIGNATURES[theirs.name].encode() in sent(ours, theirs)


@EACH
def test_what_a_provider_signed_goes_to_no_other(ours: Speech, theirs: Speech) -> None:
    """The same conversation, gone on with at a channel of another dialect."""
    call, _ = second_turn(ours, theirs)
    for other in SPEECHES.values():
        if other in (ours, theirs):
            continue
        body = Translation(ours, other).forward(call, upstream_model=UPSTREAM_MODELS.get(other.name, "up"))
        read = other.read_request(_parsed(other, body))
        assert not isinstance(read, Malformed)
        thoughts = [b for m in read.messages for b in m.blocks if isinstance(b, Thinking)]
        assert all(thought.signature is None and thought.sealed is None for thought in thoughts), thoughts
        assert SIGNATURES.get(theirs.name, "!").encode() not in body


def _parsed(speech: Speech, body: bytes) -> Call:
    call = dialect_of(speech).parse(body)
    assert isinstance(call, Call)
    return msgspec.structs.replace(call, stream=False)
