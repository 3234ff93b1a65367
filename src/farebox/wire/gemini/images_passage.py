"""Images asked for in OpenAI's words, made by a channel that speaks Gemini.

A prompt goes out as `generateContent` that may answer with images; the images of its answer come back as base64, which
is all Google gives. It draws one at a time. Of a size the nearest of its proportions and its steps are asked for; how
well to draw is not a question it knows. What it thinks with images on the way is neither shown nor counted as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from farebox.tariff.meters import Usage, input_tokens, output_tokens
from farebox.wire import openai_errors
from farebox.wire.call import ABSENT, PLAIN_BODY, Call, ChannelBody, Fields, Malformed, is_present, text_field
from farebox.wire.gemini import answer
from farebox.wire.gemini import usage as gemini_usage
from farebox.wire.gemini.forward import CONFIG, chat_path
from farebox.wire.gemini.stream import GeminiMeter
from farebox.wire.images.answer import tokens_of, usage_for
from farebox.wire.images.canvas import Canvas, read_canvas
from farebox.wire.images.wanted import invalid
from farebox.wire.openai_answer import Answer
from farebox.wire.openai_errors import UpstreamError
from farebox.wire.output import OutputText
from farebox.wire.usage import Convention

RATIOS = ((1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (4, 5), (5, 4), (9, 16), (16, 9), (21, 9))
"""The proportions Google draws in."""
STEPS = frozenset({"2K", "4K"})
"""What must be asked for; the smallest step is the default, and older models know no other."""


class _Inline(msgspec.Struct, gc=False, rename="camel"):
    data: msgspec.Raw = ABSENT
    mime_type: str = "image/png"


class _Part(msgspec.Struct, gc=False, rename="camel"):
    inline_data: _Inline | None = None
    thought: bool = False


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] = []


class _Candidate(msgspec.Struct, gc=False):
    content: _Content | None = None


class _Answer(msgspec.Struct, gc=False):
    candidates: list[_Candidate] = []


_encode = msgspec.json.Encoder().encode
_read_answer = msgspec.json.Decoder(_Answer).decode
_read_fields = msgspec.json.Decoder(Fields).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ImagesOnGemini:
    """A caller of OpenAI's images, a channel that speaks Gemini."""

    convention: Convention = gemini_usage.GEMINI

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        return chat_path(upstream_model, stream=False)

    def objection(self, call: Call) -> Malformed | None:
        """More than one image, a stream, and images given by reference."""
        if call.choices > 1:
            return invalid("n", "This model is served by a provider that makes one image at a time: 'n' must be 1.")
        if call.stream:
            return invalid("stream", "This model is served by a provider that does not show an image as it is drawn.")
        if call.media_tokens:
            return invalid("image", "This model is served in another dialect, which cannot take images here.")
        return None

    def forward(
        self, call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
    ) -> bytes:
        """The prompt, and what the image is to be like. One candidate, whatever an override says (Law 1)."""
        config: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"]}
        drawn = _image_config(call)
        if drawn:
            config["imageConfig"] = drawn
        overrides = dict(channel.overrides)
        laid = _read_fields(overrides.pop(CONFIG)) if CONFIG in overrides else {}
        laid.pop("candidateCount", None)
        laid.pop("imageConfig", None)
        contents = [{"role": "user", "parts": [{"text": text_field(call.fields, "prompt")}]}]
        return _encode({**overrides, "contents": contents, CONFIG: config | laid})

    def meter(self, call: Call) -> GeminiMeter:
        """Never streamed."""
        return GeminiMeter(call)

    def read_answer(self, body: bytes, call: Call) -> Answer | None:
        """The images as OpenAI lists them; none at all, and free, where the model had but words."""
        read = answer.read_answer(body, call)
        try:
            images = _images_in(_read_answer(body))
        except _UNREADABLE:
            return None
        if read is None:
            return None
        output = OutputText()
        output.add_images(len(images), tokens=len(images) * tokens_of(call))
        rows = [{"b64_json": image.data} for image in images]

        def render(charged: Usage) -> bytes:
            shown: dict[str, Any] = {"created": call.asked_s, "data": rows}
            if images:
                shown["output_format"] = images[0].mime_type.removeprefix("image/")
            if call.has_output:
                shown["usage"] = _usage_shown(charged)
            return _encode(shown)

        stated = usage_for(call, ABSENT if read.usage is None else read.usage)
        return msgspec.structs.replace(read, usage=stated, finish_reasons={}, output=output, render=render)

    def read_upstream_error(self, body: bytes, *, names: Mapping[str, str] | None = None) -> UpstreamError:
        """Errors of every dialect are read by the same reader."""
        return openai_errors.read_upstream_error(body, names=names)


IMAGES: Mapping[tuple[str, str], ImagesOnGemini] = {("image_generations", "gemini"): ImagesOnGemini()}
"""By the caller's dialect and the channel's."""


def _image_config(call: Call) -> dict[str, str]:
    """Proportions and step, where the caller named a size."""
    size = text_field(call.fields, "size")
    canvas = read_canvas(size, None)
    config: dict[str, str] = {}
    if isinstance(canvas, Canvas) and canvas.width and canvas.height:
        config["aspectRatio"] = _nearest(canvas.width, canvas.height)
    elif size is not None and ":" in size:
        config["aspectRatio"] = size
    step = dict(call.parameters)["resolution"].upper()
    return config | {"imageSize": step} if step in STEPS else config


def _nearest(width: int, height: int) -> str:
    """The proportions of which one side is wrong by the least part."""

    def apart(ratio: tuple[int, int]) -> int:
        ours, theirs = width * ratio[1], height * ratio[0]
        return max(ours, theirs) * 1_000_000 // min(ours, theirs)

    wide, high = min(RATIOS, key=apart)
    return f"{wide}:{high}"


def _images_in(read: _Answer) -> list[_Inline]:
    parts = [part for candidate in read.candidates if candidate.content is not None for part in candidate.content.parts]
    inline = [part.inline_data for part in parts if part.inline_data is not None and not part.thought]
    return [image for image in inline if is_present(image.data) and image.mime_type.startswith("image/")]


def _usage_shown(charged: Usage) -> dict[str, int]:
    given, made = input_tokens(charged), output_tokens(charged)
    return {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
