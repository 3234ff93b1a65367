"""Reasoning that must go back to its provider, in the field some servers of this dialect have for it.

`reasoning_details` stands beside `reasoning_content` in an answer; a client that sends its messages
back as they came sends it back too, and the provider that signed or sealed the reasoning has it again.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from farebox.wire.chat.events import ChatEvent, ThinkingDelta, ThinkingSigned
from farebox.wire.chat.request import Thinking

SEALED = "reasoning.encrypted"
_SIGNED = "reasoning.text"
_FORMATS = {
    "anthropic": "anthropic-claude-v1",
    "openai_responses": "openai-responses-v1",
    "gemini": "google-gemini-v1",
}
_ORIGINS = {form: origin for origin, form in _FORMATS.items()}


class Detail(msgspec.Struct, frozen=True, gc=False):
    """One piece of reasoning: readable and signed, or sealed."""

    type: str
    text: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    format: str | None = None


class Thoughts:
    """The reasoning of one answer as it comes: what was read so far belongs to the next signature."""

    __slots__ = ("_count", "_read")

    def __init__(self) -> None:
        self._read: list[str] = []
        self._count = 0

    def add(self, text: str) -> None:
        """A piece of reasoning that may be read."""
        self._read.append(text)

    def end(self, signed: ThinkingSigned) -> list[dict[str, object]]:
        """The details for reasoning that ends here; none if its provider has no format of its own."""
        text, form = "".join(self._read), _FORMATS.get(signed.origin)
        self._read.clear()
        if form is None:
            return []
        detail: dict[str, object] = {"type": _SIGNED, "text": text, "signature": signed.signature}
        if signed.sealed is not None:
            detail = {"type": SEALED, "data": signed.sealed}
        self._count += 1
        return [detail | {"id": signed.id, "format": form, "index": self._count - 1}]


def details_in(events: Iterable[ChatEvent]) -> list[dict[str, object]]:
    """Those of a whole answer."""
    thoughts, details = Thoughts(), list[dict[str, object]]()
    for event in events:
        if isinstance(event, ThinkingDelta):
            thoughts.add(event.text)
        elif isinstance(event, ThinkingSigned):
            details += thoughts.end(event)
    return details


def read_details(details: Iterable[Detail], shown: str | None) -> list[Thinking]:
    """The reasoning that providers can have back. `shown` is what stood beside it, for what is sealed alone."""
    read: list[Thinking] = []
    for detail in details:
        origin = _ORIGINS.get(detail.format or "")
        if origin is None:
            continue
        if detail.type == SEALED and detail.data:
            text = "" if read else shown or ""
            read.append(Thinking(origin, text, sealed=detail.data, id=detail.id))
        elif detail.type == _SIGNED and detail.signature:
            read.append(Thinking(origin, detail.text or "", signature=detail.signature, id=detail.id))
    return read
