"""Answers in OpenAI's shape for a scripted upstream: whole, streamed, and wrong in every way that providers are.

chat_answer(text="Hi", usage=usage(12, 8))
chat_stream(usage_in=UsageIn.EVERY_CHUNK, pause_s=0.01)
chat_stream(error_after=3, done=False)
failure(429, code="rate_limit_exceeded").with_headers(retry_after="7")
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec
from tests.support import (
    anthropic_answers,
    audio_answers,
    gemini_answers,
    images_answers,
    responses_answers,
    small_answers,
)
from tests.support.script import Script, answer, events

Json = dict[str, Any]

CREATED = 1_780_000_000


def usage(prompt: int = 12, completion: int = 8, *, cached: int = 0, reasoning: int = 0) -> Json:
    """Usage as OpenAI reports it: cached inside prompt, reasoning inside completion. Nonsense is not corrected."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


class UsageIn(StrEnum):
    """Where a stream carries its usage."""

    LAST_CHUNK = "last_chunk"
    """In a chunk of its own without choices, as OpenAI does."""
    FINISHING_CHUNK = "finishing_chunk"
    EVERY_CHUNK = "every_chunk"
    """Growing, with the full usage at the end."""
    TWICE = "twice"
    NOWHERE = "nowhere"


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """One chat completion, and how a stream of it behaves."""

    text: str = "A short answer from upstream."
    model: str = "upstream-model"
    finish: str | None = "stop"
    choices: int = 1
    usage: Json | None = msgspec.field(default_factory=usage)
    reasoning: str | None = None
    tool_calls: tuple[tuple[str, str], ...] = ()
    """(function name, arguments as JSON text) each."""
    extra: Json = {}
    """Laid over the top level: `service_tier`, `system_fingerprint`, …"""
    # streams only
    usage_in: UsageIn = UsageIn.LAST_CHUNK
    pause_s: float = 0.0
    error_after: int | None = None
    """Send an error event after so many events, and nothing else."""
    done: bool = True
    """End with `[DONE]`."""


def chat_answer(**shape: Any) -> Script:
    """A whole chat completion. `shape`: the fields of `Chat`."""
    chat = Chat(**shape)
    choices = [_choice(chat, index) for index in range(chat.choices)]
    body = _envelope(chat, "chat.completion", choices) | ({"usage": chat.usage} if chat.usage is not None else {})
    return answer(encoded(body))


def chat_stream(**shape: Any) -> Script:
    """The same, streamed. `shape`: the fields of `Chat`."""
    chat = Chat(**shape)
    sent = [event_of(chunk) for chunk in _chunks(chat)]
    if chat.error_after is not None:
        return events([*sent[: chat.error_after], event_of(error_body(500, "upstream broke"))], pause_s=chat.pause_s)
    return events([*sent, *([b"data: [DONE]\n\n"] if chat.done else [])], pause_s=chat.pause_s)


def embeddings_answer(inputs: int = 1, *, prompt: int = 5, dimensions: int = 8) -> Script:
    """As many small vectors as there were inputs."""
    vectors = [{"object": "embedding", "index": at, "embedding": [0.25] * dimensions} for at in range(inputs)]
    counted = {"prompt_tokens": prompt, "total_tokens": prompt}
    return answer(encoded({"object": "list", "data": vectors, "model": "upstream-model", "usage": counted}))


def failure(status: int, message: str = "upstream says no", *, code: str | None = None) -> Script:
    """An error answer in OpenAI's shape."""
    return answer(encoded(error_body(status, message, code=code)), status=status)


def error_body(status: int, message: str, *, code: str | None = None) -> Json:
    kinds = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}
    return {"error": {"message": message, "type": kinds.get(status, "server_error"), "param": None, "code": code}}


def event_of(value: Json) -> bytes:
    return b"data: " + encoded(value) + b"\n\n"


