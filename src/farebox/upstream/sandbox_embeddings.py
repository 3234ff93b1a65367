"""Composes the sandbox's embeddings: unit vectors from a hash of each input, usage by tokens.

A `Call` and a `Script` enter, the body of an answer leaves. The same input gives the same vector.
"""

from __future__ import annotations

import base64
import hashlib
from array import array
from math import sqrt
from typing import Any

import msgspec

from farebox.upstream.sandbox_script import Script, UsageShape
from farebox.upstream.sandbox_words import count_tokens
from farebox.wire.call import Call, text_field

DEFAULT_DIMENSIONS = 1536


def answer(call: Call, script: Script) -> bytes:
    """The body of an answer, one vector for each input."""
    dimensions = int(dict(call.parameters).get("dimensions", DEFAULT_DIMENSIONS))
    as_base64 = text_field(call.fields, "encoding_format") == "base64"
    vectors = [] if script.empty else [_vector(call.model, item, dimensions) for item in _inputs(call)]
    if "input" not in call.fields:
        return _as_google_does(call, script, vectors)
    rows = [
        {"object": "embedding", "index": index, "embedding": _written(vector, as_base64)}
        for index, vector in enumerate(vectors)
    ]
    body: dict[str, Any] = {"object": "list", "data": rows, "model": call.model}
    if script.usage is not UsageShape.NONE:
        body["usage"] = _usage(call, script)
    return msgspec.json.encode(body)


def _as_google_does(call: Call, script: Script, vectors: list[array[float]]) -> bytes:
    """In Gemini's dialect: one vector, or a list of them."""
    listed = [{"values": vector.tolist()} for vector in vectors]
    body: dict[str, Any] = {"embedding": listed[0]} if "content" in call.fields and listed else {"embeddings": listed}
    if script.usage is not UsageShape.NONE:
        body["usageMetadata"] = {"promptTokenCount": _usage(call, script)["prompt_tokens"]}
    return msgspec.json.encode(body)


def _inputs(call: Call) -> list[Any]:
    """The inputs one by one; a bare array of token numbers is one input, and so is a content of Gemini's."""
    if "input" not in call.fields:
        asked = msgspec.json.decode(call.fields["requests"]) if "requests" in call.fields else [call.fields]
        return [msgspec.json.encode(one["content"]).decode() for one in asked]
    stated = msgspec.json.decode(call.fields["input"])
    return [stated] if isinstance(stated, str) or isinstance(stated[0], int) else stated


def _vector(model: str, item: Any, dimensions: int) -> array[float]:
    digest = hashlib.shake_256(msgspec.json.encode([model, item])).digest(2 * dimensions)
    numbers = array("h", digest)
    length = sqrt(sum([number * number for number in numbers])) or 1.0
    return array("f", [number / length for number in numbers])


def _written(vector: array[float], as_base64: bool) -> str | list[float]:
    return base64.b64encode(vector.tobytes()).decode() if as_base64 else vector.tolist()


def _usage(call: Call, script: Script) -> dict[str, int]:
    tokens = sum([count_tokens(item) if isinstance(item, str) else len(item) for item in _inputs(call)])
    match script.usage:
        case UsageShape.WRONG:
            tokens = tokens * 1000 + 10_000_000
        case UsageShape.NEGATIVE:
            tokens = -5
        case UsageShape.ZERO:
            tokens = 0
        case UsageShape.TRUE | UsageShape.NONE:
            pass
    return {"prompt_tokens": tokens, "total_tokens": tokens}
