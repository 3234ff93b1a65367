"""Bodies and streams of the Messages dialect, as its clients and its provider write them."""

from __future__ import annotations

import json
from typing import Any

from tests.pure.wire.bodies import written

from farebox.wire.anthropic.parse import parse
from farebox.wire.call import Call, Malformed

HELLO: Any = [{"role": "user", "content": "hello"}]
PIXEL: Any = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
PDF: Any = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x" * 50}
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather",
    "input_schema": {"type": "object", "properties": {}},
}
SEARCH: Any = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}


def body(**fields: Any) -> bytes:
    return written({"model": "claude", "max_tokens": 100, "messages": HELLO} | fields)


def call_for(**fields: Any) -> Call:
    call = parse(body(**fields))
    assert isinstance(call, Call), call
    return call


def asked(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    """One question made of these blocks."""
    return [{"role": "user", "content": list(blocks)}]


def refusal_of(**fields: Any) -> Malformed:
    refusal = parse(body(**fields))
    assert isinstance(refusal, Malformed), refusal
    return refusal


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words} | fields


# As recorded from the provider (identifiers changed), with its spacing.
START = (
    b"event: message_start\n"
    b'data: {"type":"message_start","message":{"id":"msg_014p7gG3wDgGV9EUtLvnow3U","type":"message","role":"assistant",'
    b'"model":"claude-sonnet-4-5-20250929","stop_sequence":null,"usage":{"input_tokens":472,'
    b'"cache_creation_input_tokens":0,"cache_read_input_tokens":96,"cache_creation":{"ephemeral_5m_input_tokens":0,'
    b'"ephemeral_1h_input_tokens":0},"output_tokens":2,"service_tier":"standard"},"content":[],"stop_reason":null}'
    b"     }\n\n"
)
TEXT_START = (
    b"event: content_block_start\n"
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}            }\n\n'
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
OKAY = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Okay"}}\n\n'
)
COMMA = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    b'"text":", \xe4\xbd\xa0\xe5\xa5\xbd"} }\n\n'
)
TEXT_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0   }\n\n'
TOOL_START = (
    b"event: content_block_start\n"
    b'data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use",'
    b'"id":"toolu_01T1x1fJ34qAmk2tNTrN7Up6","name":"get_weather","input":{}}}\n\n'
)
TOOL_EMPTY = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}\n\n'
)
TOOL_DELTA = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta",'
    b'"partial_json":"{\\"location\\": \\"San"}}\n\n'
)
TOOL_REST = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta",'
    b'"partial_json":" Francisco\\"}"}}\n\n'
)
TOOL_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":1}\n\n'
ENDING = (
    b"event: message_delta\n"
    b'data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},'
    b'"usage":{"output_tokens":89}}\n\n'
)
STOP = b'event: message_stop\ndata: {"type":"message_stop"            }\n\n'
ERROR = (
    b"event: error\n"
    b'data: {"type":"error","error":{"details":null,"type":"overloaded_error",'
    b'"message":"Overloaded at acct_123456"}}\n\n'
)

BEFORE = (
    START + TEXT_START + PING + OKAY + COMMA + TEXT_STOP + TOOL_START + TOOL_EMPTY + TOOL_DELTA + TOOL_REST + TOOL_STOP
)
STREAM = BEFORE + ENDING + STOP
"""Text, then a call of a tool."""


def payloads(stream: bytes) -> list[Any]:
    """The JSON of each event; every event must carry its own name."""
    found: list[Any] = []
    for block in stream.split(b"\n\n"):
        if block:
            name, _, payload = block.removeprefix(b"event: ").partition(b"\ndata: ")
            found.append(json.loads(payload))
            assert found[-1]["type"] == name.decode(), block
    return found
