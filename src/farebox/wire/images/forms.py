"""`/v1/images/edits` and `/v1/images/variations`: a form becomes a `Call`, and goes on with another model in it.

The files are looked at by their first bytes and never decoded: what is no image, and what would unpack to more pixels
than anybody edits, is refused before anything is held. Nothing else of the form changes on its way.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from farebox.wire.call import (
    MAX_MODEL_LENGTH,
    PLAIN_BODY,
    Call,
    ChannelBody,
    Fields,
    Malformed,
    MalformedCode,
    raw,
)
from farebox.wire.form import Form, FormDialect, Part
from farebox.wire.images.generations import HELD_BY
from farebox.wire.images.picture import look
from farebox.wire.images.wanted import INPUT_IMAGE_TOKENS, INPUT_IMAGE_TOKENS_LOW, Wanted, call_of, invalid
from farebox.wire.multipart import Limits
from farebox.wire.price_fields import PriceField, refuse_fields, refused_names

MOST_IMAGES_GIVEN = 16
MOST_INPUT_PIXELS = 8192 * 8192
LONGEST_INPUT_SIDE = 16_384
IMAGES = ("image", "image[]")
MASK = "mask"
FORM_LIMITS = Limits(field_bytes=256 * 1024)

_TYPES = frozenset(
    {None, "image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif", "application/octet-stream"}
)
_WORDS = {"true": True, "false": False}


class ImageForm(FormDialect):
    """What the two forms share; a mixin of their dialects."""

    form_limits = FORM_LIMITS
    price_fields: tuple[PriceField, ...]
    takes_prompt: bool

    def parse(self, body: bytes) -> Call | Malformed:
        """Read a form of at most 32 MB. Never raises."""
        form = self.read_form(body)
        if isinstance(form, Malformed):
            return form
        fields: Fields = {
            part.head.name: raw(form.text(part.head.name)) for part in form.parts if part.head.filename is None
        }
        wanted = refuse_fields(fields, refused_names(self.price_fields)) or self._wanted(form)
        if isinstance(wanted, Malformed):
            return wanted
        text_bytes = sum([part.end - part.start for part in form.parts if part.head.filename is None])
        return call_of(body, fields, wanted, text_bytes=text_bytes)

    def forward(
        self, call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
    ) -> bytes:
        """The form for a channel: the model's name and what the operator sets, under the same boundary."""
        kept = {*HELD_BY, *IMAGES, MASK, "prompt"}
        changes = {name: _as_text(value) for name, value in channel.overrides.items() if name not in kept}
        if upstream_model != call.model:
            changes["model"] = upstream_model
        if channel.safety_identifier is not None:
            changes["user"] = channel.safety_identifier
        form = self.read_form(call.body) if changes else None
        return form.rewritten(changes) if isinstance(form, Form) else call.body

    def _wanted(self, form: Form) -> Wanted | Malformed:
        model = form.text("model")
        if not model:
            return _missing("model")
        if len(model) > MAX_MODEL_LENGTH:
            return invalid("model", "'model' is too long.")
        prompt = form.text("prompt")
        if self.takes_prompt and not prompt:
            return _missing("prompt")
        numbers = _numbers(form, n=1, partial_images=0)
        stream = _WORDS.get((form.text("stream") or "false").lower())
        if isinstance(numbers, Malformed):
            return numbers
        if stream is None or (stream and not self.takes_prompt):
            return invalid("stream", "'stream' must be true or false; variations are not streamed.")
        given = _given(form)
        if isinstance(given, Malformed):
            return given
        return Wanted(
            model=model,
            prompt=prompt or "",
            n=numbers["n"],
            size=form.text("size"),
            quality=form.text("quality"),
            resolution=form.text("resolution"),
            response_format=form.text("response_format"),
            stream=stream,
            partial_images=numbers["partial_images"],
            user=form.text("user"),
            input_tokens=given,
        )


def _numbers(form: Form, **defaults: int) -> dict[str, int] | Malformed:
    found: dict[str, int] = {}
    for name, default in defaults.items():
        text = form.text(name)
        if text is not None and not (text.isascii() and text.isdigit() and len(text) <= 3):
            return invalid(name, f"'{name}' must be a whole number.")
        found[name] = default if text is None else int(text)
    return found


def _given(form: Form) -> int | Malformed:
    """The most tokens the images of the form can count as."""
    images, masks = form.files(*IMAGES), form.files(MASK)
    if not images:
        return _missing("image")
    if len(images) > MOST_IMAGES_GIVEN:
        return invalid("image", f"There are more than {MOST_IMAGES_GIVEN} images.")
    problem = next(_problems(form), None)
    if problem is not None:
        return problem
    each = INPUT_IMAGE_TOKENS_LOW if form.text("input_fidelity") == "low" else INPUT_IMAGE_TOKENS
    return each * len(images) + INPUT_IMAGE_TOKENS_LOW * len(masks)


def _problems(form: Form) -> Iterator[Malformed]:
    """What is wrong with parts: files where there are none, fields where there are files, files that are no images."""
    for part in form.parts:
        name, is_file = part.head.name, part.head.filename is not None
        if is_file is not (name in (*IMAGES, MASK)):
            kind = "a field, not a file" if is_file else "a file with a name"
            yield invalid(name[:64], f"'{name[:64]}' must be {kind}.")
        elif is_file:
            problem = _problem_of(part, form)
            if problem is not None:
                yield problem


def _problem_of(part: Part, form: Form) -> Malformed | None:
    name = part.head.name
    if part.head.content_type not in _TYPES:
        message = f"'{name}' must be a PNG, JPEG, WebP or GIF image, by its content type too."
        return Malformed(MalformedCode.UNSUPPORTED_MEDIA_TYPE, message, name)
    picture = look(form.content(part))
    if picture is None:
        return invalid(name, f"'{name}' is no PNG, JPEG, WebP or GIF image, or does not say how large it is.")
    if name == MASK and picture.media_type != "image/png":
        return invalid(name, "'mask' must be a PNG image: where it is transparent, the image is edited.")
    if picture.pixels > MOST_INPUT_PIXELS or max(picture.width, picture.height) > LONGEST_INPUT_SIDE:
        most = f"{LONGEST_INPUT_SIDE} pixels a side and {MOST_INPUT_PIXELS // 1_000_000} million in all"
        message = f"'{name}' has {picture.width}x{picture.height} pixels. At most {most} are accepted."
        return Malformed(MalformedCode.FILE_TOO_LARGE, message, name)
    return None


def _missing(name: str) -> Malformed:
    return Malformed(MalformedCode.MISSING_PARAMETER, f"Missing required parameter: '{name}'.", name)


def _as_text(value: msgspec.Raw) -> str:
    """A value the operator set, as a form writes it: texts as they are, everything else as JSON."""
    written = bytes(value)
    return msgspec.json.decode(written, type=str) if written.startswith(b'"') else written.decode()
