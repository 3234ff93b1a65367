"""Writes answers of the neutral form as Gemini's, streamed and whole.

Events enter in the order they were produced; whole server-sent events leave. A call of a function is one part, so it
waits for the last piece of its arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from farebox.tariff.meters import Usage
from farebox.wire.call import Call
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    ImageMade,
    RefusalDelta,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSigned,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.speech import Whole
from farebox.wire.gemini import errors
from farebox.wire.gemini.chunks import usage_written
from farebox.wire.gemini.signatures import signature_of
from farebox.wire.gemini.write_contents import arguments

Part = dict[str, Any]

_REASONS = {
    StopReason.LENGTH: "MAX_TOKENS",
    StopReason.CONTENT_FILTER: "SAFETY",
    StopReason.REFUSAL: "SAFETY",
}
"""Everything else is `STOP`."""
_encode = msgspec.json.Encoder().encode
_OPENING = b'data: {"candidates":[{"content":{"parts":['
_NOTHING = b'{"text":""}'
_OVER = Ended(StopReason.STOP)


class ChunkWriter:
    """One stream of chunks for the client that made `call`."""

    __slots__ = ("_called", "_model", "_named", "_pieces", "_tail")

    def __init__(self, call: Call) -> None:
        self._model = call.model
        self._name("")
        self._called: ToolStart | None = None
        self._pieces: list[str] = []

    def write(self, event: ChatEvent) -> bytes:
        """The chunk for an event."""
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text):
                written = _OPENING + b'{"text":' + _encode(text) + b"}" + self._tail
                return written if self._called is None else self._before() + written
            case ToolArguments(text=text):
                self._pieces.append(text)
                return b""
            case ThinkingDelta(text=text):
                return self._before() + self._chunk(b'{"text":' + _encode(text) + b',"thought":true}')
            case ThinkingSigned():
                return self._before() + self._chunk(_encode(_signed(event)))
            case ToolStart():
                before = self._before()
                self._called = event
                return before
            case ImageMade():
                return self._before() + self._chunk(_encode(_image(event)))
            case Started(id=identifier):
                self._name(identifier)
                return b""
            case _:
                return b""

    def finish(self, ended: Ended, usage: Usage, charge: str | None) -> bytes:
        """The call that is still open, then the chunk with the reason, the usage and the charge."""
        shown = usage_written(usage) | ({} if charge is None else {"cost": charge})
        reason = _encode(_REASONS.get(ended.reason, "STOP"))
        ending = b'],"role":"model"},"finishReason":' + reason + b',"index":0}],"usageMetadata":' + _encode(shown)
        return self._before() + _OPENING + _NOTHING + ending + self._named

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle."""
        return b"data: " + errors.render("upstream_error", code, message) + b"\n\n"

    def _name(self, identifier: str) -> None:
        """What all chunks of this stream end with."""
        named = {"modelVersion": self._model} | ({"responseId": identifier} if identifier else {})
        self._named = b"," + _encode(named)[1:] + b"\n\n"
        self._tail = b'],"role":"model"},"index":0}]' + self._named

    def _before(self) -> bytes:
        """The call whose arguments are whole now."""
        if self._called is None:
            return b""
        part = _call(self._called, "".join(self._pieces))
        self._called, self._pieces = None, []
        return self._chunk(_encode(part))

    def _chunk(self, part: bytes) -> bytes:
        return _OPENING + part + self._tail


def write_whole(call: Call, whole: Whole, usage: Usage) -> bytes:
    """The body of an answer that is not streamed."""
    identifier = next((event.id for event in whole.events if isinstance(event, Started)), "")
    candidate = {
        "content": {"parts": _parts(whole.events) or [{"text": ""}], "role": "model"},
        "finishReason": _REASONS.get(whole.ended.reason, "STOP"),
        "index": 0,
    }
    shown = usage_written(usage)
    if whole.service_tier is not None:
        shown["serviceTier"] = whole.service_tier
    body: dict[str, object] = {"candidates": [candidate], "usageMetadata": shown, "modelVersion": call.model}
    return _encode(body | ({"responseId": identifier} if identifier else {}))


def _parts(events: Iterable[ChatEvent]) -> list[Part]:
    """The parts of a whole answer: pieces of one kind that follow one another are one part."""
    parts: list[Part] = []
    called: ToolStart | None = None
    pieces: list[str] = []
    for event in (*events, _OVER):
        if isinstance(event, ToolArguments):
            pieces.append(event.text)
            continue
        if called is not None:
            parts.append(_call(called, "".join(pieces)))
        called, pieces = (event, []) if isinstance(event, ToolStart) else (None, [])
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text):
                _append(parts, text, thought=False)
            case ThinkingDelta(text=text):
                _append(parts, text, thought=True)
            case ThinkingSigned():
                _sign(parts, event)
            case ImageMade():
                parts.append(_image(event))
            case _:
                pass
    return parts


def _append(parts: list[Part], text: str, *, thought: bool) -> None:
    last = parts[-1] if parts else {}
    if "text" in last and last.get("thought", False) is thought and "thoughtSignature" not in last:
        last["text"] += text
    else:
        parts.append({"text": text} | ({"thought": True} if thought else {}))


def _sign(parts: list[Part], signed: ThinkingSigned) -> None:
    """The signature stands at the thought it is for."""
    if parts and parts[-1].get("thought") and "thoughtSignature" not in parts[-1]:
        parts[-1]["thoughtSignature"] = signature_of(signed)
    else:
        parts.append(_signed(signed))


def _signed(signed: ThinkingSigned) -> Part:
    return {"text": "", "thought": True, "thoughtSignature": signature_of(signed)}


def _call(start: ToolStart, written: str) -> Part:
    part: Part = {"functionCall": {"id": start.id, "name": start.name, "args": arguments(written)}}
    return part if start.signature is None else part | {"thoughtSignature": start.signature}


def _image(image: ImageMade) -> Part:
    return {"inlineData": {"mimeType": image.media_type, "data": image.base64}}
