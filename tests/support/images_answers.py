"""Answers of the images endpoints for a scripted upstream, as OpenAI writes them."""

from __future__ import annotations

import json
from typing import Any

from tests.support.script import Script, answer, events

Json = dict[str, Any]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def is_images(path: str) -> bool:
    """Whether the path is one of these endpoints."""
    return "/images/" in path


def suited_to(body: bytes) -> Script:
    """What a well-behaved provider would answer to this request, a form too."""
    try:
        asked: Json = json.loads(body)
    except ValueError:
        asked = {}
    if asked.get("stream"):
        return images_stream(usage=usage(20, 1_056))
    count = int(asked.get("n") or 1)
    return images(count, usage=usage(20, 1_056 * count))


def usage(given: int, made: int, *, images_given: int = 0, **details: Any) -> Json:
    """As `gpt-image-1` states it: what the output is made of is not said."""
    parts = {"text_tokens": given - images_given, "image_tokens": images_given} | details
    return {
        "input_tokens": given,
        "output_tokens": made,
        "total_tokens": given + made,
        "input_tokens_details": parts,
    }


def images(count: int, *, usage: Json | None = None, by: str = "b64_json", **extra: Any) -> Script:
    """So many images, as base64 or by address."""
    shown = PIXEL if by == "b64_json" else "https://images.example/1.png"
    body: Json = {"created": 1_780_000_000, "data": [{by: shown} for _ in range(count)]}
    return answer(_encoded(body | ({"usage": usage} if usage else {}) | extra))


def images_stream(*, partial: int = 1, usage: Json | None = None, kind: str = "image_generation") -> Script:
    """One image as it is drawn."""
    sent = [_event(f"{kind}.partial_image", {"b64_json": PIXEL, "partial_image_index": at}) for at in range(partial)]
    told = {"usage": usage} if usage else {}
    sent.append(_event(f"{kind}.completed", {"b64_json": PIXEL, "size": "1024x1024", "quality": "medium", **told}))
    return events(sent)


def error_stream() -> Script:
    """A stream that shows something and fails."""
    shown = _event("image_generation.partial_image", {"b64_json": PIXEL, "partial_image_index": 0})
    return events([shown, _event("error", {"error": {"message": "at sk-secret", "code": "server_error"}})])


def _event(kind: str, payload: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encoded({"type": kind} | payload))


def _encoded(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
