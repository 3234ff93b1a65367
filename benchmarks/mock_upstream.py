"""A provider that costs almost nothing: one fixed answer of about 700 bytes, or a stream of chunks at a pace.

    python -m benchmarks.mock_upstream --port 9000 --chunks 400 --pace-ms 2

A body with `"stream":true` gets the stream: `chunks` events, one every `pace-ms`, each written on its own so that a
proxy sees it arrive alone, then a finish, the usage and `[DONE]`. Everything else gets the plain answer. A stream asked
for at `…/messages` is the same in Anthropic's events.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from typing import Any, NamedTuple, cast

import uvloop

ANSWER_BYTES = 700
USAGE = {
    "prompt_tokens": 24,
    "completion_tokens": 96,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
ENVELOPE: dict[str, Any] = {"id": "chatcmpl-bench0123456789", "created": 1_780_000_000, "model": "bench-model"}


def chat_answer() -> bytes:
    """A whole chat completion, padded to `ANSWER_BYTES`."""
    body = _completion("")
    return _completion("word " * ((ANSWER_BYTES - len(body)) // 5))


def _completion(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return _json(ENVELOPE | {"object": "chat.completion", "choices": [choice], "usage": USAGE})


def stream_event(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One event of a chat stream."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _event(_json(ENVELOPE | {"object": "chat.completion.chunk", "choices": [choice]}))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_BODY = chat_answer()
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FIRST = _chunk(stream_event({"role": "assistant", "content": ""}))
WORD = _chunk(stream_event({"content": " word"}))
USAGE_EVENT = _event(_json(ENVELOPE | {"object": "chat.completion.chunk", "choices": [], "usage": USAGE}))
LAST = _chunk(stream_event({}, "stop")) + _chunk(USAGE_EVENT) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _named(kind: str, **fields: Any) -> bytes:
    """One event of an Anthropic stream, as a chunk of the body."""
    return _chunk(b"event: " + kind.encode() + b"\n" + _event(_json({"type": kind} | fields)))


_MESSAGE = {"id": "msg_bench0123456789", "type": "message", "role": "assistant", "model": "bench-model", "content": []}
_GIVEN = {"input_tokens": 24, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}


class Shape(NamedTuple):
    """A stream: what comes at once, what comes again and again, what ends it."""

    first: bytes
    word: bytes
    last: bytes


OPENAI = Shape(STREAM_HEAD + FIRST, WORD, LAST)
ANTHROPIC = Shape(
    STREAM_HEAD
    + _named("message_start", message=_MESSAGE | {"stop_reason": None, "usage": _GIVEN})
    + _named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    _named("content_block_delta", index=0, delta={"type": "text_delta", "text": " word"}),
    _named("content_block_stop", index=0)
    + _named("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 96})
    + _named("message_stop")
    + b"0\r\n\r\n",
)


class Mock(asyncio.Protocol):
    """One connection. Requests come one after another, never pipelined."""

    chunks = 400
    pace_s = 0.002

    def __init__(self) -> None:
        self._buffered = b""
        self._shape = OPENAI

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = cast(socket.socket, self._transport.get_extra_info("socket"))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._buffered = self._buffered + data if self._buffered else data
        head_end = self._buffered.find(b"\r\n\r\n") + 4
        if head_end < 4 or len(self._buffered) < head_end + _content_length(self._buffered[:head_end]):
            return
        line, body, self._buffered = self._buffered[:64], self._buffered[head_end:], b""
        if b'"stream":true' in body or b'"stream": true' in body:
            self._shape = ANTHROPIC if b"/messages" in line else OPENAI
            self._transport.write(self._shape.first)
            asyncio.get_running_loop().call_later(self.pace_s, self._go_on, self.chunks)
        else:
            self._transport.write(PLAIN)

    def _go_on(self, left: int) -> None:
        if self._transport.is_closing():
            return
        if not left:
            self._transport.write(self._shape.last)
            return
        self._transport.write(self._shape.word)
        asyncio.get_running_loop().call_later(self.pace_s, self._go_on, left - 1)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 : head.index(b"\r\n", at + 2)]) if at >= 0 else 0


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="A very cheap chat provider for benchmarks.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chunks", type=int, default=Mock.chunks)
    parser.add_argument("--pace-ms", type=float, default=Mock.pace_s * 1000)
    options = parser.parse_args()
    Mock.chunks, Mock.pace_s = options.chunks, options.pace_ms / 1000
    uvloop.run(serve(options.port))


if __name__ == "__main__":
    main()
