"""An answer in no dialect, as events in the order they were produced.

A dialect's reader turns what a provider sends into these; another's writer turns them into what
the client expects. A whole answer is the list of the events it would have been streamed as.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class StopReason(StrEnum):
    """Why an answer ended, under OpenAI's names; `STOP_SEQUENCE`, `PAUSE` and `REFUSAL` are Anthropic's."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    STOP_SEQUENCE = "stop_sequence"
    REFUSAL = "refusal"
    PAUSE = "pause"


class Started(msgspec.Struct, frozen=True, gc=False):
    """The first event. The id is the provider's."""

    id: str = ""


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    text: str


class RefusalDelta(msgspec.Struct, frozen=True, gc=False):
    """The model declines; in words."""

    text: str


class ThinkingDelta(msgspec.Struct, frozen=True, gc=False):
    """Reasoning the caller may read."""

    text: str


class ThinkingSigned(msgspec.Struct, frozen=True, gc=False):
    """Ends the reasoning before it: what the provider needs to have it back."""

    origin: str
    signature: str | None = None
    sealed: str | None = None
    """Reasoning that cannot be read, as a whole."""
    id: str | None = None


class ToolStart(msgspec.Struct, frozen=True, gc=False):
    """A tool call begins. Its arguments follow before anything else does."""

    id: str
    """Never empty: a reader makes one up where the provider gives none."""
    name: str
    custom: bool = False
    signature: str | None = None


class ToolArguments(msgspec.Struct, frozen=True, gc=False):
    """A piece of the arguments of the call that began last."""

    text: str


class ImageMade(msgspec.Struct, frozen=True, gc=False):
    """An image inside the answer."""

    media_type: str
    base64: str


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The last event. What comes after it is usage only."""

    reason: StopReason
    stop_sequence: str | None = None


ChatEvent = (
    Started | TextDelta | RefusalDelta | ThinkingDelta | ThinkingSigned | ToolStart | ToolArguments | ImageMade | Ended
)
