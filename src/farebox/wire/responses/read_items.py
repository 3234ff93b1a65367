"""Input items, read into the messages of the neutral form.

Items of an answer (reasoning, words, tool calls) that stand side by side become one message, tool
results another. What the provider's own tools left behind is skipped, since the words after it say what
came of it; items of tools only this dialect has are refused.
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT, Malformed, MalformedCode, is_present
from farebox.wire.chat.request import (
    Audio,
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
from farebox.wire.json_object import read_as
from farebox.wire.openai_chat_speech.parts import PDF, source_from
from farebox.wire.responses.envelope import unwrap

NAME = "openai_responses"


class _Sound(msgspec.Struct, frozen=True, gc=False):
    data: str
    format: str | None = None


class _Breakpoint(msgspec.Struct, frozen=True, gc=False):
    mode: str | None = None


class _Google(msgspec.Struct, frozen=True, gc=False):
    thought_signature: str | None = None


class _Extra(msgspec.Struct, frozen=True, gc=False):
    google: _Google | None = None


class Part(msgspec.Struct, frozen=True, gc=False):
    """A part of content, of a tool's output, or of a summary."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: _Sound | None = None
    prompt_cache_breakpoint: _Breakpoint | None = None


class Item(msgspec.Struct, frozen=True, gc=False):
    """Any item; which fields it has follows from its type."""

    type: str = "message"
    role: str | None = None
    id: str | None = None
    content: str | list[Part] | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None
    output: msgspec.Raw = ABSENT
    summary: list[Part] | None = None
    encrypted_content: str | None = None
    extra_content: _Extra | None = None


