"""An output item that is still being streamed, and the events that end it.

The same events end an item a provider finished, one of ours in a translated answer, and one that is cut
short in the middle. Nothing is written here but what the official client's accumulator waits for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from farebox.wire.call import Fields, raw, text_field

Ending = tuple[str, dict[str, Any]]
"""The type of an event and its fields, without type and number."""

_encode = msgspec.json.Encoder().encode

_ARGUMENTS = {
    "function_call": ("response.function_call_arguments.done", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input.done", "input"),
    "mcp_call": ("response.mcp_call_arguments.done", "arguments"),
    "code_interpreter_call": ("response.code_interpreter_call_code.done", "code"),
}
"""Items whose deltas are one text of their own: the event that ends it, and its field."""

_PARTS = {
    "output_text": ("response.output_text.done", "response.content_part.done", "content_index", "text"),
    "refusal": ("response.refusal.done", "response.content_part.done", "content_index", "refusal"),
    "reasoning_text": ("response.reasoning_text.done", "response.content_part.done", "content_index", "text"),
    "summary_text": (
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "summary_index",
        "text",
    ),
}
"""Parts by type: the events that end their text and themselves, their place, and the field of their text."""


class OpenItem:
    """One item under way. `fields` are the item as it was announced."""

    __slots__ = ("_parts", "fields", "id", "index", "part", "pieces", "type")

    def __init__(self, type_: str, index: int, fields: Fields) -> None:
        self.type = type_
        self.index = index
        self.fields = fields
        self.id = text_field(fields, "id")
        self.pieces: list[str] = []
        """The text that came for its open part, or for its arguments."""
        self.part: str | None = None
        """The type of the part that is open."""
        self._parts: list[msgspec.Raw] = []

    @property
    def place(self) -> int:
        """The index of the part that is open, or would open next."""
        return len(self._parts)

    def open_part(self, type_: str) -> None:
        """A part begins."""
        self.part = type_
        self.pieces.clear()

    def part_done(self, part: msgspec.Raw) -> None:
        """A part ended, with these fields."""
        self._parts.append(part)
        self.part = None
        self.pieces.clear()

    def end_part(self) -> Iterator[Ending]:
        """The events that end the open part, if there is one. Words of a message in no part are text."""
        if self.part is None and self.type == "message" and self.pieces:
            self.part = "output_text"
        if self.part is None or self.part not in _PARTS:
            return
        text_done, part_done, place, field = _PARTS[self.part]
        text = "".join(self.pieces)
        at = {"item_id": self.id, "output_index": self.index, place: self.place}
        part: dict[str, Any] = {"type": self.part, field: text}
        extra: dict[str, Any] = {}
        if self.part == "output_text":
            extra = {"logprobs": []}
            part |= {"annotations": [], "logprobs": []}
        yield text_done, at | {field: text} | extra
        yield part_done, at | {"part": part}
        self.part_done(raw(part))

    def end(self, status: str, **more: object) -> Iterator[Ending]:
        """Every event that is still due for this item; afterwards `fields` are the item as it ended."""
        yield from self.end_part()
        changes: Fields = {"status": raw(status)}
        if self.type in _ARGUMENTS:
            kind, field = _ARGUMENTS[self.type]
            text = "".join(self.pieces)
            changes[field] = raw(text)
            named = {"name": self.fields["name"]} if self.type == "function_call" and "name" in self.fields else {}
            yield kind, {"item_id": self.id, "output_index": self.index, field: text} | named
        elif self._parts or self.type == "message":
            changes["summary" if self.type == "reasoning" and self._is_summary() else "content"] = raw(self._parts)
        self.fields = self.fields | changes | {name: raw(value) for name, value in more.items() if value is not None}
        yield "response.output_item.done", {"output_index": self.index, "item": self.fields}

    def _is_summary(self) -> bool:
        return all(b'"summary_text"' in bytes(part) for part in self._parts)


def event_bytes(kind: str, payload: bytes) -> bytes:
    """One server-sent event; `payload` stands on one line."""
    return b"event: " + kind.encode() + b"\ndata: " + payload + b"\n\n"


def event_of(ending: Ending, number: int) -> bytes:
    """The event of that number in its stream."""
    kind, fields = ending
    return event_bytes(kind, _encode({"type": kind, "sequence_number": number} | fields))
