"""Reads a transcript that came whole: JSON with its usage, or text, subtitles and the like without. Never raises."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from farebox.wire.call import ABSENT, Call, is_present, text_field
from farebox.wire.openai_answer import Answer
from farebox.wire.output import OutputText
from farebox.wire.payloads import UNREADABLE

_PLAIN = b"text/plain; charset=utf-8"
TEXT_TYPES: Mapping[str, bytes] = {"text": _PLAIN, "srt": _PLAIN, "vtt": b"text/vtt; charset=utf-8"}
"""What answers are that are no JSON, by the format asked for."""


class Transcript(msgspec.Struct, gc=False):
    """What of an answer, or of the event that ends a stream, is looked at."""

    type: str = ""
    text: str | None = None
    delta: str | None = None
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


class _Usage(msgspec.Struct, gc=False):
    type: str = ""
    input_tokens: msgspec.Raw = ABSENT


_read = msgspec.json.Decoder(Transcript).decode
_read_usage = msgspec.json.Decoder(_Usage).decode


def transcript_in(body: bytes) -> Transcript | None:
    """The object that is the body, None if it is none."""
    try:
        return _read(body)
    except UNREADABLE:
        return None


def tokens_in(read: Transcript) -> msgspec.Raw | None:
    """The usage, if it is stated in tokens; seconds are measured here."""
    try:
        usage = _read_usage(read.usage) if is_present(read.usage) else None
    except UNREADABLE:
        return read.usage
    if usage is None or usage.type == "duration":
        return None
    return read.usage if usage.type == "tokens" or is_present(usage.input_tokens) else None


def read_transcript(body: bytes, call: Call) -> Answer | None:
    """The answer, None if it is an error or something else."""
    asked = text_field(call.fields, "response_format") or "json"
    if asked in TEXT_TYPES:
        return _read_text(body, asked)
    read = transcript_in(body)
    if read is None or is_present(read.error) or read.text is None:
        return None
    return _answer(body, read.text, tokens_in(read))


def _read_text(body: bytes, asked: str) -> Answer | None:
    if body.lstrip()[:8] in (b'{"error"', b'{"detail') or (asked == "vtt" and b"WEBVTT" not in body[:16]):
        return None
    return _answer(body, body.decode("utf-8", errors="replace"), None)


def _answer(body: bytes, text: str, usage: msgspec.Raw | None) -> Answer:
    output = OutputText()
    output.add(text)
    return Answer(body=body, usage=usage, finish_reasons={}, service_tier=None, output=output)
