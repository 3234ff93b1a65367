"""A Responses-shaped body that was posted to chat completions, as some coding tools do: written as what was meant.

Fields that both endpoints know stay as they were written; those of the Responses endpoint alone are
put into the words of chat completions, or left out where they say nothing about the answer.
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT, Fields, Malformed, is_present, raw
from farebox.wire.chat.request import Message, Role, Text
from farebox.wire.json_object import read_as
from farebox.wire.openai_chat_speech.write_messages import write_messages
from farebox.wire.responses.read_items import read_input

_LEFT_OUT = frozenset(
    {"input", "instructions", "max_output_tokens", "reasoning", "text", "tools", "tool_choice", "include", "store"}
    | {"truncation", "max_tool_calls"}
)
_NAMED = ("name", "description", "parameters", "strict", "format")
_encode = msgspec.json.Encoder().encode


class _Reasoning(msgspec.Struct, frozen=True, gc=False):
    effort: str | None = None


class _Text(msgspec.Struct, frozen=True, gc=False):
    format: Fields | None = None
    verbosity: str | None = None


class _Shaped(msgspec.Struct, frozen=True, gc=False):
    input: msgspec.Raw
    instructions: str | None = None
    max_output_tokens: msgspec.Raw = ABSENT
    reasoning: _Reasoning | None = None
    text: _Text | None = None
    tools: list[Fields] | None = None
    tool_choice: str | Fields | None = None


_shaped = msgspec.json.Decoder(_Shaped)


def is_responses_shaped(fields: Fields) -> bool:
    """Whether a chat body has the input of the Responses endpoint in the place of messages."""
    return "messages" not in fields and "input" in fields


def as_chat(fields: Fields) -> bytes | Malformed:
    """The body as chat completions know it."""
    shaped = read_as(_encode(fields), _shaped)
    if isinstance(shaped, Malformed):
        return shaped
    messages = read_input(shaped.input)
    if isinstance(messages, Malformed):
        return messages
    if shaped.instructions:
        messages.insert(0, Message(Role.SYSTEM, (Text(shaped.instructions),)))
    body = {name: value for name, value in fields.items() if name not in _LEFT_OUT}
    return _encode(body | {"messages": raw(write_messages(tuple(messages)))} | _renamed(shaped))


def _renamed(shaped: _Shaped) -> Fields:
    text = shaped.text or _Text()
    effort = None if shaped.reasoning is None else shaped.reasoning.effort
    choice = shaped.tool_choice
    found: dict[str, object] = {
        "max_completion_tokens": shaped.max_output_tokens if is_present(shaped.max_output_tokens) else None,
        "reasoning_effort": effort,
        "verbosity": text.verbosity,
        "response_format": None if text.format is None else _format(text.format),
        "tools": None if not shaped.tools else [_nested(tool) for tool in shaped.tools],
        "tool_choice": choice if isinstance(choice, str) or choice is None else _nested(choice),
    }
    return {name: raw(value) for name, value in found.items() if value is not None}


def _nested(flat: Fields) -> Fields:
    """A tool, or a choice of one, with what it is called inside an object of its type's name."""
    kind = bytes(flat.get("type", ABSENT)).decode(errors="replace").strip('"')
    if kind not in ("function", "custom") or kind in flat:
        return flat
    inner = {name: flat[name] for name in _NAMED if name in flat}
    return Fields({name: value for name, value in flat.items() if name not in inner} | {kind: raw(inner)})


def _format(flat: Fields) -> Fields:
    """A form for the answer, its schema in an object of its own."""
    if bytes(flat.get("type", ABSENT)) != b'"json_schema"' or "json_schema" in flat:
        return flat
    inner = {name: value for name, value in flat.items() if name != "type"}
    return Fields(type=flat["type"], json_schema=raw(inner))
