"""What the sandbox draws: real files of the size asked for, and everything that can go wrong, on demand."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.forms import CONTENT_TYPE
from tests.support.gateway import Answer, Customer, Gateway, running_gateway
from tests.support.image_forms import image_form

from farebox.money import parse_credits
from farebox.wire.images.picture import Picture, look

GENERATIONS = "/v1/images/generations"


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        gateway.sandbox()
        yield gateway


def ask(gateway: Gateway, who: Customer, script: str = "", **body: Any) -> Answer:
    asked = {"model": "gpt-image-1", "prompt": "a cat", "size": "1024x1024", **body}
    return gateway.post(GENERATIONS, who, asked, {"x-sandbox": script})


@pytest.mark.parametrize(("size", "made"), [("1792x1024", (1792, 1024)), ("auto", (1024, 1024)), ("33x7", (33, 7))])
def test_files_have_the_size_asked_for(gateway: Gateway, size: str, made: tuple[int, int]) -> None:
    images = ask(gateway, gateway.customer(), size=size, n=2).json["data"]
    files = [base64.b64decode(image["b64_json"]) for image in images]
    assert [look(file) for file in files] == [Picture("image/png", *made)] * 2
    assert len(set(files)) == 2
    assert max(map(len, files)) < 1_000


SCRIPTS: list[tuple[str, int, str, list[str], int | None]] = [
    # script            status  reason                flags                            what is charged
    ("",                200,    "provider",           [],                              1_056),
    ("usage=none",      200,    "counted",            ["usage_missing"],               5_000),
    ("usage=zero",      200,    "counted",            ["usage_no_output_though_seen"], 5_000),
    ("usage=wrong",     200,    "counted",            ["usage_more_input_than_sent"],  5_000),
    ("usage=negative",  200,    "counted",            ["usage_negative"],              5_000),
    ("empty",           200,    "empty",              [],                              None),
    ("status=500",      502,    "upstream_failed",    [],                              None),
    ("status=400",      400,    "caller_refused",     [],                              None),
    ("cut=1",           502,    "upstream_failed",    [],                              None),
]  # fmt: skip


@pytest.mark.parametrize(("script", "status", "reason", "flags", "output"), SCRIPTS)
def test_what_goes_wrong_is_charged_by_its_row(
    gateway: Gateway, script: str, status: int, reason: str, flags: list[str], output: int | None
) -> None:
    who = gateway.customer(credits="10")
    answer = ask(gateway, who, script)
    assert answer.status == status, answer.body
    receipt = gateway.receipt(who, answer.headers["x-request-id"])
    assert (receipt["reason"], receipt["flags"]) == (reason, flags)
    assert parse_credits("10") - gateway.available(who) == parse_credits(receipt["charged"])
    if output is None:
        assert receipt["charged"] == "0"
    else:
        made = {name: count for name, count in receipt["usage"].items() if name.startswith("output") and count}
        assert list(made.values()) == [output]


def test_models_priced_by_the_image_tell_no_usage(gateway: Gateway) -> None:
    who = gateway.customer(credits="10")
    answer = ask(gateway, who, model="flux-1.1-pro", n=2)
    assert "usage" not in answer.json
    assert gateway.receipt(who, answer.headers["x-request-id"])["charged"] == "0.08"


def test_forms_are_drawn_too_and_cut_streams_are_free(gateway: Gateway) -> None:
    who = gateway.customer(credits="10")
    fields = {"model": "gpt-image-1", "prompt": "a cat", "stream": "true", "partial_images": "2"}
    for script, charged in (("cut=1", False), ("error_event=1", False), ("", True)):
        before = gateway.available(who)
        headers = {"content-type": CONTENT_TYPE, "x-sandbox": script}
        answer = gateway.post("/v1/images/edits", who, image_form(fields), headers)
        assert (b"image_edit.completed" in answer.body) is charged
        assert (gateway.available(who) < before) is charged


def test_a_quote_without_an_endpoint_knows_an_image_by_its_model(gateway: Gateway) -> None:
    body = {"model": "gpt-image-1", "prompt": "a cat", "size": "1024x1024", "quality": "standard"}
    quoted = gateway.post("/v1/quote", gateway.customer(), body).json
    assert quoted["output_tokens_at_most"] == 5_000
