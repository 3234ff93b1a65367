"""Meters speech that comes as events, and holds its end back until the charge is committed (Law 3).

`speech.audio.delta` carries audio in base64, `speech.audio.done` ends it and states the tokens.
"""

from __future__ import annotations

import binascii
from typing import Any

import msgspec

from farebox.tariff.meters import Meter, Usage
from farebox.wire import openai_errors
from farebox.wire.audio.spoken import Spoken
from farebox.wire.call import ABSENT, is_present
from farebox.wire.passing import PassingMeter
from farebox.wire.payloads import UNREADABLE

_DONE = "speech.audio.done"


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    audio: str | None = None
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_read_event = msgspec.json.Decoder(_Event).decode


class SpeechMeter(PassingMeter):
    """One stream of speech in events."""

    __slots__ = ("_end", "_spoken")

    def __init__(self, asked: str, ms_a_token: int) -> None:
        super().__init__()
        self._spoken = Spoken(asked, ms_a_token, self.output)
        self._end: dict[str, Any] = {}

    def look(self, event: bytes, payload: bytes, name: bytes | None) -> bytes:
        if self.holding:
            return b""
        try:
            read = _read_event(payload)
        except UNREADABLE:
            return b"" if payload.strip() == b"[DONE]" else event
        if is_present(read.error) or read.type == "error":
            self.upstream_error = payload
            return b""
        if read.type == _DONE:
            self._close(payload, read)
            return b""
        if read.audio:
            self._hear(read.audio)
        return event

    def _hear(self, audio: str) -> None:
        try:
            self._spoken.feed(binascii.a2b_base64(audio))
        except (binascii.Error, ValueError):
            self._spoken.size += len(audio)
        self.output.media_characters += len(audio)

    def _close(self, payload: bytes, read: _Event) -> None:
        self._spoken.end()
        self.usage = read.usage if is_present(read.usage) else None
        self._end = msgspec.json.decode(payload)
        self.finish_reasons[0] = "stop"
        self.finished = self.holding = True

    def finish(self, charge: str | None, *, counted: Usage | None = None) -> bytes:
        """The event that ends it, with the charge in its usage."""
        stated = self._end.get("usage")
        usage: dict[str, Any] = dict(stated) if isinstance(stated, dict) else {}  # pyright: ignore[reportUnknownArgumentType]
        if counted is not None and Meter.INPUT in counted:
            given, made = counted[Meter.INPUT], counted.get(Meter.OUTPUT_AUDIO, 0)
            usage = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
        usage |= {} if charge is None else {"cost": charge}
        return _event({**self._end, "type": _DONE, "usage": usage})

    def cut_short(self, charge: str | None, *, counted: Usage | None = None, reason: str = "length") -> bytes:
        """The end of speech that was cut."""
        return self.finish(charge, counted=counted)

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle. Nothing follows it."""
        return b"data: " + openai_errors.render("upstream_error", code, message) + b"\n\n"


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"
