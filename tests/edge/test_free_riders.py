"""Callers who want more than they pay for, over HTTP: what they try must not reach a provider, or must be held for."""

from __future__ import annotations

import pytest
from tests.support.gateway import chat
from tests.support.openai_answers import chat_answer
from tests.support.shop import Shop

SWITCHES = [
    "x-goog-fieldmask",  # an answer without its usage: thoughts nobody is shown would be free
    "x-http-method-override",
    "x-vertex-ai-llm-request-type",
    "x-vertex-ai-llm-shared-request-type",  # another tier than was held
    "x-amzn-bedrock-service-tier",
]


def test_no_header_of_a_caller_changes_what_a_provider_does_or_says(shop: Shop) -> None:
    shop.upstream.play(chat_answer())
    shop.gateway.post("/v1/chat/completions", shop.customer(), chat(model="words"), dict.fromkeys(SWITCHES, "priority"))
    assert shop.upstream.seen[0].headers.keys().isdisjoint(SWITCHES)


@pytest.mark.parametrize(
    "stated", ["application/json; charset=utf-7", "text/plain; charset=utf-16le", "application/xml"]
)
def test_a_body_goes_on_as_what_it_was_read_as(shop: Shop, stated: str) -> None:
    """In another character set the same bytes could be another request."""
    shop.upstream.play(chat_answer())
    headers = {"content-type": stated}
    shop.gateway.post("/v1/chat/completions", shop.customer(), chat(model="words"), headers)
    assert shop.upstream.seen[0].headers["content-type"] == "application/json"
