"""Reads the outer object of a body: strict JSON, UTF-8, each name once, every value as written.

Bytes enter; the fields or a `Malformed` leave. Nothing is built for the values, so a body of
32 MB costs one pass. A name written twice is refused: which one counts would depend on who reads
it, and a price must not depend on that.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn, TypeVar

import msgspec

from farebox.wire.call import Fields, Malformed, MalformedCode

_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_any = msgspec.json.Decoder(float_hook=lambda written: msgspec.Raw(written.encode())).decode
_encode = msgspec.json.Encoder().encode
_PATH = re.compile(r" - at `(?:key in )?\$\.?(.*)`$")

T = TypeVar("T")


def read_object(body: bytes) -> Fields | Malformed:
    """The fields of a JSON object. Refuses anything else with `invalid_json`."""
    try:
        if not body.isascii():
            body.decode()
        fields = _decode_fields(body)
    except UnicodeDecodeError:
        return _invalid("The body is not valid UTF-8.")
    except RecursionError:
        return _invalid("The body is nested too deeply.")
    except msgspec.ValidationError:
        return _invalid("The body must be a JSON object.")
    except msgspec.DecodeError:
        return _invalid("The body is not valid JSON.")
    written = _encode(fields)
    if written != body and _compact(written) != _compact(body) and _repeats_a_name(body, len(fields)):
        return _invalid("A field is given more than once.")
    return fields


def read_strictly(body: bytes) -> Fields | Malformed:
    """The same, where readers of a body may take the first, the last or both of what is named twice at any depth."""
    fields = read_object(body)
    if isinstance(fields, Malformed):
        return fields
    try:
        once = _compact(_encode(_decode_any(body))) == _compact(body) or not _repeats_inside(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _invalid("The body is nested too deeply, or holds a number that is too long.")
    return fields if once else _invalid("A field is given more than once.")


def _compact(written: bytes) -> bytes:
    """The same JSON without blanks: a body that only differs in blanks repeats no name."""
    return msgspec.json.format(written, indent=-1)


def read_as(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T | Malformed:
    """Decode with `decoder`; a value of the wrong type becomes a `Malformed` that names its path."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        return _wrong_type(str(error))
    except RecursionError:
        return _invalid("The body is nested too deeply.")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _invalid("The body is not valid JSON.")


def read_body(body: bytes, decoder: msgspec.json.Decoder[T]) -> tuple[Fields, T] | Malformed:
    """The fields of a body as written, and what `decoder` makes of it."""
    fields = read_object(body)
    if isinstance(fields, Malformed):
        return fields
    wanted = read_as(body, decoder)
    return wanted if isinstance(wanted, Malformed) else (fields, wanted)


def _wrong_type(text: str) -> Malformed:
    match = _PATH.search(text)
    path = match.group(1) if match else ""
    expectation = text[: match.start()] if match else text
    if "missing required field" in expectation:
        name = expectation.rsplit("`", 2)[-2]
        path = f"{path}.{name}" if path else name
        return Malformed(_code_at(path, missing=True), f"Missing required parameter: '{path}'.", path)
    return Malformed(_code_at(path), f"Invalid value for '{path}': {expectation[:1].lower()}{expectation[1:]}.", path)


def _code_at(path: str, *, missing: bool = False) -> MalformedCode:
    if path.startswith("messages") and (not missing or path != "messages"):
        return MalformedCode.INVALID_MESSAGES
    return MalformedCode.MISSING_PARAMETER if missing else MalformedCode.INVALID_PARAMETER


def _repeats_a_name(body: bytes, names: int) -> bool:
    """Reached only when names are escaped or repeated: counts the pairs of the outer object."""
    outer: list[int] = [0]

    def count(pairs: list[tuple[str, object]]) -> None:
        outer[0] = len(pairs)  # called innermost first, so the outer object's count stays

    try:
        json.loads(body, object_pairs_hook=count, parse_int=str, parse_float=str, parse_constant=_no_constant)
    except (RecursionError, ValueError):
        return True
    return outer[0] != names


def _repeats_inside(body: bytes) -> bool:
    """Reached only where something is escaped or repeated."""
    repeated = False

    def look(pairs: list[tuple[str, object]]) -> None:
        nonlocal repeated
        repeated = repeated or len({name for name, _ in pairs}) != len(pairs)

    json.loads(body, object_pairs_hook=look, parse_int=str, parse_float=str, parse_constant=_no_constant)
    return repeated


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _invalid(message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_JSON, message)
