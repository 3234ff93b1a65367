"""Turns of the neutral form, written as the messages of a chat completion request.

Results of tools come first in their turn, as the dialect demands; media inside them follow in a
user message of their own. A single text is written as a string, which every server takes.
"""

from __future__ import annotations

from collections.abc import Iterable

from farebox.wire.chat.request import Block, Image, Message, Refusal, Role, Text, Thinking, ToolResult, ToolUse
from farebox.wire.openai_chat_speech.parts import write_part

Written = dict[str, object]


def write_messages(messages: Iterable[Message], *, signed: bool = False) -> list[Written]:
    """The messages, in order. `signed`: the model is Google's, which wants its signatures back with its calls."""
    written: list[Written] = []
    for message in messages:
        named: Written = {"name": message.name} if message.name is not None else {}
        match message.role:
            case Role.SYSTEM:
                written.append({"role": "system", "content": _content(message.blocks)} | named)
            case Role.USER:
                written += _user(message.blocks, named)
            case Role.ASSISTANT:
                written.append(_assistant(message.blocks, signed) | named)
    return written


def _user(blocks: tuple[Block, ...], named: Written) -> list[Written]:
    results = [block for block in blocks if isinstance(block, ToolResult)]
    rest = [block for block in blocks if not isinstance(block, ToolResult)]
    written: list[Written] = [_result(result) for result in results]
    media = [part for result in results for part in _media(result)]
    if media:
        written.append({"role": "user", "content": media})
    if rest or not results:
        written.append({"role": "user", "content": _content(rest)} | named)
    return written


def _result(result: ToolResult) -> Written:
    texts = [block for block in result.blocks if isinstance(block, Text)]
    return {"role": "tool", "tool_call_id": result.id, "content": _content(texts)}


def _media(result: ToolResult) -> list[Written]:
    """Images and documents a tool gave back, under a line that says whose they are."""
    media = [block for block in result.blocks if not isinstance(block, Text)]
    parts = [part for part in map(write_part, media) if part is not None]
    return [{"type": "text", "text": f"From the result of {result.id}:"}, *parts] if parts else []


def _assistant(blocks: tuple[Block, ...], signed: bool) -> Written:
    spoken = [block for block in blocks if isinstance(block, Text)]
    calls = [_call(block, signed) for block in blocks if isinstance(block, ToolUse)]
    refusals = [block.text for block in blocks if isinstance(block, Refusal)]
    images = [part for part in (write_part(block) for block in blocks if isinstance(block, Image)) if part is not None]
    thoughts = [block.text for block in blocks if isinstance(block, Thinking) and _is_shared(block)]
    written: Written = {"role": "assistant", "content": _content(spoken) if spoken or not (calls or refusals) else None}
    if thoughts:
        written["reasoning_content"] = "".join(thoughts)
    if refusals:
        written["refusal"] = "".join(refusals)
    if images:
        written["images"] = images
    if calls:
        written["tool_calls"] = calls
    return written


def _is_shared(thought: Thinking) -> bool:
    """Not signed or sealed for another provider: some servers of this dialect want theirs back."""
    return bool(thought.text) and thought.signature is None and thought.sealed is None


def _call(use: ToolUse, signed: bool) -> Written:
    call: Written = {"id": use.id}
    if use.custom:
        call |= {"type": "custom", "custom": {"name": use.name, "input": use.arguments}}
    else:
        call |= {"type": "function", "function": {"name": use.name, "arguments": use.arguments}}
    if signed and use.signature is not None:
        call["extra_content"] = {"google": {"thought_signature": use.signature}}
    return call


def _content(blocks: Iterable[Block]) -> str | list[Written]:
    parts = [part for part in map(write_part, blocks) if part is not None]
    if not parts:
        return ""
    only = parts[0].get("text")
    return only if len(parts) == 1 and isinstance(only, str) else parts
