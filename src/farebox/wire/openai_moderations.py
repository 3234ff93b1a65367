"""OpenAI moderations: a body becomes a `Call` without output, an answer its usage, where it has one.

OpenAI's are free of charge and report no usage; others report tokens. Either way the price of the
card applies to the input, and a price of zero is written as zero (Law 10). `parse` never raises.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from farebox.tariff.meters import TOKENS, Meter
from farebox.wire.call import ABSENT, MAX_MODEL_LENGTH, TEMPLATE_TOKENS, Call, Malformed, MalformedCode, is_present
from farebox.wire.json_object import read_body
from farebox.wire.media import MediaBounds, Part
from farebox.wire.openai_answer import Answer, with_name
from farebox.wire.output import OutputText
from farebox.wire.payloads import UNREADABLE
from farebox.wire.price_fields import OPENAI_MODERATIONS, refuse_fields, refused_names

DEFAULT_MODEL = "omni-moderation-latest"
"""What is meant by a body without a model, by the public format."""
MAX_INPUTS = 2048


class _Body(msgspec.Struct, frozen=True, gc=False):
    input: str | list[str | Part]
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_LENGTH)] = DEFAULT_MODEL


class _Results(msgspec.Struct, gc=False):
    results: list[msgspec.Raw]
    model: str | None = None
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(_Body)
_read_results = msgspec.json.Decoder(_Results).decode
_REFUSED = refused_names(OPENAI_MODERATIONS)
_INPUT_ONLY = {meter: 0 for meter in TOKENS if meter is not Meter.INPUT}
_PARTS = ("text", "image_url")


def parse(body: bytes) -> Call | Malformed:
    """Read a moderation request of at most 32 MB. Never raises."""
    read = read_body(body, _body)
    if isinstance(read, Malformed):
        return read
    fields, wanted = read
    refusal = refuse_fields(fields, _REFUSED) or _refuse_input(wanted)
    if refusal is not None:
        return refusal
    media = MediaBounds()
    for part in wanted.input:
        if isinstance(part, Part):
            media.add(part)
    return Call(
        body=body,
        fields=fields,
        model=wanted.model,
        input_bytes=len(body) - media.payload_bytes + TEMPLATE_TOKENS,
        media_tokens=media.image_tokens,
        at_most=_INPUT_ONLY | {Meter.INPUT_IMAGE: media.image_tokens},
        has_output=False,
    )


def _refuse_input(wanted: _Body) -> Malformed | None:
    if not wanted.input:
        return _invalid("'input' must not be empty.")
    if isinstance(wanted.input, str):
        return None
    if len(wanted.input) > MAX_INPUTS:
        return _invalid(f"'input' holds more than {MAX_INPUTS} texts.")
    if any(isinstance(part, Part) and part.type not in _PARTS for part in wanted.input):
        return _invalid("'input' may hold texts and images.")
    return None


def read_answer(body: bytes, call: Call) -> Answer | None:
    """Read a moderation answer; the verdicts are not looked at. None if it is an error or something else."""
    try:
        read = _read_results(body)
    except UNREADABLE:
        return None
    if not read.results or is_present(read.error):
        return None
    return Answer(
        body=with_name(body, read.model, call.model),
        usage=read.usage if is_present(read.usage) else None,
        finish_reasons={},
        service_tier=None,
        output=OutputText(),
    )


def _invalid(message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, "input")
