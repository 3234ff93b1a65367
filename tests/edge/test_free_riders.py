"""Callers who want more than they pay for, over HTTP: what they try must not reach a provider, or must be held for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.pure.wire.mutations import BODIES
from tests.support import gemini_answers, openai_answers
from tests.support.anthropic_answers import message_answer
from tests.support.gateway import Gateway, chat
from tests.support.gemini_answers import gemini_answer
from tests.support.openai_answers import chat_answer, chat_stream, failure
from tests.support.responses_answers import response_answer
from tests.support.script import answer as plain_answer
from tests.support.script import hang_up
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import INPUT, OUTPUT, UPSTREAM_NAMES, Shop, remove_channel

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


@pytest.mark.parametrize("betas", ["context-1m-2025-08-07", "pdfs-2024-09-25, Context-1m-2025-08-07"])
def test_no_header_widens_the_context_that_bounds_a_document(shop_gateway: Gateway, betas: str) -> None:
    with ScriptedUpstream() as upstream:
        names = {"words": "upstream-words"}
        channel = shop_gateway.channel(upstream.base_url, models=names, dialect="anthropic")
        upstream.play(message_answer(), message_answer())
        source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"}
        for content in ([{"type": "document", "source": source}], "long text, bounded by its bytes"):
            body = {"model": "words", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
            customer = Shop(shop_gateway, upstream, channel).customer()
            shop_gateway.post("/v1/messages", customer, body, {"anthropic-beta": betas})
        remove_channel(shop_gateway, channel)
    of_document, of_text = [seen.headers.get("anthropic-beta", "") for seen in upstream.seen]
    assert "context" not in of_document.lower()
    assert of_text == betas


# What a provider of another dialect counts ----------------------------------------------------------


@pytest.fixture
def google(shop_gateway: Gateway) -> Iterator[Shop]:
    """Before a channel that speaks Gemini."""
    with ScriptedUpstream() as upstream:
        channel = shop_gateway.channel(upstream.base_url + "/v1beta", models=UPSTREAM_NAMES, dialect="gemini")
        yield Shop(shop_gateway, upstream, channel)
        remove_channel(shop_gateway, channel)


def asked(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"model": "words", "max_tokens": 50, "messages": [{"role": "user", "content": list(parts)}]}


def test_an_image_costs_what_the_provider_says_whoever_asked_for_it(shop: Shop) -> None:
    """Google counts at most 6,192 tokens for an image, an OpenAI model 25,501 for one of 1024 x 1024."""
    customer = shop.customer()
    shop.upstream.play(chat_answer(usage=openai_answers.usage(25_510, 8)))
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    body = {"contents": {"parts": [image, {"text": "what is this"}]}, "generationConfig": {"maxOutputTokens": 50}}
    assert shop.gateway.post("/v1beta/models/words:generateContent", customer, body).status == 200
    charge = shop.charge(customer)
    assert (charge.amount, charge.flags) == (25_510 * INPUT + 8 * OUTPUT, [])
    assert charge.held >= charge.amount


def test_a_film_costs_what_the_provider_says(google: Shop) -> None:
    customer = google.customer()
    usage = gemini_answers.usage(90_000, 8) | {
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 10},
            {"modality": "VIDEO", "tokenCount": 80_000},
            {"modality": "AUDIO", "tokenCount": 9_990},
        ]
    }
    google.upstream.play(gemini_answer(usage=usage))
    film = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
    assert google.gateway.post("/v1/chat/completions", customer, asked(film)).status == 200
    charge = google.charge(customer)
    assert (charge.amount, charge.flags) == (90_000 * INPUT + 8 * OUTPUT, [])
    assert charge.held >= charge.amount


def test_images_nobody_asked_for_cost_what_the_provider_says(google: Shop) -> None:
    customer = google.customer()
    usage = gemini_answers.usage(12, 1_290) | {"candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1_290}]}
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    google.upstream.play(gemini_answer(parts=(image,), usage=usage))
    body = asked({"type": "text", "text": "draw"}) | {"max_tokens": 2_000}
    assert google.gateway.post("/v1/chat/completions", customer, body).status == 200
    charge = google.charge(customer)
    assert (charge.amount, charge.flags) == (12 * INPUT + 1_290 * OUTPUT, [])


def test_the_next_turn_of_a_conversation_goes_where_it_can_be_said(shop: Shop) -> None:
    """The channel of the turn before speaks another dialect, which has no word for this turn's tool."""
    customer = shop.customer()
    shop.upstream.play(chat_answer(text="hi"))
    first = shop.gateway.post("/v1/responses", customer, {"model": "words", "input": "hi"})
    with ScriptedUpstream() as native:
        channel = shop.gateway.channel(native.base_url, models=UPSTREAM_NAMES, dialect="openai_responses")
        native.play(response_answer(text="done"))
        tool = {"type": "local_shell"}
        turn = {"model": "words", "input": "list", "previous_response_id": first.json["id"], "tools": [tool]}
        answer = shop.gateway.post("/v1/responses", customer, turn)
        remove_channel(shop.gateway, channel)
    assert (answer.status, native.seen[0].json()["tools"]) == (200, [tool])


# What is written down -------------------------------------------------------------------------------

SECRET, PRIVATE = "sk-upstream-1", "a-very-private-question"
OUTCOMES = {
    "answered": chat_answer(text=PRIVATE),
    "streamed": chat_stream(text=PRIVATE),
    "refused": failure(400, f"{PRIVATE} with {SECRET} at https://api.internal.example.com"),
    "failed": failure(500, f"{PRIVATE} with {SECRET}"),
    "benched": failure(401, f"{PRIVATE} with {SECRET}"),
    "cut off": hang_up(),
    "no answer at all": plain_answer(PRIVATE.encode()),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_nothing_that_was_said_stands_in_the_log(shop: Shop, capfd: pytest.CaptureFixture[str], outcome: str) -> None:
    """Through every endpoint, whatever comes of it, and with the text in every field that takes one."""
    customer = shop.customer()
    shop.upstream.always(OUTCOMES[outcome])
    for path, bodies in BODIES.items():
        for body in bodies:
            body = {name: value for name, value in body.items() if name != "service_tier"}
            text = json.dumps(body | ({"model": "words"} if "model" in body else {}))
            for word in ("hi", "be kind", "look", "https://x.org/a.png"):
                text = text.replace(f'"{word}"', f'"{PRIVATE}"')
            for sent in (text.encode(), text.encode()[:-1], text.encode() + b"\xff"):
                answer = shop.gateway.post(path.replace("/m:", "/words:"), customer, sent)
                assert answer.status != 500, (path, answer.body)
                assert SECRET.encode() not in answer.body
    assert shop.upstream.seen
    logged = "".join(capfd.readouterr())
    for hidden in (PRIVATE, SECRET, customer.secret, shop.upstream.base_url):
        assert hidden not in logged, hidden
