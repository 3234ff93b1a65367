"""Blocks and messages of a Messages request, read into turns of the neutral form.

What only its own provider could use (uses of tools it ran itself, and their results) is left out:
what the model said about them is in its words. Unknown blocks are refused, with their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from farebox.wire.anthropic.said import SaidBlock, SaidMessage, SaidSource
from farebox.wire.anthropic.unsigned import UNSIGNED, rejoined, thought_in
from farebox.wire.call import Malformed, MalformedCode, is_present
from farebox.wire.chat.request import (
    Block,
    Document,
    Image,
    Message,
    Role,
    Source,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from farebox.wire.media import CacheMark

ORIGIN = "anthropic"
_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_ITS_OWN = ("server_tool_use", "mcp_tool_use", "fallback", "tool_removal", "tool_reference")
_RESULTS = "_tool_result"
_PLAIN = "text/plain"


def read_messages(messages: Iterable[SaidMessage]) -> list[Message] | Malformed:
    """All turns, or the refusal of the first message or block that is none."""
    read: list[Message] = []
    names: dict[str, str] = {}
    for place, said in enumerate(messages):
        role = _ROLES.get(said.role)
        if role is None:
            return invalid(f"messages[{place}].role", "must be user, assistant or system")
        blocks = read_content(said.content, f"messages[{place}].content", names)
        if isinstance(blocks, Malformed):
            return blocks
        read.append(Message(role, tuple(blocks)))
    return read


def read_content(content: str | Sequence[SaidBlock], where: str, names: dict[str, str]) -> list[Block] | Malformed:
    """The blocks of one message. `names` are those of the tools called so far, by the id of the call."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    blocks: list[Block] = []
    for place, said in enumerate(content):
        read = _read_block(said, f"{where}[{place}]", names)
        if isinstance(read, Malformed):
            return read
        blocks += read
    return rejoined(blocks)


def cache_ttl(mark: CacheMark | None) -> str | None:
    """The lifetime a cache mark asks for; without one it is five minutes."""
    return None if mark is None else mark.ttl or "5m"


def invalid(param: str, problem: str) -> Malformed:
    """The refusal of a message or a part of one."""
    return Malformed(MalformedCode.INVALID_MESSAGES, f"'{param}' {problem}.", param)


def _read_block(said: SaidBlock, where: str, names: dict[str, str]) -> list[Block] | Malformed:
    match said:
        case SaidBlock(type="text", text=str() as text):
            return [Text(text, cache_ttl=cache_ttl(said.cache_control))]
        case SaidBlock(type="tool_use", id=str() as identifier, name=str() as name):
            names[identifier] = name
            return [ToolUse(identifier, name, bytes(said.input).decode() if is_present(said.input) else "{}")]
        case SaidBlock(type="tool_result", tool_use_id=str() as identifier):
            return _read_result(said, identifier, where, names)
        case SaidBlock(type="image", source=SaidSource() as source):
            return [Image(_read_source(source))]
        case SaidBlock(type="document", source=SaidSource() as source):
            return _read_document(said, source, where, names)
        case SaidBlock(type="thinking", thinking=str() as text):
            foreign = thought_in(said.signature or "", text)
            return [foreign or Thinking(ORIGIN, text=text, signature=_signature(said))]
        case SaidBlock(type="redacted_thinking", data=str() as sealed):
            return [thought_in(sealed) or Thinking(ORIGIN, sealed=sealed)]
        case SaidBlock(type="search_result", content=list() as content):
            return [Text("\n".join([*_lines(said.title, said.source), *_texts(content)]))]
        case SaidBlock(type=kind) if kind in _ITS_OWN or kind.endswith(_RESULTS):
            return []
        case _:
            return invalid(where, "is of no type another dialect could take")


def _signature(said: SaidBlock) -> str | None:
    return said.signature if said.signature and said.signature != UNSIGNED else None


def _read_result(said: SaidBlock, identifier: str, where: str, names: dict[str, str]) -> list[Block] | Malformed:
    content = said.content if isinstance(said.content, str | list) else ""
    blocks = read_content(content, f"{where}.content", names)
    if isinstance(blocks, Malformed):
        return blocks
    kept = tuple([block for block in blocks if isinstance(block, Text | Image | Document)])
    return [ToolResult(identifier, kept, name=names.get(identifier), is_error=said.is_error or False)]


def _read_document(said: SaidBlock, source: SaidSource, where: str, names: dict[str, str]) -> list[Block] | Malformed:
    """A document; one made of blocks becomes those blocks, below its title."""
    about: list[Block] = [Text(said.context)] if said.context else []
    if source.type != "content":
        return [*about, Document(_read_source(source), name=said.title)]
    blocks = read_content(source.content or "", f"{where}.source.content", names)
    if isinstance(blocks, Malformed):
        return blocks
    if all(isinstance(block, Text) for block in blocks):
        text = "\n".join([block.text for block in blocks if isinstance(block, Text)])
        return [*about, Document(Source(text=text), name=said.title)]
    return [*about, *([Text(said.title)] if said.title else []), *blocks]


def _read_source(source: SaidSource) -> Source:
    if source.type == "text":
        kind = None if source.media_type == _PLAIN else source.media_type
        return Source(text=source.data or "", media_type=kind)
    if source.type == "base64":
        return Source(base64=source.data or "", media_type=source.media_type)
    return Source(url=source.url or "")


def _texts(content: Iterable[SaidBlock]) -> list[str]:
    return [block.text for block in content if block.text]


def _lines(title: str | None, source: SaidSource | str | None) -> list[str]:
    return [line for line in (title, source) if isinstance(line, str) and line]
