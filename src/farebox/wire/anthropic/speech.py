"""Anthropic Messages, both ways: how it is joined to the other chat dialects."""

from __future__ import annotations

from farebox.wire.anthropic.read_request import read_request
from farebox.wire.anthropic.reader import EventReader, read_whole
from farebox.wire.anthropic.table import TABLE
from farebox.wire.anthropic.usage import ANTHROPIC
from farebox.wire.anthropic.write_request import write_request
from farebox.wire.anthropic.writer import EventWriter, write_whole
from farebox.wire.chat.speech import Speech


class AnthropicSpeech:
    """See `wire.chat.speech.Speech` for what each member promises."""

    name = "anthropic"
    convention = ANTHROPIC
    table = TABLE
    read_request = staticmethod(read_request)
    write_request = staticmethod(write_request)
    reader = EventReader
    read_whole = staticmethod(read_whole)
    writer = EventWriter
    write_whole = staticmethod(write_whole)

    def path(self, upstream_model: str, *, stream: bool) -> str:
        """The same for every model; the base URL carries the version."""
        return "/messages"


ANTHROPIC_SPEECH: Speech = AnthropicSpeech()
