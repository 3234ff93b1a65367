"""Bodies and chunks for the tests of this room."""

from __future__ import annotations

import json
from typing import Any

from farebox.wire import openai_chat, openai_embeddings
from farebox.wire.call import Call

HELLO = [{"role": "user", "content": "hello"}]


def written(value: Any) -> bytes:
    """JSON as clients write it: compact."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def chat_body(**fields: Any) -> bytes:
    return written({"model": "gpt-4o", "messages": HELLO} | fields)


def chat_call(**fields: Any) -> Call:
    call = openai_chat.parse(chat_body(**fields))
    assert isinstance(call, Call), call
    return call


def embeddings_call(**fields: Any) -> Call:
    call = openai_embeddings.parse(written({"model": "e", "input": "hello"} | fields))
    assert isinstance(call, Call), call
    return call


def chunk(delta: dict[str, Any] | None = None, *, finish: str | None = None, index: int = 0, **top: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": index, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return b"data: " + written(head | {"choices": [choice]} | top) + b"\n\n"


def usage_event(prompt: int = 5, completion: int = 2, **more: Any) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return chunk(choices=[], usage=usage | more)


DONE = b"data: [DONE]\n\n"


def payloads(stream: bytes) -> list[Any]:
    """The JSON of each event, and the end mark as text."""
    found: list[Any] = []
    for block in stream.split(b"\n\n"):
        if block.startswith(b"data: "):
            payload = block[6:]
            found.append("[DONE]" if payload == b"[DONE]" else json.loads(payload))
    return found
