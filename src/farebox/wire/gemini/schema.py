"""Schemas: Google's OpenAPI subset in, JSON Schema out.

Requests may carry either (`parameters` or `parametersJsonSchema`, `responseSchema` or `responseJsonSchema`); other
dialects know JSON Schema only. What goes to Google is written as JSON Schema, so nothing is converted that way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from farebox.wire.call import raw
from farebox.wire.gemini.spelling import camel
from farebox.wire.payloads import UNREADABLE

_decode = msgspec.json.Decoder(float_hook=lambda written: msgspec.Raw(written.encode())).decode


def to_json_schema(written: msgspec.Raw) -> msgspec.Raw:
    """The schema as JSON Schema. Raises nothing: what is no schema is returned as it is."""
    try:
        return raw(_converted(_decode(written)))
    except UNREADABLE:
        return written


def _converted(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    fields = {camel(name): value for name, value in cast(dict[str, Any], schema).items()}
    made: dict[str, Any] = {}
    for name, value in fields.items():
        convert = _KEYWORDS.get(name)
        if name not in _DROPPED:
            made[_RENAMED.get(name, name)] = value if convert is None else convert(value)
    return _nullable(made) if fields.get("nullable") is True else made


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return schema | {"type": [kind, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _type(value: Any) -> Any:
    if isinstance(value, list):
        return [_type(one) for one in cast(list[Any], value)]
    return value.lower() if isinstance(value, str) else value


def _each(value: Any) -> Any:
    return [_converted(one) for one in cast(list[Any], value)] if isinstance(value, list) else value


def _named(value: Any) -> Any:
    """The values of an object are schemas; its names are the caller's."""
    if not isinstance(value, dict):
        return value
    return {name: _converted(below) for name, below in cast(dict[str, Any], value).items()}


def _number(value: Any) -> Any:
    """Google writes 64-bit numbers as text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


_KEYWORDS: Mapping[str, Callable[[Any], Any]] = {
    "type": _type,
    "items": _converted,
    "anyOf": _each,
    "prefixItems": _each,
    "properties": _named,
    "defs": _named,
    "additionalProperties": _converted,
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"), _number),
}
_RENAMED = {"defs": "$defs", "ref": "$ref"}
_DROPPED = frozenset({"nullable", "propertyOrdering", "example"})
"""`nullable` becomes a type; the others say nothing that JSON Schema could."""
