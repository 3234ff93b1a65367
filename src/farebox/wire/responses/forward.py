"""Writes the body that goes upstream in the Responses dialect.

A `Call` and a channel's wishes enter; bytes leave. Every field that need not change keeps its bytes.
Nothing is stored at the provider, and what the hold stands on (output limit, bound of tool calls)
is written last, so that no override can undo it (Law 1).
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT, PLAIN_BODY, Call, ChannelBody, Fields, is_present, raw
from farebox.wire.json_object import read_as
from farebox.wire.responses.envelope import is_envelope, mentions_envelope
from farebox.wire.responses.items import Item, is_spent
from farebox.wire.responses.parse import provider_tools

SEALED_REASONING = "reasoning.encrypted_content"

_REASONING, _EXTRA = b'"reasoning"', b'"extra_content"'
_FALSE = msgspec.Raw(b"false")
_encode = msgspec.json.Encoder().encode
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_names = msgspec.json.Decoder(list[str])
_item = msgspec.json.Decoder(Item)
_fields = msgspec.json.Decoder(Fields)


def forward(
    call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
) -> bytes:
    """The body for a channel. `output_limit` is the held output in tokens; None leaves it alone."""
    changes: Fields = dict(channel.overrides)
    changes["store"] = _FALSE
    if upstream_model != call.model:
        changes["model"] = raw(upstream_model)
    if channel.safety_identifier is not None:
        changes["safety_identifier"] = raw(channel.safety_identifier)
    if _REASONING in call.body or _EXTRA in call.body:
        changes["input"] = _readable(call.fields["input"])
    if call.turn is not None and call.turn.keeps_reasoning and not includes_sealed(call):
        changes["include"] = raw([*_included(call), SEALED_REASONING])
    _bound(call, output_limit, changes)
    return _encode(call.fields | changes)


def includes_sealed(call: Call) -> bool:
    """Whether the caller asked for sealed reasoning itself."""
    return SEALED_REASONING in _included(call)


def _bound(call: Call, output_limit: int | None, changes: Fields) -> None:
    """The limits that were held for, whatever an override says."""
    if output_limit is not None or "max_output_tokens" in changes:
        limits = [limit for limit in (call.output_limit, output_limit) if limit is not None]
        if limits:
            changes["max_output_tokens"] = raw(min(limits))
    tools = provider_tools(call)
    if tools:
        changes["max_tool_calls"] = raw(max(tools.values()))


def _included(call: Call) -> list[str]:
    included = read_as(call.fields.get("include", ABSENT), _names) if is_present(_include(call)) else []
    return included if isinstance(included, list) else []


def _include(call: Call) -> msgspec.Raw:
    return call.fields.get("include", ABSENT)


def _readable(items: msgspec.Raw) -> msgspec.Raw:
    """The input without what the provider could not read: reasoning that others sealed, or nobody; foreign signatures.

    What need not change is the same object.
    """
    read = read_as(items, _raws)
    if not isinstance(read, list):
        return items
    left = [_unsigned(one) for one in read if not is_spent(one) and not _is_foreign(one)]
    return items if left == read else raw(left)


def _is_foreign(written: msgspec.Raw) -> bool:
    if not mentions_envelope(bytes(written)):
        return False
    item = read_as(written, _item)
    return isinstance(item, Item) and is_envelope(item.encrypted_content)


def _unsigned(written: msgspec.Raw) -> msgspec.Raw:
    """An item without the field that carries a signature of Google's beside a tool call."""
    if _EXTRA not in bytes(written):
        return written
    fields = read_as(written, _fields)
    if not isinstance(fields, dict) or "extra_content" not in fields:
        return written
    return raw({name: value for name, value in fields.items() if name != "extra_content"})
