"""Stored responses: a conversation that goes on from its last answer, for its own account and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai as openai_sdk
import pytest
from tests.support.gateway import Answer, Customer, Gateway, running_gateway
from tests.support.openai_answers import chat_answer, failure
from tests.support.responses_answers import response_answer, response_stream, usage
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import INPUT, MODELS, OUTPUT, UPSTREAM_NAMES, Shop, remove_channel, sell
from tests.support.sse import read_events

from farebox.store.responses import StoredResponses

RESPONSES = "/v1/responses"
SEALED = "reasoning.encrypted_content"


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        sell(gateway, *MODELS)
        yield gateway


@pytest.fixture
def shop(gateway: Gateway) -> Iterator[Shop]:
    with ScriptedUpstream() as upstream:
        channel_id = gateway.channel(
            f"{upstream.base_url}/v1",
            models=UPSTREAM_NAMES,
            dialect="openai_responses",
            secrets=("sk-a", "sk-b", "sk-c"),
            bills_after_disconnect=False,
        )
        yield Shop(gateway, upstream, channel_id)
        remove_channel(gateway, channel_id)


def respond(shop: Shop, who: Customer, **fields: Any) -> Answer:
    return shop.gateway.post(RESPONSES, who, {"model": "words", "input": "first"} | fields)


def id_of(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    if answer.body.startswith(b"{"):
        return answer.json["id"]
    return read_events(answer.body)[-1].json()["response"]["id"]


def question(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


# Going on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_goes_on_from_its_last_answer(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    make = response_stream if stream else response_answer
    shop.upstream.play(make(text="one"), make(text="two"), make(text="three"))
    first = id_of(respond(shop, customer, stream=stream))
    second = id_of(respond(shop, customer, stream=stream, input="second", previous_response_id=first))
    third = respond(shop, customer, stream=stream, input=[question("third")], previous_response_id=second)
    body = shop.upstream.seen[2].json()
    assert "previous_response_id" not in body
    assert body["store"] is False
    texts = [part["text"] for item in body["input"] for part in item["content"]]
    assert texts == ["first", "one", "second", "two", "third"]
    assert [item["role"] for item in body["input"]] == ["user", "assistant", "user", "assistant", "user"]
    shown = third.json if not stream else read_events(third.body)[-1].json()["response"]
    assert (shown["previous_response_id"], shown["store"]) == (second, True)
    assert first.startswith("resp_")
    assert len({first, second, id_of(third)}) == 3


def test_the_whole_conversation_is_held_and_charged_for(shop: Shop) -> None:
    customer = shop.customer()
    first = id_of(respond(shop, customer, input="tell me " * 500))
    shop.upstream.play(response_answer(usage=usage(1_020, 8)))
    respond(shop, customer, input="more", previous_response_id=first)
    _, charge = shop.charges(customer)
    assert charge.amount == 1_020 * INPUT + 8 * OUTPUT
    assert charge.held > 4_000 * INPUT
    assert charge.flags == []


def test_the_official_client_has_a_conversation(shop: Shop) -> None:
    customer = shop.customer()
    client = openai_sdk.OpenAI(base_url=f"{shop.gateway.base_url}/v1", api_key=customer.secret)
    shop.upstream.play(response_answer(text="one"), response_stream(text="two"))
    first = client.responses.create(model="words", input="count")
    with client.responses.stream(model="words", input="on", previous_response_id=first.id) as stream:
        second = stream.get_final_response()
    assert second.previous_response_id == first.id
    assert second.output_text == "two"


def test_a_conversation_goes_on_in_another_dialect(shop: Shop, gateway: Gateway) -> None:
    customer = shop.customer()
    shop.upstream.play(response_answer(text="one", reasoning="hm", sealed="gAAAA"))
    first = id_of(respond(shop, customer, include=[SEALED]))
    remove_channel(gateway, shop.channel_id)
    with shop.another() as other:
        other.play(chat_answer(text="two"))
        answer = respond(shop, customer, input="second", previous_response_id=first)
        assert answer.json["output"][-1]["content"][0]["text"] == "two"
        messages = other.seen[0].json()["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert "gAAAA" not in str(messages)


# Reasoning ------------------------------------------------------------------------------------------


def test_reasoning_goes_back_sealed_to_the_key_that_made_it(shop: Shop) -> None:
    for _ in range(6):
        customer = shop.customer()
        shop.upstream.forget()
        shop.upstream.play(
            response_stream(text="one", reasoning="hm", sealed="gAAAA"),
            response_answer(text="two"),
        )
        answer = respond(shop, customer, stream=True, reasoning={"effort": "low"}, input=f"first {customer.key_id}")
        assert b"gAAAA" not in answer.body
        respond(shop, customer, input="second", instructions="other", previous_response_id=id_of(answer))
        begun, gone_on = shop.upstream.seen
        assert begun.json()["include"] == [SEALED]
        item = gone_on.json()["input"][1]
        assert (item["type"], item["encrypted_content"]) == ("reasoning", "gAAAA")
        assert begun.headers["authorization"] == gone_on.headers["authorization"]


def test_reasoning_without_a_seal_does_not_go_back(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(response_answer(text="one", reasoning="hm"))
    first = id_of(respond(shop, customer))
    respond(shop, customer, input="second", previous_response_id=first)
    assert [item["type"] for item in shop.upstream.seen[1].json()["input"]] == ["message", "message", "message"]


def test_who_sends_its_reasoning_back_by_its_id_gets_it_sealed_again(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(response_answer(text="one", reasoning="hm", sealed="gAAAA"))
    first = respond(shop, customer, reasoning={"effort": "low"}).json
    assert "encrypted_content" not in first["output"][0]
    respond(shop, customer, input=[question("first"), *first["output"], question("second")])
    assert shop.upstream.seen[1].json()["input"][1]["encrypted_content"] == "gAAAA"
    respond(shop, shop.customer(), input=[question("first"), *first["output"], question("second")])
    assert [item["type"] for item in shop.upstream.seen[2].json()["input"]] == ["message"] * 3


def test_references_stand_for_what_was_stored(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(response_answer(text="one"))
    first = respond(shop, customer).json
    name = first["output"][0]["id"]
    items = [question("first"), {"type": "item_reference", "id": name}, question("second")]
    assert respond(shop, customer, input=items).status == 200
    assert shop.upstream.seen[1].json()["input"][1] == first["output"][0]
    refused = respond(shop, shop.customer(), input=items)
    assert (refused.status, refused.error["param"]) == (400, "input[1]")


# Whose it is ----------------------------------------------------------------------------------------


def refused(answer: Answer) -> bool:
    error = answer.error
    return (answer.status, error["code"], error["param"]) == (
        400,
        "previous_response_not_found",
        "previous_response_id",
    )


def test_d55_another_accounts_response_does_not_exist(shop: Shop) -> None:
    first = id_of(respond(shop, shop.customer()))
    shop.upstream.forget()
    assert refused(respond(shop, shop.customer(), previous_response_id=first))
    assert shop.upstream.seen == []


@pytest.mark.parametrize("name", ["resp_nothing", "", "resp_01k9z6m3e8aaaaaaaaaaaaaaaa", "' OR 1=1 --"])
def test_what_was_never_stored_is_not_found(shop: Shop, name: str) -> None:
    assert refused(respond(shop, shop.customer(), previous_response_id=name))


def test_what_is_not_to_be_stored_is_not(shop: Shop) -> None:
    customer = shop.customer()
    answer = respond(shop, customer, store=False)
    assert answer.json["store"] is False
    assert refused(respond(shop, customer, previous_response_id=id_of(answer)))


def test_a_failed_answer_is_not_stored(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(response_stream(text="one two three", failed_after=7))
    failed = read_events(respond(shop, customer, stream=True).body)
    shown = next(event.json()["response"] for event in failed if event.name == "response.created")
    assert refused(respond(shop, customer, previous_response_id=shown["id"]))


def test_what_was_not_charged_cannot_be_read(shop: Shop, gateway: Gateway) -> None:
    """As after a crash between storing an answer and charging it."""
    customer = shop.customer()
    first = id_of(respond(shop, customer))
    copy = "resp_01k9z6m3e8aaaaaaaaaaaaaaaa"
    pool = gateway.books.pool
    gateway.call(
        pool.execute(
            "INSERT INTO responses SELECT account_id, $2, NULL, channel_id, key_id, item_ids, sealed, expires_us"
            " FROM responses WHERE account_id = $1",
            customer.account_id,
            copy,
        )
    )
    assert refused(respond(shop, customer, previous_response_id=copy))
    assert respond(shop, customer, previous_response_id=first).status == 200


def test_an_old_response_is_forgotten_and_a_living_conversation_is_not(shop: Shop, gateway: Gateway) -> None:
    customer = shop.customer()
    pool = gateway.books.pool
    first = id_of(respond(shop, customer))
    set_time = "UPDATE responses SET expires_us = unix_us() + $2 WHERE account_id = $1"
    gateway.call(pool.execute(set_time, customer.account_id, 60_000_000))
    second = id_of(respond(shop, customer, previous_response_id=first))
    left = gateway.call(
        pool.fetchval("SELECT min(expires_us) - unix_us() FROM responses WHERE account_id = $1", customer.account_id)
    )
    assert left > 29 * 86_400_000_000
    gateway.call(pool.execute(set_time, customer.account_id, -1))
    assert refused(respond(shop, customer, previous_response_id=second))


def test_what_is_stored_is_sealed(shop: Shop, gateway: Gateway) -> None:
    customer = shop.customer()
    shop.upstream.play(response_answer(text="a very secret answer"))
    respond(shop, customer, input="a very secret question")
    rows = gateway.call(
        gateway.books.pool.fetch("SELECT sealed FROM responses WHERE account_id = $1", customer.account_id)
    )
    (row,) = rows
    assert b"secret" not in row["sealed"]


def test_an_operator_may_store_nothing(module_database: str) -> None:
    with ScriptedUpstream() as upstream, running_gateway(module_database, store_responses="false") as gateway:
        sell(gateway, *MODELS)
        channel_id = gateway.channel(f"{upstream.base_url}/v1", models=UPSTREAM_NAMES, dialect="openai_responses")
        shop = Shop(gateway, upstream, channel_id)
        customer = shop.customer()
        answer = respond(shop, customer)
        assert answer.json["store"] is False
        assert refused(respond(shop, customer, previous_response_id=id_of(answer)))
        remove_channel(gateway, channel_id)


# Read, listed, forgotten ----------------------------------------------------------------------------


def test_the_official_client_reads_lists_and_forgets(shop: Shop) -> None:
    customer = shop.customer()
    client = openai_sdk.OpenAI(base_url=f"{shop.gateway.base_url}/v1", api_key=customer.secret)
    shop.upstream.play(response_answer(text="one"), response_answer(text="two"))
    first = client.responses.create(model="words", input="first", metadata={"a": "b"})
    second = client.responses.create(model="words", input="second", previous_response_id=first.id)
    assert client.responses.retrieve(first.id).to_dict() == first.to_dict()
    assert client.responses.retrieve(second.id).previous_response_id == first.id
    listed = [item.to_dict() for item in client.responses.input_items.list(second.id, order="asc")]
    assert [part["text"] for item in listed for part in item["content"]] == ["first", "one", "second"]  # type: ignore[attr-defined, index]
    assert all(item["id"] for item in listed)
    pages = client.responses.input_items.list(second.id, limit=2)
    assert (len(pages.data), pages.has_more) == (2, True)
    assert len(list(pages)) == 3
    client.responses.delete(first.id)
    with pytest.raises(openai_sdk.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai_sdk.BadRequestError, match="not found"):
        client.responses.create(model="words", input="third", previous_response_id=second.id)


def test_a_streamed_response_is_read_with_all_it_said(shop: Shop, gateway: Gateway) -> None:
    customer = shop.customer()
    shop.upstream.play(response_stream(text="one", reasoning="hm", sealed="gAAAA"))
    answer = respond(shop, customer, stream=True, reasoning={"effort": "low"})
    shown = read_events(answer.body)[-1].json()["response"]
    assert gateway.get(f"{RESPONSES}/{shown['id']}", customer).json == shown
    assert shown["usage"]["cost"]


def test_d55_another_account_can_neither_read_nor_forget(shop: Shop, gateway: Gateway) -> None:
    customer, other = shop.customer(), shop.customer()
    name = id_of(respond(shop, customer))
    for path in (f"{RESPONSES}/{name}", f"{RESPONSES}/{name}/input_items"):
        answer = gateway.get(path, other)
        assert (answer.status, answer.error["code"]) == (404, "not_found")
    theirs = openai_sdk.OpenAI(base_url=f"{gateway.base_url}/v1", api_key=other.secret)
    with pytest.raises(openai_sdk.NotFoundError):
        theirs.responses.delete(name)
    assert gateway.get(f"{RESPONSES}/{name}", customer).status == 200


def test_the_tools_are_listed_with_their_treatment_and_price(gateway: Gateway) -> None:
    answer = gateway.get(f"{RESPONSES}/tools", gateway.customer())
    tools = {row["type"]: row for row in answer.json["data"]}
    assert tools["function"]["treatment"] == "priced"
    assert tools["file_search"]["treatment"] == "refused"
    assert tools["web_search_preview"]["meter"] == "searches"
    assert all(float(price) >= 0 for price in tools["web_search"]["prices"].values())


@pytest.mark.parametrize(
    ("query", "status"), [("limit=0", 400), ("limit=x", 400), ("limit=101", 400), ("limit=1", 200)]
)
def test_a_page_has_bounds(shop: Shop, gateway: Gateway, query: str, status: int) -> None:
    customer = shop.customer()
    name = id_of(respond(shop, customer))
    assert gateway.get(f"{RESPONSES}/{name}/input_items?{query}", customer).status == status


def test_the_official_client_counts_the_tokens_of_a_conversation(shop: Shop) -> None:
    customer = shop.customer()
    client = openai_sdk.OpenAI(base_url=f"{shop.gateway.base_url}/v1", api_key=customer.secret)
    alone = client.responses.input_tokens.count(model="words", input="second")
    first = client.responses.create(model="words", input="tell me " * 100)
    after = client.responses.input_tokens.count(model="words", input="second", previous_response_id=first.id)
    assert 0 < alone.input_tokens < 50
    assert after.input_tokens > alone.input_tokens + 150
    assert len(shop.upstream.seen) == 1


def test_sealed_reasoning_is_never_tried_elsewhere(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(response_answer(text="one", sealed="gAAAA"), failure(500), response_answer(text="two"))
    first = id_of(respond(shop, customer, reasoning={"effort": "low"}))
    answer = respond(shop, customer, input="second", previous_response_id=first)
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")
    assert len(shop.upstream.seen) == 2


def test_what_was_sealed_with_a_lost_key_is_not_found(shop: Shop, gateway: Gateway) -> None:
    customer = shop.customer()
    first = id_of(respond(shop, customer))
    spoil = "UPDATE responses SET sealed = set_byte(sealed, 1, 255 - get_byte(sealed, 1)) WHERE account_id = $1"
    gateway.call(gateway.books.pool.execute(spoil, customer.account_id))
    assert refused(respond(shop, customer, previous_response_id=first))
    assert gateway.get(f"{RESPONSES}/{first}", customer).status == 404


def test_a_conversation_that_grew_too_long_is_not_read_into_memory(shop: Shop, gateway: Gateway) -> None:
    customer = shop.customer()
    name = id_of(respond(shop, customer))
    for _ in range(3):
        name = id_of(respond(shop, customer, previous_response_id=name))
    grow = "UPDATE responses SET sealed = sealed || decode(repeat('00', 20000000), 'hex') WHERE account_id = $1"
    gateway.call(gateway.books.pool.execute(grow, customer.account_id))
    rows = gateway.call(StoredResponses(gateway.books.pool).turns(customer.account_id, name))
    assert len(rows) == 2
    answer = respond(shop, customer, previous_response_id=name)
    assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")
    assert len(shop.upstream.seen) == 4
