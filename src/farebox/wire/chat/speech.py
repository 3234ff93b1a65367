"""What a chat dialect must be able to do so that calls and answers can be put into it and out of it.

One object per dialect. It keeps no state; a stream's state is in the reader and writer it makes.
Usage leaves a reader as the provider wrote it and is read by `convention`; a writer is handed
disjoint meters, so that tokens inside and outside each other are never confused (d26).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from farebox.tariff.meters import Usage
from farebox.wire.call import Call, ChannelBody, Malformed
from farebox.wire.chat.events import ChatEvent, Ended
from farebox.wire.chat.features import Table
from farebox.wire.chat.request import ChatRequest
from farebox.wire.usage import Convention


class Whole(NamedTuple):
    """A buffered answer: what was produced, without an `Ended`, and how it ended."""

    events: list[ChatEvent]
    ended: Ended
    usage: msgspec.Raw | None
    service_tier: str | None = None


class AnswerReader(Protocol):
    """Reads one stream of a provider."""

    usage: msgspec.Raw | None
    """The last word on usage, as one object of the dialect's convention; repeated figures are not added (d24)."""
    service_tier: str | None
    complete: bool
    """The dialect's own terminal event was seen: the answer is whole."""
    error: bytes | None
    """The payload of an error event, in the provider's words. Nothing is read after it."""

    def read(self, payload: bytes, name: bytes | None) -> list[ChatEvent]:
        """The events of one server-sent event. Never raises for what a provider sends."""
        ...


class AnswerWriter(Protocol):
    """Writes one stream for a client."""

    def write(self, event: ChatEvent) -> bytes:
        """Whole server-sent events for anything but `Ended`; empty for what the dialect has no word for."""
        ...

    def finish(self, ended: Ended, usage: Usage, charge: str | None) -> bytes:
        """Everything that is still open, the end, the usage with the charge in credits, the end mark."""
        ...

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle. No end mark follows."""
        ...


class Speech(Protocol):
    """A chat dialect, both ways."""

    name: str
    convention: Convention
    table: Table
    """What requests in this dialect cannot say; everything else is expressed."""

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """Where calls go, below a channel's base URL, which carries its own version."""
        ...

    def read_request(self, call: Call) -> ChatRequest | Malformed:
        """A call of this dialect. Whatever could change the answer is in the request or in its `others`."""
        ...

    def write_request(self, request: ChatRequest, *, upstream_model: str, channel: ChannelBody) -> bytes:
        """The body for a channel that speaks this dialect; `request.output_limit` is what the hold covers (Law 1).

        Streams ask for their usage. The channel's overrides are laid over it, but not over what the hold stands on.
        """
        ...

    def reader(self) -> AnswerReader: ...
    def read_whole(self, body: bytes) -> Whole | None:
        """A buffered answer; None if it is none of this dialect, or an error."""
        ...

    def writer(self, call: Call) -> AnswerWriter: ...
    def write_whole(self, call: Call, whole: Whole, usage: Usage) -> bytes:
        """The body for a client: under the name it asked for, with the usage that is charged."""
        ...
