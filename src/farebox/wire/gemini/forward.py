"""Writes the body that goes upstream in Gemini's dialect.

A `Call` and a channel's wishes enter; bytes leave. A body that need not change is returned as the same object. The
model stands in the address, so most calls go out as they came. What the hold relies on (limit, candidates) is
written last, so that no override can undo it (Law 1).
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT, PLAIN_BODY, Call, ChannelBody, Fields, raw
from farebox.wire.gemini.address import EMBED, EMBED_MANY, GENERATE, STREAM
from farebox.wire.payloads import fields_of

CONFIG = "generationConfig"
LIMIT = "maxOutputTokens"
_COUNT = "candidateCount"

_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_many = msgspec.json.Decoder(list[Fields]).decode
_encode = msgspec.json.Encoder().encode


def upstream_path(action: str, upstream_model: str) -> str:
    """Below a channel's base URL, which ends in its version. Streams are asked for as server-sent events."""
    suffix = "?alt=sse" if action == STREAM else ""
    return f"/models/{upstream_model}:{action}{suffix}"


def chat_path(upstream_model: str, *, stream: bool) -> str:
    """Where a `generateContent` goes, streamed or not."""
    return upstream_path(STREAM if stream else GENERATE, upstream_model)


def embed_path(call: Call, upstream_model: str) -> str:
    """Where an embeddings call goes: many at once, or one."""
    return upstream_path(EMBED_MANY if "requests" in call.fields else EMBED, upstream_model)


def forward(
    call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
) -> bytes:
    """The body for a channel. `output_limit` is the held output per candidate in tokens; None leaves it alone."""
    changes: Fields = dict(channel.overrides)
    if "model" in call.fields and upstream_model != call.model:
        changes["model"] = raw(f"models/{upstream_model}")
    if "requests" in call.fields and upstream_model != call.model:
        changes["requests"] = _renamed(call.fields["requests"], upstream_model)
    if call.has_output:
        _limit(call, output_limit, changes)
    if not changes:
        return call.body
    return _encode(call.fields | changes)


def _limit(call: Call, output_limit: int | None, changes: Fields) -> None:
    """Lower the caller's limit, or write one; an override of the configuration is laid over the caller's."""
    laid = _decode_fields(changes.pop(CONFIG)) if CONFIG in changes else {}
    limits = [limit for limit in (call.output_limit, output_limit) if limit is not None]
    if LIMIT in laid and limits:
        limits.append(msgspec.json.decode(laid[LIMIT], type=int))
    if not laid and (not limits or min(limits) == call.output_limit):
        return
    config = fields_of(call.fields.get(CONFIG, ABSENT)) or {}  # `null` is none
    config |= laid
    if limits:
        config[LIMIT] = raw(min(limits))
    if _COUNT in laid:
        config[_COUNT] = raw(call.choices)
    changes[CONFIG] = raw(config)


def _renamed(requests: msgspec.Raw, upstream_model: str) -> msgspec.Raw:
    """Each embedding asked for names the model again."""
    named = raw(f"models/{upstream_model}")
    return raw([request | {"model": named} for request in _decode_many(requests)])
