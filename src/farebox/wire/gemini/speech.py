"""Gemini's dialect, both ways: the object the other chat dialects are joined to."""

from __future__ import annotations

from farebox.wire.chat.speech import Speech
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
    read_request = staticmethod(read_request)
    write_request = staticmethod(write_request)
    reader = ChunkReader
    read_whole = staticmethod(read_whole)
    writer = ChunkWriter
    write_whole = staticmethod(write_whole)

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """The model stands in it; the base URL carries the version."""
        return forward.chat_path(upstream_model, stream=stream)


GEMINI_SPEECH: Speech = GeminiSpeech()
