"""The text of a Messages request, for counting its tokens more closely than by bytes.

A `Call` enters, one string leaves: system prompt, messages, calls and results of tools, tools and
schemas as they were written, without media and without what is sealed (`tokens_beside_text` says
what that comes to). Never raises.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from farebox.wire.anthropic.tools import Tool, bounds_of
from farebox.wire.call import Call
from farebox.wire.json_text import read_any, strings_in
from farebox.wire.payloads import UNREADABLE

MESSAGE_TOKENS = 4
"""What a chat template writes around each message, at most."""
SEALED_CHARACTERS_PER_TOKEN = 4
"""Of base64: three bytes, where English has more than four to a token."""

_AS_WRITTEN = ("tools", "output_config", "output_format", "tool_choice")
_NO_TEXT = frozenset(
    {"type", "role", "id", "tool_use_id", "cache_control", "signature", "media_type", "citations", "caller", "is_error"}
)
_SEALED = frozenset({"signature", "encrypted_content", "encrypted_index"})

_encode = msgspec.json.Encoder().encode
_tools = msgspec.json.Decoder(list[Tool]).decode


def text_of(call: Call) -> str:
    """All text of a request that becomes input tokens; schemas as they were written."""
    texts, _ = _gather(call)
    texts += [bytes(call.fields[name]).decode(errors="replace") for name in _AS_WRITTEN if name in call.fields]
    return "\n".join(texts)


def tokens_beside_text(call: Call) -> int:
    """Tokens that are in no text: the template around messages and tools, and sealed reasoning."""
    messages = read_any(call.fields.get("messages"))
    count = len(cast(list[object], messages)) if isinstance(messages, list) else 1
    _, sealed = _gather(call)
    return MESSAGE_TOKENS * (count + 1) + _tool_tokens(call) + sealed // SEALED_CHARACTERS_PER_TOKEN


def _tool_tokens(call: Call) -> int:
    try:
        return bounds_of(_tools(call.fields["tools"])).template_tokens
    except (KeyError, *UNREADABLE):
        return 0


def _gather(call: Call) -> tuple[list[str], int]:
    """What the model reads, and the characters of what is sealed in it."""
    sealed: list[str] = []

    def inside(fields: dict[str, Any]) -> list[Any]:
        return _inside(fields, sealed)

    texts: list[str] = []
    for name in ("system", "messages"):
        texts += strings_in(read_any(call.fields.get(name)), inside)
    return texts, sum(map(len, sealed))


def _inside(fields: dict[str, Any], sealed: list[str]) -> list[Any]:
    """What to look at inside an object; arguments of tools are taken as they stand."""
    kind = fields.get("type")
    if kind in ("base64", "url", "file"):
        return []
    inside: list[Any] = []
    for name, value in fields.items():
        if name in _SEALED or (name == "data" and kind == "redacted_thinking"):
            sealed += [value] if isinstance(value, str) else []
        elif name == "input" and kind in ("tool_use", "server_tool_use"):
            inside.append(_encode(value).decode())
        elif name not in _NO_TEXT:
            inside.append(value)
    return inside
