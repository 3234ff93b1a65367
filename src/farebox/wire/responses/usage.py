"""How the Responses dialect states usage, and how it is shown to a client.

Cached and written input stand inside `input_tokens`, reasoning inside `output_tokens`. Calls of the
provider's own tools are not part of its usage: a reader counts them in the answer and adds them
under `_TOOLS`, so that they are charged like everything else (d37).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from farebox.tariff.meters import CACHED_TOKENS, Meter, Usage, input_tokens, output_tokens
from farebox.wire import payloads
from farebox.wire.call import raw
from farebox.wire.payloads import fields_of
from farebox.wire.usage import Axis, Convention, Part

_TOOLS = "farebox_tool_calls"
_WRITTEN = "farebox_written"


def _by_lifetime(stated: dict[str, Any]) -> dict[str, Any]:
    """Written input by lifetime, where it is stated two objects deep."""
    details = stated.get("input_tokens_details")
    lifetimes = cast(dict[str, Any], details).get("cache_write_tokens_details") if isinstance(details, dict) else None
    if not isinstance(lifetimes, dict):
        return stated
    written = cast(dict[str, Any], lifetimes)
    return stated | {_WRITTEN: {"5m": written.get("ttl_30m_tokens"), "1h": written.get("ttl_12h_tokens")}}


RESPONSES = Convention(
    wholes=((Meter.INPUT, ("input_tokens",)), (Meter.OUTPUT, ("output_tokens",))),
    parts=(
        Part(Meter.CACHED_INPUT, (("input_tokens_details", "cached_tokens"),), Meter.INPUT, Axis.CACHE),
        Part(
            Meter.CACHE_WRITE_5M,
            ((_WRITTEN, "5m"), ("input_tokens_details", "cache_write_tokens")),
            Meter.INPUT,
            Axis.CACHE,
        ),
        Part(Meter.CACHE_WRITE_1H, ((_WRITTEN, "1h"),), Meter.INPUT, Axis.CACHE),
        Part(Meter.INPUT_AUDIO, (("input_tokens_details", "audio_tokens"),), Meter.INPUT),
        Part(Meter.INPUT_IMAGE, (("input_tokens_details", "image_tokens"),), Meter.INPUT),
        Part(Meter.REASONING, (("output_tokens_details", "reasoning_tokens"),), Meter.OUTPUT),
        Part(Meter.OUTPUT_AUDIO, (("output_tokens_details", "audio_tokens"),), Meter.OUTPUT),
        Part(Meter.OUTPUT_IMAGE, (("output_tokens_details", "image_tokens"),), Meter.OUTPUT),
        Part(Meter.SEARCHES, ((_TOOLS, "searches"),), None),
        Part(Meter.TOOL_CALLS, ((_TOOLS, "tool_calls"),), None),
    ),
    total=("total_tokens",),
    flatten=_by_lifetime,
)

_CACHE_WRITES = (Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H)


def with_tool_calls(usage: msgspec.Raw, calls: Mapping[Meter, int]) -> msgspec.Raw:
    """The usage object with the calls of the provider's tools beside it, in this dialect's convention."""
    if not calls:
        return usage
    fields = fields_of(usage)
    return usage if fields is None else raw(fields | {_TOOLS: {meter.value: count for meter, count in calls.items()}})


def usage_shown(reported: msgspec.Raw | None, counted: Usage | None, charge: str | None) -> dict[str, object]:
    """See `payloads.usage_shown`; the calls we put beside it are not shown."""
    shown = payloads.usage_shown(reported, counted, charge, written=usage_written)
    shown.pop(_TOOLS, None)
    return shown


def usage_written(usage: Usage) -> dict[str, object]:
    """Disjoint meters as a usage object of this dialect, with every count its clients insist on."""
    given, produced = input_tokens(usage), output_tokens(usage)
    return {
        "input_tokens": given,
        "input_tokens_details": {
            "cached_tokens": sum([usage.get(meter, 0) for meter in CACHED_TOKENS]),
            "cache_write_tokens": sum([usage.get(meter, 0) for meter in _CACHE_WRITES]),
        },
        "output_tokens": produced,
        "output_tokens_details": {"reasoning_tokens": usage.get(Meter.REASONING, 0)},
        "total_tokens": given + produced,
    }
