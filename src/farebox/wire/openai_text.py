"""The text of an OpenAI request, for counting its tokens more closely than by bytes.

A `Call` enters, one string leaves: every message, name, tool call, tool and schema, without
media payloads. The tokenizer lives outside; this module only says what to count. Never raises.
"""

from __future__ import annotations

from typing import Any, cast

from farebox.wire.call import Call
from farebox.wire.json_text import but, read_any, strings_in

_TEXT_FIELDS = ("tools", "functions", "response_format", "tool_choice", "prediction")
_READ = but({"image_url", "input_audio", "file", "video_url", "file_url", "role", "type"})
"""Media is bounded by formula, and the template's allowance covers roles."""
MESSAGE_TOKENS = 4
"""What a chat template writes around each message, at most."""


def chat_text(call: Call) -> str:
    """All text of a chat request that becomes input tokens; schemas as they were written."""
    texts: list[str] = []
    for message in _items(read_any(call.fields.get("messages"))):
        texts += strings_in(message, _READ)
    for name in _TEXT_FIELDS:
        value = call.fields.get(name)
        if value is not None:
            texts.append(bytes(value).decode(errors="replace"))
    return "\n".join(texts)


def embeddings_text(call: Call) -> str:
    """All text of an embeddings request; arrays of token numbers are none (see `token_numbers`)."""
    return "\n".join(strings_in(read_any(call.fields.get("input")), _READ))


def token_numbers(call: Call) -> int:
    """How many token numbers an embeddings request holds; each is one input token exactly."""
    numbers = 0
    for item in _items(read_any(call.fields.get("input"))):
        numbers += len(cast(list[object], item)) if isinstance(item, list) else isinstance(item, int)
    return numbers


def messages_in(call: Call) -> int:
    """How many messages there are, for the template's own tokens."""
    return len(_items(read_any(call.fields.get("messages"))))


def _items(value: Any) -> list[object]:
    return cast(list[object], value) if isinstance(value, list) else [value]
