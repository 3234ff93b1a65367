"""Writes the body that goes upstream in the Anthropic dialect.

Every field that need not change keeps its bytes, and a body that need not change at all is returned
as the same object. The output limit is written last and is never raised, so that no override can
undo what the hold relies on (Law 1).
"""

from __future__ import annotations

import msgspec

from farebox.wire.anthropic.unsigned import holds_unsigned, without_unsigned
from farebox.wire.call import PLAIN_BODY, Call, ChannelBody, Fields, raw

SAMPLING = ("temperature", "top_p", "top_k")
SAMPLING_ENDS = "2026-10-21"
"""The version from which on the provider refuses sampling parameters. Versions are dates, so text compares."""
MIN_THINKING = 1024
"""The smallest budget a provider takes."""

_decode_fields = msgspec.json.Decoder(Fields).decode
_encode = msgspec.json.Encoder().encode
_DISABLED = msgspec.Raw(b'{"type":"disabled"}')


class _Thinking(msgspec.Struct, gc=False):
    type: str = ""
    budget_tokens: int | None = None


_read_thinking = msgspec.json.Decoder(_Thinking).decode


def forward(
    call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
) -> bytes:
    """The body for a channel. `output_limit` is the held output in tokens; None leaves it alone."""
    changes: Fields = dict(channel.overrides)
    if upstream_model != call.model:
        changes["model"] = raw(upstream_model)
    if channel.safety_identifier is not None:
        changes["metadata"] = raw({"user_id": channel.safety_identifier})
    if holds_unsigned(call):
        changes["messages"] = without_unsigned(call.fields["messages"])
    fit_limit(call.fields, changes, [call.output_limit, output_limit])
    dropped = SAMPLING if refuses_sampling(channel) else ()
    if not changes and not any(name in call.fields for name in dropped):
        return call.body
    return _encode({name: value for name, value in (call.fields | changes).items() if name not in dropped})


def refuses_sampling(channel: ChannelBody) -> bool:
    """Whether the version a body goes out under knows no `temperature`, `top_p` and `top_k`."""
    return channel.api_version is not None and channel.api_version >= SAMPLING_ENDS


def fit_limit(fields: Fields, changes: Fields, limits: list[int | None]) -> None:
    """Write the smallest limit, an override's too, and make thinking fit into it."""
    asked = _limit_in(fields)
    known = [limit for limit in (*limits, _limit_in(changes)) if limit is not None]
    changes.pop("max_tokens", None)
    if not known or min(known) == asked:
        return
    changes["max_tokens"] = raw(min(known))
    thinking = changes.get("thinking", fields.get("thinking"))
    if thinking is not None:
        _fit_thinking(thinking, changes, min(known))


def _limit_in(fields: Fields) -> int | None:
    try:
        return msgspec.json.decode(fields["max_tokens"], type=int | None)
    except (KeyError, msgspec.DecodeError):
        return None


def _fit_thinking(written: msgspec.Raw, changes: Fields, limit: int) -> None:
    """A budget must be smaller than the limit, and cannot be smaller than the least there is."""
    try:
        thinking = _read_thinking(written)
    except msgspec.DecodeError:
        return
    if thinking.type != "enabled" or thinking.budget_tokens is None or thinking.budget_tokens < limit:
        return
    if limit <= MIN_THINKING:
        changes["thinking"] = _DISABLED
    else:
        changes["thinking"] = raw(_decode_fields(written) | {"budget_tokens": limit - 1})
