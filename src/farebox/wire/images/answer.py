"""Reads a buffered answer with images: how many came, and what was used.

The body enters as it came and leaves so. `None` instead says that it is no answer of this dialect. Never raises.
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT, Call, is_present, text_field
from farebox.wire.images.canvas import Canvas, read_canvas
from farebox.wire.openai_answer import Answer, with_name
from farebox.wire.output import OutputText
from farebox.wire.payloads import UNREADABLE


class _Image(msgspec.Struct, gc=False):
    b64_json: msgspec.Raw = ABSENT
    url: msgspec.Raw = ABSENT

    @property
    def came(self) -> bool:
        return any(is_present(value) and bytes(value) != b'""' for value in (self.url, self.b64_json))


class _Images(msgspec.Struct, gc=False):
    """OpenAI and most others say `data`, some say `images`."""

    data: list[_Image] | None = None
    images: list[_Image] | None = None
    model: str | None = None
    size: msgspec.Raw = ABSENT
    quality: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_read_images = msgspec.json.Decoder(_Images).decode


def read_answer(body: bytes, call: Call) -> Answer | None:
    """Read an answer; the images are counted and not looked at. None if it is an error or something else."""
    try:
        read = _read_images(body)
    except UNREADABLE:
        return None
    listed = read.data if read.data is not None else read.images
    if is_present(read.error) or listed is None:
        return None
    delivered = sum([image.came for image in listed])
    output = OutputText()
    output.add_images(delivered, tokens=delivered * tokens_of(call, read.size, read.quality))
    return Answer(
        body=with_name(body, read.model, call.model),
        usage=usage_for(call, read.usage),
        finish_reasons={},
        service_tier=None,
        output=output,
    )


def usage_for(call: Call, stated: msgspec.Raw) -> msgspec.Raw | None:
    """The usage that was stated, where the card counts tokens."""
    return stated if call.has_output and is_present(stated) else None


def tokens_of(call: Call, size: msgspec.Raw = ABSENT, quality: msgspec.Raw = ABSENT) -> int:
    """Output tokens to count for one image where none are reported: by what was made, as far as that is said."""
    asked, said = dict(call.parameters), {"size": size, "quality": quality}
    made = read_canvas(text_field(said, "size") or asked["size"], text_field(said, "quality") or asked["quality"])
    likely = made.tokens_likely if isinstance(made, Canvas) else call.typical[1]
    return likely if call.output_limit is None else min(likely, call.output_limit)
