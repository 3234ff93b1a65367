"""Whatever callers and providers send of images is read or refused, and never raises."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.forms import CONTENT_TYPE
from tests.support.image_forms import PNG, image_form

from farebox.faults import Fault
from farebox.wire.call import Call, Malformed
from farebox.wire.gemini.images_passage import ImagesOnGemini
from farebox.wire.images.answer import read_answer
from farebox.wire.images.dialect import ImageEdits
from farebox.wire.images.generations import forward, parse
from farebox.wire.images.stream import ImagesMeter
from farebox.wire.images.usage import IMAGES
from farebox.wire.usage import read_usage

JSON = b'{"model":"m","prompt":"a cat","n":2,"size":"1024x1024","image":["data:AA",{"image_url":"x"}],"user":"u"}'
FORM = image_form({"model": "m", "prompt": "a cat", "n": "2"}, ("image[]", PNG), ("mask", PNG))
ANSWER = b'{"created":1,"data":[{"b64_json":"QUFB"}],"size":"auto","usage":{"input_tokens":5,"output_tokens":9}}'
GEMINI = (
    b'{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"QUFB"}}]},"finishReason":"STOP"}],'
    b'"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":9,"totalTokenCount":14}}'
)
STREAM = (
    b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image","b64_json":"QUFB"}\n\n'
    b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":"QUFB",'
    b'"usage":{"input_tokens":5,"output_tokens":9,"total_tokens":14}}\n\n'
)
PIECES = st.sampled_from(
    [b"", b"null", b'"', b"{", b"}", b"[", b"-1", b"1e400", b"\\ud800", b"\xff", b"\r\n", b"[" * 2_000]
)
CHANGES = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 12), PIECES), min_size=1, max_size=3)


def changed(body: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, piece in changes:
        at = place % (len(body) + 1)
        body = body[:at] + piece + body[at + length :]
    return body


@given(CHANGES)
def test_no_body_breaks_the_reading_of_calls(changes: list[tuple[int, int, bytes]]) -> None:
    call = parse(changed(JSON, changes))
    if isinstance(call, Call):
        assert forward(call, upstream_model="up")
        passage = ImagesOnGemini()
        assert passage.objection(call) or passage.forward(call, upstream_model="up")
    dialect = ImageEdits().reading([CONTENT_TYPE.encode()])
    edit = dialect.parse(changed(FORM, changes))
    assert isinstance(edit, Malformed) or dialect.forward(edit, upstream_model="up")


@pytest.mark.parametrize("stream", [False, True])
@given(changes=CHANGES)
def test_no_answer_breaks_its_reading(stream: bool, changes: list[tuple[int, int, bytes]]) -> None:
    call = parse(b'{"model":"m","prompt":"a cat"}')
    assert isinstance(call, Call)
    if not stream:
        for answer in (read_answer(changed(ANSWER, changes), call), read_answer(changed(GEMINI, changes), call)):
            if answer is not None and answer.usage is not None:
                read_usage(answer.usage, IMAGES)
        ImagesOnGemini().read_answer(changed(GEMINI, changes), call)
        return
    meter = ImagesMeter(call)
    with contextlib.suppress(Fault):
        meter.feed(changed(STREAM, changes))
        meter.end()
    if meter.finished:
        assert meter.finish("0.1")
    assert meter.cut_short("0.1")
