"""Keeps the text an answer produced, for counting it when no usage can be believed.

Pieces enter as they pass; what leaves is the text so far, output and reasoning apart, drained by
whoever tokenizes. Memory is bounded by draining: `pending` says when. Counts bytes, never tokens.
"""

from __future__ import annotations

from farebox.wire.call import is_present
from farebox.wire.openai_chunks import Delta

DRAIN_BYTES = 16 * 1024
"""The relay should drain when `pending` exceeds this."""
MAX_PENDING_BYTES = 512 * 1024
"""Text nobody drained beyond this is dropped and only its bytes are counted."""

_PIECES = 128
"""Small strings are joined at this number: each alone weighs ten times its text."""


class OutputText:
    """The output of one answer: its bytes so far, and the text not yet counted."""

    __slots__ = (
        "_output", "_reasoning", "audio_ms", "bytes_so_far", "delivered", "dropped_bytes", "media_characters",
        "pending", "searches",
    )  # fmt: skip

    def __init__(self) -> None:
        self._output: list[str] = []
        self._reasoning: list[str] = []
        self.bytes_so_far = 0
        """UTF-8 bytes of text, reasoning and tool calls: an upper bound on their tokens."""
        self.pending = 0
        """The part of them that can be drained."""
        self.dropped_bytes = 0
        """The part of them that was dropped: count one token for each byte."""
        self.media_characters = 0
        """Base64 characters of spoken output, images and sealed reasoning: something was produced, in no words."""
        self.searches = 0
        """Searches the provider ran while it answered, where the answer itself shows them."""
        self.audio_ms = 0
        """How long the speech is that came, in milliseconds; 0 where answers are no speech."""
        self.delivered: int | None = None
        """Images that came, of those asked for; None where answers are not counted in images."""

    @property
    def seen(self) -> bool:
        """True once anything was produced."""
        return self.bytes_so_far > 0 or self.media_characters > 0

    def drain(self) -> tuple[str, str]:
        """Text and reasoning since the last call; both are forgotten here."""
        drained = "".join(self._output), "".join(self._reasoning)
        self._output.clear()
        self._reasoning.clear()
        self.pending = 0
        return drained

    def add_delta(self, delta: Delta) -> None:
        """Count a piece: content, refusal, reasoning, tool calls, spoken words."""
        if delta.content:
            self._keep(delta.content, self._output)
        if delta.reasoning_content or delta.reasoning:
            self._keep(delta.reasoning_content or delta.reasoning or "", self._reasoning)
        if delta.tool_calls or delta.function_call or delta.refusal or delta.audio:
            self._add_rest(delta)

    def add(self, text: str) -> None:
        """Count a piece of output."""
        self._keep(text, self._output)

    def add_reasoning(self, text: str) -> None:
        """Count a piece of reasoning the caller can read."""
        self._keep(text, self._reasoning)

    def add_sealed(self, characters: int) -> None:
        """Note output that cannot be counted as text, by its base64 characters."""
        self.media_characters += characters

    def add_images(self, count: int, *, tokens: int) -> None:
        """Count images that came, and tokens for what was drawn; no images yet says that images were asked for."""
        self.delivered = (self.delivered or 0) + count
        self.bytes_so_far += tokens
        self.dropped_bytes += tokens

    def _keep(self, text: str, pieces: list[str]) -> None:
        size = len(text) if text.isascii() else len(text.encode(errors="replace"))
        self.bytes_so_far += size
        if self.pending + size > MAX_PENDING_BYTES:
            self.dropped_bytes += size
            return
        self.pending += size
        pieces.append(text)
        if len(pieces) >= _PIECES:
            pieces[:] = ["".join(pieces)]

    def _add_rest(self, delta: Delta) -> None:
        if delta.refusal:
            self.add(delta.refusal)
        functions = [call.function for call in delta.tool_calls or () if call.function is not None]
        if delta.function_call is not None:
            functions.append(delta.function_call)
        for function in functions:
            self.add((function.name or "") + (function.arguments or ""))
        for call in delta.tool_calls or ():
            if is_present(call.custom):
                self.add(bytes(call.custom).decode(errors="replace"))
        if delta.audio is not None:
            self.media_characters += len(delta.audio.data or "")
            self.add(delta.audio.transcript or "")
