"""OpenAI chat completions, both ways: the object the other chat dialects are joined to."""

from __future__ import annotations

from farebox.wire import usage
from farebox.wire.chat.speech import Speech
from farebox.wire.openai_chat_speech.read_request import read_request
from farebox.wire.openai_chat_speech.reader import ChunkReader, read_whole
from farebox.wire.openai_chat_speech.table import TABLE
from farebox.wire.openai_chat_speech.write_request import write_request
from farebox.wire.openai_chat_speech.writer import ChunkWriter, write_whole


class OpenAIChatSpeech:
    """See `wire.chat.speech.Speech` for what each member promises."""

    name = "openai_chat"
    convention = usage.OPENAI_CHAT
    table = TABLE
    read_request = staticmethod(read_request)
    write_request = staticmethod(write_request)
    reader = ChunkReader
    read_whole = staticmethod(read_whole)
    writer = ChunkWriter
    write_whole = staticmethod(write_whole)

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """The same for every model; the base URL carries the version."""
        return "/chat/completions"


OPENAI_CHAT_SPEECH: Speech = OpenAIChatSpeech()
