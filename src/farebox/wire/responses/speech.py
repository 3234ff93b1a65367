"""OpenAI Responses, both ways: the object the other chat dialects are joined to."""

from __future__ import annotations

from farebox.wire.chat.speech import Speech
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
    read_request = staticmethod(read_request)
    write_request = staticmethod(write_request)
    reader = EventReader
    read_whole = staticmethod(read_whole)
    writer = EventWriter
    write_whole = staticmethod(write_whole)

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """The same for every model; the base URL carries the version."""
        return "/responses"


OPENAI_RESPONSES_SPEECH: Speech = OpenAIResponsesSpeech()
