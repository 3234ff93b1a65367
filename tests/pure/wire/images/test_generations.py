"""Images asked for in JSON: bounds, what goes upstream, and streams cut anywhere."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import written

from farebox.relay.prepare import bounds_of, output_held_whole
from farebox.tariff.compiled import CompiledCard, Method
from farebox.tariff.conditions import Circumstances, Prospect
from farebox.tariff.estimate import Estimate, estimate
from farebox.tariff.meters import Meter, Usage
from farebox.tariff.rate import amount_of
from farebox.tariff.rate_card import RateCard
from farebox.wire.call import Call, ChannelBody, raw
from farebox.wire.images.answer import read_answer
from farebox.wire.images.generations import forward, parse
from farebox.wire.images.stream import ImagesMeter
from farebox.wire.images.usage import IMAGES
from farebox.wire.images.wanted import INPUT_IMAGE_TOKENS
from farebox.wire.usage import ReportedUsage, check_bounds, read_usage

CARD = CompiledCard(RateCard(rates={Meter.INPUT: "5", Meter.OUTPUT: "10", Meter.OUTPUT_IMAGE: "32"}), "card")


def call(**body: Any) -> Call:
    read = parse(written({"model": "m", "prompt": "a cat", **body}))
    assert isinstance(read, Call), read
    return read


class _Model:
    context_length = 32_000
    max_output_tokens = None


class _Priced:
    model = _Model()


@given(
    n=st.integers(1, 10),
    size=st.sampled_from([None, "auto", "1024x1024", "1536x1024", "2048x2048"]),
    quality=st.sampled_from([None, "low", "medium", "high", "hd", "auto"]),
    text=st.integers(0, 300),
    made=st.integers(0, 200_000),
    part=st.integers(0, 200_000),
)
def test_law_1_what_is_held_covers_all_that_can_be_reported(
    n: int, size: str | None, quality: str | None, text: int, made: int, part: int
) -> None:
    asked = call(n=n, **({"size": size} if size else {}), **({"quality": quality} if quality else {}))
    asked = asked.sold_by(CARD.base_rates)
    priced: Any = _Priced()
    bounds = bounds_of(asked, priced)
    worst = estimate(CARD, method=Method.TOKENS, prospect=Prospect(False), bounds=bounds)
    assert isinstance(worst, Estimate)
    most = output_held_whole(asked, worst)
    stated = {"input_tokens": text, "output_tokens": made, "output_tokens_details": {"text_tokens": min(part, made)}}
    read = read_usage(written(stated), IMAGES)
    assert isinstance(read, ReportedUsage)
    if check_bounds(read, input_most=bounds.input_tokens, output_most=most, at_most=asked.at_most) is None:
        charge = amount_of(CARD, usage=Usage(read.meters), circumstances=Circumstances(0))
        assert isinstance(charge, int)
        assert charge <= worst.price(most)


def test_images_given_are_bounded_by_formula_and_not_as_text() -> None:
    plain, given_one = call(), call(image="data:image/png;base64," + "A" * 5_000)
    assert given_one.media_tokens == INPUT_IMAGE_TOKENS
    assert given_one.input_bytes < plain.input_bytes + 100
    assert call(image_urls=["https://a.example/1", "https://a.example/2"]).media_tokens == 2 * INPUT_IMAGE_TOKENS
    assert call(images=[{"image_url": "https://a.example/1"}]).media_tokens == INPUT_IMAGE_TOKENS


def test_only_what_must_change_changes() -> None:
    asked = call(size="1024x1024", unknown={"a": 1.50})
    assert forward(asked, upstream_model="m") is asked.body
    assert forward(asked, upstream_model="m", output_limit=5) is asked.body
    sent = forward(asked, upstream_model="up")
    assert sent == asked.body.replace(b'"m"', b'"up"')


def test_no_override_undoes_what_the_hold_relies_on() -> None:
    channel = ChannelBody(
        overrides={"n": raw(9), "quality": raw("hd"), "moderation": raw("low"), "size": raw("4K")},
        safety_identifier="hash",
    )
    sent = json.loads(forward(call(n=2, user="me"), upstream_model="up", channel=channel))
    assert sent == {"model": "up", "prompt": "a cat", "n": 2, "user": "hash", "moderation": "low"}


STREAM = b"".join(
    b"event: %b\ndata: %b\n\n" % (kind.encode(), written({"type": kind, **payload}))
    for kind, payload in (
        ("image_generation.partial_image", {"b64_json": "QUFB", "partial_image_index": 0}),
        ("image_generation.partial_image", {"b64_json": "QUJB", "partial_image_index": 1}),
        (
            "image_generation.completed",
            {"b64_json": "QUNB", "usage": {"input_tokens": 5, "output_tokens": 1256, "total_tokens": 1261}},
        ),
    )
)


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=6))
def test_d39_any_cut_of_the_bytes_gives_the_same(cuts: list[int]) -> None:
    meter, passed = ImagesMeter(call(stream=True)), b""
    places = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(places):
        passed += meter.feed(STREAM[start:end])
    passed += meter.end()
    assert (meter.finished, meter.output.delivered) == (True, 1)
    assert msgspec.json.decode(meter.usage or b"") == {"input_tokens": 5, "output_tokens": 1256, "total_tokens": 1261}
    assert passed == STREAM[: STREAM.index(b"event: image_generation.completed")]
    tail = meter.finish("0.01")
    assert tail.startswith(b"event: image_generation.completed\ndata: ")
    assert json.loads(tail.partition(b"data: ")[2])["usage"]["cost"] == "0.01"


@pytest.mark.parametrize("field", ["n", "size", "quality"])
def test_defaults_of_the_public_interface_stand_where_cards_look(field: str) -> None:
    assert dict(call().parameters) == {"size": "1024x1024", "quality": "standard", "resolution": "1K"}
    assert call().choices == 1
    assert call(**{field: None}).parameters == call().parameters


@pytest.mark.parametrize("odd", [b'"size":5', b'"quality":null', b'"size":["auto"]', b'"size":"huge"'])
def test_an_odd_word_beside_an_image_does_not_hide_it(odd: bytes) -> None:
    asked = call()
    answer = read_answer(b'{"data":[{"b64_json":"QUFB"}],%b}' % odd, asked)
    assert answer is not None
    assert (answer.output.delivered, answer.output.dropped_bytes) == (1, 5_000)
    meter = ImagesMeter(asked)
    assert meter.feed(b'data: {"type":"image_generation.completed","b64_json":"QUFB",%b}\n\n' % odd) == b""
    assert (meter.finished, meter.output.delivered) == (True, 1)


def test_an_image_beside_names_that_are_no_text_still_comes() -> None:
    meter = ImagesMeter(call())
    end = b'{"type":"image_generation.completed","b64_json":"QUFB","\xff":1}'
    assert meter.feed(b"data: " + end + b"\n\n") == b""
    assert meter.finish("0.1") == b"event: image_generation.completed\ndata: " + end + b"\n\n"
