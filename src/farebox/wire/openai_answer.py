"""Reads a buffered OpenAI answer: usage, finish reasons, text for counting, and the name asked for.

The body enters as it came; an `Answer` leaves, with a body that differs only in `model`. `None`
instead says the body is no answer of this dialect. Never raises.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from farebox.tariff.meters import Usage
from farebox.wire.call import ABSENT, Call, is_present
from farebox.wire.openai_chunks import read_chunk, usage_in
from farebox.wire.output import OutputText
from farebox.wire.payloads import UNREADABLE, with_name, without_cost


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A whole buffered answer, metered but not yet charged."""

    body: bytes
    """For the client, if there is no `render`."""
    usage: msgspec.Raw | None
    finish_reasons: dict[int, str]
    """By choice; a server may leave them out, which does not make a whole body incomplete."""
    service_tier: str | None
    output: OutputText
    render: Callable[[Usage], bytes] | None = None
    """Writes the body for the client with the usage that is charged; None: `body` is sent as it is."""
    whole: bytes | None = None
    """The answer with what its client is not shown, where it is kept for later turns."""


class _Vectors(msgspec.Struct, gc=False):
    data: msgspec.Raw
    model: str | None = None
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_read_vectors = msgspec.json.Decoder(_Vectors).decode


def read_chat(body: bytes, call: Call) -> Answer | None:
    """Read a chat completion; None if it is an error or no chat completion."""
    read = read_chunk(body)
    if read is None or not read.choices or is_present(read.error):
        return None
    output = OutputText()
    for choice in read.choices:
        if choice.message is not None:
            output.add_delta(choice.message)
    usage = usage_in(read, body)
    return Answer(
        body=without_cost(with_name(body, read.model, call.model), usage),
        usage=usage,
        finish_reasons={choice.index: choice.finish_reason for choice in read.choices if choice.finish_reason},
        service_tier=read.service_tier,
        output=output,
    )


def read_embeddings(body: bytes, call: Call) -> Answer | None:
    """Read an embeddings answer; the vectors are not looked at. None if it is an error or something else."""
    try:
        read = _read_vectors(body)
    except UNREADABLE:
        return None
    if is_present(read.error) or bytes(memoryview(read.data)[:2]) in (b"", b"nu", b"[]"):
        return None
    return Answer(
        body=without_cost(with_name(body, read.model, call.model), read.usage),
        usage=read.usage if is_present(read.usage) else None,
        finish_reasons={},
        service_tier=None,
        output=OutputText(),
    )
