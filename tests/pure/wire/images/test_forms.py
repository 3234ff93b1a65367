"""Edits and variations: what a form is read as, what is refused, and that only the model's name changes on its way."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.forms import CONTENT_TYPE, END
from tests.support.image_forms import PNG, image_form

from farebox.tariff.meters import Meter
from farebox.upstream.sandbox_images import png
from farebox.wire.call import Call, ChannelBody, Malformed, raw
from farebox.wire.images.dialect import ImageEdits, ImageVariations

EDITS = ImageEdits().reading([CONTENT_TYPE.encode()])
VARIATIONS = ImageVariations().reading([CONTENT_TYPE.encode()])
ASKED = {"model": "m", "prompt": "a cat"}


def call(fields: dict[str, str], *files: tuple[str, bytes]) -> Call:
    read = EDITS.parse(image_form({**ASKED, **fields}, *files))
    assert isinstance(read, Call), read
    return read


def test_an_edit_is_bounded_like_an_image_from_a_prompt_and_by_what_is_given() -> None:
    one, two = call({}), call({}, ("image[]", PNG), ("image[]", PNG), ("mask", PNG))
    assert (one.media_tokens, two.media_tokens) == (6_821, 2 * 6_821 + 581)
    assert call({"input_fidelity": "low"}).media_tokens == 581
    assert two.at_most[Meter.INPUT_IMAGE] == two.media_tokens
    assert (one.choices, one.output_limit, one.held_whole) == (1, 17_500, True)
    assert one.input_bytes < 400, "an image is no text"
    many = call({"n": "3", "size": "1024x1024", "quality": "high"})
    assert (many.choices, many.output_limit) == (3, 10_000)
    assert dict(many.parameters) == {"size": "1024x1024", "quality": "high", "resolution": "1K"}
    assert call({"stream": "True", "partial_images": "2"}).output_limit == 17_700


def test_a_variation_has_no_prompt() -> None:
    read = VARIATIONS.parse(image_form({"model": "m", "n": "2"}))
    assert isinstance(read, Call)
    assert (read.choices, VARIATIONS.text_of(read)) == (2, "")


@given(content=st.binary(max_size=300), model=st.text(alphabet="abc-./:", min_size=1, max_size=30))
def test_only_the_model_changes_on_its_way(content: bytes, model: str) -> None:
    body = image_form({**ASKED, "unknown": "m"}, ("image", PNG + content))
    asked = EDITS.parse(body)
    assert isinstance(asked, Call)
    assert EDITS.forward(asked, upstream_model="m") is body
    assert EDITS.forward(asked, upstream_model="m", output_limit=1) is body
    sent = EDITS.forward(asked, upstream_model=model)
    assert sent == body.replace(b'name="model"\r\n\r\nm\r\n', b'name="model"\r\n\r\n%b\r\n' % model.encode(), 1)


def test_no_override_undoes_what_the_hold_relies_on() -> None:
    channel = ChannelBody(
        overrides={"n": raw(9), "moderation": raw("low"), "image": raw("x")}, safety_identifier="hash"
    )
    sent = EDITS.forward(call({"user": "me"}), upstream_model="m", channel=channel)
    assert b'name="user"\r\n\r\nhash\r\n' in sent
    assert b'name="moderation"\r\n\r\nlow\r\n' in sent
    assert b'name="n"' not in sent
    assert sent.count(b'name="image"') == 1


BAD: list[tuple[dict[str, str], tuple[tuple[str, bytes], ...], str, str, str]] = [
    # fields                 files                               type          param              code
    ({"n": "11"},            (),                                 "image/png", "n",               "invalid_parameter"),
    ({"n": "0"},             (),                                 "image/png", "n",               "invalid_parameter"),
    ({"n": "two"},           (),                                 "image/png", "n",               "invalid_parameter"),
    ({"n": "\u0663"},        (),                                 "image/png", "n",               "invalid_parameter"),
    ({"size": "9x99999"},    (),                                 "image/png", "size",            "invalid_parameter"),
    ({"prompt": ""},         (),                                 "image/png", "prompt",          "missing_parameter"),
    ({"model": ""},          (),                                 "image/png", "model",           "missing_parameter"),
    ({"stream": "maybe"},    (),                                 "image/png", "stream",          "invalid_parameter"),
    ({"stream": "true", "n": "2"}, (),                           "image/png", "n",               "invalid_parameter"),
    ({"service_tier": "flex"}, (),                               "image/png", "service_tier",    "invalid_parameter"),
    ({"image": "cat.png"},   (("mask", PNG),),                   "image/png", "image",           "missing_parameter"),
    ({"mask": "text"},       (("image", PNG),),                  "image/png", "mask",            "invalid_parameter"),
    ({},                     (("mask", PNG),),                   "image/png", "image",           "missing_parameter"),
    ({},                     (("image", b"a cat"),),             "image/png", "image",           "invalid_parameter"),
    ({},                     (("image", b""),),                  "image/png", "image",           "invalid_parameter"),
    ({},                     (("image", PNG[:20]),),             "image/png", "image",           "invalid_parameter"),
    ({},                     (("image", PNG),),                  "text/plain", "image", "unsupported_media_type"),
    ({},                     (("image", png(17_000, 1, b"a")),), "image/png",  "image",           "file_too_large"),
    ({},                     (("image", PNG), ("n", b"10")),     "image/png", "n",               "invalid_parameter"),
    ({},                     (("image", PNG), ("mask", b"GIF89a" + struct.pack("<HH", 64, 48))), "image/png", "mask",
                                                                                                  "invalid_parameter"),
    ({},                     (("image[]", PNG),) * 17,           "image/png", "image",           "invalid_parameter"),
    ({},                     (("image", PNG),) * 2,              "image/png", "image",           "invalid_parameter"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "files", "kind", "param", "code"), BAD)
def test_bad_input_names_its_field(
    fields: dict[str, str], files: tuple[tuple[str, bytes], ...], kind: str, param: str, code: str
) -> None:
    read = EDITS.parse(image_form({**ASKED, **fields}, *files, content_type=kind))
    assert isinstance(read, Malformed)
    assert (read.param, read.code.value) == (param, code)


def test_what_is_no_form_is_told_so() -> None:
    whole = image_form(ASKED)
    for kind, body, code in (
        (b"application/json", whole, "unsupported_media_type"),
        (b"multipart/form-data; boundary=another", whole, "invalid_parameter"),
        (CONTENT_TYPE.encode(), whole.removesuffix(END), "invalid_parameter"),
        (CONTENT_TYPE.encode(), whole + b"more", "invalid_parameter"),
        (CONTENT_TYPE.encode(), b"{}", "invalid_parameter"),
    ):
        read = ImageEdits().reading([kind]).parse(body)
        assert isinstance(read, Malformed)
        assert read.code.value == code
