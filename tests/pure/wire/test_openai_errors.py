"""Error bodies, and what of an upstream's error a customer may see (d50)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import written

from farebox.wire.openai_errors import MAX_MESSAGE, read_upstream_error, render, scrub


def test_an_error_has_its_four_fields_and_what_stands_beside_them() -> None:
    body = json.loads(render("billing_error", "insufficient_credits", "No.", extra={"required": "1.5"}))
    assert body == {
        "error": {
            "type": "billing_error",
            "code": "insufficient_credits",
            "message": "No.",
            "param": None,
            "required": "1.5",
        }
    }


SECRETS = [
    "Incorrect API key provided: sk-proj-abc***********xyz1. You can find it.",
    "at https://eu.internal.example.com:8443/v1/chat?key=1 failed",
    "organization org-AbCdEf123456789 has reached its limit",
    "Authorization: Bearer abcdefgh12345678",
    "api_key=abcdefgh12345678 is wrong",
    "mail ops.person@company.example now",
    "connect to 10.12.13.14:8000 refused",
    "host gpu-7.cluster.internal:9000 unreachable",
    "project proj_Q1w2E3r4T5y6 is archived",
    "key AIzaSyA1234567890abcdefghijklmnopqrstu is blocked",
    "token eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9abcdef0 expired",
    "file /srv/models/llama/weights.bin missing",
]
HIDDEN = ["sk-proj", "internal", "org-Ab", "abcdefgh1", "ops.person", "10.12", "Q1w2", "AIza", "eyJh", "/srv"]


@pytest.mark.parametrize("text", SECRETS)
def test_d50_no_secret_address_or_organisation_is_shown(text: str) -> None:
    shown = read_upstream_error(written({"error": {"message": text}})).message
    assert not [secret for secret in HIDDEN if secret in shown]
    assert "[removed]" in shown


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130005 tokens.",
        "Invalid value for 'messages[0].content[1].image_url': expected a data URI or an https URL.",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    ],
)
def test_what_helps_the_caller_stays(text: str) -> None:
    assert scrub(text) == text


SHAPES = [
    ({"error": {"message": "m", "type": "t", "code": "c", "param": "p"}}, ("m", "t", "c", "p")),
    ({"error": "m"}, ("m", None, None, None)),
    ({"message": "m", "code": 400}, ("m", None, None, None)),
    ({"detail": "m"}, ("m", None, None, None)),
    ([{"error": {"message": "m", "code": "c"}}], ("m", None, "c", None)),
    ({"error": {"message": "m", "code": "see https://x.example"}}, ("m", None, None, None)),
]


@pytest.mark.parametrize(("body", "expected"), SHAPES)
def test_errors_of_every_shape_are_read(body: object, expected: tuple[str | None, ...]) -> None:
    error = read_upstream_error(written(body))
    assert (error.message, error.type, error.code, error.param) == expected


def test_the_upstreams_name_of_a_model_is_replaced() -> None:
    body = written({"error": {"message": "The model 'vendor-x-7' does not exist"}})
    error = read_upstream_error(body, names={"vendor-x-7": "fast-chat"})
    assert error.message == "The model 'fast-chat' does not exist"


@given(st.binary(max_size=200) | st.text(max_size=3000).map(lambda text: written({"error": {"message": text}})))
def test_any_body_gives_a_short_message(body: bytes) -> None:
    assert 0 < len(read_upstream_error(body).message) <= MAX_MESSAGE


def test_a_long_hostile_message_takes_no_long_time() -> None:
    for unit in ("a.", "a-", "::", "/a", "@a.", "1.", "a1"):
        scrub(unit * 20_000)
