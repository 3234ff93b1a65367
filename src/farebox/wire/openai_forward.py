"""Writes the body that goes upstream in the OpenAI dialect.

A `Call` and a channel's wishes enter; bytes leave. Every field that need not change keeps its
bytes, and a body that need not change at all is returned as the same object. What the hold relies
on (limit, usage of the stream) is written last, so that no override can undo it (Law 1).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from farebox.wire.call import PLAIN_BODY, Call, ChannelBody, Fields, raw

_LIMITS = ("max_tokens", "max_completion_tokens")
_TRUE = msgspec.Raw(b"true")
_USAGE_ONLY = msgspec.Raw(b'{"include_usage":true}')
_decode_fields = msgspec.json.Decoder(Fields).decode
_encode = msgspec.json.Encoder().encode


def forward(
    call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
) -> bytes:
    """The body for a channel. `output_limit` is the held output per choice in tokens; None leaves it alone."""
    changes = _within(call, channel.overrides)
    if upstream_model != call.model:
        changes["model"] = raw(upstream_model)
    if channel.safety_identifier is not None:
        changes["safety_identifier"] = raw(channel.safety_identifier)
    if output_limit is not None and call.has_output:
        _clamp(call, output_limit, channel.limit_field, changes)
    if call.stream and channel.stream_usage and not call.wants_usage:
        changes["stream_options"] = _with_usage(call.fields.get("stream_options"))
    if not changes:
        return call.body
    return _encode(call.fields | changes)


def _within(call: Call, overrides: Mapping[str, msgspec.Raw]) -> Fields:
    """What the operator sets, as far as the hold covers it: no more, nor longer, answers than were asked for."""
    changes = {name: value for name, value in overrides.items() if name != "n"}
    for name in _LIMITS:
        if name in changes and call.output_limit is not None:
            changes[name] = raw(min(call.output_limit, msgspec.json.decode(changes[name], type=int)))
    return changes


def _clamp(call: Call, output_limit: int, limit_field: str, changes: Fields) -> None:
    """Lower each limit the caller wrote, or write one in the channel's field."""
    for name in call.limit_fields or (limit_field,):
        if name in call.limit_fields:
            asked = msgspec.json.decode(call.fields[name], type=int)
            if asked <= output_limit and name not in changes:
                continue
            output_limit = min(asked, output_limit)
        changes[name] = raw(output_limit)


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    if options is None or bytes(options) == b"null":
        return _USAGE_ONLY
    wanted = _decode_fields(options)
    wanted["include_usage"] = _TRUE
    return raw(wanted)
