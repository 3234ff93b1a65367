"""Writes answers of the neutral form as Messages answers, streamed and whole.

Events enter in the order they were produced; whole server-sent events leave. Each run of text, of
thinking, and each call of a tool is a block of its own. Usage stands in the last `message_delta`,
cumulative, with the charge.
"""

from __future__ import annotations

import msgspec

from farebox.tariff.meters import CACHED_TOKENS, Meter, Usage, input_tokens, output_tokens
from farebox.wire.anthropic import errors
from farebox.wire.anthropic.events import MESSAGE_STOP, OUR_REASONS, event, message_of, written
from farebox.wire.anthropic.unsigned import UNSIGNED, sealed_in, signature_in
from farebox.wire.call import Call, raw
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ThinkingSigned,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.speech import Whole

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_NAME = "anthropic"
_EMPTY: dict[str, dict[str, object]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}


class EventWriter:
    """One stream of events for the client that made `call`."""

    __slots__ = ("_begun", "_index", "_kind", "_model")

    def __init__(self, call: Call) -> None:
        self._model = call.model
        self._begun = False
        self._index = -1
        self._kind: str | None = None
        """Of the block under way; None between blocks."""

    def write(self, event: ChatEvent) -> bytes:
        """The events for one; empty for what this dialect has no word for (a foreign signature, an image)."""
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text):
                return self._in("text") + self._delta(b'{"type":"text_delta","text":' + _encode(text))
            case ThinkingDelta(text=text):
                return self._in("thinking") + self._delta(b'{"type":"thinking_delta","thinking":' + _encode(text))
            case ToolArguments(text=text):
                return self._delta(b'{"type":"input_json_delta","partial_json":' + _encode(text))
            case ToolStart():
                return self._before(event) + self._block("tool_use", _tool_use(event, raw({})))
            case ThinkingSigned():
                return self._sign(event)
            case Started(id=identifier):
                return self._begin(identifier)
            case _:
                return b""

    def finish(self, ended: Ended, usage: Usage, charge: str | None) -> bytes:
        """The block under way is closed, the message ends with its usage."""
        delta = {"stop_reason": OUR_REASONS[ended.reason.value], "stop_sequence": ended.stop_sequence}
        ending = written("message_delta", delta=delta, usage=usage_of(usage, charge))
        return self._begin("") + self._close() + ending + MESSAGE_STOP

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle."""
        return event("error", errors.render("upstream_error", code, message))

    def _begin(self, identifier: str) -> bytes:
        """The event that begins the message, once."""
        if self._begun:
            return b""
        self._begun = True
        return written("message_start", message=message_of(identifier, self._model))

    def _in(self, kind: str) -> bytes:
        """What it takes to be inside a block of that kind."""
        return b"" if self._kind == kind else self._block(kind, _EMPTY[kind])

    def _block(self, kind: str, block: dict[str, object]) -> bytes:
        before = self._begin("") + self._close()
        self._index += 1
        self._kind = kind
        return before + written("content_block_start", index=self._index, content_block=block)

    def _delta(self, delta: bytes) -> bytes:
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % self._index
        return head + delta + b"}}\n\n"

    def _close(self, signature: str = UNSIGNED) -> bytes:
        """The end of the block under way; thoughts are signed there."""
        kind, self._kind = self._kind, None
        if kind is None:
            return b""
        signed = b""
        if kind == "thinking":
            signed = self._delta(b'{"type":"signature_delta","signature":' + _encode(signature))
        return signed + written("content_block_stop", index=self._index)

    def _sign(self, signed: ThinkingSigned) -> bytes:
        """Thoughts that cannot be read are a block; a signature ends the one it belongs to."""
        if signed.origin != _NAME:
            carried = sealed_in(signed)
            if self._kind == "thinking":
                return self._close(carried)
            return self._block("redacted_thinking", _redacted(carried)) + self._close()
        if signed.sealed is not None:
            return self._block("redacted_thinking", _redacted(signed.sealed)) + self._close()
        return self._in("thinking") + self._close(signed.signature or UNSIGNED)

    def _before(self, start: ToolStart) -> bytes:
        """What must come back with the call, in a block of its own."""
        if start.signature is None:
            return b""
        return self._block("redacted_thinking", _redacted(signature_in(start.signature))) + self._close()


def write_whole(call: Call, whole: Whole, usage: Usage) -> bytes:
    """The body of an answer that is not streamed."""
    identifier = next((event.id for event in whole.events if isinstance(event, Started)), "")
    message = message_of(identifier, call.model)
    message["content"] = _blocks(whole.events)
    message["stop_reason"] = OUR_REASONS[whole.ended.reason.value]
    message["stop_sequence"] = whole.ended.stop_sequence
    return _encode(message | {"usage": usage_of(usage, None)})


def usage_of(usage: Usage, charge: str | None) -> dict[str, object]:
    """Disjoint meters as this dialect states them: cached and written tokens beside the input."""
    read = sum([usage.get(meter, 0) for meter in CACHED_TOKENS])
    short, long = usage.get(Meter.CACHE_WRITE_5M, 0), usage.get(Meter.CACHE_WRITE_1H, 0)
    shown: dict[str, object] = {
        "input_tokens": input_tokens(usage) - read - short - long,
        "cache_creation_input_tokens": short + long,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "output_tokens": output_tokens(usage),
    }
    if Meter.REASONING in usage:
        shown["output_tokens_details"] = {"thinking_tokens": usage[Meter.REASONING]}
    if usage.get(Meter.SEARCHES):
        shown["server_tool_use"] = {"web_search_requests": usage[Meter.SEARCHES], "web_fetch_requests": 0}
    return shown if charge is None else shown | {"cost": charge}


def _blocks(events: list[ChatEvent]) -> list[dict[str, object]]:
    """The blocks that a stream of these events would have shown."""
    blocks: list[dict[str, object]] = []
    for each in events:
        match each:
            case TextDelta(text=text) | RefusalDelta(text=text):
                _add(blocks, "text", text)
            case ThinkingDelta(text=text):
                _add(blocks, "thinking", text)
            case ThinkingSigned():
                _sign(blocks, each)
            case ToolStart():
                if each.signature is not None:
                    blocks.append(_redacted(signature_in(each.signature)))
                blocks.append(_tool_use(each, ""))
            case ToolArguments(text=text) if blocks:
                blocks[-1]["input"] = f"{blocks[-1]['input']}{text}"
            case _:
                pass
    return [block | _completed(block) for block in blocks]


def _completed(block: dict[str, object]) -> dict[str, object]:
    """What a block lacks when nothing more comes: arguments as an object, a word in place of a signature."""
    if "input" in block:
        return {"input": _as_object(block["input"])}
    return {"signature": UNSIGNED} if block["type"] == "thinking" and not block["signature"] else {}


def _add(blocks: list[dict[str, object]], kind: str, text: str) -> None:
    if not blocks or blocks[-1]["type"] != kind or blocks[-1].get("signature"):
        blocks.append(dict(_EMPTY[kind]))
    blocks[-1][kind] = f"{blocks[-1][kind]}{text}"


def _sign(blocks: list[dict[str, object]], signed: ThinkingSigned) -> None:
    if signed.origin != _NAME:
        if blocks and blocks[-1]["type"] == "thinking" and not blocks[-1]["signature"]:
            blocks[-1]["signature"] = sealed_in(signed)
        else:
            blocks.append(_redacted(sealed_in(signed)))
        return
    if signed.sealed is not None:
        blocks.append(_redacted(signed.sealed))
        return
    if not blocks or blocks[-1]["type"] != "thinking":
        blocks.append(dict(_EMPTY["thinking"]))
    blocks[-1]["signature"] = signed.signature or ""


def _redacted(sealed: str) -> dict[str, object]:
    return {"type": "redacted_thinking", "data": sealed}


def _tool_use(start: ToolStart, arguments: object) -> dict[str, object]:
    return {"type": "tool_use", "id": start.id, "name": start.name, "input": arguments}


def _as_object(arguments: object) -> msgspec.Raw:
    """The arguments of a call; text that is no object stands in a field of one."""
    text = str(arguments)
    try:
        _decode_object(text.encode(errors="replace"))
    except (msgspec.DecodeError, RecursionError):
        return raw({"input": text}) if text.strip() else raw({})
    return msgspec.Raw(text.encode(errors="replace"))
