"""The three images endpoints as dialects."""

from __future__ import annotations

from farebox.tariff.meters import Meter
from farebox.wire import openai_errors
from farebox.wire.call import Call, text_field
from farebox.wire.images import answer, generations, price_fields
from farebox.wire.images.forms import ImageForm
from farebox.wire.images.stream import ImagesMeter
from farebox.wire.images.usage import IMAGES


class _Images:
    """What the three share."""

    path: str
    at = ""
    ping = b": ping\n\n"
    resource = "images"
    convention = IMAGES
    read_answer = staticmethod(answer.read_answer)
    render_error = staticmethod(openai_errors.render)
    read_upstream_error = staticmethod(openai_errors.read_upstream_error)

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        return self.path.removeprefix("/v1")

    def text_of(self, call: Call) -> str:
        """The prompt, where the card counts it; a variation has none."""
        return text_field(call.fields, "prompt") or "" if call.at_most.get(Meter.INPUT) != 0 else ""

    def tokens_beside_text(self, call: Call) -> int:
        """None: a prompt has no template."""
        return 0

    def meter(self, call: Call) -> ImagesMeter:
        return ImagesMeter(call)


class ImageGenerations(_Images):
    name = "image_generations"
    path = "/v1/images/generations"
    price_fields = price_fields.GENERATIONS
    parse = staticmethod(generations.parse)
    forward = staticmethod(generations.forward)


class ImageEdits(ImageForm, _Images):
    name = "image_edits"
    path = "/v1/images/edits"
    price_fields = price_fields.EDITS
    takes_prompt = True


class ImageVariations(ImageForm, _Images):
    name = "image_variations"
    path = "/v1/images/variations"
    price_fields = price_fields.VARIATIONS
    takes_prompt = False
