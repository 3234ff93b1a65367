"""All text of a JSON value, however deep it is nested.

A value as written or as read enters, strings leave, for counting their tokens. Numbers stay as they
were written, so that none becomes a float. Never raises, never recurses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

import msgspec

from farebox.wire.payloads import UNREADABLE

Inside = Callable[[dict[str, Any]], list[Any]]
"""Which values of an object are looked into."""

_decode = msgspec.json.Decoder(float_hook=str).decode


def read_any(written: bytes | msgspec.Raw | None) -> Any:
    """The value; None if there is none, and what is no JSON as the text it is."""
    if written is None:
        return None
    try:
        return _decode(written)
    except UNREADABLE:
        return bytes(written).decode(errors="replace")


def read_dict(payload: bytes | msgspec.Raw) -> dict[str, Any] | None:
    """The fields of a payload whose types are not what they should be; None if it is no JSON object."""
    try:
        value = _decode(payload)
    except UNREADABLE:
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


def strings_in(root: Any, inside: Inside) -> list[str]:
    """Every string in `root`, in no promised order."""
    texts: list[str] = []
    waiting: list[Any] = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list):
            waiting.extend(cast(list[Any], value))
        elif isinstance(value, dict):
            waiting.extend(inside(cast(dict[str, Any], value)))
    return texts


def but(names: Collection[str]) -> Inside:
    """All values but those of fields with these names."""

    def inside(fields: dict[str, Any]) -> list[Any]:
        return [value for name, value in fields.items() if name not in names]

    return inside
