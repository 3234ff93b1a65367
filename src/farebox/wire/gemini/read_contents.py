"""The contents of a Gemini request, read into turns of the neutral form.

Calls of functions and their results find each other by id where there is one, else by name in the order they came;
ids are made up where Google gives none.
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT, Malformed, MalformedCode, is_present
from farebox.wire.chat.request import Block, Document, Image, Message, Role, Text, Thinking, ToolResult, ToolUse
from farebox.wire.gemini.media_types import FilePart, InlinePart, read_file, read_inline
from farebox.wire.gemini.signatures import read_thought
from farebox.wire.payloads import UNREADABLE


class FunctionCall(msgspec.Struct, frozen=True, gc=False):
    name: str
    args: msgspec.Raw = ABSENT
    id: str | None = None


class FunctionResponse(msgspec.Struct, frozen=True, gc=False):
    name: str
    response: msgspec.Raw = ABSENT
    id: str | None = None
    parts: list[Part] | None = None


class Code(msgspec.Struct, frozen=True, gc=False):
    """Code the provider ran in an earlier answer, or what it printed."""

    code: str = ""
    output: str = ""


class Part(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: InlinePart | None = None
    file_data: FilePart | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: Code | None = None
    code_execution_result: Code | None = None


class Content(msgspec.Struct, frozen=True, gc=False):
    role: str | None = None
    parts: list[Part] | Part | None = None

    @property
    def listed(self) -> list[Part]:
        if self.parts is None:
            return []
        return self.parts if isinstance(self.parts, list) else [self.parts]


class _Said(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The result of a function in the words Google recommends."""

    output: str | None = None
    error: str | None = None


_read_said = msgspec.json.Decoder(_Said).decode
_ROLES = {"model": Role.ASSISTANT, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}


class Conversation:
    """Reads the contents of one request in their order."""

    def __init__(self) -> None:
        self._made = 0
        self._open: list[ToolUse] = []
        """Calls whose results have not come yet."""

    def read(self, content: Content, at: int) -> Message | Malformed:
        """One turn, or the refusal of a part that no other dialect could be told."""
        blocks: list[Block] = []
        for place, part in enumerate(content.listed):
            found = self._blocks(part)
            if found is None:
                param = f"contents[{at}].parts[{place}]"
                message = f"'{param}' is of no type another dialect could take."
                return Malformed(MalformedCode.INVALID_MESSAGES, message, param)
            _extend(blocks, found)
        return Message(_ROLES.get(content.role or "", Role.USER), tuple(blocks))

    def _blocks(self, part: Part) -> list[Block] | None:
        match part:
            case Part(thought=True):
                return [read_thought(part.text or "", part.thought_signature)]
            case Part(function_call=FunctionCall() as called):
                return [self._use(called, part.thought_signature)]
            case Part(function_response=FunctionResponse() as response):
                return [self._result(response)]
            case Part(inline_data=InlinePart() as inline):
                return [read_inline(inline)]
            case Part(file_data=FilePart() as file):
                return [read_file(file)]
            case Part(executable_code=Code(code=text)) | Part(code_execution_result=Code(output=text)):
                return [Text(text)]
            case Part(text=str() as text):
                return [Text(text)]
            case _:
                return None

    def _use(self, called: FunctionCall, signature: str | None) -> ToolUse:
        arguments = bytes(called.args).decode(errors="replace") if is_present(called.args) else "{}"
        self._made += 1
        use = ToolUse(called.id or f"call_{self._made}", called.name, arguments, signature=signature)
        self._open.append(use)
        return use

    def _result(self, response: FunctionResponse) -> ToolResult:
        found = [use for use in self._open if response.id == use.id] if response.id else []
        found = found or [use for use in self._open if use.name == response.name]
        if found:
            self._open.remove(found[0])
        identifier = response.id or (found[0].id if found else f"call_{response.name}")
        text, failed = _said(response.response)
        media = [block for part in response.parts or () for block in self._blocks(part) or ()]
        kept = [block for block in media if isinstance(block, Text | Image | Document)]
        return ToolResult(identifier, (Text(text), *kept), name=response.name, is_error=failed)


def _extend(blocks: list[Block], found: list[Block]) -> None:
    """Thoughts come in pieces, the signature with the last of them: together they are one."""
    last, new = blocks[-1] if blocks else None, found[0] if found else None
    if isinstance(last, Thinking) and isinstance(new, Thinking) and last.signature is last.sealed is None:
        blocks[-1] = msgspec.structs.replace(new, text=last.text + new.text)
    else:
        blocks += found


def _said(response: msgspec.Raw) -> tuple[str, bool]:
    """What a function gave back, and whether it failed: in Google's two words, else as the JSON it is."""
    if not is_present(response):
        return "", False
    try:
        said = _read_said(response)
    except UNREADABLE:
        said = _Said()
    if said.error is not None and said.output is None:
        return said.error, True
    if said.output is not None and said.error is None:
        return said.output, False
    return bytes(response).decode(errors="replace"), False
