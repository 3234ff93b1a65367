"""The blocks of a Messages request, only what bounds its price. Text stays unread."""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT
from farebox.wire.media import CacheMark


class Anything(msgspec.Struct, frozen=True, gc=False):
    """An object that is not looked into."""


class Citations(msgspec.Struct, frozen=True, gc=False):
    enabled: bool | None = None


class Source(msgspec.Struct, frozen=True, gc=False):
    """What an image or a document is made of."""

    type: str
    url: str | None = None
    media_type: str | None = None
    data: msgspec.Raw = ABSENT
    """Base64, or the text itself."""
    content: str | list[Block] | None = None


class Block(msgspec.Struct, frozen=True, gc=False):
    """A piece of a message, of a system prompt, or of the result of a tool."""

    type: str
    text: msgspec.Raw = ABSENT
    source: Source | str | None = None
    content: str | list[Block] | Anything | None = None
    citations: Citations | list[Anything] | None = None
    """Asked for (of a document), or made (of a text)."""
    cache_control: CacheMark | None = None
    encrypted_content: msgspec.Raw = ABSENT


class Message(msgspec.Struct, frozen=True, gc=False):
    role: str
    content: str | list[Block]
