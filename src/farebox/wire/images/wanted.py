"""What an images call asks for, read alike from JSON and from a form, as a `Call` with all its bounds (Law 1).

An image has no output limit a caller could name: how much it comes to follows from its size and quality, so the hold
covers all of it or the call is refused. Cards price images by the call, by the image or by tokens; the call carries
bounds for all three (`Call.sold_by`).
"""

from __future__ import annotations

import msgspec

from farebox.tariff.meters import Meter
from farebox.wire.call import TEMPLATE_TOKENS, Call, Fields, Malformed, MalformedCode
from farebox.wire.images.canvas import PARTIAL_TOKENS, Canvas, read_canvas

MOST_IMAGES = 10
MOST_PARTIAL = 3
MOST_PROMPT = 32_000
INPUT_IMAGE_TOKENS = 6_821
"""An image given as input at most: 65 + 4 tiles of 129 once it is scaled down to a short side of 512, and 6,240 more
where its details are to be kept, which the newest models always do."""
INPUT_IMAGE_TOKENS_LOW = 581
"""The same where details need not be kept, and of a mask."""

FORMATS = (None, "url", "b64_json")


class Wanted(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The fields that matter, whichever way they were written."""

    model: str
    prompt: str = ""
    n: int = 1
    size: str | None = None
    quality: str | None = None
    resolution: str | None = None
    response_format: str | None = None
    stream: bool = False
    partial_images: int = 0
    user: str | None = None
    input_tokens: int = 0
    """Of the images given, at most."""


def call_of(body: bytes, fields: Fields, wanted: Wanted, *, text_bytes: int) -> Call | Malformed:
    """The call. `text_bytes` bounds the tokens of what is text in the body."""
    canvas = read_canvas(wanted.size, wanted.quality, wanted.resolution)
    if isinstance(canvas, str):
        return invalid(canvas, _SAID[canvas])
    problem = _refuse(wanted)
    if problem is not None:
        return problem
    partial = wanted.partial_images * PARTIAL_TOKENS
    return Call(
        body=body,
        fields=fields,
        model=wanted.model,
        stream=wanted.stream,
        choices=wanted.n,
        output_limit=canvas.tokens_most + partial,
        held_whole=True,
        typical=(Meter.OUTPUT_IMAGE, canvas.tokens_likely + partial),
        input_bytes=text_bytes + TEMPLATE_TOKENS,
        media_tokens=wanted.input_tokens,
        at_most=_at_most(wanted),
        units=((Meter.IMAGES, wanted.n),),
        either=(Meter.IMAGES, Meter.INPUT, Meter.OUTPUT),
        parameters=_parameters(canvas),
        end_user=wanted.user,
    )


def invalid(param: str, message: str) -> Malformed:
    """The refusal of one field."""
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)


def _refuse(wanted: Wanted) -> Malformed | None:
    if wanted.response_format not in FORMATS:
        return invalid("response_format", "'response_format' must be 'url' or 'b64_json'.")
    if not 1 <= wanted.n <= MOST_IMAGES:
        return invalid("n", f"'n' must be a whole number from 1 to {MOST_IMAGES}.")
    if not 0 <= wanted.partial_images <= MOST_PARTIAL:
        return invalid("partial_images", f"'partial_images' must be a whole number from 0 to {MOST_PARTIAL}.")
    if wanted.stream and wanted.n > 1:
        return invalid("n", "A stream makes one image: its usage is told once. Leave 'n' out, or do not stream.")
    if len(wanted.prompt) > MOST_PROMPT:
        return invalid("prompt", f"'prompt' is longer than {MOST_PROMPT} characters.")
    return None


def _at_most(wanted: Wanted) -> dict[Meter, int]:
    given = {Meter.INPUT_IMAGE: wanted.input_tokens, Meter.CACHED_IMAGE: wanted.input_tokens}
    return _NEVER | given | {Meter.IMAGES: wanted.n}


def _parameters(canvas: Canvas) -> tuple[tuple[str, str], ...]:
    return (("quality", canvas.quality), ("resolution", canvas.resolution), ("size", canvas.size))


_NEVER = dict.fromkeys(
    (
        Meter.INPUT_AUDIO,
        Meter.CACHED_AUDIO,
        Meter.INPUT_VIDEO,
        Meter.OUTPUT_AUDIO,
        Meter.OUTPUT_VIDEO,
        Meter.CACHE_WRITE_5M,
        Meter.CACHE_WRITE_1H,
    ),
    0,
)
"""What no call for images can be charged."""
_SAID = {
    "size": "'size' must be 'auto' or WIDTHxHEIGHT, such as 1024x1024; at most 8192 pixels a side, 4096x4096 in all.",
    "quality": "'quality' must be a word such as auto, low, medium, high, standard or hd.",
    "resolution": "'resolution' must be a word such as 1K, 2K or 4K.",
}
