"""One spelling of a Gemini body: Google takes each name in camelCase and in snake_case, and both in one body.

A body enters; the same body leaves if it is in camelCase throughout, which official clients write, else an equal
one that is. What the caller's own functions and schemas call their fields is never touched. A field written in
both spellings is refused: which one counts would depend on who reads it.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, cast

import msgspec

from farebox.wire.call import Malformed, MalformedCode

_SNAKE_NAME = re.compile(rb'"[a-z][a-z0-9]*(?:_[a-z0-9]+)+"\s*:|\\u00[3-7]')
"""Also where letters are escaped, which could be those of a name."""
_UNDERSCORE = re.compile(r"_([a-z0-9])")
_OF_THE_CALLER = frozenset(
    {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels"}
    | {"partMetadata", "customMetadata"}
)
"""Below these, names are the caller's."""

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class _WrittenTwice(Exception):
    """Unwinds the walk; never leaves this module."""


def in_camel_case(body: bytes) -> bytes | Malformed:
    """The body with every name of the dialect in camelCase; the same object if it was. `body` is valid JSON."""
    if _SNAKE_NAME.search(body) is None:
        return body
    try:
        return _encode(_renamed(_decode(body)))
    except _WrittenTwice as twice:
        name = str(twice)
        return Malformed(MalformedCode.INVALID_JSON, f"'{name}' is given in both its spellings.", name)
    except (msgspec.DecodeError, RecursionError, ArithmeticError, ValueError):
        return Malformed(
            MalformedCode.INVALID_JSON, "The body is nested too deeply, or holds a number that is too long."
        )


def camel(name: str) -> str:
    """`inline_data` as `inlineData`."""
    return _UNDERSCORE.sub(lambda match: match[1].upper(), name)


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed(item) for item in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    renamed: dict[str, Any] = {}
    for name, below in cast(dict[str, Any], value).items():
        plain = camel(name)
        if plain in renamed:
            raise _WrittenTwice(plain)
        renamed[plain] = below if plain in _OF_THE_CALLER else _renamed(below)
    return renamed
