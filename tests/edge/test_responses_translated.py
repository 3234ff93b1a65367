"""The Responses endpoint before a provider that speaks chat completions: the official client notices nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import openai as openai_sdk
import pytest
from openai.types.responses import Response, ResponseFunctionToolCall
from tests.support import anthropic_answers
from tests.support.gateway import Customer, Gateway, running_gateway
from tests.support.openai_answers import chat_answer, chat_stream, failure, usage
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import INPUT, MODELS, OUTPUT, UPSTREAM_NAMES, Shop, remove_channel, sell

REPORTED = 12 * INPUT + 8 * OUTPUT
LOOK = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    "strict": False,
}


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        sell(gateway, *MODELS)
        yield gateway


@pytest.fixture
def shop(gateway: Gateway) -> Iterator[Shop]:
    with ScriptedUpstream() as upstream:
        channel_id = gateway.channel(upstream.base_url, models=UPSTREAM_NAMES, bills_after_disconnect=False)
        yield Shop(gateway, upstream, channel_id)
        remove_channel(gateway, channel_id)


def client_of(shop: Shop, customer: Customer) -> openai_sdk.OpenAI:
    return openai_sdk.OpenAI(base_url=f"{shop.gateway.base_url}/v1", api_key=customer.secret, max_retries=0)


def test_a_whole_answer_is_translated_and_charged(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_answer(text="one two three", reasoning="let me see"))
    answer = client_of(shop, customer).responses.create(
        model="words", instructions="be kind", input="count", max_output_tokens=60
    )
    assert answer.output_text == "one two three"
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert (answer.model, answer.status, answer.instructions) == ("words", "completed", "be kind")
    assert shop.charge(customer).amount == REPORTED
    seen = shop.upstream.seen[0]
    assert seen.path == "/chat/completions"
    body = seen.json()
    assert body["messages"] == [{"role": "system", "content": "be kind"}, {"role": "user", "content": "count"}]
    assert body["max_completion_tokens"] == 60


def test_a_stream_is_translated_for_the_official_accumulator(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text="one two three", reasoning="let me see"))
    with client_of(shop, customer).responses.stream(model="words", input="count") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == "one two three"
    assert final.usage is not None
    assert (final.usage.total_tokens, final.usage.model_extra) == (20, {"cost": "0.000036"})
    assert shop.charge(customer).amount == REPORTED


def test_tools_go_there_and_back(shop: Shop) -> None:
    customer = shop.customer()
    client = client_of(shop, customer)
    calls = (("look", '{"at":"the moon"}'), ("look", '{"at":"the sun"}'))
    shop.upstream.play(chat_stream(tool_calls=calls, finish="tool_calls"), chat_answer(text="bright"))
    with client.responses.stream(model="words", input="look", tools=[LOOK]) as stream:  # type: ignore[list-item]
        stream.until_done()
        first = stream.get_final_response()
    asked = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(item.arguments)["at"] for item in asked] == ["the moon", "the sun"]
    history = [item.to_dict() for item in first.output]
    results = [{"type": "function_call_output", "call_id": item.call_id, "output": "it shines"} for item in asked]
    second = client.responses.create(model="words", input=[*history, *results], tools=[LOOK])  # type: ignore[arg-type, list-item]
    assert second.output_text == "bright"
    messages = shop.upstream.seen[1].json()["messages"]
    assert [message["role"] for message in messages] == ["assistant", "tool", "tool"]
    assert messages[1]["tool_call_id"] == messages[0]["tool_calls"][0]["id"]


def test_d26_cached_tokens_cost_and_show_the_same(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_answer(usage=usage(1012, 8, cached=1000, reasoning=5)))
    answer = client_of(shop, customer).responses.create(model="words", input="tell me " * 400)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.input_tokens_details.cached_tokens) == (1012, 1000)
    assert answer.usage.output_tokens_details.reasoning_tokens == 5
    assert shop.charge(customer).usage["cached_input"] == 1000


def test_errors_are_the_clients_own_exceptions(shop: Shop) -> None:
    client = client_of(shop, shop.customer())
    shop.upstream.play(failure(400, "Too long for the context window.", code="context_length_exceeded"))
    with pytest.raises(openai_sdk.BadRequestError, match="context window"):
        client.responses.create(model="words", input="x")
    with pytest.raises(openai_sdk.BadRequestError, match="Responses dialect"):
        client.responses.create(model="words", input="x", tools=[{"type": "local_shell"}])
    shop.upstream.play(chat_stream(text="one two three", error_after=3))
    with pytest.raises(openai_sdk.APIError, match="broke off"):
        for _ in client.responses.create(model="words", input="x", stream=True):
            pass


def test_credits_that_run_out_end_a_translated_stream_well(shop: Shop) -> None:
    customer = shop.customer(credits="0.004")
    shop.upstream.play(chat_stream(text=" ".join(["word"] * 4_000)))
    with client_of(shop, customer).responses.stream(model="words", input="go on") as stream:
        *_, last = list(stream)
    assert last.type == "response.incomplete"
    assert shop.charge(customer).stamp == "credits_exhausted"


@pytest.mark.parametrize("stream", [False, True])
def test_what_anthropic_signed_comes_back_to_it(shop: Shop, gateway: Gateway, stream: bool) -> None:
    """Thinking between two calls of tools, with our memory and with the client's own."""
    remove_channel(gateway, shop.channel_id)
    channel_id = gateway.channel(f"{shop.upstream.base_url}/v1", models=UPSTREAM_NAMES, dialect="anthropic")
    make = anthropic_answers.message_stream if stream else anthropic_answers.message_answer
    thinking = make(thinking="I must look.", tool_calls=(("look", '{"at":"the moon"}'),), stop_reason="tool_use")
    shop.upstream.play(thinking, make(), thinking, make())
    client = client_of(shop, shop.customer())
    wishes: dict[str, Any] = {
        "model": "words",
        "tools": [LOOK],
        "reasoning": {"effort": "high"},
        "max_output_tokens": 4000,
    }
    first = _answer(client, stream, input="look", **wishes)
    result = {"type": "function_call_output", "call_id": _call_of(first).call_id, "output": "bright"}
    _answer(client, stream, input=[result], previous_response_id=first.id, **wishes)
    own = _answer(client, stream, input="look", store=False, include=["reasoning.encrypted_content"], **wishes)
    history = [{"role": "user", "content": "look"}, *[item.to_dict() for item in own.output], result]
    _answer(client, stream, input=history, store=False, **wishes)
    for seen in (shop.upstream.seen[1], shop.upstream.seen[3]):
        assistant = seen.json()["messages"][1]
        assert [block["type"] for block in assistant["content"]] == ["thinking", "text", "tool_use"]
        assert assistant["content"][0]["thinking"] == "I must look."
        assert assistant["content"][0]["signature"] == anthropic_answers.SIGNATURE
    remove_channel(gateway, channel_id)


