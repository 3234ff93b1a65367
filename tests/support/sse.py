"""Reading server-sent events in tests: strictly, so that what an SDK might forgive still fails a test."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import msgspec

_LINE_END = re.compile(rb"\r\n|\n|\r")
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
DONE = "[DONE]"


class Event(msgspec.Struct, frozen=True):
    """One event: its name, its data lines joined, its comments."""

    data: str = ""
    name: str = ""
    comments: tuple[str, ...] = ()

    def json(self) -> Any:
        return msgspec.json.decode(self.data)


def read_events(body: bytes) -> list[Event]:
    """Every event of a whole body; an unfinished last event is an error."""
    *whole, rest = _EVENT_END.split(body)
    assert not rest, f"the stream ends inside an event: {rest[-200:]!r}"
    return [_event(block) for block in whole if block]


async def events_of(chunks: AsyncIterable[bytes]) -> AsyncIterator[Event]:
    """Each event as soon as its last byte has come; what is unfinished at the end is dropped."""
    buffered = b""
    async for chunk in chunks:
        *whole, buffered = _EVENT_END.split(buffered + chunk)
        for block in whole:
            if block:
                yield _event(block)


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    """The JSON of every event that carries data, `[DONE]` left out."""
    return [event.json() for event in read_events(body) if event.data and event.data != DONE]


def text_of(chunks: list[dict[str, Any]], choice: int = 0) -> str:
    """The text of one choice of a chat stream."""
    parts = [one for chunk in chunks for one in chunk.get("choices", ()) if one["index"] == choice]
    return "".join(part.get("delta", {}).get("content") or "" for part in parts)


def finish_of(chunks: list[dict[str, Any]], choice: int = 0) -> str | None:
    """The one finish reason of a choice; two are an error."""
    parts = [one for chunk in chunks for one in chunk.get("choices", ()) if one["index"] == choice]
    reasons = [part["finish_reason"] for part in parts if part.get("finish_reason")]
    assert len(reasons) <= 1, f"choice {choice} finished {len(reasons)} times: {reasons}"
    return reasons[0] if reasons else None


def usage_of(chunks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The one usage of a stream; two are an error."""
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert len(usages) <= 1, f"usage stands in {len(usages)} events"
    return usages[0] if usages else None


def ends_with_done(body: bytes) -> bool:
    """True if `[DONE]` is the last event, and stands once."""
    marks = [event.data == DONE for event in read_events(body) if event.data]
    return bool(marks) and marks[-1] and sum(marks) == 1


def _event(block: bytes) -> Event:
    fields: dict[str, list[str]] = {"data": [], "event": [], "": []}
    for line in filter(None, _LINE_END.split(block)):
        name, _, value = line.decode().partition(":")
        fields.setdefault(name, []).append(value.removeprefix(" "))
    return Event("\n".join(fields["data"]), "".join(fields["event"][-1:]), tuple(fields[""]))
