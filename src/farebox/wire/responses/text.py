"""The text of a Responses request, for counting its tokens more closely than by bytes. Never raises."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from farebox.wire.call import Call, is_present
from farebox.wire.json_object import read_as
from farebox.wire.responses.items import Item

_TEXT_FIELDS = ("instructions", "tools", "text", "tool_choice")
_NO_TEXT = frozenset(
    {"image_url", "input_audio", "file_data", "file_url", "encrypted_content", "role", "type", "id", "call_id"}
    | {"status", "result", "logprobs"}
)
"""Media is bounded by formula, sealed reasoning by its bytes, and the template's allowance covers roles."""
ITEM_TOKENS = 8
"""What a chat template writes around each item, at most."""

_decode = msgspec.json.Decoder(float_hook=str).decode
_items = msgspec.json.Decoder(list[Item])


def text_of(call: Call) -> str:
    """All text of a request that becomes input tokens; schemas as they were written."""
    texts: list[str] = []
    _collect(_read(call.fields.get("input")), texts)
    for name in _TEXT_FIELDS:
        value = call.fields.get(name)
        if value is not None and is_present(value):
            texts.append(bytes(value).decode(errors="replace"))
    return "\n".join(texts)


def tokens_beside_text(call: Call) -> int:
    """Tokens around the text: what a template writes at each item, and sealed reasoning by its bytes."""
    items = read_as(call.fields["input"], _items)
    if not isinstance(items, list):
        return ITEM_TOKENS
    return sum([ITEM_TOKENS + len(memoryview(item.encrypted_content)) for item in items])


def _read(value: msgspec.Raw | None) -> Any:
    if value is None:
        return None
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(value).decode(errors="replace")


def _collect(root: Any, texts: list[str]) -> None:
    """Every string below `root` except media and names of kinds, without recursion."""
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
