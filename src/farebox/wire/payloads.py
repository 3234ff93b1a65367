"""The JSON of answers and their events, field by field: read, changed, renamed, put on one line.

Payloads enter and leave as bytes. Every field that need not change keeps the bytes it was written
in. Nothing here raises for what a provider sends: what is no JSON object has no fields, and passes
unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec

from farebox.tariff.meters import Usage
from farebox.wire.call import Fields

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not the JSON looked for."""

_COSTS = ("cost", "cost_details")
"""Where some providers write what they bill."""
_read_fields = msgspec.json.Decoder(Fields).decode
_encode = msgspec.json.Encoder().encode


def fields_of(written: bytes | msgspec.Raw) -> Fields | None:
    """The fields of a JSON object, None if it is none."""
    try:
        return _read_fields(written)
    except UNREADABLE:
        return None


def changed(payload: bytes, changes: Mapping[str, object], *, without: Collection[str] = ()) -> bytes:
    """The payload with some fields set and some taken away, all others as written."""
    fields = fields_of(payload)
    if fields is None:
        return payload
    for name in without:
        fields.pop(name, None)
    return _encode({**fields, **changes})


def with_name(payload: bytes, upstream_model: str | None, model: str, *, field: str = "model") -> bytes:
    """The payload under the name asked for: replaced in place, written anew only where the field stands more than once.

    A payload that states no name (None) is left without.
    """
    if upstream_model is None or upstream_model == model:
        return payload
    key, old, new = b'"%b"' % field.encode(), msgspec.json.encode(upstream_model), msgspec.json.encode(model)
    for start in (key + b":", key + b": "):
        if payload.count(key) == 1 == payload.count(start + old):
            return payload.replace(start + old, start + new)
    return changed(payload, {field: model})


def without_cost(payload: bytes, usage: msgspec.Raw | None) -> bytes:
    """An answer whose `usage` says nothing of what the provider bills us: that is not the customer's charge."""
    if usage is None or b'"cost' not in bytes(usage):
        return payload
    return changed(payload, {"usage": msgspec.Raw(changed(bytes(usage), {}, without=_COSTS))})


def on_a_line(payload: bytes) -> bytes:
    """The payload of an event on one line: a line end in JSON is white space, and would end the field there."""
    return payload.replace(b"\n", b" ").replace(b"\r", b" ")


def usage_shown(
    reported: msgspec.Raw | None,
    counted: Usage | None,
    charge: str | None,
    *,
    written: Callable[[Usage], dict[str, object]],
) -> dict[str, object]:
    """The usage object a client sees: as reported, or as counted if that was not believed; `cost` is the charge.

    `charge` is in credits, as a decimal string. `written` puts meters into the dialect's words.
    """
    fields = None if reported is None or counted is not None else fields_of(reported)
    shown = written(counted or Usage({})) if fields is None else dict[str, object](fields)
    for name in _COSTS:  # what the provider bills us is not the customer's charge
        shown.pop(name, None)
    if charge is not None:
        shown["cost"] = charge
    return shown
