"""OpenAI embeddings: a body becomes a `Call` without output.

Input is a string, an array of strings, an array of token numbers or an array of such arrays. Text
is bounded by its bytes, a token number is one token. `forward` and the text for counting are
shared with chat. `parse` never raises.
"""

from __future__ import annotations

from typing import Annotated, cast

import msgspec

from farebox.tariff.meters import TOKENS, Meter
from farebox.wire.call import MAX_MODEL_LENGTH, TEMPLATE_TOKENS, Call, Fields, Malformed, MalformedCode
from farebox.wire.json_object import read_body
from farebox.wire.price_fields import OPENAI_EMBEDDINGS, read_service_tier, refuse_fields, refused_names

MAX_INPUTS = 2048
MAX_DIMENSIONS = 65_536

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Body(msgspec.Struct, frozen=True, gc=False):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_LENGTH)]
    input: str | list[str | _Number | list[_Number]]
    encoding_format: str | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=MAX_DIMENSIONS)] | None = None
    user: str | None = None


_body = msgspec.json.Decoder(_Body)
_REFUSED = refused_names(OPENAI_EMBEDDINGS)
_INPUT_ONLY = {meter: 0 for meter in TOKENS if meter is not Meter.INPUT}
_FORMATS = (None, "float", "base64")


def parse(body: bytes) -> Call | Malformed:
    """Read an embeddings request of at most 32 MB. Never raises."""
    read = read_body(body, _body)
    if isinstance(read, Malformed):
        return read
    fields, wanted = read
    return refuse_fields(fields, _REFUSED) or _refuse_input(wanted) or _call(body, fields, wanted)


def _refuse_input(wanted: _Body) -> Malformed | None:
    if wanted.encoding_format not in _FORMATS:
        return _invalid("encoding_format", "'encoding_format' must be 'float' or 'base64'.")
    if not wanted.input:
        return _invalid("input", "'input' must not be empty.")
    if isinstance(wanted.input, str):
        return None
    kinds = {type(item) for item in wanted.input}
    if len(kinds) > 1:
        return _invalid("input", "'input' must hold strings, token numbers or arrays of token numbers, not a mixture.")
    if kinds != {int} and len(wanted.input) > MAX_INPUTS:
        return _invalid("input", f"'input' holds more than {MAX_INPUTS} texts.")
    if kinds != {int} and not all(cast(list[str | list[int]], wanted.input)):
        return _invalid("input", "'input' must not hold empty texts.")
    return None


def _call(body: bytes, fields: Fields, wanted: _Body) -> Call | Malformed:
    tier = read_service_tier(fields)
    if isinstance(tier, Malformed):
        return tier
    dimensions = () if wanted.dimensions is None else (("dimensions", str(wanted.dimensions)),)
    return Call(
        body=body,
        fields=fields,
        model=wanted.model,
        input_bytes=len(body) + TEMPLATE_TOKENS,
        at_most=_INPUT_ONLY,
        has_output=False,
        service_tier=tier,
        parameters=dimensions,
        end_user=wanted.user,
        sticky=b"",
    )


def _invalid(param: str, message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)
