"""Anthropic Messages, both ways: how it is joined to the other chat dialects."""

from __future__ import annotations

from farebox.tariff.meters import Usage
from farebox.wire.anthropic.read_request import read_request
from farebox.wire.anthropic.reader import EventReader, read_whole
from farebox.wire.anthropic.table import TABLE
from farebox.wire.anthropic.usage import ANTHROPIC
from farebox.wire.anthropic.write_request import write_request
from farebox.wire.anthropic.writer import EventWriter, write_whole
from farebox.wire.call import Call, ChannelBody, Malformed
from farebox.wire.chat.request import ChatRequest
from farebox.wire.chat.speech import Speech, Whole


class AnthropicSpeech:
    """See `wire.chat.speech.Speech` for what each member promises."""

    name = "anthropic"
    convention = ANTHROPIC
    table = TABLE

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """The same for every model; the base URL carries the version."""
        return "/messages"

    def read_request(self, call: Call) -> ChatRequest | Malformed:
        return read_request(call)

    def write_request(self, request: ChatRequest, *, upstream_model: str, channel: ChannelBody) -> bytes:
        return write_request(request, upstream_model=upstream_model, channel=channel)

    def reader(self) -> EventReader:
        return EventReader()

    def read_whole(self, body: bytes) -> Whole | None:
        return read_whole(body)

    def writer(self, call: Call) -> EventWriter:
        return EventWriter(call)

    def write_whole(self, call: Call, whole: Whole, usage: Usage) -> bytes:
        return write_whole(call, whole, usage)


ANTHROPIC_SPEECH: Speech = AnthropicSpeech()
