"""Answers a provider of the Gemini dialect gives, as scripts: whole or streamed, with any usage, or wrong on purpose.

Written after recorded answers of the API: blanks after colons, CRLF between events, usage in every chunk, zeros left
out.

    gemini_answer(text="Hi", usage=usage(12, 8, thoughts=30))
    gemini_stream(text="Hi you", error_after=1)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from tests.support.script import Script, answer, events

Json = dict[str, Any]

MODEL_VERSION = "upstream-model"


def usage(prompt: int = 12, made: int = 8, *, thoughts: int = 0, cached: int = 0, tools: int = 0) -> Json:
    """Usage as Google reports it: thoughts and tool results outside, cached inside, zeros left out."""
    counts = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": made,
        "totalTokenCount": prompt + made + thoughts + tools,
        "cachedContentTokenCount": cached,
        "thoughtsTokenCount": thoughts,
        "toolUsePromptTokenCount": tools,
    }
    return {name: count for name, count in counts.items() if count} | {
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}]
    }


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, and how a stream of it behaves."""

    text: str = "A short answer from upstream."
    finish: str | None = "STOP"
    candidates: int = 1
    thoughts: str | None = None
    parts: tuple[Json, ...] = ()
    """In place of the text, in one chunk each."""
    usage: Json | None = msgspec.field(default_factory=usage)
    grounding: Json | None = None
    extra: Json = {}
    # streams only
    pause_s: float = 0.0
    error_after: int | None = None
    """Send an error event after so many chunks, and nothing else."""


def gemini_answer(**shape: Any) -> Script:
    """A whole answer. `shape`: the fields of `Told`."""
    told = Told(**shape)
    parts = [part for piece in _pieces(told) for part in piece]
    return answer(written(_chunk(told, parts, finish=told.finish, stated=told.usage), indent=2))


def gemini_stream(**shape: Any) -> Script:
    """The same, streamed. `shape`: the fields of `Told`."""
    told = Told(**shape)
    sent = [event_of(chunk) for chunk in chunks(told)]
    if told.error_after is not None:
        sent = [*sent[: told.error_after], event_of(error_body(503, "UNAVAILABLE", "upstream broke"))]
    return events(sent, pause_s=told.pause_s)


def chunks(told: Told) -> Iterator[Json]:
    """Pieces with the usage so far; the last has the finish reason and all of it."""
    pieces = list(_pieces(told)) or [[]]
    for number, parts in enumerate(pieces):
        if number < len(pieces) - 1 or told.finish is None:
            prompt = None if told.usage is None else told.usage.get("promptTokenCount")
            so_far = None if prompt is None else {"promptTokenCount": prompt, "totalTokenCount": prompt}
            yield _chunk(told, parts, finish=None, stated=so_far)
        else:
            yield _chunk(told, parts, finish=told.finish, stated=told.usage)


def embeddings_answer(inputs: int | None = None, *, prompt: int | None = None) -> Script:
    """One vector, or a list of as many as there were inputs; usage only if it is stated."""
    vector = {"values": [0.25] * 8}
    body: Json = {"embedding": vector} if inputs is None else {"embeddings": [vector] * inputs}
    return answer(written(body | ({} if prompt is None else {"usageMetadata": {"promptTokenCount": prompt}})))


def failure(status: int, word: str, message: str = "upstream says no") -> Script:
    """An error answer in Google's shape."""
    return answer(written(error_body(status, word, message), indent=2), status=status)


def error_body(status: int, word: str, message: str) -> Json:
    return {"error": {"code": status, "message": message, "status": word}}


def event_of(value: Json) -> bytes:
    return b"data: " + written(value) + b"\r\n\r\n"


def written(value: Json, *, indent: int | None = None) -> bytes:
    """JSON as Google writes it."""
    return json.dumps(value, ensure_ascii=False, indent=indent, separators=(",", ": ")).encode()


def is_gemini(path: str) -> bool:
    return "/models/" in path and ":" in path


def suited_to(path: str, body: bytes) -> Script:
    """What a well-behaved provider would answer to this request."""
    asked: Json = json.loads(body or b"{}")
    action = path.partition("?")[0].rpartition(":")[2]
    if action == "batchEmbedContents":
        return embeddings_answer(len(asked["requests"]))
    if action == "embedContent":
        return embeddings_answer()
    config: Json = asked.get("generationConfig") or {}
    shape: Json = {"candidates": int(config.get("candidateCount") or 1)}
    return gemini_stream(**shape) if action == "streamGenerateContent" else gemini_answer(**shape)


def _pieces(told: Told) -> Iterator[list[Json]]:
    if told.thoughts is not None:
        yield [{"text": told.thoughts, "thought": True}]
    if told.parts:
        yield from ([part] for part in told.parts)
        return
    for word in _words(told.text):
        yield [{"text": word}]


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")[:-1]] + text.split(" ")[-1:] if text else []


def _chunk(told: Told, parts: list[Json], *, finish: str | None, stated: Json | None) -> Json:
    candidates: list[Json] = []
    for index in range(told.candidates):
        candidate: Json = {"content": {"parts": parts, "role": "model"}}
        if finish is not None:
            candidate["finishReason"] = finish
            if told.grounding is not None:
                candidate["groundingMetadata"] = told.grounding
        candidates.append(candidate | ({"index": index} if index or told.candidates == 1 else {}))
    chunk: Json = {"candidates": candidates}
    if stated is not None:
        chunk["usageMetadata"] = stated
    return chunk | {"modelVersion": MODEL_VERSION, "responseId": "rHdJaQ2UEOqKz7IPmZ3Q2A0"} | told.extra
