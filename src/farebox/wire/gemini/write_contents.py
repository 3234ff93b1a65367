"""Turns of the neutral form, written as the contents of a Gemini request.

The system's words before the first question become `systemInstruction`; turns of one role that follow one another
become one content, since results must stand beside each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from farebox.wire.call import raw
from farebox.wire.chat.request import (
    Audio,
    Block,
    Document,
    Image,
    Message,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Video,
)
from farebox.wire.gemini.media_types import write_medium
from farebox.wire.gemini.signatures import ORIGIN
from farebox.wire.gemini.thinking import FOREIGN_CALL, has_levels

_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Part = dict[str, Any]


class Contents:
    """What is written of one conversation, for a model by its upstream name."""

    def __init__(self, messages: Iterable[Message], model: str) -> None:
        self.system: list[Part] = []
        self.contents: list[dict[str, Any]] = []
        self._names: dict[str, str] = {}
        self._signs = has_levels(model)
        for message in messages:
            self._add(message)
        if not self.contents and self.system:
            self._extend("user", self.system)
            self.system = []

    def _add(self, message: Message) -> None:
        if message.role is Role.SYSTEM and not self.contents:
            self.system += [part for block in message.blocks for part in self._parts(block)]
            return
        parts = [part for block in message.blocks for part in self._parts(block)]
        parts += [part for block in message.blocks for part in _media_beside(block)]
        if message.role is Role.ASSISTANT:
            self._extend("model", self._signed(parts))
        else:
            self._extend("user", parts)

    def _extend(self, role: str, parts: list[Part]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})

    def _parts(self, block: Block) -> list[Part]:
        match block:
            case Text(text=text) | Refusal(text=text):
                return [{"text": text}] if text else []
            case Image() | Document() | Audio() | Video():
                return [write_medium(block)]
            case Thinking():
                return _thought(block)
            case ToolUse():
                self._names[block.id] = block.name
                return [_call(block)]
            case ToolResult():
                return [self._result(block)]

    def _result(self, result: ToolResult) -> Part:
        text = "\n".join([block.text for block in result.blocks if isinstance(block, Text)])
        name = result.name or self._names.get(result.id, "unknown")
        said = {"error": text} if result.is_error else {"output": text}
        return {"functionResponse": {"id": result.id, "name": name, "response": said}}

    def _signed(self, parts: list[Part]) -> list[Part]:
        """Models that check signatures want one at the first call of a turn, whoever made it."""
        calls = [part for part in parts if "functionCall" in part]
        if self._signs and calls and "thoughtSignature" not in calls[0]:
            calls[0]["thoughtSignature"] = FOREIGN_CALL
        return parts


def arguments(written: str) -> msgspec.Raw:
    """The arguments of a call as an object: as written where they are one, else under one name."""
    text = written.strip() or "{}"
    try:
        _read_object(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return raw({"input": written.encode(errors="replace").decode()})
    return msgspec.Raw(text.encode())


def _call(use: ToolUse) -> Part:
    part: Part = {"functionCall": {"id": use.id, "name": use.name, "args": arguments(use.arguments)}}
    return part if use.signature is None else part | {"thoughtSignature": use.signature}


def _thought(block: Thinking) -> list[Part]:
    """Earlier thoughts of the same provider; another's are none of its own."""
    if block.origin != ORIGIN or block.sealed is not None:
        return []
    part: Part = {"text": block.text, "thought": True}
    return [part if block.signature is None else part | {"thoughtSignature": block.signature}]


def _media_beside(block: Block) -> list[Part]:
    if not isinstance(block, ToolResult):
        return []
    return [write_medium(inner) for inner in block.blocks if isinstance(inner, Image | Document)]
