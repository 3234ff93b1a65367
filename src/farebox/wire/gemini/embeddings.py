"""Gemini's embeddings: one content, or a list of requests; a body becomes a `Call` without output.

Text is bounded by its bytes, media as in `media`. A request of a list that names another model than the address is
refused. `parse` never raises.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from farebox.tariff.meters import INPUT_TOKENS, TOKENS, Meter
from farebox.wire.call import MAX_MODEL_LENGTH, TEMPLATE_TOKENS, Call, Fields, Malformed, MalformedCode
from farebox.wire.gemini.address import EMBED_MANY, Address, plain_name
from farebox.wire.gemini.media import MediaBounds
from farebox.wire.gemini.parse import Content, as_list
from farebox.wire.gemini.price_fields import GEMINI_EMBEDDINGS, rows_below
from farebox.wire.gemini.spelling import in_camel_case
from farebox.wire.json_object import read_as, read_strictly
from farebox.wire.price_fields import Treatment, refuse_fields

MAX_REQUESTS = 2048

_Name = Annotated[str, msgspec.Meta(max_length=MAX_MODEL_LENGTH + len("models/"))]


class _One(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    content: Content
    model: _Name | None = None
    output_dimensionality: Annotated[int, msgspec.Meta(ge=1, le=65_536)] | None = None


class _Many(msgspec.Struct, frozen=True, gc=False):
    requests: Annotated[list[_One], msgspec.Meta(min_length=1, max_length=MAX_REQUESTS)]


_one, _many = msgspec.json.Decoder(_One), msgspec.json.Decoder(_Many)
_decode_fields = msgspec.json.Decoder(Fields).decode
_REFUSED = {name: row for name, row in rows_below("", GEMINI_EMBEDDINGS).items() if row.treatment is Treatment.REFUSED}
_NO_OUTPUT = dict.fromkeys(TOKENS - INPUT_TOKENS, 0)
_TEXT_ONLY = {meter: 0 for meter in TOKENS if meter is not Meter.INPUT}


def parse(body: bytes, *, at: Address) -> Call | Malformed:
    """Read an embeddings request of at most 32 MB. Never raises."""
    given = read_strictly(body)
    if isinstance(given, Malformed):
        return given
    plain = in_camel_case(body)
    if isinstance(plain, Malformed):
        return plain
    wanted = _read(plain, at)
    if isinstance(wanted, Malformed):
        return wanted
    fields = given if plain is body else _decode_fields(plain)
    return refuse_fields(fields, _REFUSED) or _refuse_names(wanted, at.model) or _call(body, fields, wanted, at.model)


def _refuse_names(wanted: list[_One], model: str) -> Malformed | None:
    for one in wanted:
        if one.model is not None and plain_name(one.model) != model:
            return Malformed(MalformedCode.INVALID_PARAMETER, "'model' differs from the address.", "model")
    return None


def _read(plain: bytes, at: Address) -> list[_One] | Malformed:
    if at.action == EMBED_MANY:
        many = read_as(plain, _many)
        return many if isinstance(many, Malformed) else many.requests
    one = read_as(plain, _one)
    return one if isinstance(one, Malformed) else [one]


def _call(body: bytes, fields: Fields, wanted: list[_One], model: str) -> Call | Malformed:
    media = MediaBounds()
    for one in wanted:
        media.add(as_list(one.content.parts))
    if media.foreign_file:
        message = "Files stored at the provider cannot be referred to here; send them inline."
        return Malformed(MalformedCode.INVALID_PARAMETER, message, "content")
    dimensions = {one.output_dimensionality for one in wanted} - {None}
    return Call(
        body=body,
        fields=fields,
        model=model,
        input_bytes=len(body) + TEMPLATE_TOKENS - media.payload_bytes,
        media_tokens=media.image_tokens + media.audio_tokens,
        input_open=media.open,
        at_most=_NO_OUTPUT if media.open or media.image_tokens or media.audio_tokens else _TEXT_ONLY,
        has_output=False,
        parameters=(("dimensions", str(max(dimensions, key=str))),) if dimensions else (),
    )
