"""Bodies and events of the Responses dialect for the tests of this room."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.pure.wire.bodies import written

from farebox.wire.call import Call, Turn
from farebox.wire.responses.parse import parse

Json = dict[str, Any]


def body(**fields: Any) -> bytes:
    return written({"model": "gpt-5", "input": "hello"} | fields)


def call_of(**fields: Any) -> Call:
    call = parse(body(**fields))
    assert isinstance(call, Call), call
    return call


def in_turn(call: Call, **facts: Any) -> Call:
    """The same call with a place in a conversation."""
    turn = msgspec.structs.replace(Turn(id="resp_01k9z6m3e8aaaaaaaaaaaaaaaa", kept=True), **facts)
    return msgspec.structs.replace(call, turn=turn)


def user(*parts: Json) -> Json:
    return {"role": "user", "content": list(parts)}