def encoded(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def suited_to(path: str, body: bytes) -> Script:
    """What a well-behaved provider would answer to this request: the right shape, usage only if asked for."""
    if audio_answers.is_audio(path):
        return audio_answers.suited_to(path)
    if images_answers.is_images(path):
        return images_answers.suited_to(body)
    try:
        asked: Json = json.loads(body or b"{}")
    except ValueError:
        return failure(400, "the body is not JSON")
    if path.endswith("/messages"):
        return anthropic_answers.suited_to(body)
    if gemini_answers.is_gemini(path):
        return gemini_answers.suited_to(path, body)
    if small_answers.is_small(path):
        return small_answers.suited_to(path, asked)
    model = str(asked.get("model", "upstream-model"))
    if path.endswith("/embeddings"):
        given: Any = asked.get("input", "")
        return embeddings_answer(1 if isinstance(given, str) else len(given))
    if path.endswith("/responses"):
        return responses_answers.suited_to(model, stream=bool(asked.get("stream")))
    shape: Json = {"model": model, "choices": int(asked.get("n") or 1)}
    if not asked.get("stream"):
        return chat_answer(**shape)
    options: Json = asked.get("stream_options") or {}
    wants_usage = options.get("include_usage")
    return chat_stream(**shape, usage_in=UsageIn.LAST_CHUNK if wants_usage else UsageIn.NOWHERE)


def _envelope(chat: Chat, kind: str, choices: list[Json]) -> Json:
    return {
        "id": "chatcmpl-scripted",
        "object": kind,
        "created": CREATED,
        "model": chat.model,
        "choices": choices,
        **chat.extra,
    }


def _choice(chat: Chat, index: int) -> Json:
    message: Json = {"role": "assistant", "content": chat.text, "refusal": None}
    if chat.reasoning is not None:
        message["reasoning_content"] = chat.reasoning
    if chat.tool_calls:
        message |= {"content": None, "tool_calls": [_call(at, *call) for at, call in enumerate(chat.tool_calls)]}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": chat.finish}


def _call(at: int, name: str, arguments: str) -> Json:
    return {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _chunks(chat: Chat) -> Iterator[Json]:
    """Every choice's deltas in turn, then the finishes, then the usage where it belongs."""
    deltas = [{"role": "assistant", "content": ""}, *_deltas(chat)]
    for number, delta in enumerate(deltas):
        for index in range(chat.choices):
            yield _chunk(chat, index, delta, running=number)
    if chat.finish is not None:
        for index in range(chat.choices):
            last = index == chat.choices - 1 and chat.usage_in is UsageIn.FINISHING_CHUNK
            finished = _chunk(chat, index, {}, running=len(deltas), finish=chat.finish)
            yield finished | ({"usage": chat.usage} if last else {})
    if chat.usage is not None and chat.usage_in not in (UsageIn.NOWHERE, UsageIn.FINISHING_CHUNK):
        for _ in range(2 if chat.usage_in is UsageIn.TWICE else 1):
            yield _envelope(chat, "chat.completion.chunk", []) | {"usage": chat.usage}


def _deltas(chat: Chat) -> Iterator[Json]:
    for word in _words(chat.reasoning or ""):
        yield {"reasoning_content": word}
    for word in _words("" if chat.tool_calls else chat.text):
        yield {"content": word}
    for at, (name, arguments) in enumerate(chat.tool_calls):
        yield {"tool_calls": [{"index": at, **_call(at, name, "")}]}
        for start in range(0, len(arguments), 8):
            yield {"tool_calls": [{"index": at, "function": {"arguments": arguments[start : start + 8]}}]}


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")[:-1]] + text.split(" ")[-1:] if text else []


def _chunk(chat: Chat, index: int, delta: Json, *, running: int, finish: str | None = None) -> Json:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = _envelope(chat, "chat.completion.chunk", [choice])
    if chat.usage_in is UsageIn.EVERY_CHUNK and chat.usage is not None:
        completion = min(running, chat.usage["completion_tokens"])
        return chunk | {"usage": usage(chat.usage["prompt_tokens"], completion)}
    return chunk
