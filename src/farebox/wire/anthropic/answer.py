"""Reads a buffered Messages answer: usage, stop reason, text for counting, and the name asked for.

The body enters as it came; an `Answer` leaves, with a body that differs only in `model`. `None`
instead says the body is no answer of this dialect. Never raises.
"""

from __future__ import annotations

from collections.abc import Iterable

from farebox.wire.anthropic.events import STOP_REASONS, Block, is_search, read_message, tier_in
from farebox.wire.call import Call, is_present
from farebox.wire.openai_answer import Answer
from farebox.wire.output import OutputText
from farebox.wire.payloads import with_name, without_cost


def read_answer(body: bytes, call: Call) -> Answer | None:
    """Read a Messages answer; None if it is an error or something else."""
    read = read_message(body)
    if read is None:
        return None
    usage = read.usage if is_present(read.usage) else None
    reason = read.stop_reason
    return Answer(
        body=without_cost(with_name(body, read.model, call.model), usage),
        usage=usage,
        finish_reasons={} if reason is None else {0: STOP_REASONS.get(reason, reason)},
        service_tier=None if usage is None else tier_in(usage),
        output=_output_of(read.content or ()),
    )


def _output_of(blocks: Iterable[Block]) -> OutputText:
    output = OutputText()
    for block in blocks:
        for text in (block.text, block.name):
            if text:
                output.add(text)
        if block.thinking:
            output.add_reasoning(block.thinking)
        if is_present(block.input):
            output.add(bytes(block.input).decode(errors="replace"))
        if block.data:
            output.add_sealed(len(block.data))
        output.searches += is_search(block)
    return output
