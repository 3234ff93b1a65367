"""Images made by Gemini: asked for in OpenAI's words, and inside its own answers. Each has its own line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.gateway import Gateway, running_gateway
from tests.support.gemini_answers import failure, gemini_answer
from tests.support.images_answers import PIXEL
from tests.support.scripted_upstream import ScriptedUpstream

from farebox.money import parse_credits

GENERATIONS = "/v1/images/generations"
MODELS = {"gemini-3-pro-image-preview": "up", "gemini-3-pro-image": "up", "gemini-2.5-flash-image": "up"}
IMAGE = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
DRAFT = {**IMAGE, "thought": True}
WORDS = {"text": "Here is a cat."}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(module_database: str, upstream: ScriptedUpstream) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        gateway.channel(upstream.base_url, models=MODELS, dialect="gemini")
        yield gateway


@pytest.fixture(autouse=True)
def _forget(upstream: ScriptedUpstream) -> None:
    upstream.forget()


def usage(prompt: int, images: int, text: int = 0, thoughts: int = 0) -> dict[str, Any]:
    made = [{"modality": "IMAGE", "tokenCount": images}] if images else []
    return {
        "promptTokenCount": prompt,
        "candidatesTokenCount": images + text,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt + images + text + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        "candidatesTokensDetails": made,
    }


def asked(gateway: Gateway, path: str, body: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The answer, and the receipt it leaves."""
    who = gateway.customer(credits="10")
    answer = gateway.post(path, who, body)
    assert answer.status == 200, answer.body
    receipt = gateway.receipt(who, answer.headers["x-request-id"])
    assert parse_credits("10") - gateway.available(who) == parse_credits(receipt["charged"])
    assert parse_credits(receipt["charged"]) <= parse_credits(receipt["held"])
    return answer, receipt


def lines(receipt: dict[str, Any]) -> dict[str, int]:
    return {line["meter"]: line["quantity"] for line in receipt["lines"] if line["quantity"]}


def test_an_image_is_asked_for_and_answered_in_openais_words(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(gemini_answer(parts=(DRAFT, WORDS, IMAGE), usage=usage(12, 1_120, 30, 200)))
    body = {"model": "gemini-3-pro-image", "prompt": "a cat", "size": "4096x2304"}
    answer, receipt = asked(gateway, GENERATIONS, body)
    assert answer.json["data"] == [{"b64_json": PIXEL}]
    assert answer.json["output_format"] == "png"
    assert answer.json["usage"] == {"input_tokens": 12, "output_tokens": 1_350, "total_tokens": 1_362}
    assert lines(receipt) == {"input": 12, "output": 30, "reasoning": 200, "output_image": 1_120}
    assert receipt["charged"] == "0.137184"  # 12 × 2 + 230 × 12 + 1,120 × 120, a million
    sent = upstream.seen[0]
    assert sent.path == "/models/up:generateContent"
    assert sent.json() == {
        "contents": [{"role": "user", "parts": [{"text": "a cat"}]}],
        "generationConfig": {
            "responseModalities": ["TEXT", "IMAGE"],
            "imageConfig": {"aspectRatio": "16:9", "imageSize": "4K"},
        },
    }


def test_by_the_call_its_alias_costs_the_same(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    for model in ("nano-banana-pro", "gemini-3-pro-image-preview"):
        upstream.play(gemini_answer(parts=(IMAGE,), usage=usage(12, 1_120)))
        answer, receipt = asked(gateway, GENERATIONS, {"model": model, "prompt": "a cat"})
        assert (receipt["charged"], receipt["held"]) == ("0.05", "0.05")
        assert answer.json["data"] == [{"b64_json": PIXEL}]


@pytest.mark.parametrize("model", ["gemini-3-pro-image-preview", "gemini-2.5-flash-image"])
def test_d38_words_where_an_image_was_asked_for_are_free(
    gateway: Gateway, upstream: ScriptedUpstream, model: str
) -> None:
    for parts in ((WORDS,), (DRAFT,)):
        upstream.play(gemini_answer(parts=parts, usage=usage(12, 0, 30)))
        answer, receipt = asked(gateway, GENERATIONS, {"model": model, "prompt": "a cat"})
        assert (answer.json["data"], receipt["charged"], receipt["reason"]) == ([], "0", "empty")


def test_what_google_refuses_is_free_and_stays_a_refusal(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(failure(400, "INVALID_ARGUMENT"))
    who = gateway.customer()
    refused = gateway.post(GENERATIONS, who, {"model": "gemini-2.5-flash-image", "prompt": "a cat"})
    assert refused.status == 400
    assert gateway.available(who) == parse_credits("10")


@pytest.mark.parametrize(
    ("more", "param"), [({"n": 2}, "n"), ({"stream": True}, "stream"), ({"image": "https://a.example/1.png"}, "image")]
)
def test_what_cannot_be_said_is_refused_before_anything_is_held(
    gateway: Gateway, upstream: ScriptedUpstream, more: dict[str, Any], param: str
) -> None:
    body = {"model": "gemini-2.5-flash-image", "prompt": "a cat", **more}
    refused = gateway.post(GENERATIONS, gateway.customer(), body)
    assert (refused.status, refused.error["param"]) == (400, param)
    assert upstream.seen == []


def test_an_image_inside_a_chat_answer_has_its_own_line(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(gemini_answer(parts=(WORDS, IMAGE), usage=usage(12, 1_290, 6)))
    body = {"contents": [{"parts": [{"text": "a cat"}]}], "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}
    _, receipt = asked(gateway, "/v1beta/models/gemini-2.5-flash-image:generateContent", body)
    assert lines(receipt) == {"input": 12, "output": 6, "output_image": 1_290}
    assert receipt["charged"] == "0.0387186"  # 12 × 0.30 + 6 × 2.50 + 1,290 × 30, a million


def test_a_chat_answer_of_text_alone_is_charged_by_the_card(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    body = {"contents": [{"parts": [{"text": "a cat"}]}], "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}
    for model, price in (("gemini-2.5-flash-image", "0.0000786"), ("gemini-3-pro-image-preview", "0.05")):
        upstream.play(gemini_answer(parts=(WORDS,), usage=usage(12, 0, 30)))
        _, receipt = asked(gateway, f"/v1beta/models/{model}:generateContent", body)
        assert receipt["charged"] == price
