"""Meters a transcript as it is streamed, and holds its end back until the charge is committed (Law 3).

`transcript.text.done` ends it and carries the usage. A model that cannot stream answers with one JSON object where
events were asked for: its client gets that as the event that ends a stream.
"""

from __future__ import annotations

from typing import Any

import msgspec

from farebox.tariff.meters import Usage, input_tokens, output_tokens
from farebox.wire import openai_errors
from farebox.wire.audio.transcripts import tokens_in, transcript_in
from farebox.wire.call import is_present
from farebox.wire.passing import MAX_WITHHELD_BYTES, EndlessEnding, PassingMeter

_DONE = "transcript.text.done"


class TranscriptMeter(PassingMeter):
    """One stream of a transcript."""

    __slots__ = ("_began", "_end", "_text", "_whole")

    def __init__(self) -> None:
        super().__init__()
        self._began = False
        """The first byte of an answer tells which of the two it is; what follows does not."""
        self._end: dict[str, Any] = {}
        self._text: list[str] = []
        self._whole: bytearray | None = None
        """What came of an answer that is no stream."""

    def feed(self, data: bytes) -> bytes:
        if not self._began and (first := data.lstrip()[:1]):
            self._began = True
            self._whole = bytearray() if first == b"{" else None
        if self._whole is None:
            return super().feed(data)
        self._whole += data
        if len(self._whole) > MAX_WITHHELD_BYTES:
            raise EndlessEnding("the upstream's transcript does not end")
        return b""

    def end(self) -> bytes:
        if self._whole is None:
            return super().end()
        payload = bytes(self._whole)
        read = transcript_in(payload)
        if read is None or read.text is None or is_present(read.error):
            self.upstream_error = payload
            return b""
        self._close(payload)
        return b""

    def look(self, event: bytes, payload: bytes, name: bytes | None) -> bytes:
        if self.holding:
            return b""  # nothing follows the end of a transcript
        read = transcript_in(payload)
        if read is None:
            return b"" if payload.strip() == b"[DONE]" else event
        if is_present(read.error) or read.type == "error":
            self.upstream_error = payload
            return b""
        if read.type == _DONE:
            self._close(payload)
            return b""
        if read.delta:
            self._text.append(read.delta)
            self.output.add(read.delta)
        return event

    def _close(self, payload: bytes) -> None:
        read = transcript_in(payload)
        if read is not None:
            self.usage = tokens_in(read)
            if not self._text and read.text:
                self.output.add(read.text)
        self._end = msgspec.json.decode(payload)
        self.finish_reasons[0] = "stop"
        self.finished = self.holding = True

    def finish(self, charge: str | None, *, counted: Usage | None = None) -> bytes:
        """The event that ends it, with the charge in its usage."""
        stated = self._end.get("usage")
        usage: dict[str, Any] = dict(stated) if isinstance(stated, dict) else {}  # pyright: ignore[reportUnknownArgumentType]
        if counted is not None and (given := input_tokens(counted)) + (made := output_tokens(counted)):
            usage = {"type": "tokens", "input_tokens": given, "output_tokens": made, "total_tokens": given + made}
        usage |= {} if charge is None else {"cost": charge}
        return _event({**self._end, "type": _DONE} | ({"usage": usage} if usage else {}))

    def cut_short(self, charge: str | None, *, counted: Usage | None = None, reason: str = "length") -> bytes:
        """The end of a transcript that was cut: what there is of it."""
        if not self.finished:
            self._end = {"type": _DONE, "text": "".join(self._text)}
        return self.finish(charge, counted=counted)

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle. Nothing follows it."""
        return b"data: " + openai_errors.render("upstream_error", code, message) + b"\n\n"


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"
