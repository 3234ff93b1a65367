"""Bodies, calls and chunks for the tests of this dialect."""

from __future__ import annotations

import json
from typing import Any

from tests.pure.wire.bodies import written

from farebox.wire.call import Call, Malformed
from farebox.wire.dialect import Dialect, dialect_at

HELLO = [{"role": "user", "parts": [{"text": "hello"}]}]


def at(action: str = "generateContent", model: str = "gemini-2.5-flash") -> Dialect:
    dialect = dialect_at(f"/v1beta/models/{model}:{action}")
    assert dialect is not None
    return dialect


def read(action: str = "generateContent", **fields: Any) -> Call | Malformed:
    return at(action).parse(written({"contents": HELLO} | fields))


def call(action: str = "generateContent", **fields: Any) -> Call:
    made = read(action, **fields)
    assert isinstance(made, Call), made
    return made


def refusal(action: str = "generateContent", **fields: Any) -> Malformed:
    made = read(action, **fields)
    assert isinstance(made, Malformed)
    return made


def part(**fields: Any) -> list[dict[str, Any]]:
    """Contents of one part."""
    return [{"role": "user", "parts": [fields]}]


def payloads(stream: bytes) -> list[Any]:
    """The JSON of each event."""
    blocks = stream.replace(b"\r\n", b"\n").split(b"\n\n")
    return [json.loads(block.removeprefix(b"data: ")) for block in blocks if block.startswith(b"data: ")]
