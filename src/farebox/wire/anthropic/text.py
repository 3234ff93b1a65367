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

MESSAGE_TOKENS = 4
"""What a chat template writes around each message, at most."""
SEALED_CHARACTERS_PER_TOKEN = 4
"""Of base64: three bytes, where English has more than four to a token."""

_AS_WRITTEN = ("tools", "output_config", "output_format", "tool_choice")
_NO_TEXT = frozenset(
    {"type", "role", "id", "tool_use_id", "cache_control", "signature", "media_type", "citations", "caller", "is_error"}
)
_SEALED = frozenset({"signature", "encrypted_content", "encrypted_index"})

_decode = msgspec.json.Decoder(float_hook=str).decode
_encode = msgspec.json.Encoder().encode
_tools = msgspec.json.Decoder(list[Tool]).decode
_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Gathered:
    """What a walk over the blocks has found."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.sealed_characters = 0


def text_of(call: Call) -> str:
    """All text of a request that becomes input tokens; schemas as they were written."""
    texts = _gather(call).texts
    texts.extend(bytes(call.fields[name]).decode(errors="replace") for name in _AS_WRITTEN if name in call.fields)
    return "\n".join(texts)


def tokens_beside_text(call: Call) -> int:
    """Tokens that are in no text: the template around messages and tools, and sealed reasoning."""
    messages = _read(call.fields.get("messages"))
    count = len(cast(list[object], messages)) if isinstance(messages, list) else 1
    sealed = _gather(call).sealed_characters // SEALED_CHARACTERS_PER_TOKEN
    return MESSAGE_TOKENS * (count + 1) + _tool_tokens(call) + sealed


def _tool_tokens(call: Call) -> int:
    try:
        return bounds_of(_tools(call.fields["tools"])).template_tokens
    except (KeyError, *_ERRORS):
        return 0


def _gather(call: Call) -> _Gathered:
    gathered = _Gathered()
    for name in ("system", "messages"):
        _walk(_read(call.fields.get(name)), gathered)
    return gathered


def _read(value: msgspec.Raw | None) -> Any:
    if value is None:
        return None
    try:
        return _decode(value)
    except _ERRORS:
        return bytes(value).decode(errors="replace")


def _walk(root: Any, gathered: _Gathered) -> None:
    """Every string below `root` that the model reads, in no promised order, without recursion."""
    waiting: list[Any] = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            gathered.texts.append(value)
        elif isinstance(value, list):
            waiting.extend(cast(list[Any], value))
        elif isinstance(value, dict):
            waiting.extend(_below(cast(dict[str, Any], value), gathered))


def _below(fields: dict[str, Any], gathered: _Gathered) -> list[Any]:
    """What to look at inside an object; arguments of tools are taken as they stand."""
    kind = fields.get("type")
    if kind in ("base64", "url", "file"):
        return []
    inside: list[Any] = []
    for name, value in fields.items():
        if name in _SEALED or (name == "data" and kind == "redacted_thinking"):
            gathered.sealed_characters += len(value) if isinstance(value, str) else 0
        elif name == "input" and kind in ("tool_use", "server_tool_use"):
            gathered.texts.append(_encode(value).decode())
        elif name not in _NO_TEXT:
            inside.append(value)
    return inside