def _answer(client: openai_sdk.OpenAI, stream: bool, **wishes: Any) -> Response:
    if not stream:
        return cast("Response", client.responses.create(**wishes))  # pyright: ignore[reportUnknownMemberType]
    with client.responses.stream(**wishes) as events:
        events.until_done()
        return events.get_final_response()


def _call_of(response: Response) -> ResponseFunctionToolCall:
    return next(item for item in response.output if item.type == "function_call")


def test_a_body_of_this_shape_posted_to_chat_completions_is_the_chat_it_means(shop: Shop) -> None:
    customer = shop.customer()
    body = {"model": "words", "instructions": "be kind", "input": [{"role": "user", "content": "hi"}], "stream": True}
    answer = shop.gateway.post("/v1/chat/completions", customer, body)
    assert answer.status == 200
    assert b'"object":"chat.completion.chunk"' in answer.body
    sent = shop.upstream.seen[0].json()
    assert sent["messages"] == [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    assert "input" not in sent
    assert shop.charge(customer).amount == REPORTED


def test_reasoning_nobody_signed_goes_back_to_servers_that_want_it(shop: Shop) -> None:
    calls = (("look", '{"at":"the moon"}'),)
    thinking = chat_answer(reasoning="I must look.", tool_calls=calls, finish="tool_calls")
    shop.upstream.play(thinking, chat_answer())
    client = client_of(shop, shop.customer())
    first = _answer(client, False, model="words", input="look", tools=[LOOK])
    result = {"type": "function_call_output", "call_id": _call_of(first).call_id, "output": "bright"}
    _answer(client, False, model="words", input=[result], tools=[LOOK], previous_response_id=first.id)
    assert shop.upstream.seen[1].json()["messages"][1]["reasoning_content"] == "I must look."
