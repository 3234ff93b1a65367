"""Gemini's dialect, both ways: the object the other chat dialects are joined to."""

from __future__ import annotations

from farebox.tariff.meters import Usage
from farebox.wire.call import Call, ChannelBody, Malformed
from farebox.wire.chat.request import ChatRequest
from farebox.wire.chat.speech import Speech, Whole
from farebox.wire.gemini import forward, usage
from farebox.wire.gemini.read_request import read_request
from farebox.wire.gemini.reader import ChunkReader, read_whole
from farebox.wire.gemini.table import TABLE
from farebox.wire.gemini.write_request import write_request
from farebox.wire.gemini.writer import ChunkWriter, write_whole


class GeminiSpeech:
    """See `wire.chat.speech.Speech` for what each member promises."""

    name = "gemini"
    convention = usage.GEMINI
    table = TABLE

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """The model stands in it; the base URL carries the version."""
        return forward.chat_path(upstream_model, stream=stream)

    def read_request(self, call: Call) -> ChatRequest | Malformed:
        return read_request(call)

    def write_request(self, request: ChatRequest, *, upstream_model: str, channel: ChannelBody) -> bytes:
        return write_request(request, upstream_model=upstream_model, channel=channel)

    def reader(self) -> ChunkReader:
        return ChunkReader()

    def read_whole(self, body: bytes) -> Whole | None:
        return read_whole(body)

    def writer(self, call: Call) -> ChunkWriter:
        return ChunkWriter(call)

    def write_whole(self, call: Call, whole: Whole, usage: Usage) -> bytes:
        return write_whole(call, whole, usage)


GEMINI_SPEECH: Speech = GeminiSpeech()
