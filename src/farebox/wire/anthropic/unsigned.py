"""Thoughts of other providers' models, shown to clients of this dialect and kept from its providers.

Each thinking block wants a signature, and the provider refuses one it did not make. Thoughts that came
out of another dialect get `UNSIGNED` for theirs, or an envelope with what their own provider needs to
have them back. Where such a conversation goes on natively, with a model of this dialect, they are taken
out again.
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import Call, Fields, raw, text_field
from farebox.wire.chat.events import ThinkingSigned
from farebox.wire.chat.request import Block, Thinking, ToolUse
from farebox.wire.responses.envelope import Envelope, mentions_envelope, unwrap, wrap

UNSIGNED = "farebox-unsigned"
_OURS = "farebox-"
_MARK = b'"' + _OURS.encode()
_GEMINI = "gemini"

_decode_list = msgspec.json.Decoder(list[Fields]).decode


def holds_unsigned(call: Call) -> bool:
    """Whether thoughts of another provider may be among its messages."""
    return _MARK in call.body


def holds_envelope(body: bytes) -> bool:
    """Whether a request brings what another provider signed or sealed, perhaps for one of its keys alone."""
    return mentions_envelope(body)


def without_unsigned(messages: msgspec.Raw) -> msgspec.Raw:
    """The messages without those thoughts; a message of nothing else is left out too."""
    kept: list[Fields] = []
    for message in _decode_list(messages):
        content = message.get("content")
        if content is None or not bytes(content).startswith(b"[") or _MARK not in bytes(content):
            kept.append(message)
            continue
        blocks = [block for block in _decode_list(content) if not _is_ours(block)]
        if blocks:
            kept.append(message | {"content": raw(blocks)})
    return raw(kept)


def sealed_in(signed: ThinkingSigned) -> str:
    """What another provider signed or sealed, as a client of this dialect can keep it."""
    return wrap(Envelope(signed.origin, signed.signature, signed.sealed))


def signature_in(signature: str) -> str:
    """The same for the signature of a call, which is Google's."""
    return wrap(Envelope(_GEMINI, signature))


def thought_in(carried: str, text: str = "") -> Thinking | None:
    """The thought of another provider that came back; None for what is of this dialect, or of nobody."""
    envelope = unwrap(carried)
    return None if envelope is None else Thinking(envelope.origin, text, envelope.signature, envelope.sealed)


def rejoined(blocks: list[Block]) -> list[Block]:
    """The signature of a call, which came in a block before it, put back into the call."""
    joined: list[Block] = []
    for block in blocks:
        last = joined[-1] if joined else None
        if isinstance(block, ToolUse) and isinstance(last, Thinking) and last.origin == _GEMINI and not last.text:
            joined[-1] = msgspec.structs.replace(block, signature=last.signature)
        else:
            joined.append(block)
    return joined


def _is_ours(block: Fields) -> bool:
    carried = text_field(block, "signature") or text_field(block, "data") or ""
    return carried.startswith(_OURS) and text_field(block, "type") in ("thinking", "redacted_thinking")
