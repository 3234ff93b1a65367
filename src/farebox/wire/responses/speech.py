"""OpenAI Responses, both ways: the object the other chat dialects are joined to."""

from __future__ import annotations

from farebox.tariff.meters import Usage
from farebox.wire.call import Call, ChannelBody, Malformed
from farebox.wire.chat.request import ChatRequest
from farebox.wire.chat.speech import Speech, Whole
from farebox.wire.responses.read_items import NAME
from farebox.wire.responses.read_request import read_request
from farebox.wire.responses.reader import EventReader, read_whole
from farebox.wire.responses.table import TABLE
from farebox.wire.responses.usage import RESPONSES
from farebox.wire.responses.write_request import write_request
from farebox.wire.responses.writer import EventWriter, write_whole


class OpenAIResponsesSpeech:
    """See `wire.chat.speech.Speech` for what each member promises."""

    name = NAME
    convention = RESPONSES
    table = TABLE

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """The same for every model; the base URL carries the version."""
        return "/responses"

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


OPENAI_RESPONSES_SPEECH: Speech = OpenAIResponsesSpeech()
