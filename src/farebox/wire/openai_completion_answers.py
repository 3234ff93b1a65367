"""Answers of text completions: a stream metered as it passes, a whole body read.

The chunks are those of chat but for `text` in place of `delta`, so the chat meter does what it does
there; here the text is counted, and the end is written in this shape. A prompt that is shown again
(`echo`) is no output.
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT, Call, is_present
from farebox.wire.openai_answer import Answer
from farebox.wire.openai_chunks import Chunk, finish_chunk
from farebox.wire.openai_completions import echoed
from farebox.wire.openai_stream import StreamMeter
from farebox.wire.output import OutputText
from farebox.wire.payloads import UNREADABLE, with_name, without_cost

EMPTY_PIECE = {"text": "", "logprobs": None}
"""What a choice holds that only ends."""


class _Choice(msgspec.Struct, gc=False):
    text: str | None = None
    index: int = 0
    finish_reason: str | None = None


class _Body(msgspec.Struct, gc=False):
    choices: list[_Choice]
    model: str | None = None
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    service_tier: str | None = None


_read = msgspec.json.Decoder(_Body).decode


class CompletionMeter(StreamMeter):
    """One stream of text completion chunks."""

    __slots__ = ("_echoed",)

    def __init__(self, call: Call) -> None:
        super().__init__(model=call.model, choices=call.choices, wants_usage=call.wants_usage)
        self._echoed = echoed(call)

    def _meter(self, chunk: Chunk, payload: bytes) -> msgspec.Raw | None:
        try:
            choices = _read(payload).choices
        except UNREADABLE:
            choices = []
        for choice in choices:
            self.output.add(without_echo(choice.text or "", choice.index, self._echoed))
        return super()._meter(chunk, payload)

    def _finishing(self, indexes: list[int], reason: str) -> bytes:
        return finish_chunk(self._first, model=self._model, indexes=indexes, reason=reason, piece=EMPTY_PIECE)


def read_answer(body: bytes, call: Call) -> Answer | None:
    """Read a text completion; None if it is an error or none."""
    try:
        read = _read(body)
    except UNREADABLE:
        return None
    if not read.choices or is_present(read.error):
        return None
    output, again = OutputText(), echoed(call)
    for choice in read.choices:
        output.add(without_echo(choice.text or "", choice.index, again))
    return Answer(
        body=without_cost(with_name(body, read.model, call.model), read.usage),
        usage=read.usage if is_present(read.usage) else None,
        finish_reasons={choice.index: choice.finish_reason for choice in read.choices if choice.finish_reason},
        service_tier=read.service_tier,
        output=output,
    )


def without_echo(text: str, index: int, left: list[int] | None) -> str:
    """What of a piece is output; `left` counts down the characters of prompt each answer still begins with."""
    if left is None or index >= len(left):
        return text
    if left[index] < 0:
        return ""
    shown_again = min(left[index], len(text))
    left[index] -= shown_again
    return text[shown_again:]
