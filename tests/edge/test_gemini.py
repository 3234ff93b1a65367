"""Gemini's dialect over HTTP: a channel that speaks it, a scripted provider, exact money."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.pure.wire.gemini.calls import HELLO, payloads
from tests.support import gemini_answers
from tests.support.gateway import Answer, Customer, Gateway, running_gateway
from tests.support.gemini_answers import gemini_answer, gemini_stream, usage
from tests.support.script import Script
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import CACHED, INPUT, OUTPUT, Shop, model_for_sale, remove_channel, sell, until

from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import RateCard

FORMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
SEARCH, IMAGE = 14_000_000, 39_000
RATES = {"input": "1", "cached_input": "0.25", "output": "3", "searches": "0.014", "output_image": "39"}
LONG_TEXT = " ".join(f"word{number}" for number in range(400))
MODELS = (
    model_for_sale("gemini-words", RateCard(rates={Meter(name): rate for name, rate in RATES.items()})),
    model_for_sale("gemini-plain", RateCard(rates={Meter.INPUT: "1", Meter.OUTPUT: "3"})),
)
NAMES = {"gemini-words": "upstream-words", "gemini-plain": "upstream-plain", "text-embedding-3-small": "upstream-e"}


@pytest.fixture(scope="module")
def shop_gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database, ping_interval_s=1) as gateway:
        sell(gateway, *MODELS)
        yield gateway


@pytest.fixture
def shop(shop_gateway: Gateway) -> Iterator[Shop]:
    with ScriptedUpstream() as upstream:
        base_url = upstream.base_url + "/v1beta"
        channel = shop_gateway.channel(base_url, models=NAMES, dialect="gemini", bills_after_disconnect=False)
        yield Shop(shop_gateway, upstream, channel)
        remove_channel(shop_gateway, channel)


def address(stream: bool, model: str = "gemini-words") -> str:
    return f"/v1beta/models/{model}:streamGenerateContent?alt=sse" if stream else f"/v1/models/{model}:generateContent"


def ask(shop: Shop, who: Customer, *, stream: bool = False, model: str = "gemini-words", **fields: Any) -> Answer:
    return shop.gateway.post(address(stream, model), who, {"contents": HELLO} | fields)


def good(stream: bool, **shape: Any) -> Script:
    return gemini_stream(**shape) if stream else gemini_answer(**shape)


def charged(shop: Shop, stated: Any, *, stream: bool, **fields: Any) -> Any:
    customer = shop.customer()
    shop.upstream.play(good(stream, usage=stated))
    assert ask(shop, customer, stream=stream, **fields).status == 200
    return shop.charge(customer)


# As it came -----------------------------------------------------------------------------------------


def test_a_whole_answer_passes_as_it_came_under_the_name_asked_for(shop: Shop) -> None:
    customer = shop.customer()
    script = gemini_answer(text="one two")
    shop.upstream.play(script)
    answer = ask(shop, customer)
    assert answer.body == script.body.replace(b"upstream-model", b"gemini-words")
    assert answer.headers["x-credits-charged"] == "0.000036"
    (seen,) = shop.upstream.seen
    assert seen.path == "/v1beta/models/upstream-words:generateContent"
    assert (seen.headers["x-goog-api-key"], seen.json()) == ("sk-upstream-1", {"contents": HELLO})
    assert "authorization" not in seen.headers


def test_a_stream_passes_as_it_came_with_the_charge_in_its_last_chunk(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(gemini_stream(text="one two"))
    answer = ask(shop, customer, stream=True)
    first, last = payloads(answer.body)
    assert first["candidates"][0]["content"]["parts"] == [{"text": "one "}]
    assert last["usageMetadata"]["cost"] == "0.000036"
    assert {first["modelVersion"], last["modelVersion"]} == {"gemini-words"}
    assert shop.upstream.seen[0].path == "/v1beta/models/upstream-words:streamGenerateContent?alt=sse"
    assert shop.charge(customer).amount == 12 * INPUT + 8 * OUTPUT


@pytest.mark.parametrize("name", ["x-goog-api-key", "x-api-key"])
def test_the_key_may_come_as_google_wants_it(shop: Shop, name: str) -> None:
    answer = shop.gateway.post(address(stream=False), None, {"contents": HELLO}, {name: shop.customer().secret})
    assert answer.status == 200


def test_a_project_of_the_callers_is_not_billed_upstream(shop: Shop) -> None:
    headers = {"x-goog-user-project": "somebody", "x-goog-api-client": "google-genai-sdk/3.4.0"}
    shop.gateway.post(address(stream=False), shop.customer(), {"contents": HELLO}, headers)
    assert "x-goog-user-project" not in shop.upstream.seen[0].headers
    assert shop.upstream.seen[0].headers["x-goog-api-client"] == "google-genai-sdk/3.4.0"


# Usage ----------------------------------------------------------------------------------------------


@FORMS
def test_d23_usage_that_is_missing_is_counted(shop: Shop, stream: bool) -> None:
    charge = charged(shop, None, stream=stream)
    assert (charge.stamp, charge.usage["output"]) == ("counted", 6)
    assert charge.amount == charge.usage["input"] * INPUT + 6 * OUTPUT


@FORMS
def test_d26_thoughts_outside_and_cache_inside(shop: Shop, stream: bool) -> None:
    long = [{"role": "user", "parts": [{"text": "long " * 50}]}]
    charge = charged(shop, usage(52, 8, thoughts=30, cached=40, tools=0), stream=stream, contents=long)
    assert charge.usage == {"input": 12, "cached_input": 40, "output": 8, "reasoning": 30}
    assert charge.amount == 12 * INPUT + 40 * CACHED + 38 * OUTPUT


@FORMS
def test_d28_negative_usage_is_counted_and_flagged(shop: Shop, stream: bool) -> None:
    charge = charged(shop, usage(12, -8), stream=stream)
    assert (charge.stamp, charge.flags) == ("counted", ["usage_negative"])


@FORMS
def test_an_image_made_has_its_own_price(shop: Shop, stream: bool) -> None:
    stated = usage(12, 1298) | {"candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]}
    charge = charged(shop, stated, stream=stream)
    assert charge.amount == 12 * INPUT + 8 * OUTPUT + 1290 * IMAGE


@FORMS
def test_d37_searches_are_charged_each(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream, usage=usage(tools=50), grounding={"webSearchQueries": ["a", "b", ""]}))
    assert ask(shop, customer, stream=stream, tools=[{"google_search": {}}]).status == 200
    charge = shop.charge(customer)
    assert charge.usage == {"input": 62, "output": 8, "searches": 2}
    assert charge.amount == 62 * INPUT + 8 * OUTPUT + 2 * SEARCH
    assert charge.held >= 16 * (8_192 * INPUT + SEARCH)


def test_a_model_without_a_price_for_searches_does_not_search(shop: Shop) -> None:
    answer = ask(shop, shop.customer(), model="gemini-plain", tools=[{"googleSearch": {}}])
    assert (answer.status, answer.error["details"][0]["reason"]) == (503, "model_unpriced")
    assert shop.upstream.seen == []


@FORMS
def test_a_blocked_prompt_is_free(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage(12, 0)}
    whole = gemini_answers.written(blocked)
    shop.upstream.play(
        gemini_answers.events([gemini_answers.event_of(blocked)]) if stream else gemini_answers.answer(whole)
    )
    assert b"blockReason" in ask(shop, customer, stream=stream).body
    assert (shop.charge(customer).stamp, shop.charge(customer).amount) == ("empty", 0)


def test_embeddings_without_usage_are_counted(shop: Shop) -> None:
    customer = shop.customer()
    one = {"content": {"parts": [{"text": "hello hello"}]}}
    path = "/v1beta/models/text-embedding-3-small:batchEmbedContents"
    answer = shop.gateway.post(path, customer, {"requests": [one, one]})
    assert len(answer.json["embeddings"]) == 2
    assert shop.charge(customer).stamp == "counted"
    assert shop.charge(customer).usage == {"input": 5}


# Endings --------------------------------------------------------------------------------------------


def test_d22_a_stream_that_dies_is_not_charged_and_says_so(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(gemini_stream(text="one two three", error_after=1))
    *_, error = payloads(ask(shop, customer, stream=True).body)
    assert (error["error"]["status"], error["error"]["details"][0]["reason"]) == ("UNAVAILABLE", "upstream_error")
    assert "upstream broke" not in json.dumps(error)
    assert (shop.charge(customer).stamp, shop.charge(customer).amount) == ("upstream_died", 0)


def test_a_stream_cut_on_the_wire_died(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(gemini_stream(text="one two three").cut(400))
    assert b'"error"' in ask(shop, customer, stream=True).body
    assert shop.charge(customer).stamp == "upstream_died"


def test_d20_d21_a_stream_left_is_charged_what_was_produced(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(gemini_stream(text=LONG_TEXT, pause_s=0.005))
    connection = http.client.HTTPConnection("127.0.0.1", shop.gateway.port, timeout=30)
    headers = {"x-goog-api-key": customer.secret, "content-type": "application/json"}
    connection.request("POST", address(stream=True), json.dumps({"contents": HELLO}), headers)
    response, seen = connection.getresponse(), b""
    while b"word20 " not in seen:
        seen += response.read1(65_536)
    response.close()
    connection.close()
    charge = shop.charge(customer)
    assert charge.stamp == "client_left_cancelled"
    assert 40 * OUTPUT <= charge.amount < 400 * 2 * OUTPUT
    until(lambda: shop.upstream.seen[0].peer_closed_at is not None)


def test_d56_an_upstream_400_stays_400_in_googles_shape(shop: Shop) -> None:
    customer = shop.customer()
    message = "The input token count (9000000) exceeds the maximum number of tokens allowed (1048576)."
    shop.upstream.play(gemini_answers.failure(400, "INVALID_ARGUMENT", message))
    answer = ask(shop, customer)
    assert (answer.status, answer.error["status"], answer.error["code"]) == (400, "INVALID_ARGUMENT", 400)
    assert answer.error["message"] == message
    assert answer.error["details"][0]["reason"] == "context_length_exceeded"
    assert shop.charge(customer).amount == 0


def test_google_says_400_of_a_key_it_does_not_know_and_the_caller_never_hears_of_it(shop: Shop) -> None:
    customer = shop.customer()
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    error = gemini_answers.error_body(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")
    error["error"]["details"] = details
    shop.upstream.always(gemini_answers.answer(gemini_answers.written(error), status=400))
    answer = ask(shop, customer)
    assert (answer.status, answer.error["details"][0]["reason"]) == (503, "no_upstream_available")
    assert b"API key not valid" not in answer.body
    assert ask(shop, customer).status == 503
    assert len(shop.upstream.seen) == 1


REFUSALS = [
    # credits  model             status  word                  reason
    ("0", "gemini-words", 402, "FAILED_PRECONDITION", "insufficient_credits"),
    ("1", "no-such-model", 404, "NOT_FOUND", "invalid_model"),
]


@pytest.mark.parametrize(("credits", "model", "status", "word", "reason"), REFUSALS)
def test_our_refusals_have_googles_shape(
    shop: Shop, credits: str, model: str, status: int, word: str, reason: str
) -> None:
    answer = ask(shop, shop.customer(credits=credits), model=model)
    error = answer.error
    assert (answer.status, error["code"], error["status"]) == (status, status, word)
    assert error["details"][0]["reason"] == reason


def test_a_wrong_key_has_googles_shape(shop: Shop) -> None:
    answer = shop.gateway.post(address(stream=False), "sk-wrong", {"contents": HELLO})
    assert (answer.status, answer.error["status"]) == (401, "UNAUTHENTICATED")


def test_the_address_belongs_to_what_an_idempotency_key_recognises(shop: Shop) -> None:
    customer, keyed = shop.customer(), {"idempotency-key": "k1"}
    first = shop.gateway.post(address(stream=False), customer, {"contents": HELLO}, keyed)
    again = shop.gateway.post(address(stream=False), customer, {"contents": HELLO}, keyed)
    other = shop.gateway.post(address(stream=False, model="gemini-plain"), customer, {"contents": HELLO}, keyed)
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
    assert (other.status, other.error["details"][0]["reason"]) == (409, "idempotency_mismatch")
    assert len(shop.upstream.seen) == 1


def test_silence_is_broken_by_blank_lines(shop: Shop) -> None:
    """Google's clients take a comment for broken JSON."""
    shop.upstream.play(gemini_stream(text="one two", pause_s=1.6))
    body = ask(shop, shop.customer(), stream=True).body
    assert b": ping" not in body
    assert b"\n\n\n\n" in body.replace(b"\r\n", b"\n")
