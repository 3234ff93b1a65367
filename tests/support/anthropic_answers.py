"""Answers in Anthropic's shape for a scripted upstream: whole, streamed, and wrong in every way that providers are.

message_answer(text="Hi", usage=usage(12, 8))
message_stream(thinking="Hm", tool_calls=(("weather", '{"place":"Bern"}'),), pause_s=0.01)
message_stream(error_after=3)
failure(529, kind="overloaded_error")
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from tests.support.script import Script, answer, events

Json = dict[str, Any]

SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds"


def usage(given: int = 12, produced: int = 8, **more: Any) -> Json:
    """Usage as Anthropic reports it: cached tokens beside the input, reasoning inside the output."""
    stated: Json = {
        "input_tokens": given,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": produced,
        "service_tier": "standard",
    }
    return stated | more


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message, and how a stream of it behaves."""

    text: str = "A short answer from upstream."
    model: str = "upstream-model"
    stop_reason: str | None = "end_turn"
    stop_sequence: str | None = None
    usage: Json | None = msgspec.field(default_factory=usage)
    thinking: str | None = None
    redacted: str | None = None
    tool_calls: tuple[tuple[str, str], ...] = ()
    """(name, arguments as JSON text) each."""
    searches: int = 0
    """Run by the provider before it says anything."""
    extra: Json = {}
    """Laid over the message."""
    # streams only
    ending_usage: Json | None = None
    """What the `message_delta` states; None: `output_tokens` alone, as Anthropic did for years."""
    pause_s: float = 0.0
    error_after: int | None = None
    """Send an error event after so many events, and nothing else."""
    stop: bool = True
    """End with `message_stop`."""


def message_answer(**shape: Any) -> Script:
    """A whole message. `shape`: the fields of `Message`."""
    message = Message(**shape)
    body = _envelope(message) | {"content": list(_blocks(message)), "stop_reason": message.stop_reason}
    return answer(encoded(body | ({"usage": message.usage} if message.usage is not None else {}) | message.extra))


def message_stream(**shape: Any) -> Script:
    """The same, streamed. `shape`: the fields of `Message`."""
    message = Message(**shape)
    sent = [event_of(event) for event in _events(message)]
    if message.error_after is not None:
        broken = {"type": "error", "error": {"type": "overloaded_error", "message": "upstream broke"}}
        return events([*sent[: message.error_after], event_of(broken)], pause_s=message.pause_s)
    return events(sent, pause_s=message.pause_s)


def failure(status: int, message: str = "upstream says no", *, kind: str = "invalid_request_error") -> Script:
    """An error answer in Anthropic's shape."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}
    return answer(encoded(body), status=status)


def event_of(value: Json) -> bytes:
    return b"event: " + value["type"].encode() + b"\ndata: " + encoded(value) + b"\n\n"


def encoded(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def suited_to(body: bytes) -> Script:
    """What a well-behaved provider would answer to this request."""
    try:
        asked: Json = json.loads(body or b"{}")
    except ValueError:
        return failure(400, "the body is not JSON")
    shape: Json = {"model": str(asked.get("model", "upstream-model"))}
    return message_stream(**shape) if asked.get("stream") else message_answer(**shape)


def _envelope(message: Message) -> Json:
    return {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": message.stop_sequence,
    }


def _blocks(message: Message) -> Iterator[Json]:
    for at in range(message.searches):
        yield {"type": "server_tool_use", "id": f"srvtoolu_{at}", "name": "web_search", "input": {"query": "words"}}
        found = {
            "type": "web_search_result",
            "url": "https://example.com",
            "title": "A page",
            "encrypted_content": "RW5j",
        }
        content = [found | {"encrypted_content": "RW5j"}]
        yield {"type": "web_search_tool_result", "tool_use_id": f"srvtoolu_{at}", "content": content}
    if message.redacted is not None:
        yield {"type": "redacted_thinking", "data": message.redacted}
    if message.thinking is not None:
        yield {"type": "thinking", "thinking": message.thinking, "signature": SIGNATURE}
    if message.text:
        yield {"type": "text", "text": message.text}
    for at, (name, arguments) in enumerate(message.tool_calls):
        yield {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": json.loads(arguments)}


def _events(message: Message) -> Iterator[Json]:
    started = _envelope(message) | {"stop_sequence": None} | message.extra
    if message.usage is not None:
        started["usage"] = message.usage | {"output_tokens": 1}
    yield {"type": "message_start", "message": started}
    for index, block in enumerate(_blocks(message)):
        yield {"type": "content_block_start", "index": index, "content_block": _opening(block)}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    if message.stop_reason is not None:
        yield _ending(message)
    if message.stop:
        yield {"type": "message_stop"}


def _ending(message: Message) -> Json:
    delta = {"stop_reason": message.stop_reason, "stop_sequence": message.stop_sequence}
    ended: Json = {"type": "message_delta", "delta": delta}
    if message.usage is not None:
        ended["usage"] = message.ending_usage or {"output_tokens": message.usage["output_tokens"]}
    return ended


def _opening(block: Json) -> Json:
    empty: Json = {"text": "", "thinking": "", "signature": "", "input": {}}
    return {name: empty.get(name, value) for name, value in block.items()}


def _deltas(block: Json) -> Iterator[Json]:
    match block["type"]:
        case "thinking":
            for word in _words(block["thinking"]):
                yield {"type": "thinking_delta", "thinking": word}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "text":
            for word in _words(block["text"]):
                yield {"type": "text_delta", "text": word}
        case "tool_use" | "server_tool_use":
            arguments = json.dumps(block["input"])
            yield {"type": "input_json_delta", "partial_json": ""}
            for start in range(0, len(arguments), 8):
                yield {"type": "input_json_delta", "partial_json": arguments[start : start + 8]}
        case _:
            return


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")[:-1]] + text.split(" ")[-1:] if text else []
