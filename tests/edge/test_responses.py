"""The Responses endpoint before a provider of its own dialect: what passes, what is charged, how it ends."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import openai as openai_sdk
import pytest
from tests.support.gateway import Answer, Customer, Gateway, running_gateway
from tests.support.openai_answers import failure
from tests.support.responses_answers import response_answer, response_stream, usage
from tests.support.script import answer
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import CACHED, INPUT, MODELS, OUTPUT, UPSTREAM_NAMES, Shop, model_for_sale, remove_channel, sell
from tests.support.sse import Event, read_events

from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import RateCard

RESPONSES = "/v1/responses"
REPORTED = 12 * INPUT + 8 * OUTPUT
A_SEARCH, A_TOOL_CALL = 10_000_000, 30_000_000
SEARCHER = model_for_sale(
    "searcher",
    RateCard(rates={Meter.INPUT: "1", Meter.OUTPUT: "3", Meter.SEARCHES: "0.01", Meter.TOOL_CALLS: "0.03"}),
)


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        sell(gateway, *MODELS, SEARCHER)
        yield gateway


@pytest.fixture
def shop(gateway: Gateway) -> Iterator[Shop]:
    names = UPSTREAM_NAMES | {"searcher": "upstream-searcher"}
    with ScriptedUpstream() as upstream:
        channel_id = gateway.channel(
            f"{upstream.base_url}/v1", models=names, dialect="openai_responses", bills_after_disconnect=False
        )
        yield Shop(gateway, upstream, channel_id)
        remove_channel(gateway, channel_id)


def respond(shop: Shop, who: Customer, **fields: Any) -> Answer:
    return shop.gateway.post(RESPONSES, who, {"model": "words", "input": "Say something short."} | fields)


def events_in(answer: Answer) -> list[Event]:
    assert answer.status == 200, answer.body
    return read_events(answer.body)


def last_response(answer: Answer) -> dict[str, Any]:
    return events_in(answer)[-1].json()["response"]


# What passes ----------------------------------------------------------------------------------------


def test_a_whole_answer_passes_under_the_name_asked_for_and_is_charged(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(response_answer(text="one two three"))
    answer = respond(shop, customer, model="words-latest")
    assert answer.status == 200
    assert answer.json["output"][0]["content"][0]["text"] == "one two three"
    assert answer.json["model"] == "words-latest"
    assert answer.headers["x-credits-charged"] == "0.000036"
    assert shop.charge(customer).amount == REPORTED
    seen = shop.upstream.seen[0]
    assert seen.path == "/v1/responses"
    assert seen.json() == {
        "model": "upstream-words",
        "input": "Say something short.",
        "store": False,
    }


def test_a_stream_passes_whole_and_carries_its_charge(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(response_stream(text="one two three"))
    answer = respond(shop, customer, stream=True)
    events = events_in(answer)
    assert [event.name for event in events] == [event.json()["type"] for event in events]
    assert [event.json()["sequence_number"] for event in events] == list(range(len(events)))
    text = "".join(event.json()["delta"] for event in events if event.name == "response.output_text.delta")
    assert text == "one two three"
    last = events[-1].json()["response"]
    assert events[-1].name == "response.completed"
    assert last["usage"] == usage(12, 8) | {"cost": "0.000036"}
    assert {event.json()["response"]["model"] for event in events if "response" in event.json()} == {"words"}
    assert shop.charge(customer).amount == REPORTED


def test_a_stream_cut_anywhere_gives_the_same_bytes_and_charge(shop: Shop) -> None:
    whole = response_stream(text="Grüße, 你好 🙂 done", reasoning="let me think")
    bodies: set[str] = set()
    for size in (1, 2, 3, 7, 64, 100_000):
        customer = shop.customer()
        shop.upstream.play(whole.in_pieces_of(size))
        shown = [event.json() for event in events_in(respond(shop, customer, stream=True))]
        ids = {event["response"].pop("id") for event in shown if "response" in event}
        assert len(ids) == 1
        bodies.add(json.dumps(shown))
        assert shop.charge(customer).amount == REPORTED
    assert len(bodies) == 1


def test_the_official_client_reads_whole_answers_and_streams(shop: Shop) -> None:
    customer = shop.customer()
    client = openai_sdk.OpenAI(base_url=f"{shop.gateway.base_url}/v1", api_key=customer.secret)
    shop.upstream.play(response_answer(text="one two"), response_stream(text="three four", reasoning="hm"))
    assert client.responses.create(model="words", input="count").output_text == "one two"
    with client.responses.stream(model="words", input="count") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[-1] == "response.completed"
    assert final.output_text == "three four"
    assert final.usage is not None
    assert final.usage.total_tokens == 20


# What is charged ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_d26_cached_input_is_inside_input(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    script = (response_stream if stream else response_answer)(usage=usage(1012, 8, cached=1000))
    shop.upstream.play(script)
    respond(shop, customer, stream=stream, input="tell me " * 400)
    assert shop.charge(customer).amount == 12 * INPUT + 1000 * CACHED + 8 * OUTPUT


@pytest.mark.parametrize("stream", [False, True])
def test_d23_usage_that_is_missing_is_counted(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play((response_stream if stream else response_answer)(text="one two", usage=None))
    answer = respond(shop, customer, stream=stream)
    charge = shop.charge(customer)
    assert (charge.stamp, charge.usage["output"]) == ("counted", 2)
    if stream:
        shown = last_response(answer)["usage"]
        assert shown["output_tokens"] == 2
        assert shown["total_tokens"] == charge.usage["input"] + 2
        assert shown["cost"]


@pytest.mark.parametrize("stream", [False, True])
def test_d28_negative_usage_is_no_usage(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play((response_stream if stream else response_answer)(text="one two", usage=usage(12, -5)))
    respond(shop, customer, stream=stream)
    assert shop.charge(customer).flags == ["usage_negative"]
    assert shop.charge(customer).usage["output"] == 2


@pytest.mark.parametrize("stream", [False, True])
def test_d37_each_search_has_its_line(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play((response_stream if stream else response_answer)(searches=2))
    answer = respond(shop, customer, model="searcher", stream=stream, tools=[{"type": "web_search"}], max_tool_calls=3)
    assert answer.status == 200
    charge = shop.charge(customer)
    assert charge.usage["searches"] == 2
    assert charge.amount == REPORTED + 2 * A_SEARCH
    lines = json.loads(charge.receipt)["charge"]["lines"]
    assert "searches" in {line["meter"] for line in lines}
    assert shop.upstream.seen[0].json()["max_tool_calls"] == 3
    assert b"farebox" not in answer.body


def test_tools_of_the_provider_are_bounded_though_nobody_asked(shop: Shop) -> None:
    customer = shop.customer()
    respond(shop, customer, model="searcher", tools=[{"type": "web_search_preview_2025_03_11"}])
    assert shop.upstream.seen[0].json()["max_tool_calls"] == 5
    assert shop.charge(customer).held > 5 * A_SEARCH


def test_a_tool_without_a_price_on_the_card_is_refused(shop: Shop) -> None:
    answer = respond(shop, shop.customer(), tools=[{"type": "web_search"}])
    assert (answer.status, answer.error["code"]) == (503, "model_unpriced")
    assert shop.upstream.seen == []


@pytest.mark.parametrize(
    "fields",
    [
        {"background": True},
        {"conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
        {"tools": [{"type": "image_generation"}]},
        {"tools": [{"type": "mcp", "server_url": "https://example.com", "server_label": "x"}]},
        {"tools": [{"type": "code_interpreter", "container": "cntr_1"}]},
        {"tools": [{"type": "teleport"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"service_tier": "ultrafast"},
    ],
)
def test_what_has_no_price_or_no_owner_is_refused(shop: Shop, fields: dict[str, Any]) -> None:
    answer = respond(shop, shop.customer(), **fields)
    assert (answer.status, answer.error["code"]) == (400, "invalid_parameter")
    assert shop.upstream.seen == []


# How it ends ----------------------------------------------------------------------------------------


def test_an_answer_at_its_limit_is_complete(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(response_stream(incomplete="max_output_tokens"))
    answer = respond(shop, customer, stream=True, max_output_tokens=50)
    assert events_in(answer)[-1].name == "response.incomplete"
    assert last_response(answer)["usage"]["cost"] == "0.000036"
    assert shop.charge(customer).stamp == "provider"


@pytest.mark.parametrize("how", [{"failed_after": 7}, {"error_after": 7}])
def test_d22_a_failure_is_no_output_and_says_nothing_of_the_provider(shop: Shop, how: dict[str, int]) -> None:
    customer = shop.customer()
    shop.upstream.play(response_stream(text="one two three four", **how))
    answer = respond(shop, customer, stream=True)
    events = events_in(answer)
    assert [event.name for event in events[-2:]] == ["response.failed", "error"]
    assert events[-1].json()["error"]["code"] == "upstream_error"
    assert b"10.0.0.1" not in answer.body
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("upstream_died", 0)


def test_the_official_client_raises_for_a_failure(shop: Shop) -> None:
    client = openai_sdk.OpenAI(base_url=f"{shop.gateway.base_url}/v1", api_key=shop.customer().secret)
    shop.upstream.play(response_stream(text="one two three four", failed_after=7))
    with pytest.raises(openai_sdk.APIError, match="broke off"):
        for _ in client.responses.create(model="words", input="x", stream=True):
            pass


def test_a_stream_that_dies_is_not_complete(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(response_stream(text="one two three four").cut(2_600))
    answer = respond(shop, customer, stream=True)
    assert events_in(answer)[-1].name == "error"
    assert shop.charge(customer).stamp == "upstream_died"


def test_credits_that_run_out_end_the_stream_inside_a_well_formed_answer(shop: Shop) -> None:
    customer = shop.customer(credits="0.004")
    client = openai_sdk.OpenAI(base_url=f"{shop.gateway.base_url}/v1", api_key=customer.secret)
    shop.upstream.play(response_stream(text=" ".join(["word"] * 4_000)))
    with client.responses.stream(model="words", input="go on") as stream:
        events = list(stream)
    assert events[-1].type == "response.incomplete"
    response = events[-1].response
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    streamed = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert response.output_text == streamed
    assert shop.charge(customer).stamp == "credits_exhausted"


def test_d56_a_refusal_of_the_provider_stays_one(shop: Shop) -> None:
    shop.upstream.play(failure(400, "Your input exceeds the context window.", code="context_length_exceeded"))
    answer = respond(shop, shop.customer())
    assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")


def test_what_is_no_answer_is_an_upstream_error(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.always(
        answer(b'{"object":"response","status":"failed","error":{"code":"x","message":"y"},"output":[]}')
    )
    reply = respond(shop, customer)
    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert shop.charge(customer).amount == 0


def test_d20_a_client_that_leaves_pays_for_what_came(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(response_stream(text=" ".join(["word"] * 400), pause_s=0.01))
    connection = http.client.HTTPConnection("127.0.0.1", shop.gateway.port, timeout=30)
    body = json.dumps({"model": "words", "input": "go on", "stream": True})
    connection.request("POST", RESPONSES, body, {"authorization": f"Bearer {customer.secret}"})
    response = connection.getresponse()
    seen = b""
    while seen.count(b"output_text.delta") < 20:
        seen += response.read1(65_536)
    response.close()
    connection.close()
    charge = shop.charge(customer)
    assert charge.stamp == "client_left_cancelled"
    assert 0 < charge.usage["output"] < 400
