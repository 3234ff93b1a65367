"""Writes answers of the neutral form as chat completions, streamed and whole.

Events enter in the order they were produced; whole server-sent events leave. The first chunk
brings the role, reasoning goes out as `reasoning_content`, each tool call has its index, and the
usage chunk with the charge is written only for a client that asked for it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from farebox.tariff.meters import Usage
from farebox.wire import openai_errors
from farebox.wire.call import Call, is_set
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
from farebox.wire.openai_chat_speech.details import Thoughts, details_in
from farebox.wire.openai_chat_speech.usage import usage_written
from farebox.wire.openai_chunks import DONE_EVENT

_REASONS = {
    StopReason.LENGTH: "length",
    StopReason.TOOL_CALLS: "tool_calls",
    StopReason.CONTENT_FILTER: "content_filter",
    StopReason.REFUSAL: "content_filter",
}
"""Everything else is `stop`."""
_encode = msgspec.json.Encoder().encode
_NO_ID = "chatcmpl-farebox"


class ChunkWriter:
    """One stream of chunks for the client that made `call`."""

    __slots__ = ("_begun", "_call", "_calls", "_custom", "_head", "_legacy", "_thoughts", "_wants_usage")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._wants_usage = call.wants_usage
        self._legacy = wants_functions(call)
        self._calls = -1
        self._custom = False
        self._begun = False
        self._thoughts = Thoughts()
        self._head = _head_of(_NO_ID, call)

    def write(self, event: ChatEvent) -> bytes:
        """The chunk for an event; empty for what this dialect has no word for."""
        match event:
            case TextDelta(text=text):
                return self._delta(b'{"content":' + _encode(text) + b"}")
            case ThinkingDelta(text=text):
                self._thoughts.add(text)
                return self._delta(b'{"reasoning_content":' + _encode(text) + b"}")
            case ToolArguments(text=text):
                return self._arguments(text)
            case ToolStart():
                return self._start(event)
            case RefusalDelta(text=text):
                return self._delta(b'{"refusal":' + _encode(text) + b"}")
            case ImageMade():
                return self._delta(_encode({"images": [image_part(event)]}))
            case ThinkingSigned():
                details = self._thoughts.end(event)
                return self._delta(_encode({"reasoning_details": details})) if details else b""
            case Started(id=identifier):
                self._head = _head_of(_identifier(identifier), self._call)
                return self._opening()
            case _:
                return b""

    def finish(self, ended: Ended, usage: Usage, charge: str | None) -> bytes:
        """The finish reason, the usage if it was asked for, the end mark."""
        reason = finish_reason(ended, legacy=self._legacy)
        end = self._opening() + self._chunk(b"{}", _encode(reason))
        if self._wants_usage:
            end += b"data: " + self._head + b'"choices":[],"usage":' + _encode(usage_written(usage, charge)) + b"}\n\n"
        return end + DONE_EVENT

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle."""
        return b"data: " + openai_errors.render("upstream_error", code, message) + b"\n\n"

    def _opening(self) -> bytes:
        """The chunk that brings the role, once."""
        if self._begun:
            return b""
        self._begun = True
        return self._chunk(b'{"role":"assistant","content":""}')

    def _delta(self, delta: bytes) -> bytes:
        return self._chunk(delta) if self._begun else self._opening() + self._chunk(delta)

    def _chunk(self, delta: bytes, reason: bytes = b"null") -> bytes:
        ending = b',"logprobs":null,"finish_reason":' + reason + b"}]}\n\n"
        return b"data: " + self._head + b'"choices":[{"index":0,"delta":' + delta + ending

    def _start(self, start: ToolStart) -> bytes:
        self._calls += 1
        self._custom = start.custom
        if self._legacy:
            opening = {"function_call": {"name": start.name, "arguments": ""}}
            return b"" if self._calls else self._delta(_encode(opening))
        return self._delta(_encode({"tool_calls": [{"index": self._calls} | tool_call(start, "")]}))

    def _arguments(self, text: str) -> bytes:
        if self._legacy:
            return b"" if self._calls else self._delta(_encode({"function_call": {"arguments": text}}))
        named = b'"custom":{"input":' if self._custom else b'"function":{"arguments":'
        place = str(max(self._calls, 0)).encode()
        return self._delta(b'{"tool_calls":[{"index":' + place + b"," + named + _encode(text) + b"}}]}")


def write_whole(call: Call, whole: Whole, usage: Usage) -> bytes:
    """The body of an answer that is not streamed."""
    identifier = next((event.id for event in whole.events if isinstance(event, Started)), "")
    choice = {
        "index": 0,
        "message": _message(whole.events, legacy=wants_functions(call)),
        "logprobs": None,
        "finish_reason": finish_reason(whole.ended, legacy=wants_functions(call)),
    }
    body: dict[str, object] = {"id": _identifier(identifier), "object": "chat.completion", "created": call.asked_s}
    body |= {"model": call.model, "choices": [choice], "usage": usage_written(usage)}
    if whole.service_tier is not None:
        body["service_tier"] = whole.service_tier
    return _encode(body)


def wants_functions(call: Call) -> bool:
    """The deprecated `functions`, whose clients know no tool calls: they are shown the first call only."""
    return is_set(call.fields, "functions") and not is_set(call.fields, "tools")


def finish_reason(ended: Ended, *, legacy: bool) -> str:
    """Why it ended, in this dialect's words."""
    reason = _REASONS.get(ended.reason, "stop")
    return "function_call" if legacy and reason == "tool_calls" else reason


def tool_call(start: ToolStart, arguments: str) -> dict[str, object]:
    """A tool call, with what Google wants to have back where its compatible endpoint puts it."""
    call: dict[str, object] = {"id": start.id}
    if start.custom:
        call |= {"type": "custom", "custom": {"name": start.name, "input": arguments}}
    else:
        call |= {"type": "function", "function": {"name": start.name, "arguments": arguments}}
    if start.signature is not None:
        call["extra_content"] = {"google": {"thought_signature": start.signature}}
    return call


def image_part(image: ImageMade) -> dict[str, object]:
    """An image the model made, as servers of this dialect show it."""
    return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.base64}"}}


def _message(events: list[ChatEvent], *, legacy: bool) -> dict[str, Any]:
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    refusals = [event.text for event in events if isinstance(event, RefusalDelta)]
    thoughts = [event.text for event in events if isinstance(event, ThinkingDelta)]
    images = [image_part(event) for event in events if isinstance(event, ImageMade)]
    calls = _calls(events)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    message["refusal"] = "".join(refusals) if refusals else None
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    details = details_in(events)
    if details:
        message["reasoning_details"] = details
    if images:
        message["images"] = images
    if calls and legacy:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def _calls(events: list[ChatEvent]) -> list[dict[str, Any]]:
    """Each call with all pieces of its arguments."""
    begun: list[tuple[ToolStart, list[str]]] = []
    for event in events:
        if isinstance(event, ToolStart):
            begun.append((event, []))
        elif isinstance(event, ToolArguments) and begun:
            begun[-1][1].append(event.text)
    return [tool_call(start, "".join(pieces)) for start, pieces in begun]


def _identifier(given: str) -> str:
    return given if given.startswith("chatcmpl-") else f"chatcmpl-{given}" if given else _NO_ID


def _head_of(identifier: str, call: Call) -> bytes:
    """What all chunks of a stream begin with."""
    head: dict[str, object] = {"id": identifier, "object": "chat.completion.chunk", "created": call.asked_s}
    head["model"] = call.model
    return _encode(head)[:-1] + b","
