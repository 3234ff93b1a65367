"""Turns of the neutral form, written as the messages and the system prompt of a Messages request.

Roles alternate and the first is the user's; results of tools come first in their turn. What the
provider refuses is not written: blank texts, white space at the end of an answer begun by the
caller, ids with other signs than letters, digits, `_` and `-`.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable

import msgspec

from farebox.wire.anthropic.read_blocks import ORIGIN
from farebox.wire.call import raw
from farebox.wire.chat.request import (
    Block,
    Document,
    Image,
    Message,
    Refusal,
    Role,
    Source,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from farebox.wire.media import is_long

Written = dict[str, object]

SILENT = "…"
"""What a user says where the dialect wants a turn and there was none."""
_ODD_SIGNS = re.compile(r"[^A-Za-z0-9_-]")
_PDF, _PLAIN = "application/pdf", "text/plain"
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def write_system(messages: Iterable[Message], *more: str) -> str | list[Written]:
    """All system messages as one prompt, wherever they stood; a string where nothing is marked for a cache."""
    texts = [block for message in messages if message.role is Role.SYSTEM for block in message.blocks]
    texts = [block for block in texts if isinstance(block, Text) and block.text.strip()] + [Text(text) for text in more]
    if any(block.cache_ttl is not None for block in texts):
        return [_text(block) for block in texts]
    return "\n\n".join([block.text for block in texts])


def write_messages(messages: Iterable[Message]) -> list[Written]:
    """The turns, each role once at a time."""
    turns: list[tuple[Role, list[Written]]] = []
    for message in messages:
        if message.role is Role.SYSTEM:
            continue
        written = [block for block in map(_WRITERS[message.role], message.blocks) if block is not None]
        if turns and turns[-1][0] is message.role:
            turns[-1][1].extend(written)
        elif written:
            turns.append((message.role, written))
    if not turns or turns[0][0] is not Role.USER:
        turns.insert(0, (Role.USER, [_text(Text(SILENT))]))
    if turns[-1][0] is Role.ASSISTANT:
        _strip_end(turns[-1][1])
    return [{"role": role.value, "content": _content(role, blocks)} for role, blocks in turns]


def mark_of(ttl: str) -> Written:
    """A cache mark; the provider knows five minutes and an hour."""
    return {"type": "ephemeral", "ttl": "1h"} if is_long(ttl) else {"type": "ephemeral"}


def _content(role: Role, blocks: list[Written]) -> str | list[Written]:
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return str(blocks[0]["text"])
    if role is Role.USER:
        return sorted(blocks, key=lambda block: block["type"] != "tool_result")
    return sorted(blocks, key=lambda block: block["type"] not in ("thinking", "redacted_thinking"))


def _strip_end(blocks: list[Written]) -> None:
    last = blocks[-1].get("text")
    if isinstance(last, str):
        blocks[-1]["text"] = last.rstrip()


def _user_block(block: Block) -> Written | None:
    match block:
        case Text():
            return _text(block) if block.text.strip() else None
        case Image(source=source):
            return {"type": "image", "source": _source(source, "image/png")}
        case Document():
            return _document(block)
        case ToolResult():
            return _result(block)
        case _:
            return None


def _assistant_block(block: Block) -> Written | None:
    match block:
        case Text():
            return _text(block) if block.text.strip() else None
        case Refusal(text=text):
            return _text(Text(text)) if text.strip() else None
        case Thinking():
            return _thought(block) if block.origin == ORIGIN else None
        case ToolUse():
            return {"type": "tool_use", "id": _id(block.id), "name": block.name, "input": _input(block.arguments)}
        case _:
            return None


_WRITERS = {Role.USER: _user_block, Role.ASSISTANT: _assistant_block}


def _text(block: Text) -> Written:
    written: Written = {"type": "text", "text": block.text}
    return written if block.cache_ttl is None else written | {"cache_control": mark_of(block.cache_ttl)}


def _thought(thinking: Thinking) -> Written | None:
    """As the provider gave it; without its signature it would be refused."""
    if thinking.sealed is not None:
        return {"type": "redacted_thinking", "data": thinking.sealed}
    if thinking.signature is None:
        return None
    return {"type": "thinking", "thinking": thinking.text, "signature": thinking.signature}


def _result(result: ToolResult) -> Written:
    blocks = [block for block in map(_user_block, result.blocks) if block is not None]
    written: Written = {"type": "tool_result", "tool_use_id": _id(result.id)}
    if blocks:
        written["content"] = _content(Role.USER, blocks)
    return written | {"is_error": True} if result.is_error else written


def _document(document: Document) -> Written:
    source = document.source
    if source.text is None and source.base64 is not None and (source.media_type or "").startswith("text/"):
        source = _as_text(source)
    if source.text is not None:
        said: Written = {"type": "text", "media_type": _PLAIN, "data": source.text}
    else:
        said = _source(source, _PDF)
    written: Written = {"type": "document", "source": said}
    return written if document.name is None else written | {"title": document.name}


def _as_text(source: Source) -> Source:
    """A text file is written as text; the provider takes base64 of a PDF only."""
    try:
        return Source(text=b64decode(source.base64 or "").decode(errors="replace"))
    except (NotBase64, ValueError):
        return source


def _source(source: Source, usual_type: str) -> Written:
    if source.url is not None:
        return {"type": "url", "url": source.url}
    return {"type": "base64", "media_type": source.media_type or usual_type, "data": source.base64 or ""}


def _id(given: str) -> str:
    return _ODD_SIGNS.sub("_", given) or "toolu_"


def _input(arguments: str) -> msgspec.Raw:
    """The arguments as an object; text that is none stands in a field of one."""
    try:
        _decode_object(arguments.encode(errors="replace"))
    except (msgspec.DecodeError, RecursionError):
        return raw({"input": arguments}) if arguments.strip() else raw({})
    return msgspec.Raw(arguments.encode(errors="replace"))
