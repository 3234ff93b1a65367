"""Counts a stream's output as it passes: cheaply by bytes, and by tokens when that is too coarse.

A token covers at least one byte, so bytes bound tokens from above for nothing. Only when that
bound comes near what the hold covers is the text tokenized and forgotten (`OutputText.drain`).
"""

from __future__ import annotations

from farebox.relay.counting import MARGINS, OTHER_MARGIN, count_text
from farebox.wire.output import DRAIN_BYTES, OutputText


class OutputCount:
    """The output of one answer in tokens, as far as it was counted."""

    __slots__ = ("_family", "_produced", "_reasoned", "_text")

    def __init__(self, text: OutputText, family: str | None) -> None:
        self._text = text
        self._family = family
        self._produced = 0
        self._reasoned = 0

    @property
    def seen_bytes(self) -> int:
        return self._text.bytes_so_far

    @property
    def searches(self) -> int:
        """Searches the answer shows so far."""
        return self._text.searches

    @property
    def audio_ms(self) -> int:
        """How long the speech is that came so far, in milliseconds."""
        return self._text.audio_ms

    @property
    def delivered(self) -> int | None:
        """Images that came so far; None where answers are not counted in images."""
        return self._text.delivered

    @property
    def must_drain(self) -> bool:
        """Whether uncounted text has piled up."""
        return self._text.pending > DRAIN_BYTES

    async def drain(self) -> None:
        """Count what has piled up and forget the text."""
        produced, reasoned = self._text.drain()
        self._produced += await count_text(produced, self._family)
        self._reasoned += await count_text(reasoned, self._family)

    async def total(self) -> tuple[int, int]:
        """Output and reasoning tokens so far; spoken output and text that was dropped count by the byte."""
        await self.drain()
        return self._produced + self._text.dropped_bytes, self._reasoned

    async def bound(self) -> int:
        """No fewer tokens than the provider can have counted so far: by the family's margin, at most the bytes."""
        produced, reasoned = await self.total()
        margin = MARGINS.get(self._family or "", OTHER_MARGIN)
        return min(self.seen_bytes, -(-(produced + reasoned) * margin.numerator // margin.denominator))


class HoldWatch:
    """When a stream's output comes near what its hold covers. Says when to look; looking is another's."""

    __slots__ = ("check_at_bytes", "covered", "may_grow")

    def __init__(self, covered_tokens: int) -> None:
        self.covered = covered_tokens
        self.may_grow = True
        """False once an extension was refused: the stream goes on to the end of what is held."""
        self.check_at_bytes = 0
        self.look_again(0, 0)

    @property
    def mark(self) -> int:
        """The tokens at which something must happen: three quarters of the hold, or all of it."""
        return self.covered * 3 // 4 if self.may_grow else self.covered

    def look_again(self, tokens: int, seen_bytes: int) -> None:
        """Nothing can happen before the bound has grown to the mark."""
        self._look_at(self.mark, tokens, seen_bytes)

    def look_when_used_up(self, tokens: int, seen_bytes: int) -> None:
        """While an extension is under way, nothing can happen before all that is held is used."""
        self._look_at(self.covered, tokens, seen_bytes)

    def grown(self, covered_tokens: int) -> None:
        """The hold was extended."""
        if covered_tokens <= self.covered:
            self.may_grow = False
        self.covered = covered_tokens

    def _look_at(self, goal: int, tokens: int, seen_bytes: int) -> None:
        # A byte adds at most the widest margin to the bound.
        left = (goal - tokens) * OTHER_MARGIN.denominator // OTHER_MARGIN.numerator
        self.check_at_bytes = seen_bytes + max(1, left)
