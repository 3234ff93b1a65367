"""The text of a Responses request, for counting its tokens more closely than by bytes. Never raises."""

from __future__ import annotations

import msgspec

from farebox.wire.call import Call, is_present
from farebox.wire.json_object import read_as
from farebox.wire.json_text import but, read_any, strings_in
from farebox.wire.responses.items import Item

_TEXT_FIELDS = ("instructions", "tools", "text", "tool_choice")
_READ = but(
    {"image_url", "input_audio", "file_data", "file_url", "encrypted_content", "role", "type", "id", "call_id"}
    | {"status", "result", "logprobs"}
)
"""Media is bounded by formula, sealed reasoning by its bytes, and the template's allowance covers roles."""
ITEM_TOKENS = 8
"""What a chat template writes around each item, at most."""

_items = msgspec.json.Decoder(list[Item])


def text_of(call: Call) -> str:
    """All text of a request that becomes input tokens; schemas as they were written."""
    texts = strings_in(read_any(call.fields.get("input")), _READ)
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
