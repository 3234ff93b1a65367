"""`/v1/images/generations`: a JSON body becomes a `Call`. `parse` never raises.

Some providers take images beside the prompt here, as addresses or base64; they are bounded by formula for each, and
what is base64 does not count as text.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

import msgspec

from farebox.wire.call import MAX_MODEL_LENGTH, PLAIN_BODY, Call, ChannelBody, Fields, Malformed, raw
from farebox.wire.images.price_fields import GENERATIONS
from farebox.wire.images.wanted import INPUT_IMAGE_TOKENS, Wanted, call_of, invalid
from farebox.wire.json_object import read_as, read_object
from farebox.wire.price_fields import refuse_fields, refused_names


class _Body(msgspec.Struct, frozen=True, gc=False):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_LENGTH)]
    prompt: Annotated[str, msgspec.Meta(min_length=1)]
    n: int | None = None
    size: str | None = None
    quality: str | None = None
    resolution: str | None = None
    response_format: str | None = None
    stream: bool | None = None
    partial_images: int | None = None
    user: str | None = None


_body = msgspec.json.Decoder(_Body)
_read_any = msgspec.json.Decoder(float_hook=str).decode
_encode = msgspec.json.Encoder().encode
_REFUSED = refused_names(GENERATIONS)
_GIVEN = (
    "image", "images", "image_url", "image_urls", "image_prompt", "input_image", "input_images", "input_image_2",
    "input_image_3", "input_image_4", "init_image", "reference_image", "reference_images", "mask", "mask_url",
)  # fmt: skip
"""Fields by which one provider or another takes images here."""
HELD_BY = frozenset({"n", "size", "quality", "resolution", "stream", "partial_images"})
"""Fields the hold relies on: no override can change them (Law 1)."""


def parse(body: bytes) -> Call | Malformed:
    """Read a request for images of at most 32 MB. Never raises."""
    fields = read_object(body)
    if isinstance(fields, Malformed):
        return fields
    read = read_as(body, _body)
    if isinstance(read, Malformed):
        return read
    references = _references(fields)
    if isinstance(references, Malformed):
        return references
    count, payload = references
    wanted = Wanted(
        model=read.model,
        prompt=read.prompt,
        n=1 if read.n is None else read.n,
        size=read.size,
        quality=read.quality,
        resolution=read.resolution,
        response_format=read.response_format,
        stream=read.stream or False,
        partial_images=read.partial_images or 0,
        user=read.user,
        input_tokens=count * INPUT_IMAGE_TOKENS,
    )
    return refuse_fields(fields, _REFUSED) or call_of(body, fields, wanted, text_bytes=len(body) - payload)


def forward(
    call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
) -> bytes:
    """The body for a channel. There is no limit to write: the hold covers the whole of the output."""
    changes: Fields = {name: value for name, value in channel.overrides.items() if name not in HELD_BY}
    if upstream_model != call.model:
        changes["model"] = raw(upstream_model)
    if channel.safety_identifier is not None:
        changes["user"] = raw(channel.safety_identifier)
    return _encode(call.fields | changes) if changes else call.body


def _references(fields: Fields) -> tuple[int, int] | Malformed:
    """How many images are given, and the bytes of the body they are written in."""
    count = size = 0
    for name in _GIVEN:
        if name in fields:
            try:
                strings = _strings_in(_read_any(fields[name]))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return invalid(name, f"'{name}' cannot be read.")
            count += len(strings)
            size += sum(map(len, strings))
    return count, size


def _strings_in(root: Any) -> list[str]:
    found: list[str] = []
    waiting: list[Any] = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            waiting.extend(cast("list[Any]", value))
        elif isinstance(value, dict):
            waiting.extend(cast("dict[str, Any]", value).values())
    return found
