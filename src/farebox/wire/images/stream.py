"""Meters a stream that draws one image: partial images pass as they came, the image waits for its charge (Law 3).

`image_generation.completed` (or `image_edit.completed`) ends the answer and carries its usage, into which the charge
is written. Errors are no output and never passed on as they came (d22, d50).
"""

from __future__ import annotations

import msgspec

from farebox.tariff.meters import Usage, input_tokens, output_tokens
from farebox.wire.call import ABSENT, Call, Fields, is_present, raw
from farebox.wire.images.answer import tokens_of, usage_for
from farebox.wire.images.canvas import PARTIAL_TOKENS
from farebox.wire.passing import PassingMeter
from farebox.wire.payloads import UNREADABLE


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    b64_json: msgspec.Raw = ABSENT
    size: msgspec.Raw = ABSENT
    quality: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_read_event = msgspec.json.Decoder(_Event).decode
_read_fields = msgspec.json.Decoder(Fields).decode
_encode = msgspec.json.Encoder().encode
_STRUCTURE = 2
"""The quotes around base64."""


class ImagesMeter(PassingMeter):
    """One stream for the client of `call`."""

    __slots__ = ("_call", "_end", "_kind")

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call
        self._end = b""
        self._kind = "image_generation.completed"
        self.output.add_images(0, tokens=0)

    def look(self, event: bytes, payload: bytes, name: bytes | None) -> bytes:
        """Note what an event says. What ends the answer is written by `finish`."""
        if self.holding:
            return b""  # nothing follows the image
        try:
            read = _read_event(payload)
        except UNREADABLE:
            return event
        kind = read.type or (name or b"").decode(errors="replace")
        if is_present(read.error) or kind == "error" or kind.endswith(".failed"):
            self.upstream_error = payload
            return b""
        if kind.endswith(".completed"):
            self._complete(kind, payload, read)
            return b""
        if kind.endswith(".partial_image"):
            self.output.add_images(0, tokens=PARTIAL_TOKENS)
            self.output.add_sealed(len(memoryview(read.b64_json)) - _STRUCTURE)
        return event

    def _complete(self, kind: str, payload: bytes, read: _Event) -> None:
        self._kind, self._end = kind, payload
        self.holding = self.finished = True
        self.usage = usage_for(self._call, read.usage)
        if is_present(read.b64_json):
            self.output.add_images(1, tokens=tokens_of(self._call, read.size, read.quality))

    def finish(self, charge: str | None, *, counted: Usage | None = None) -> bytes:
        """The image, once its charge is committed. `charge` is in credits, as a decimal string."""
        if charge is None:
            return _event(self._kind, self._end)
        shown = self._shown(counted) | {"cost": raw(charge)}
        try:
            return _event(self._kind, _encode(_read_fields(self._end) | {"usage": raw(shown)}))
        except UNREADABLE:
            return _event(self._kind, self._end)  # a name in it is not UTF-8: the image goes as it came

    def cut_short(self, charge: str | None, *, counted: Usage | None = None, reason: str = "length") -> bytes:
        """Half an image is none: what was cut ends in an error."""
        if self.finished:
            return self.finish(charge, counted=counted)
        return self.error_event("upstream_error", "The image was cut short.")

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle of a stream, which official clients raise."""
        error = {"type": "upstream_error", "code": code, "message": message, "param": None}
        return _event("error", _encode({"type": "error", "error": error}))

    def _shown(self, counted: Usage | None) -> Fields:
        if counted is not None or self.usage is None:
            given, made = input_tokens(counted or Usage({})), output_tokens(counted or Usage({}))
            told = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
            return {name: raw(count) for name, count in told.items()}
        try:
            return _read_fields(self.usage)
        except UNREADABLE:
            return {}


def _event(kind: str, payload: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), payload.replace(b"\n", b"\ndata: "))
