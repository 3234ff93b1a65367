"""Answers of the smaller endpoints for a scripted upstream: text completions, moderations, rankings."""

from __future__ import annotations

import json
from typing import Any

from tests.support.script import Script, answer, events

Json = dict[str, Any]


def is_small(path: str) -> bool:
    """Whether the path is one of these endpoints."""
    return path.endswith(("/completions", "/moderations", "/rerank")) and not path.endswith("/chat/completions")


def suited_to(path: str, asked: Json) -> Script:
    """What a well-behaved provider would answer to this request."""
    if path.endswith("/moderations"):
        return moderation()
    if path.endswith("/rerank"):
        return ranking(len(asked.get("documents") or []), usage={"total_tokens": 9})
    prompt: Any = asked.get("prompt", "")
    prompts = len(prompt) if isinstance(prompt, list) and isinstance(prompt[0], str) else 1
    choices = prompts * int(asked.get("n") or 1)
    if not asked.get("stream"):
        return completion(choices=choices)
    wanted = (asked.get("stream_options") or {}).get("include_usage")
    return completion_stream(choices=choices, usage=USAGE if wanted else None)


USAGE: Json = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}


def completion(text: str = " upon a time", *, choices: int = 1, usage: Json | None = USAGE, **extra: Any) -> Script:
    """A whole text completion."""
    made = [{"text": text, "index": at, "logprobs": None, "finish_reason": "length"} for at in range(choices)]
    return answer(_encoded(_head() | {"choices": made} | ({"usage": usage} if usage else {}) | extra))


def completion_stream(
    pieces: tuple[str, ...] = (" upon", " a", " time"), *, choices: int = 1, usage: Json | None = USAGE
) -> Script:
    """The same, streamed."""
    sent = [_piece(piece, at) for piece in pieces for at in range(choices)]
    sent += [_piece("", at, "length") for at in range(choices)]
    if usage is not None:
        sent.append(_event(_head() | {"choices": [], "usage": usage}))
    return events([*sent, b"data: [DONE]\n\n"])


def moderation(*, usage: Json | None = None) -> Script:
    """A verdict, by OpenAI without usage."""
    verdict = {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.01}}
    body: Json = {"id": "modr-1", "model": "upstream-model", "results": [verdict]}
    return answer(_encoded(body | ({"usage": usage} if usage else {})))


def ranking(documents: int, *, usage: Json | None = None, meta: Json | None = None) -> Script:
    """Every document, in the order it came."""
    results = [{"index": at, "relevance_score": 1 - at / 100} for at in range(documents)]
    body: Json = {"id": "r1", "model": "upstream-model", "results": results}
    return answer(_encoded(body | ({"usage": usage} if usage else {}) | ({"meta": meta} if meta else {})))


def _head() -> Json:
    return {"id": "cmpl-scripted", "object": "text_completion", "created": 1_780_000_000, "model": "upstream-model"}


def _piece(text: str, at: int, finish: str | None = None) -> bytes:
    return _event(_head() | {"choices": [{"text": text, "index": at, "logprobs": None, "finish_reason": finish}]})


def _event(value: Json) -> bytes:
    return b"data: " + _encoded(value) + b"\n\n"


def _encoded(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
