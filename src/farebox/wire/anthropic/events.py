"""The JSON of Messages answers and their streams: what is read from them, and the events we write ourselves.

Payloads of events enter or leave; no state is kept here. Only the fields that are metered or changed
are decoded, everything else stays as it was written.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from farebox.tariff.meters import Meter, Usage, input_tokens, output_tokens
from farebox.wire.call import ABSENT, raw
from farebox.wire.json_text import but, read_dict, strings_in
from farebox.wire.payloads import UNREADABLE, changed, fields_of, on_a_line

STOP_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
}
"""Theirs under OpenAI's names."""
OUR_REASONS = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "pause": "pause_turn",
    "refusal": "refusal",
    "content_filter": "refusal",
}
"""The other way round."""

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_OUTPUT = but({"type", "signature", "stop_reason", "stop_sequence", "id"})
MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class Stated(msgspec.Struct, gc=False):
    """Stands for an object that is there; its text is read only then."""


class Delta(msgspec.Struct, gc=False):
    """The new piece of a block, or how the message ends."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class Block(msgspec.Struct, gc=False):
    """The start of a block, or a whole one."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    name: str | None = None
    id: str | None = None
    data: str | None = None
    input: msgspec.Raw = ABSENT


class Message(msgspec.Struct, gc=False):
    """A whole answer, or the start of one."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: msgspec.Raw = ABSENT


class StreamEvent(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Message | None = None
    usage: Stated | None = None


class _ServedTier(msgspec.Struct, gc=False):
    service_tier: str | None = None


_read_event = msgspec.json.Decoder(StreamEvent).decode
_read_message = msgspec.json.Decoder(Message).decode
_NOTHING = msgspec.Raw(b"{}")
_read_tier = msgspec.json.Decoder(_ServedTier).decode
_encode = msgspec.json.Encoder().encode


def read_event(payload: bytes) -> StreamEvent | None:
    """The metered fields of an event; None if it is no JSON object. Odd types are read leniently."""
    try:
        return _read_event(payload)
    except msgspec.ValidationError:
        return _read_leniently(payload)
    except UNREADABLE:
        return None


def read_message(body: bytes) -> Message | None:
    """A whole answer; None if it is none, or an error."""
    try:
        message = _read_message(body)
    except UNREADABLE:
        return None
    return message if message.content is not None and message.type != "error" else None


def is_search(block: Block) -> bool:
    """Whether a block is a search the provider runs, which has a price."""
    return block.type == "server_tool_use" and block.name == "web_search"


def usage_in(payload: bytes) -> msgspec.Raw:
    """The usage object of an event that states one, as written; an empty one if it cannot be read after all."""
    return (fields_of(payload) or {}).get("usage", _NOTHING)


def tier_in(usage: msgspec.Raw) -> str | None:
    """The tier that served, if the usage says."""
    try:
        return _read_tier(usage).service_tier
    except UNREADABLE:
        return None


def event(name: str, payload: bytes) -> bytes:
    """One event on two lines."""
    return b"event: " + name.encode() + b"\ndata: " + on_a_line(payload) + b"\n\n"


def written(name: str, **fields: object) -> bytes:
    """An event of ours."""
    return event(name, _encode({"type": name, **fields}))


def message_of(identifier: str, model: str) -> dict[str, object]:
    """An answer that has only begun."""
    id_ = identifier if identifier.startswith("msg_") else f"msg_{identifier or 'farebox'}"
    return {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def started_as(payload: bytes, model: str) -> bytes:
    """A `message_start` with the name asked for, all other fields as written."""
    fields = fields_of(payload) or {"type": raw("message_start")}
    message = fields_of(fields.get("message", ABSENT))
    shown: dict[str, object] = message_of("", model) if message is None else dict[str, object](message)
    return event("message_start", _encode({**fields, "message": shown | {"model": model}}))


def ending(payload: bytes, usage: dict[str, object]) -> bytes:
    """A `message_delta` with another usage, all other fields as written."""
    return event("message_delta", changed(payload, {"usage": usage}))


def usage_counted(usage: Usage) -> dict[str, object]:
    """A usage object of what we counted ourselves, where the provider's was not believed."""
    written: dict[str, object] = {"input_tokens": input_tokens(usage), "output_tokens": output_tokens(usage)}
    if Meter.REASONING in usage:
        written["output_tokens_details"] = {"thinking_tokens": usage[Meter.REASONING]}
    return written


def _read_leniently(payload: bytes) -> StreamEvent | None:
    """An event whose fields have types we did not expect: keep what can be used, count all its text."""
    fields = read_dict(payload)
    if fields is None:
        return None
    kind, index, delta = fields.get("type"), fields.get("index"), fields.get("delta")
    reason = cast(dict[str, Any], delta).get("stop_reason") if isinstance(delta, dict) else None
    return StreamEvent(
        type=kind if isinstance(kind, str) else "",
        index=index if type(index) is int else 0,
        delta=Delta(text="".join(strings_in(delta, _OUTPUT)), stop_reason=reason if isinstance(reason, str) else None),
        usage=Stated() if fields.get("usage") is not None else None,
    )
