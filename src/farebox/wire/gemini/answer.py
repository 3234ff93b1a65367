"""Reads a buffered Gemini answer: usage, finish reasons, text for counting, and the name asked for.

The body enters as it came; an `Answer` leaves, with a body that differs only in `modelVersion`. `None` instead says
the body is no answer of this dialect. Never raises.
"""

from __future__ import annotations

import msgspec

from farebox.tariff.meters import Meter
from farebox.wire.call import ABSENT, Call, is_present
from farebox.wire.gemini.chunks import (
    FILTERED,
    Chunk,
    count_output,
    finish_reason,
    queries_in,
    read_chunk,
    tier_in,
    usage_in,
)
from farebox.wire.openai_answer import Answer
from farebox.wire.output import OutputText
from farebox.wire.payloads import UNREADABLE, with_name


class _Vectors(msgspec.Struct, gc=False, rename="camel"):
    embedding: msgspec.Raw = ABSENT
    embeddings: msgspec.Raw = ABSENT
    usage_metadata: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_read_vectors = msgspec.json.Decoder(_Vectors).decode


def read_answer(body: bytes, call: Call) -> Answer | None:
    """Read an answer; None if it is an error or no answer. A prompt that was declined is an answer without output."""
    read = read_chunk(body)
    if read is None or is_present(read.error) or not (read.candidates or read.is_blocked):
        return None
    output = OutputText()
    for candidate in read.candidates or ():
        count_output(candidate.parts, output)
    bound = call.at_most.get(Meter.SEARCHES)
    searches = None if bound is None else min(len(queries_in(body)), bound)
    usage = usage_in(body, searches=searches) if read.usage_metadata is not None else None
    return Answer(
        body=with_name(body, read.model_version, call.model, field="modelVersion"),
        usage=usage,
        finish_reasons=_reasons(read),
        service_tier=tier_in(usage),
        output=output,
    )


def read_vectors(body: bytes, call: Call) -> Answer | None:
    """Read an embeddings answer; the vectors are not looked at. None if it is an error or something else."""
    try:
        read = _read_vectors(body)
    except UNREADABLE:
        return None
    if is_present(read.error) or not (is_present(read.embedding) or is_present(read.embeddings)):
        return None
    usage = read.usage_metadata if is_present(read.usage_metadata) else None
    return Answer(body=body, usage=usage, finish_reasons={}, service_tier=None, output=OutputText())


def _reasons(read: Chunk) -> dict[int, str]:
    if not read.candidates:
        return {0: FILTERED}
    ended = {candidate.index: finish_reason(candidate) for candidate in read.candidates}
    return {index: reason for index, reason in ended.items() if reason is not None}
