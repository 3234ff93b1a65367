"""The JSON of OpenAI stream chunks: what is read from them, and the chunks we write ourselves.

Payloads of events enter or leave; no state is kept here. Only the fields that are metered or
changed are decoded, everything else stays as it was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from farebox.wire.call import ABSENT, Fields, is_present, raw
from farebox.wire.json_text import but, read_dict, strings_in
from farebox.wire.payloads import UNREADABLE, changed, fields_of

DONE = b"[DONE]"
DONE_EVENT = b"data: [DONE]\n\n"
EMPTY_DELTA: Mapping[str, object] = {"delta": {}, "logprobs": None}
_OUTPUT = but({"role", "type", "id", "signature"})


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, gc=False):
    function: Function | None = None
    custom: msgspec.Raw = ABSENT


class Audio(msgspec.Struct, gc=False):
    data: str | None = None
    transcript: str | None = None


class Delta(msgspec.Struct, gc=False):
    """The new piece of a choice, or its whole message in a buffered answer."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """The same thing under the name some servers use."""
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    audio: Audio | None = None


class Stated(msgspec.Struct, gc=False):
    """Stands for an object that is there; its text is read only then. Cheaper than a `Raw` in every chunk."""


class Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    """In buffered answers, in place of `delta`."""
    finish_reason: str | None = None
    usage: Stated | None = None
    """Some servers put the usage of the answer into its last choice."""


class Chunk(msgspec.Struct, gc=False):
    choices: list[Choice] | None = None
    usage: Stated | None = None
    model: str | None = None
    error: msgspec.Raw = ABSENT
    service_tier: str | None = None


class _Head(msgspec.Struct, gc=False):
    """What chunks of one stream have in common."""

    id: str = "chatcmpl-farebox"
    object: str = "chat.completion.chunk"
    created: int = 0
    system_fingerprint: str | None = None
    service_tier: str | None = None


class _Choices(msgspec.Struct, gc=False):
    choices: list[Fields]


_read_choices = msgspec.json.Decoder(_Choices).decode
_read_chunk = msgspec.json.Decoder(Chunk).decode
_read_head = msgspec.json.Decoder(_Head).decode
_read_fields = msgspec.json.Decoder(Fields).decode
_encode = msgspec.json.Encoder().encode


def read_chunk(payload: bytes) -> Chunk | None:
    """The metered fields of a chunk; None if it is no JSON object. Odd types are read leniently."""
    try:
        return _read_chunk(payload)
    except msgspec.ValidationError:
        return _read_leniently(payload)
    except UNREADABLE:
        return None


def usage_in(chunk: Chunk, payload: bytes) -> msgspec.Raw | None:
    """The usage object as written, wherever the server put it; `null` is none."""
    try:
        if chunk.usage is not None:
            return _read_fields(payload)["usage"]
        for place, choice in enumerate(chunk.choices or ()):
            if choice.usage is not None:
                return _read_choices(payload).choices[place]["usage"]
    except UNREADABLE:
        return None  # names that are no text were passed over until here
    return None


def is_error(payload: bytes, chunk: Chunk | None, event_name: bytes | None) -> bool:
    """True for a failure, in any of the ways servers say so: an error field, event, object or type."""
    if event_name == b"error" or (chunk is not None and is_present(chunk.error)):
        return True
    if chunk is None or chunk.choices:
        return False
    fields = fields_of(payload) or {}
    return b'"error"' in [bytes(fields[name]) for name in ("object", "type") if name in fields]


def renamed(payload: bytes, model: str) -> bytes:
    """The payload with `model` set, all other fields as written. Not JSON: unchanged."""
    return changed(payload, {"model": raw(model)})


def without_usage(payload: bytes) -> bytes:
    """The payload without its usage, for clients that did not ask for it."""
    return changed(payload, {}, without=("usage",))


def finish_chunk(
    first: bytes, *, model: str, indexes: Iterable[int], reason: str, piece: Mapping[str, object] = EMPTY_DELTA
) -> bytes:
    """A chunk that ends the given choices, in the likeness of the stream's first chunk; `piece` is empty output."""
    choices = [{"index": index, **piece, "finish_reason": reason} for index in indexes]
    return _encode(_likeness(first, model) | {"choices": choices})


def usage_chunk(first: bytes, *, model: str, usage: Mapping[str, object]) -> bytes:
    """The chunk that carries the usage, after all choices have ended."""
    return _encode(_likeness(first, model) | {"choices": [], "usage": usage})


def _likeness(first: bytes, model: str) -> dict[str, object]:
    try:
        head = _read_head(first)
    except UNREADABLE:
        head = _Head()
    shape: dict[str, object] = {"id": head.id, "object": head.object, "created": head.created}
    shape["model"] = model
    if head.service_tier is not None:
        shape["service_tier"] = head.service_tier
    if head.system_fingerprint is not None:
        shape["system_fingerprint"] = head.system_fingerprint
    return shape


def _read_leniently(payload: bytes) -> Chunk | None:
    """A chunk whose fields have types we did not expect: keep what can be used, count all its text."""
    fields = read_dict(payload)
    if fields is None:
        return None
    listed: Any = fields.get("choices")
    choices = [_lenient_choice(item) for item in cast(list[Any], listed)] if isinstance(listed, list) else None
    named = {name: fields[name] for name in ("model", "service_tier") if isinstance(fields.get(name), str)}
    return Chunk(
        choices=choices,
        usage=Stated() if fields.get("usage") is not None else None,
        error=raw(fields["error"]) if "error" in fields else ABSENT,
        **named,
    )


def _lenient_choice(item: Any) -> Choice:
    if not isinstance(item, dict):
        return Choice()
    fields = cast(dict[str, Any], item)
    index, reason = fields.get("index"), fields.get("finish_reason")
    return Choice(
        index=index if type(index) is int else 0,
        delta=Delta(content=_text_in(fields["delta"])) if "delta" in fields else None,
        message=Delta(content=_text_in(fields["message"])) if "message" in fields else None,
        finish_reason=reason if isinstance(reason, str) else None,
    )


def _text_in(piece: Any) -> str:
    """Every string of a piece except what names it, joined."""
    return "".join(strings_in(piece, _OUTPUT))
