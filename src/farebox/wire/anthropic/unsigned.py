"""Thoughts of other providers' models, shown to clients of this dialect and kept from its providers.

Each thinking block wants a signature, and the provider refuses one it did not make. Thoughts that came
out of another dialect get `UNSIGNED` for theirs; where such a conversation goes on natively, with
a model of this dialect, they are taken out again.
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import Call, Fields, raw, text_field

UNSIGNED = "farebox-unsigned"
_MARK = b'"' + UNSIGNED.encode() + b'"'

_decode_list = msgspec.json.Decoder(list[Fields]).decode


def holds_unsigned(call: Call) -> bool:
    """Whether thoughts of another provider may be among its messages."""
    return _MARK in call.body


def without_unsigned(messages: msgspec.Raw) -> msgspec.Raw:
    """The messages without those thoughts; a message of nothing else is left out too."""
    kept: list[Fields] = []
    for message in _decode_list(messages):
        content = message.get("content")
        if content is None or not bytes(content).startswith(b"[") or _MARK not in bytes(content):
            kept.append(message)
            continue
        blocks = [block for block in _decode_list(content) if text_field(block, "signature") != UNSIGNED]
        if blocks:
            kept.append(message | {"content": raw(blocks)})
    return raw(kept)
