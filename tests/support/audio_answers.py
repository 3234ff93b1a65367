"""Answers of the audio endpoints for a scripted upstream, as OpenAI writes them."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.support import sounds
from tests.support.script import Framing, Script, answer, events

Json = dict[str, Any]
TEXT = "Hello from the other side."
TOKENS: Json = {
    "type": "tokens",
    "input_tokens": 40,
    "input_token_details": {"text_tokens": 8, "audio_tokens": 32},
    "output_tokens": 9,
    "total_tokens": 49,
}
SECONDS: Json = {"type": "duration", "seconds": 9_999}


def is_audio(path: str) -> bool:
    """Whether the path is one of these endpoints."""
    return "/audio/" in path


def suited_to(path: str) -> Script:
    """What a well-behaved provider would answer to this request."""
    return speech(sounds.mp3(50)) if path.endswith("/speech") else transcript(usage=TOKENS)


def speech(audio: bytes, *, content_type: str = "audio/mpeg") -> Script:
    """Audio in chunks."""
    return answer(audio, content_type=content_type).framed(Framing.CHUNKED).in_pieces_of(1_000)


def speech_events(audio: bytes, *, usage: Json | None = None, done: bool = True) -> Script:
    """The same in events."""
    pieces = [audio[at : at + 1_000] for at in range(0, len(audio), 1_000)]
    sent = [_event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}) for piece in pieces]
    ended: Json = {"type": "speech.audio.done"} | ({"usage": usage} if usage else {})
    return events([*sent, *([_event(ended)] if done else [])])


def transcript(text: str = TEXT, *, usage: Json | None = None, **extra: Any) -> Script:
    """A whole transcript as JSON."""
    return answer(_encoded({"text": text} | extra | ({"usage": usage} if usage else {})))


def transcript_events(text: str = TEXT, *, usage: Json | None = None, done: bool = True) -> Script:
    """The same, streamed word by word."""
    sent = [_event({"type": "transcript.text.delta", "delta": word + " "}) for word in text.split()]
    ended: Json = {"type": "transcript.text.done", "text": text} | ({"usage": usage} if usage else {})
    return events([*sent, *([_event(ended)] if done else [])])


def _event(value: Json) -> bytes:
    return b"data: " + _encoded(value) + b"\n\n"


def _encoded(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
