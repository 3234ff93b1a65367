"""The messages of a chat completion request, read into turns of the neutral form.

Results of tools that follow one another become one user message, in the order they came. The
deprecated `function` role and `function_call` become calls and results with an id made up here.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from farebox.wire.call import ABSENT, Malformed, MalformedCode, is_present
from farebox.wire.chat.request import (
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
)
from farebox.wire.openai_chat_speech.details import Detail, read_details
from farebox.wire.openai_chat_speech.parts import CacheMark, Part, cache_ttl, read_part

ORIGIN = "openai_chat"


class Function(msgspec.Struct, frozen=True, gc=False):
    name: str
    arguments: str | None = None


class Custom(msgspec.Struct, frozen=True, gc=False):
    name: str
    input: str = ""


class Google(msgspec.Struct, frozen=True, gc=False):
    thought_signature: str | None = None


class Extra(msgspec.Struct, frozen=True, gc=False):
    """What Google's own compatible endpoint puts beside a call."""

    google: Google | None = None


class Call(msgspec.Struct, frozen=True, gc=False):
    id: str
    function: Function | None = None
    custom: Custom | None = None
    extra_content: Extra | None = None


class Said(msgspec.Struct, frozen=True, gc=False):
    """One message, of any role."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Detail] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    function_call: Function | None = None
    audio: msgspec.Raw = ABSENT
    images: list[Part] | None = None
    cache_control: CacheMark | None = None

    @property
    def is_spoken(self) -> bool:
        """An earlier answer in sound, which only its provider has."""
        return is_present(self.audio)


_ROLES = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}
_RESULTS = ("tool", "function")


def read_messages(messages: Iterable[Said]) -> tuple[Message, ...] | Malformed:
    """All turns, or the refusal of the first message that is none."""
    read: list[Message] = []
    calls: dict[str, ToolUse] = {}
    for place, said in enumerate(messages):
        role = Role.USER if said.role in _RESULTS else _ROLES.get(said.role)
        if role is None:
            return _invalid(f"messages[{place}].role", "must be system, developer, user, assistant, tool or function")
        blocks = _content(said, place)
        if isinstance(blocks, Malformed):
            return blocks
        if said.role in _RESULTS:
            _add_result(read, _result(said, blocks, calls))
            continue
        if role is Role.ASSISTANT:
            blocks = [*_thoughts(said), *blocks, *_calls(said, calls)]
        read.append(Message(role, tuple(blocks), name=said.name))
    return tuple(read)


def _content(said: Said, place: int) -> list[Block] | Malformed:
    if said.content is None or isinstance(said.content, str):
        blocks: list[Block] = [Text(said.content, cache_ttl=cache_ttl(said.cache_control))] if said.content else []
    else:
        blocks = []
        for at, part in enumerate(said.content):
            block = read_part(part)
            if block is None:
                return _invalid(f"messages[{place}].content[{at}]", "is of no type another dialect could take")
            blocks.append(block)
    if said.refusal:
        blocks.append(Refusal(said.refusal))
    for image in said.images or ():
        block = read_part(image)
        blocks += [block] if isinstance(block, Image) else []
    return blocks


def _thoughts(said: Said) -> list[Block]:
    text = said.reasoning_content or said.reasoning
    signed = read_details(said.reasoning_details or (), text)
    if signed:
        return list(signed)
    return [Thinking(ORIGIN, text=text)] if text else []


def _calls(said: Said, calls: dict[str, ToolUse]) -> list[Block]:
    made = [_call(call) for call in said.tool_calls or ()]
    if said.function_call is not None:
        made.append(ToolUse(f"call_{len(calls)}", said.function_call.name, said.function_call.arguments or ""))
    calls.update({use.id: use for use in made})
    return list(made)


def _call(call: Call) -> ToolUse:
    google = call.extra_content.google if call.extra_content is not None else None
    signature = google.thought_signature if google is not None else None
    if call.custom is not None:
        return ToolUse(call.id, call.custom.name, call.custom.input, custom=True, signature=signature)
    function = call.function or Function("")
    return ToolUse(call.id, function.name, function.arguments or "", signature=signature)


def _result(said: Said, blocks: list[Block], calls: dict[str, ToolUse]) -> ToolResult:
    """What a tool gave back, with the name its call had; `function` messages answer the last call of their name."""
    if said.role == "function":
        same = [use for use in calls.values() if use.name == said.name]
        use = same[-1] if same else None
    else:
        use = calls.get(said.tool_call_id or "")
    identifier = said.tool_call_id or (use.id if use is not None else "")
    kept = tuple([block for block in blocks if isinstance(block, Text | Image | Document)])
    name = use.name if use is not None else said.name
    return ToolResult(identifier, kept, name=name, custom=use is not None and use.custom)


def _add_result(read: list[Message], result: ToolResult) -> None:
    if read and read[-1].role is Role.USER and all(isinstance(block, ToolResult) for block in read[-1].blocks):
        read[-1] = Message(Role.USER, (*read[-1].blocks, result))
    else:
        read.append(Message(Role.USER, (result,)))


def _invalid(param: str, problem: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_MESSAGES, f"'{param}' {problem}.", param)
