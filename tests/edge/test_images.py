"""Images, end to end against a scripted provider: by tokens, by the call and by the image, money exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import images_answers
from tests.support.gateway import Gateway, running_gateway
from tests.support.images_answers import PIXEL, usage
from tests.support.openai_answers import failure
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import model_for_sale, sell

from farebox.money import parse_credits
from farebox.tariff.conditions import When
from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import CallPrice, CallUnit, Override, RateCard

GENERATIONS = "/v1/images/generations"
BY_SIZE = RateCard(
    call_price=CallPrice("0.04", CallUnit.IMAGE, 8_000),
    overrides=(
        Override(When(parameters={"quality": "hd"}), call_price=CallPrice("0.08", CallUnit.IMAGE, 8_000)),
        Override(When(parameters={"size": "1792x1024"}), multiply="1.5"),
    ),
)
BY_IMAGE = RateCard(rates={Meter.IMAGES: "0.03"})
MODELS = {
    "gpt-image-1": "up", "gpt-image-1.5": "up", "gemini-3-pro-image-preview": "up", "flux-1.1-pro": "up", "sized": "up",
    "by-image": "up",
}  # fmt: skip
CARDS = {"sized": BY_SIZE, "by-image": BY_IMAGE}
CAT = {"prompt": "a cat"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(module_database: str, upstream: ScriptedUpstream) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        sell(gateway, *[model_for_sale(name, card) for name, card in CARDS.items()])
        gateway.channel(upstream.base_url, models=MODELS)
        yield gateway


@pytest.fixture(autouse=True)
def _forget(upstream: ScriptedUpstream) -> None:
    upstream.forget()


def charged(gateway: Gateway, model: str, **body: Any) -> tuple[Any, dict[str, Any]]:
    """The answer, and the receipt it leaves; what was charged was held."""
    who = gateway.customer(credits="10")
    answer = gateway.post(GENERATIONS, who, {"model": model, **CAT, **body})
    assert answer.status == 200, answer.body
    receipt = gateway.receipt(who, answer.headers["x-request-id"])
    assert parse_credits("10") - gateway.available(who) == parse_credits(receipt["charged"])
    assert parse_credits(receipt["charged"]) <= parse_credits(receipt["held"])
    assert gateway.held(who) == 0
    return answer, receipt


def lines(receipt: dict[str, Any]) -> dict[str, int]:
    return {line["meter"]: line["quantity"] for line in receipt["lines"] if line["quantity"]}


def test_an_image_by_tokens_is_charged_as_reported(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(images_answers.images(1, usage=usage(50, 4_160), size="1024x1024"))
    answer, receipt = charged(gateway, "gpt-image-1", size="1024x1024", quality="high")
    assert answer.json["data"] == [{"b64_json": PIXEL}]
    assert (receipt["reason"], receipt["charged"]) == ("provider", "0.16665")  # 50 × $5 and 4,160 × $40 a million
    assert lines(receipt) == {"input": 50, "output_image": 4_160}
    sent = upstream.seen[0]
    assert sent.path == "/images/generations"
    assert sent.json() == {"model": "up", **CAT, "size": "1024x1024", "quality": "high"}
    assert answer.headers["x-ratelimit-resource"] == "images"


def test_what_an_output_is_made_of_is_told_apart_where_it_is_stated(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    stated = usage(300, 1_100, images_given=200) | {"output_tokens_details": {"image_tokens": 1_056, "text_tokens": 44}}
    upstream.play(images_answers.images(1, usage=stated))
    _, receipt = charged(gateway, "gpt-image-1.5", image="https://example.com/cat.png")
    assert lines(receipt) == {"input": 100, "input_image": 200, "output": 44, "output_image": 1_056}
    assert receipt["charged"] == "0.036332"  # 100 × 5 + 200 × 8 + 44 × 10 + 1,056 × 32, a million


BY_CALL: list[tuple[str, dict[str, Any], str | None, int]] = [
    # model            body                                           charged  units
    ("nano-banana-pro", {},                                           "0.05",  1),
    ("flux-1.1-pro",    {"n": 3},                                     "0.12",  3),
    ("sized",           {},                                           "0.04",  1),
    ("sized",           {"size": "1024x1024", "quality": "standard"}, "0.04",  1),
    ("sized",           {"quality": "hd"},                            "0.08",  1),
    ("sized",           {"quality": "hd", "size": "1792x1024"},       "0.12",  1),
    ("sized",           {"size": "1792X1024"},                        None,    0),
    ("sized",           {"quality": "HD", "n": 10},                   "0.8",   10),
    ("by-image",        {"n": 4},                                     "0.12",  4),
]  # fmt: skip


@pytest.mark.parametrize(("model", "body", "price", "units"), BY_CALL)
def test_d29_every_image_is_charged_by_its_size_and_quality(
    gateway: Gateway, upstream: ScriptedUpstream, model: str, body: dict[str, Any], price: str | None, units: int
) -> None:
    upstream.play(images_answers.images(units, by="url"))
    if price is None:
        refused = gateway.post(GENERATIONS, gateway.customer(), {"model": model, **CAT, **body})
        assert (refused.status, refused.error["param"]) == (400, "size")
        return
    answer, receipt = charged(gateway, model, **body)
    assert (receipt["charged"], receipt["held"], receipt["reason"]) == (price, price, "provider")
    assert len(answer.json["data"]) == units
    assert [line["quantity"] for line in receipt["lines"]] == [units]


@pytest.mark.parametrize("model", ["flux-1.1-pro", "by-image"])
def test_d29_fewer_images_than_asked_are_charged_as_they_came(
    gateway: Gateway, upstream: ScriptedUpstream, model: str
) -> None:
    price = {"flux-1.1-pro": "0.04", "by-image": "0.03"}[model]
    for came, charged_for in ((2, 2), (6, 4)):
        upstream.play(images_answers.images(came))
        _, receipt = charged(gateway, model, n=4)
        assert parse_credits(receipt["charged"]) == charged_for * parse_credits(price)


@pytest.mark.parametrize("model", ["flux-1.1-pro", "by-image", "gpt-image-1"])
def test_d38_no_image_no_charge(gateway: Gateway, upstream: ScriptedUpstream, model: str) -> None:
    for answer, status in (
        (images_answers.images(0, usage=usage(50, 0)), 200),
        (images_answers.images(1, b64_json=None, data=[{"b64_json": None, "url": None}]), 200),
        (failure(400, "Your request was rejected by the safety system.", code="moderation_blocked"), 400),
    ):
        upstream.play(answer)
        who = gateway.customer(credits="10")
        got = gateway.post(GENERATIONS, who, {"model": model, **CAT})
        assert got.status == status
        assert gateway.available(who) == parse_credits("10")
        assert gateway.receipt(who, got.headers["x-request-id"])["charged"] == "0"


@pytest.mark.parametrize(
    ("stated", "flag"),
    [
        (None, "usage_missing"),
        (usage(50, 0), "usage_no_output_though_seen"),
        (usage(50, 40_000), "usage_more_output_than_limit"),
        (usage(50_000, 4_160), "usage_more_input_than_sent"),
        (usage(50, -1), "usage_negative"),
    ],
)
def test_d23_d28_usage_nobody_can_believe_is_counted_by_formula(
    gateway: Gateway, upstream: ScriptedUpstream, stated: dict[str, Any] | None, flag: str
) -> None:
    upstream.play(images_answers.images(2, usage=stated, size="1024x1024", quality="medium"))
    _, receipt = charged(gateway, "gpt-image-1", n=2)
    assert (receipt["reason"], receipt["flags"]) == ("counted", [flag])
    assert receipt["usage"]["output_image"] == 2 * 5_000


def test_a_hold_is_whole_or_refused(gateway: Gateway) -> None:
    """Nothing in the body could tell a provider to draw less than it was asked to."""
    who = gateway.customer(credits="0.5")
    refused = gateway.post(GENERATIONS, who, {"model": "gpt-image-1", **CAT, "quality": "high"})
    assert (refused.status, refused.error["code"]) == (402, "insufficient_credits")
    assert refused.error["required"] == "0.70129"  # 17,500 × $40 and 258 × $5 a million


def test_a_stream_shows_the_way_and_charges_before_the_image(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(images_answers.images_stream(partial=2, usage=usage(50, 1_256)))
    answer, receipt = charged(gateway, "gpt-image-1", stream=True, partial_images=2)
    events = [line.removeprefix(b"event: ") for line in answer.body.splitlines() if line.startswith(b"event: ")]
    assert events == [b"image_generation.partial_image"] * 2 + [b"image_generation.completed"]
    assert b'"cost":"' + receipt["charged"].encode() + b'"' in answer.body
    assert (receipt["reason"], lines(receipt)) == ("provider", {"input": 50, "output_image": 1_256})


def test_d22_a_stream_that_fails_is_free_and_says_so(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    for broken in (images_answers.error_stream(), images_answers.images_stream(partial=2).cut(500)):
        upstream.play(broken)
        who = gateway.customer(credits="10")
        answer = gateway.post(GENERATIONS, who, {"model": "gpt-image-1", **CAT, "stream": True})
        assert b"event: error" in answer.body
        assert b"sk-secret" not in answer.body
        assert b"completed" not in answer.body
        assert gateway.available(who) == parse_credits("10")


BAD: list[tuple[dict[str, Any], str]] = [
    # what is wrong                              param
    ({"n": 0},                                   "n"),
    ({"n": 11},                                  "n"),
    ({"n": 2.5},                                 "n"),
    ({"size": "99999x99999"},                    "size"),
    ({"size": "8192x8192"},                      "size"),
    ({"size": "0x1024"},                         "size"),
    ({"size": "large"},                          "size"),
    ({"size": "1024x1024; drop"},                "size"),
    ({"quality": "\u2603"},                      "quality"),
    ({"response_format": "png"},                 "response_format"),
    ({"partial_images": 4, "stream": True},      "partial_images"),
    ({"n": 2, "stream": True},                   "n"),
    ({"prompt": ""},                             "prompt"),
    ({"prompt": "x" * 32_001},                   "prompt"),
    ({"prompt": None},                           "prompt"),
    ({"service_tier": "priority"},               "service_tier"),
    ({"provider": {"order": ["x"]}},             "provider"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param"), BAD)
def test_bad_input_is_refused_before_anything_is_held(
    gateway: Gateway, upstream: ScriptedUpstream, body: dict[str, Any], param: str
) -> None:
    who = gateway.customer()
    refused = gateway.post(GENERATIONS, who, {"model": "gpt-image-1", **CAT, **body})
    assert (refused.status, refused.error["param"]) == (400, param)
    assert upstream.seen == []


@pytest.mark.parametrize("model", ["gpt-image-1", "sized", "by-image"])
@pytest.mark.parametrize("body", [{}, {"n": 3, "size": "1792x1024", "quality": "hd"}])
def test_a_quote_says_what_is_held(
    gateway: Gateway, upstream: ScriptedUpstream, model: str, body: dict[str, Any]
) -> None:
    who, asked = gateway.customer(), {"model": model, **CAT, **body}
    quoted = gateway.post(f"/v1/quote?endpoint={GENERATIONS}", who, asked).json
    upstream.play(images_answers.images(body.get("n", 1)))
    answer = gateway.post(GENERATIONS, who, asked)
    assert quoted["would_hold"] == gateway.receipt(who, answer.headers["x-request-id"])["held"]
    assert parse_credits(quoted["likely_case"]) <= parse_credits(quoted["worst_case"])
    assert quoted["would_be_refused"] is None


def test_a_quote_goes_by_the_table_of_tokens(gateway: Gateway) -> None:
    who = gateway.customer()
    for size, quality, tokens in (
        ("1024x1024", "standard", 5_000),
        ("1792x1024", "standard", 8_750),
        ("1024x1024", "hd", 10_000),
        ("auto", "auto", 17_500),
    ):
        asked = {"model": "gpt-image-1", **CAT, "size": size, "quality": quality}
        quoted = gateway.post(f"/v1/quote?endpoint={GENERATIONS}", who, asked).json
        assert quoted["output_tokens_at_most"] == tokens
