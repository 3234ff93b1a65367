"""Composes the sandbox's speech and transcripts: silence as long as the text takes, words that follow from the file.

A `Call` and a `Script` enter; pieces of audio, the body of an answer or the events of a stream leave. Usage is told as
OpenAI does: in tokens by models whose names begin with `gpt-4o`, in seconds by others that write, and never in audio.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from farebox.upstream.sandbox_script import Script, UsageShape
from farebox.upstream.sandbox_sounds import silence
from farebox.upstream.sandbox_words import count_tokens, pieces, produce
from farebox.wire.audio.length import length_ms
from farebox.wire.audio.speaking import MS_A_TOKEN, TYPICAL_MS_A_CHARACTER
from farebox.wire.call import Call, text_field
from farebox.wire.dialect import Dialect
from farebox.wire.form import Form, FormDialect

_BY_TOKENS = "gpt-4o"
_TOKENS_A_SECOND = 10
_FAILURE = b'data: {"error":{"message":"The sandbox fails as it was asked to.","type":"server_error"}}\n\n'


def events(dialect: Dialect, call: Call, script: Script) -> Iterator[bytes]:
    """What a stream is made of, up to a cut or an error event if the script has one."""
    made = _transcript_events(dialect, call, script) if isinstance(dialect, FormDialect) else _speech(call, script)
    stop = script.cut if script.cut is not None else script.error_event
    for number, piece in enumerate(made):
        if number == stop:
            if script.cut is None:
                yield _FAILURE
            return
        yield piece


def answer(dialect: Dialect, call: Call, script: Script) -> bytes:
    """A whole transcript, in the format asked for."""
    words, seconds = _heard(dialect, call, script)
    text = "".join(words).strip()
    match text_field(call.fields, "response_format"):
        case "text":
            return text.encode() + b"\n"
        case "srt":
            return f"1\n00:00:00,000 --> {_clock(seconds, ',')}\n{text}\n\n".encode()
        case "vtt":
            return f"WEBVTT\n\n00:00:00.000 --> {_clock(seconds, '.')}\n{text}\n\n".encode()
        case "verbose_json":
            part = {"id": 0, "start": 0.0, "end": float(seconds), "text": text}
            body: dict[str, Any] = {"task": "transcribe", "language": "english", "duration": float(seconds)}
            return msgspec.json.encode(body | {"text": text, "segments": [part]} | _usage(call, script, words, seconds))
        case _:
            return msgspec.json.encode({"text": text} | _usage(call, script, words, seconds))


def _speech(call: Call, script: Script) -> Iterator[bytes]:
    text = text_field(call.fields, "input") or ""
    name = text_field(call.fields, "response_format") or "mp3"
    ms = 0 if script.empty else len(text) * TYPICAL_MS_A_CHARACTER
    made = silence(name, ms) if ms else iter(())
    if call.answer_type:
        yield from made
        return
    for piece in made:
        yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    given, output = _stated(script, count_tokens(text), -(-ms // MS_A_TOKEN))
    usage = {"usage": {"input_tokens": given, "output_tokens": output, "total_tokens": given + output}}
    yield _event({"type": "speech.audio.done"} | ({} if script.usage is UsageShape.NONE else usage))


def _transcript_events(dialect: Dialect, call: Call, script: Script) -> Iterator[bytes]:
    words, seconds = _heard(dialect, call, script)
    for piece in pieces(words, script.chunks):
        yield _event({"type": "transcript.text.delta", "delta": piece})
    done: dict[str, Any] = {"type": "transcript.text.done", "text": "".join(words)}
    yield _event(done | _usage(call, script, words, seconds))


def _heard(dialect: Dialect, call: Call, script: Script) -> tuple[list[str], int]:
    """The words of a file, and how many seconds it has, begun ones included."""
    form = dialect.read_form(call.body) if isinstance(dialect, FormDialect) else None
    if not isinstance(form, Form):
        return [], 0
    file = form.content(form.files("file")[0])
    return produce(hashlib.sha256(file).digest(), None, script).words, -(-(length_ms(file) or 0) // 1000)


def _usage(call: Call, script: Script, words: list[str], seconds: int) -> dict[str, Any]:
    if script.usage is UsageShape.NONE:
        return {}
    if not call.model.startswith(_BY_TOKENS):
        return {"usage": {"type": "duration", "seconds": seconds}}
    text = count_tokens(text_field(call.fields, "prompt") or "")
    given, output = _stated(script, text + _TOKENS_A_SECOND * seconds, len(words))
    parts = {"text_tokens": text, "audio_tokens": max(0, given - text)}
    counted = {"input_tokens": given, "input_token_details": parts, "output_tokens": output}
    return {"usage": {"type": "tokens", **counted, "total_tokens": given + output}}


def _stated(script: Script, given: int, output: int) -> tuple[int, int]:
    """Figures as the script wants them told."""
    match script.usage:
        case UsageShape.WRONG:
            return given + 10_000_000, output + 10_000_000
        case UsageShape.NEGATIVE:
            return -5, output
        case UsageShape.ZERO:
            return 0, 0
        case UsageShape.TRUE | UsageShape.NONE:
            return given, output


def _clock(seconds: int, point: str) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}000"


def _event(payload: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"
