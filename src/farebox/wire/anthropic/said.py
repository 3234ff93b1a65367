"""The content of a Messages request, whole: wider than `blocks`, which only bounds its price."""

from __future__ import annotations

import msgspec

from farebox.wire.anthropic.blocks import Anything
from farebox.wire.call import ABSENT
from farebox.wire.media import CacheMark


class SaidSource(msgspec.Struct, frozen=True, gc=False):
    """What an image or a document is made of."""

    type: str
    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    content: str | list[SaidBlock] | None = None


class SaidBlock(msgspec.Struct, frozen=True, gc=False):
    """Any block; which fields it has follows from its type."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = ABSENT
    tool_use_id: str | None = None
    is_error: bool | None = None
    content: str | list[SaidBlock] | Anything | None = None
    source: SaidSource | str | None = None
    title: str | None = None
    context: str | None = None
    cache_control: CacheMark | None = None


class SaidMessage(msgspec.Struct, frozen=True, gc=False):
    role: str
    content: str | list[SaidBlock]
