"""Edits and variations, end to end: forms in, the same forms out, money exact, bad files held for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import images_answers
from tests.support.forms import CONTENT_TYPE
from tests.support.gateway import Gateway, running_gateway
from tests.support.image_forms import FORM, PNG, image_form
from tests.support.images_answers import PIXEL, usage
from tests.support.openai_answers import failure
from tests.support.scripted_upstream import ScriptedUpstream

from farebox.money import parse_credits
from farebox.upstream.sandbox_images import png

EDITS, VARIATIONS = "/v1/images/edits", "/v1/images/variations"
MODELS = {"gpt-image-1": "up", "flux-1.1-pro": "flux"}
ASKED = {"model": "gpt-image-1", "prompt": "a cat"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(module_database: str, upstream: ScriptedUpstream) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        gateway.channel(upstream.base_url, models=MODELS)
        yield gateway


@pytest.fixture(autouse=True)
def _forget(upstream: ScriptedUpstream) -> None:
    upstream.forget()


def charged(gateway: Gateway, path: str, body: bytes) -> tuple[Any, dict[str, Any]]:
    """The answer, and the receipt it leaves; what was charged was held."""
    who = gateway.customer(credits="10")
    answer = gateway.post(path, who, body, FORM)
    assert answer.status == 200, answer.body
    receipt = gateway.receipt(who, answer.headers["x-request-id"])
    assert parse_credits("10") - gateway.available(who) == parse_credits(receipt["charged"])
    assert parse_credits(receipt["charged"]) <= parse_credits(receipt["held"])
    return answer, receipt


def test_an_edit_goes_on_as_it_came_under_another_model(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(images_answers.images(1, usage=usage(383, 1_056, images_given=323)))
    body = image_form(ASKED, ("image[]", PNG), ("image[]", PNG), ("mask", PNG))
    answer, receipt = charged(gateway, EDITS, body)
    assert answer.json["data"] == [{"b64_json": PIXEL}]
    assert receipt["charged"] == "0.04577"  # 60 × 5 + 323 × 10 + 1,056 × 40, a million
    sent = upstream.seen[0]
    assert sent.path == "/images/edits"
    assert sent.body == body.replace(b"gpt-image-1", b"up")
    assert dict(sent.headers)["content-type"] == CONTENT_TYPE


def test_variations_are_charged_by_the_image(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(images_answers.images(3, by="url"))
    _, receipt = charged(gateway, VARIATIONS, image_form({"model": "flux-1.1-pro", "n": "3"}))
    assert (receipt["charged"], receipt["reason"]) == ("0.12", "provider")
    assert upstream.seen[0].path == "/images/variations"


def test_an_edit_is_streamed(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(images_answers.images_stream(partial=1, usage=usage(50, 1_156), kind="image_edit"))
    answer, receipt = charged(gateway, EDITS, image_form({**ASKED, "stream": "true", "partial_images": "1"}))
    assert b"event: image_edit.completed" in answer.body
    assert b'"cost":"' + receipt["charged"].encode() in answer.body


BAD = [
    (image_form(ASKED, ("image", b"a cat")), CONTENT_TYPE, 400, "invalid_parameter"),
    (image_form({**ASKED, "n": "11"}), CONTENT_TYPE, 400, "invalid_parameter"),
    (image_form(ASKED)[:-9], CONTENT_TYPE, 400, "invalid_parameter"),
    (image_form(ASKED), "application/json", 415, "unsupported_media_type"),
    (image_form(ASKED, content_type="application/pdf"), CONTENT_TYPE, 415, "unsupported_media_type"),
    (image_form(ASKED, ("image", png(16_000, 16_000, b"abc"))), CONTENT_TYPE, 413, "file_too_large"),
]


@pytest.mark.parametrize(("body", "content_type", "status", "code"), BAD)
def test_bad_files_are_refused_before_anything_is_held(
    gateway: Gateway, upstream: ScriptedUpstream, body: bytes, content_type: str, status: int, code: str
) -> None:
    who = gateway.customer()
    refused = gateway.post(EDITS, who, body, {"content-type": content_type})
    assert (refused.status, refused.error["code"]) == (status, code)
    assert upstream.seen == []
    assert gateway.available(who) == parse_credits("10")


def test_a_form_can_be_quoted(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    who, body = gateway.customer(), image_form({**ASKED, "size": "1024x1024", "n": "2"})
    quoted = gateway.post(f"/v1/quote?endpoint={EDITS}", who, body, FORM).json
    upstream.play(images_answers.images(2, usage=usage(383, 2_112, images_given=323)))
    answer = gateway.post(EDITS, who, body, FORM)
    assert quoted["would_hold"] == gateway.receipt(who, answer.headers["x-request-id"])["held"]


def test_d38_a_refused_edit_is_free_and_says_why(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(failure(400, "Your request was rejected by the safety system.", code="moderation_blocked"))
    who = gateway.customer()
    refused = gateway.post(EDITS, who, image_form(ASKED), FORM)
    assert (refused.status, refused.error["code"]) == (400, "moderation_blocked")
    assert gateway.available(who) == parse_credits("10")


def test_the_same_form_under_another_boundary_is_the_same_request(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(images_answers.images(1, usage=usage(50, 1_056)))
    who, body = gateway.customer(), image_form(ASKED)
    keyed = {**FORM, "idempotency-key": "once"}
    first = gateway.post(EDITS, who, body, keyed)
    other = {**keyed, "content-type": CONTENT_TYPE.replace("farebox-test", "another")}
    again = gateway.post(EDITS, who, body.replace(b"farebox-test", b"another"), other)
    assert (again.status, again.body) == (200, first.body)
    assert len(upstream.seen) == 1
