"""The chat dialects that can be put into one another, by name. A new one is a row here."""

from __future__ import annotations

from collections.abc import Mapping

from farebox.wire.anthropic.speech import ANTHROPIC_SPEECH
from farebox.wire.chat.speech import Speech
from farebox.wire.gemini.speech import GEMINI_SPEECH
from farebox.wire.openai_chat_speech.speech import OPENAI_CHAT_SPEECH
from farebox.wire.responses.speech import OPENAI_RESPONSES_SPEECH

SPEECHES: Mapping[str, Speech] = {
    "gemini": GEMINI_SPEECH,
    "anthropic": ANTHROPIC_SPEECH,
    "openai_chat": OPENAI_CHAT_SPEECH,
    "openai_responses": OPENAI_RESPONSES_SPEECH,
}