class _Typed(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None


_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM, "developer": Role.SYSTEM}
_SKIPPED = frozenset(
    {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_list_tools"}
)
_item = msgspec.json.Decoder(Item)
_text = msgspec.json.Decoder(str)
_parts = msgspec.json.Decoder(list[Part])
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_typed = msgspec.json.Decoder(_Typed)
_GLUE = "\n\n"


def read_input(written: msgspec.Raw) -> list[Message] | Malformed:
    """The messages of `input`: a string, or items."""
    if bytes(memoryview(written)[:1]) == b'"':
        text = read_as(written, _text)
        return text if isinstance(text, Malformed) else [Message(Role.USER, (Text(text),))]
    items = read_as(written, _raws)
    if isinstance(items, Malformed):
        return items
    turns = _Turns()
    for place, one in enumerate(items):
        problem = turns.add(one, f"input[{place}]")
        if problem is not None:
            return problem
    return turns.messages()


class _Turns:
    """The messages so far. What belongs to one answer, or to one round of results, is joined."""

    def __init__(self) -> None:
        self._turns: list[tuple[Role, list[Block]]] = []
        self._names: dict[str, str] = {}
        self._joins = False
        """The last message may take more of the same kind."""

    def messages(self) -> list[Message]:
        return [Message(role, tuple(blocks)) for role, blocks in self._turns if blocks]

    def add(self, written: msgspec.Raw, path: str) -> Malformed | None:
        """One more item."""
        typed = read_as(written, _typed)
        if isinstance(typed, _Typed) and typed.type in _SKIPPED:
            return None
        item = read_as(written, _item)
        if isinstance(item, Malformed):
            return Malformed(item.code, f"Invalid value for '{path}'.", path)
        if item.type == "message":
            return self._message(item, path)
        if item.type in ("function_call", "custom_tool_call"):
            return self._tool_use(item, path)
        if item.type in ("function_call_output", "custom_tool_call_output"):
            return self._tool_result(item, path)
        if item.type == "reasoning":
            thought = _thinking(item)
            if thought is not None:
                self._join(Role.ASSISTANT, [thought])
            return None
        return _invalid(path, f"Items of type {item.type[:64]!r} need a model that is served in the Responses dialect.")

    def _message(self, item: Item, path: str) -> Malformed | None:
        role = _ROLES.get(item.role or "")
        if role is None:
            return _invalid(path, "This message has a role that is not known.")
        blocks = read_content(item.content, path)
        if isinstance(blocks, Malformed):
            return blocks
        if role is Role.ASSISTANT:
            self._join(role, blocks)
        else:
            self._turns.append((role, blocks))
            self._joins = False
        return None

    def _tool_use(self, item: Item, path: str) -> Malformed | None:
        if item.call_id is None or item.name is None or item.namespace is not None:
            return _invalid(path, "This call of a tool cannot be put into the dialect the model is served in.")
        custom = item.type == "custom_tool_call"
        google = item.extra_content.google if item.extra_content is not None else None
        signature = google.thought_signature if google is not None else None
        arguments = (item.input if custom else item.arguments) or ""
        self._names[item.call_id] = item.name
        self._join(Role.ASSISTANT, [ToolUse(item.call_id, item.name, arguments, custom=custom, signature=signature)])
        return None

    def _tool_result(self, item: Item, path: str) -> Malformed | None:
        if item.call_id is None:
            return _invalid(path, "This result of a tool does not say whose it is.")
        blocks = _output(item.output, path)
        if isinstance(blocks, Malformed):
            return blocks
        kept = tuple([block for block in blocks if isinstance(block, Text | Image | Document)])
        custom = item.type == "custom_tool_call_output"
        self._join(Role.USER, [ToolResult(item.call_id, kept, self._names.get(item.call_id), custom=custom)])
        return None

    def _join(self, role: Role, blocks: list[Block]) -> None:
        if self._joins and self._turns[-1][0] is role:
            self._turns[-1][1].extend(blocks)
        else:
            self._turns.append((role, blocks))
        self._joins = True


def read_content(content: str | list[Part] | None, path: str) -> list[Block] | Malformed:
    """The blocks of a message."""
    if isinstance(content, str):
        return [Text(content)]
    blocks: list[Block] = []
    for part in content or ():
        block = _block(part)
        if block is None:
            return _invalid(path, f"Parts of type {part.type[:64]!r} need a model that is served in this dialect.")
        blocks.append(block)
    return blocks


def _output(written: msgspec.Raw, path: str) -> list[Block] | Malformed:
    if not is_present(written):
        return []
    if bytes(memoryview(written)[:1]) == b'"':
        text = read_as(written, _text)
        return text if isinstance(text, Malformed) else [Text(text)]
    parts = read_as(written, _parts)
    if isinstance(parts, Malformed):
        return _invalid(path, "This result of a tool is neither text nor parts.")
    return read_content(parts, path)


def _block(part: Part) -> Block | None:
    match part:
        case Part(type="input_text" | "output_text" | "text", text=str() as text):
            return Text(text, cache_ttl=None if part.prompt_cache_breakpoint is None else "5m")
        case Part(type="refusal", refusal=str() as text):
            return Refusal(text)
        case Part(type="input_image", image_url=str() as url):
            return Image(source_from(url), detail=part.detail)
        case Part(type="input_file", file_data=str() as content):
            return Document(_file(content), name=part.filename)
        case Part(type="input_file", file_url=str() as url):
            return Document(Source(url=url), name=part.filename)
        case Part(type="input_audio", input_audio=_Sound(data=base64, format=form)):
            return Audio(Source(base64=base64, media_type=f"audio/{form or 'wav'}"))
        case _:
            return None


def _file(content: str) -> Source:
    """A data URL by the public format; some clients send bare base64."""
    return source_from(content) if content.startswith("data:") else Source(base64=content, media_type=PDF)


def _thinking(item: Item) -> Thinking | None:
    """Earlier reasoning; None where there is nothing to send back."""
    parts = item.summary or (item.content if isinstance(item.content, list) else [])
    text = _GLUE.join([part.text for part in parts if part.text])
    envelope = None if item.encrypted_content is None else unwrap(item.encrypted_content)
    if envelope is not None:
        return Thinking(envelope.origin, text, signature=envelope.signature, sealed=envelope.sealed)
    if not text and item.encrypted_content is None:
        return None
    return Thinking(NAME, text, sealed=item.encrypted_content, id=item.id)


def _invalid(param: str, message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)
