"""The JSON of chat completion answers, as far as it is put into other dialects: chunks and whole messages.

Wider than what metering reads (`openai_chunks`): ids and places of tool calls, parts of content,
and the spellings of servers that only resemble the public format.
"""

from __future__ import annotations

import msgspec

from farebox.wire import openai_chunks
from farebox.wire.call import ABSENT, is_present
from farebox.wire.openai_chunks import Stated
from farebox.wire.payloads import UNREADABLE


class Piece(msgspec.Struct, gc=False):
    """A part of content where a server writes parts instead of text (Mistral)."""

    type: str = "text"
    text: str | None = None
    thinking: str | list[Piece] | None = None


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: msgspec.Raw = ABSENT
    """Text by the public format; some servers write the object itself."""
    input: str | None = None
    """Of a custom tool."""


class Google(msgspec.Struct, gc=False):
    thought_signature: str | None = None


class Extra(msgspec.Struct, gc=False):
    google: Google | None = None


class ToolPiece(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Function | None = None
    extra_content: Extra | None = None

    @property
    def named(self) -> Function:
        return self.function or self.custom or _NOTHING

    @property
    def signature(self) -> str | None:
        """What Google's compatible endpoint wants back with the call."""
        google = self.extra_content.google if self.extra_content is not None else None
        return google.thought_signature if google is not None else None


class Address(msgspec.Struct, gc=False):
    url: str


class ImagePiece(msgspec.Struct, gc=False):
    image_url: Address | None = None


class Delta(msgspec.Struct, gc=False):
    """The new piece of a choice, or a whole message."""

    content: str | list[Piece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolPiece] | None = None
    function_call: Function | None = None
    images: list[ImagePiece] | None = None


class Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    usage: Stated | None = None


class Chunk(msgspec.Struct, gc=False):
    id: str | None = None
    choices: list[Choice] | None = None
    usage: Stated | None = None
    error: msgspec.Raw = ABSENT
    service_tier: str | None = None


_NOTHING = Function()
_read_chunk = msgspec.json.Decoder(Chunk).decode
_read_text = msgspec.json.Decoder(str).decode


def read_chunk(payload: bytes) -> Chunk | None:
    """A chunk or a whole answer; None if it is no JSON object. Odd types are read as text."""
    try:
        return _read_chunk(payload)
    except msgspec.ValidationError:
        return _read_leniently(payload)
    except UNREADABLE:
        return None


def arguments_of(function: Function) -> str:
    """The piece of arguments it brings, empty for none."""
    if function.input is not None:
        return function.input
    if not is_present(function.arguments):
        return ""
    try:
        return _read_text(function.arguments)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return bytes(function.arguments).decode(errors="replace")


def _read_leniently(payload: bytes) -> Chunk | None:
    read = openai_chunks.read_chunk(payload)
    if read is None:
        return None
    choices = [_as_text(choice) for choice in read.choices or ()]
    return Chunk(choices=choices, usage=read.usage, error=read.error, service_tier=read.service_tier)


def _as_text(choice: openai_chunks.Choice) -> Choice:
    said = choice.delta or choice.message
    delta = None if said is None else Delta(content=said.content)
    return Choice(choice.index, delta, delta, choice.finish_reason, choice.usage)
