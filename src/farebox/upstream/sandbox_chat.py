"""Composes the sandbox's chat answers in OpenAI's dialect: several choices, usage of every shape asked for.

A `Call`, its tools and a `Script` enter, the body of an answer or the events of a stream leave.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from farebox.upstream.sandbox_script import Script, UsageShape
from farebox.upstream.sandbox_words import Called, Produced, count_tokens, pieces, produce
from farebox.wire import openai_text
from farebox.wire.call import Call
from farebox.wire.chat.request import Tool

_PREAMBLE_TOKENS = 3
_CREATED = 1_700_000_000


def answer(call: Call, script: Script, tools: tuple[Tool, ...] = ()) -> bytes:
    """The body of a buffered answer."""
    produced = _all_choices(call, script, tools)
    choices = [
        {"index": index, "message": _message(choice), "logprobs": None, "finish_reason": choice.finish_reason}
        for index, choice in enumerate(produced)
    ]
    body = _head(call, "chat.completion") | {"choices": choices}
    if script.usage is not UsageShape.NONE:
        body["usage"] = _usage(call, script, produced)
    return msgspec.json.encode(body)


def events(call: Call, script: Script, tools: tuple[Tool, ...] = ()) -> Iterator[bytes]:
    """The events of a stream, up to a cut or an error event if the script has one."""
    produced = _all_choices(call, script, tools)
    head = _head(call, "chat.completion.chunk")
    for index in range(call.choices):
        yield _event(head, index, {"role": "assistant", "content": ""}, None)
    stop = script.cut if script.cut is not None else script.error_event
    for number, (index, delta) in enumerate(_deltas(produced, script.chunks)):
        if number == stop:
            break
        yield _event(head, index, delta, None)
    if script.cut is not None:
        return
    if script.error_event is not None:
        yield b'data: {"error":{"message":"The sandbox fails as it was asked to.","type":"server_error"}}\n\n'
        return
    for index, choice in enumerate(produced):
        yield _event(head, index, {}, choice.finish_reason)
    if call.wants_usage and script.usage is not UsageShape.NONE:
        yield _data(head | {"choices": [], "usage": _usage(call, script, produced)})
    yield b"data: [DONE]\n\n"


def _all_choices(call: Call, script: Script, tools: tuple[Tool, ...]) -> list[Produced]:
    seed = hashlib.sha256(bytes(call.fields["messages"]) + call.model.encode(errors="replace")).digest()
    seeds = [hashlib.sha256(seed + bytes([index])).digest() for index in range(call.choices)]
    return [produce(each, call.output_limit, script, tools) for each in seeds]


def _message(choice: Produced) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.thoughts:
        message["reasoning_content"] = "".join(choice.thoughts)
    if choice.calls:
        message["tool_calls"] = [_tool_call(called) for called in choice.calls]
    return message


def _tool_call(called: Called) -> dict[str, Any]:
    return {
        "id": called.id,
        "type": "function",
        "function": {"name": called.name, "arguments": called.arguments},
    }


def _deltas(produced: list[Produced], chunks: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """What each choice adds, one choice after the other."""
    for index, choice in enumerate(produced):
        for thought in pieces(choice.thoughts, chunks):
            yield index, {"reasoning_content": thought}
        for text in pieces(choice.words, chunks):
            yield index, {"content": text}
        for number, called in enumerate(choice.calls):
            yield index, {"tool_calls": [{"index": number, **_tool_call(called)}]}


def _usage(call: Call, script: Script, produced: list[Produced]) -> dict[str, Any]:
    reasoning = sum([choice.reasoning_tokens for choice in produced])
    completion = sum([choice.output_tokens for choice in produced])
    prompt = prompt_tokens(call)
    match script.usage:
        case UsageShape.WRONG:
            prompt, completion = prompt * 1000 + 10_000_000, completion * 1000 + 10_000_000
        case UsageShape.NEGATIVE:
            completion = -5
        case UsageShape.ZERO:
            prompt, completion, reasoning = 0, 0, 0
        case UsageShape.TRUE | UsageShape.NONE:
            pass
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def prompt_tokens(call: Call) -> int:
    """Tokens of the request's text, and of the template around its messages."""
    template = _PREAMBLE_TOKENS + openai_text.MESSAGE_TOKENS * openai_text.messages_in(call)
    return count_tokens(openai_text.chat_text(call)) + template


def _head(call: Call, kind: str) -> dict[str, Any]:
    number = hashlib.sha256(call.body).hexdigest()[:24]
    head: dict[str, Any] = {"id": f"chatcmpl-{number}", "object": kind, "created": _CREATED, "model": call.model}
    if call.service_tier is not None:
        head["service_tier"] = "default" if call.service_tier == "auto" else call.service_tier
    return head


def _event(head: dict[str, Any], index: int, delta: dict[str, Any], finish_reason: str | None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _data(head | {"choices": [choice]})


def _data(payload: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"
