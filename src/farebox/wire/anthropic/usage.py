"""How the Anthropic dialect states usage: cached tokens stand beside `input_tokens`, not inside them.

Writes to a prompt cache are split by lifetime where the provider says so; what it does not split
belongs to the lifetime asked for. Streams state usage twice, at the start and, cumulative, at the
end; `merged` makes one object of both, the later word counting for each field.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from farebox.tariff.meters import Meter
from farebox.wire.call import Fields, is_present
from farebox.wire.payloads import UNREADABLE
from farebox.wire.usage import Axis, Convention, Part

_WRITTEN, _SPLIT = "cache_creation_input_tokens", "cache_creation"
_FIVE_MINUTES, _HOUR = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"

_read_fields = msgspec.json.Decoder(Fields).decode


def _one_split(stated: dict[str, Any]) -> dict[str, Any]:
    """The lifetimes of writes, made to add up to their total; an empty split is taken away.

    A stream splits at its start only, and what it writes later is in the total alone: it belongs to the
    lifetime that was written before. Odd figures are left for the reader to refuse.
    """
    split = stated.get(_SPLIT)
    if type(split) is not dict:
        return stated
    parts = cast(dict[str, Any], split)
    short, long, total = parts.get(_FIVE_MINUTES) or 0, parts.get(_HOUR) or 0, stated.get(_WRITTEN)
    if type(short) is not int or type(long) is not int:
        return stated
    if short == long == 0:
        return {name: value for name, value in stated.items() if name != _SPLIT}
    later = max(0, total - short - long) if type(total) is int else 0
    if short == 0:
        return stated | {_SPLIT: {_FIVE_MINUTES: 0, _HOUR: long + later}}
    return stated | {_SPLIT: {_FIVE_MINUTES: short + later, _HOUR: long}}


ANTHROPIC = Convention(
    wholes=((Meter.INPUT, ("input_tokens",)), (Meter.OUTPUT, ("output_tokens",))),
    parts=(
        Part(Meter.CACHED_INPUT, (("cache_read_input_tokens",),), None, Axis.CACHE),
        Part(Meter.CACHE_WRITE_5M, ((_SPLIT, _FIVE_MINUTES), (_WRITTEN,)), None, Axis.CACHE),
        Part(Meter.CACHE_WRITE_1H, ((_SPLIT, _HOUR),), None, Axis.CACHE),
        Part(Meter.REASONING, (("output_tokens_details", "thinking_tokens"),), Meter.OUTPUT),
        Part(Meter.SEARCHES, (("server_tool_use", "web_search_requests"),), None),
    ),
    flatten=_one_split,
)


def merged(earlier: msgspec.Raw | None, later: msgspec.Raw) -> msgspec.Raw:
    """One usage object of two that follow one another; `null` says nothing, and never undoes what was said."""
    try:
        known = {} if earlier is None else _read_fields(earlier)
        said = {name: value for name, value in _read_fields(later).items() if is_present(value)}
    except UNREADABLE:
        return later
    return msgspec.Raw(msgspec.json.encode(known | said))
