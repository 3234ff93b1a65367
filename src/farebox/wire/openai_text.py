"""The text of an OpenAI request, for counting its tokens more closely than by bytes.

A `Call` enters, one string leaves: every message, name, tool call, tool and schema, without
media payloads. The tokenizer lives outside; this module only says what to count. Never raises.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from farebox.wire.call import Call

_TEXT_FIELDS = ("tools", "functions", "response_format", "tool_choice", "prediction")
_NO_TEXT = frozenset({"image_url", "input_audio", "file", "video_url", "file_url", "role", "type"})
"""Media is bounded by formula, and the template's allowance covers roles."""
MESSAGE_TOKENS = 4
"""What a chat template writes around each message, at most."""

_decode = msgspec.json.Decoder(float_hook=str).decode


def chat_text(call: Call) -> str:
    """All text of a chat request that becomes input tokens; schemas as they were written."""
    texts: list[str] = []
    for message in _items(_read(call.fields.get("messages"))):
        _collect(message, texts)
    for name in _TEXT_FIELDS:
        value = call.fields.get(name)
        if value is not None:
            texts.append(bytes(value).decode(errors="replace"))
    return "\n".join(texts)


def embeddings_text(call: Call) -> str:
    """All text of an embeddings request; arrays of token numbers are none (see `token_numbers`)."""
    texts: list[str] = []
    _collect(_read(call.fields.get("input")), texts)
    return "\n".join(texts)


def token_numbers(call: Call) -> int:
    """How many token numbers an embeddings request holds; each is one input token exactly."""
    numbers = 0
    for item in _items(_read(call.fields.get("input"))):
        numbers += len(cast(list[object], item)) if isinstance(item, list) else isinstance(item, int)
    return numbers


def messages_in(call: Call) -> int:
    """How many messages there are, for the template's own tokens."""
    return len(_items(_read(call.fields.get("messages"))))


def _read(value: msgspec.Raw | None) -> Any:
    if value is None:
        return None
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(value).decode(errors="replace")


def _items(value: Any) -> list[object]:
    return cast(list[object], value) if isinstance(value, list) else [value]


def _collect(root: Any, texts: list[str]) -> None:
    """Every string below `root` except media and roles, in no promised order, without recursion."""
    waiting: list[Any] = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list):
            waiting.extend(cast(list[Any], value))
        elif isinstance(value, dict):
            fields = cast(dict[str, Any], value)
            waiting.extend([below for name, below in fields.items() if name not in _NO_TEXT])
