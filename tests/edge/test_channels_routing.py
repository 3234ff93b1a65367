"""Where a request goes, what it carries there, and how it waits when every place is taken."""

from __future__ import annotations

import random
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from tests.support.gateway import Answer, Gateway, running_gateway
from tests.support.openai_answers import chat_answer, chat_stream
from tests.support.script import silence
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import MODELS, UPSTREAM_NAMES, Shop, remove_channel, sell, until

SETTINGS = {"queue_timeout_s": 2}
TURNS = [f"turn {number}" for number in range(6)]


# Stickiness -----------------------------------------------------------------------------------------


def test_a_conversation_stays_with_one_upstream_key(shop: Shop) -> None:
    customer = shop.customer()
    keys = tuple(f"sk-{letter}" for letter in "abcdefgh")
    channel_id = shop.gateway.channel(shop.upstream.base_url, models=UPSTREAM_NAMES, secrets=keys, priority=9)
    history = [{"role": "system", "content": "You are a pirate."}, {"role": "user", "content": "Ahoy"}]
    for turn in TURNS:
        shop.chat(customer, messages=history)
        history += [{"role": "assistant", "content": turn}, {"role": "user", "content": turn}]
    assert len({seen.api_key for seen in shop.upstream.seen}) == 1
    remove_channel(shop.gateway, channel_id)


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({"x-session-id": "s1"}, {}),
        ({}, {"prompt_cache_key": "s1"}),
        ({}, {"metadata": {"user_id": "s1"}}),
    ],
    ids=["header", "cache key", "user"],
)
def test_a_named_session_stays_with_one_upstream_key(
    shop: Shop, headers: dict[str, str], fields: dict[str, object]
) -> None:
    customer = shop.customer()
    keys = tuple(f"sk-{letter}" for letter in "abcdefgh")
    channel_id = shop.gateway.channel(shop.upstream.base_url, models=UPSTREAM_NAMES, secrets=keys, priority=9)
    for turn in TURNS:
        shop.chat(customer, text=turn, headers=headers, **fields)
    assert len({seen.api_key for seen in shop.upstream.seen}) == 1
    remove_channel(shop.gateway, channel_id)


def test_different_conversations_spread_over_keys_and_channels(shop: Shop) -> None:
    customer = shop.customer()
    channel_id = shop.gateway.channel(
        shop.upstream.base_url, models=UPSTREAM_NAMES, secrets=("sk-a", "sk-b", "sk-c"), priority=9
    )
    for number in range(30):
        shop.chat(customer, text=f"conversation {number}")
    assert {seen.api_key for seen in shop.upstream.seen} == {"sk-a", "sk-b", "sk-c"}
    remove_channel(shop.gateway, channel_id)


def test_losing_a_channel_moves_only_who_was_there(shop: Shop) -> None:
    customer = shop.customer()
    talks = [f"conversation {number}" for number in range(24)]
    ids = [
        shop.gateway.channel(shop.upstream.base_url, models=UPSTREAM_NAMES, secrets=(f"sk-{letter}",), priority=9)
        for letter in "abc"
    ]

    def places() -> dict[str, str]:
        shop.upstream.seen.clear()
        for talk in talks:
            shop.chat(customer, text=talk)
        return {talk: seen.api_key for talk, seen in zip(talks, shop.upstream.seen, strict=True)}

    before = places()
    remove_channel(shop.gateway, ids[0])
    after = places()
    assert "sk-a" in before.values()
    assert {talk for talk in talks if before[talk] != after[talk]} == {t for t in talks if before[t] == "sk-a"}
    for channel_id in ids[1:]:
        remove_channel(shop.gateway, channel_id)


def test_a_higher_channel_priority_is_asked_first(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=1) as better, shop.another(priority=2) as best:
        for number in range(5):
            shop.chat(customer, text=f"conversation {number}")
        assert (len(best.seen), len(better.seen), len(shop.upstream.seen)) == (5, 0, 0)


# What goes upstream ---------------------------------------------------------------------------------


def test_a_channel_lays_its_headers_and_parameters_over_the_request(shop: Shop) -> None:
    customer = shop.customer()
    options = {
        "headers": {"x-tenant": "farebox", "openai-beta": None, "user-agent": "gateway"},
        "parameters": {"store": False, "temperature": 0.1},
    }
    with shop.another(priority=9, **options) as upstream:
        shop.chat(customer, temperature=1.0, headers={"openai-beta": "x", "user-agent": "customer"})
        (seen,) = upstream.seen
    assert seen.headers["x-tenant"] == "farebox"
    assert seen.headers["user-agent"] == "gateway"
    assert "openai-beta" not in seen.headers
    assert (seen.json()["store"], seen.json()["temperature"]) == (False, 0.1)


def test_a_channel_cannot_undo_what_the_hold_relies_on(shop: Shop) -> None:
    customer = shop.customer(credits="0.0045")
    with shop.another(priority=9, parameters={"max_completion_tokens": 100_000, "stream_options": {}}) as upstream:
        whole = shop.chat(customer)
        assert upstream.seen[0].json()["max_completion_tokens"] == int(whole.headers["x-max-tokens-applied"])
        shop.chat(customer, stream=True)
        assert upstream.seen[1].json()["stream_options"] == {"include_usage": True}


def test_an_older_server_gets_the_limit_where_it_reads_it_and_no_usage_option(shop: Shop) -> None:
    customer = shop.customer(credits="0.0045")
    with shop.another(priority=9, limit_field="max_tokens", stream_usage=False) as upstream:
        whole = shop.chat(customer)
        assert upstream.seen[0].json()["max_tokens"] == int(whole.headers["x-max-tokens-applied"])
        upstream.play(chat_stream(usage=None))
        shop.chat(customer, stream=True)
        assert "stream_options" not in upstream.seen[1].json()
    assert [charge.stamp for charge in shop.charges(customer)] == ["provider", "counted"]


def test_unknown_fields_pass_and_the_body_is_otherwise_as_written(shop: Shop) -> None:
    customer = shop.customer()
    body = b'{"model":"words", "messages": [{"role":"user","content":"x"}],"seed":7,"future_field":{"a":[1.50,2e3]}}'
    assert shop.gateway.post("/v1/chat/completions", customer, body).status == 200
    sent = shop.upstream.seen[0].body
    assert b'"future_field":{"a":[1.50,2e3]}' in sent
    assert b'"seed":7' in sent


def test_accounts_are_told_apart_upstream_without_being_named(database: str) -> None:
    with running_gateway(database, safety_identifier="true") as gateway, ScriptedUpstream() as upstream:
        sell(gateway, *MODELS)
        shop = Shop(gateway, upstream, gateway.channel(upstream.base_url, models=UPSTREAM_NAMES))
        one, other = shop.customer(), shop.customer()
        for who in (one, one, other):
            shop.chat(who, safety_identifier="my own")
        first, again, second = [seen.json()["safety_identifier"] for seen in upstream.seen]
        assert first == again != second
        assert one.account_id not in first


# Waiting --------------------------------------------------------------------------------------------


def test_who_waits_for_a_slot_is_told_how_long(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9, concurrency=1) as upstream, ThreadPoolExecutor() as pool:
        remove_channel(shop.gateway, shop.channel_id)
        upstream.always(chat_answer().after(0.4))
        first = pool.submit(shop.chat, customer)
        until(lambda: upstream.seen)
        second = shop.chat(customer)
        assert first.result().headers["x-queue-wait-ms"] == "0"
        assert 200 <= int(second.headers["x-queue-wait-ms"]) <= 900
        receipt = shop.gateway.receipt(customer, second.headers["x-request-id"])
        assert receipt["queue_wait_ms"] == int(second.headers["x-queue-wait-ms"])


def test_a_higher_tier_gets_the_next_slot(shop: Shop) -> None:
    low, high = shop.customer(tier="free"), shop.customer(tier="enterprise")
    with shop.another(priority=9, concurrency=1) as upstream, ThreadPoolExecutor() as pool:
        remove_channel(shop.gateway, shop.channel_id)
        upstream.always(chat_answer().after(0.3))
        running = pool.submit(shop.chat, low, text="running")
        until(lambda: upstream.seen)
        waiting = pool.submit(shop.chat, low, text="waiting")
        time.sleep(0.1)
        preferred = pool.submit(shop.chat, high, text="preferred")
        answers: list[Future[Answer]] = [running, waiting, preferred]
        assert [answer.result().status for answer in answers] == [200, 200, 200]
        order = [seen.json()["messages"][0]["content"] for seen in upstream.seen]
    assert order == ["running", "preferred", "waiting"]
    assert preferred.result().headers["x-request-priority"] == "4"
    assert waiting.result().headers["x-request-priority"] == "1"


def test_who_waits_too_long_is_refused_and_pays_nothing(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9, concurrency=1) as upstream, ThreadPoolExecutor() as pool:
        remove_channel(shop.gateway, shop.channel_id)
        upstream.always(chat_answer().after(3))
        first = pool.submit(shop.chat, customer)
        until(lambda: upstream.seen)
        answer = shop.chat(customer)
        assert (answer.status, answer.error["code"]) == (503, "queue_timeout")
        assert int(answer.headers["retry-after"]) >= 1
        assert first.result().status == 200
    assert sorted(charge.stamp for charge in shop.charges(customer)) == ["no_upstream", "provider"]


def test_a_client_that_leaves_the_queue_of_a_stream_costs_nothing_and_takes_no_slot(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9, concurrency=1, bills_after_disconnect=True) as upstream:
        remove_channel(shop.gateway, shop.channel_id)
        upstream.play(silence())
        with shop.stream(customer) as running:
            until(lambda: upstream.seen)
            with shop.stream(customer, text="never mind"):
                time.sleep(0.3)
            until(lambda: len(shop.charges_so_far(customer)) == 1)
            (left,) = shop.charges_so_far(customer)
            assert (left.stamp, left.amount, left.attempts) == ("client_left_cancelled", 0, [])
            assert len(upstream.seen) == 1
            upstream.drop_connections()
            assert running.response.status in (200, 502)


def test_a_slot_comes_free_when_a_stream_is_left(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9, concurrency=1, bills_after_disconnect=False) as upstream, ExitStack() as stack:
        remove_channel(shop.gateway, shop.channel_id)
        upstream.play(chat_stream(text="one two three four five six seven", pause_s=0.3))
        stream = stack.enter_context(shop.stream(customer))
        stream.until(b"one")
        stream.leave()
        assert shop.chat(customer).status == 200


def test_slots_come_back_after_every_kind_of_end(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9, concurrency=1) as upstream:
        remove_channel(shop.gateway, shop.channel_id)
        for script in (chat_answer(), chat_answer().cut(20), chat_stream().cut(300), chat_answer(usage=None)):
            upstream.play(script)
            shop.chat(customer)
        assert upstream.seen
        assert running(shop.gateway) == 0


def running(gateway: Gateway) -> int:
    """Requests the books think are under way."""
    return gateway.call(gateway.books.pool.fetchval("SELECT coalesce(sum(running), 0) FROM accounts"))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_leaving_at_any_moment_ends_every_hold_once_and_frees_every_slot(shop: Shop, seed: int) -> None:
    customer, dice = shop.customer(), random.Random(seed)
    with shop.another(priority=9, concurrency=6, bills_after_disconnect=seed == 2) as upstream:
        remove_channel(shop.gateway, shop.channel_id)
        upstream.always(
            lambda seen: (chat_stream(pause_s=0.01) if seen.json().get("stream") else chat_answer()).after(
                dice.choice((0, 0.02, 0.1))
            )
        )

        def ask_and_leave(number: int) -> None:
            moment, keyed = dice.uniform(0, 0.3), {"idempotency-key": f"{seed} {number}"} if number % 5 == 0 else {}
            asking = shop.line if number % 4 == 0 else shop.stream
            with asking(customer, headers=keyed, text=f"question {number}") as line:
                if number % 3 == 0:
                    line.rest()
                time.sleep(moment)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(ask_and_leave, range(60)))
        until(lambda: running(shop.gateway) == 0, "a request still runs", within_s=10)
        charges = shop.charges(customer)
        assert len({charge.hold_id for charge in charges}) == len(charges) <= 60
        assert shop.gateway.available(customer) == 10**10 - sum(charge.amount for charge in charges)
        upstream.always(chat_answer())
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: shop.chat(customer), range(6)))
        assert {answer.status for answer in answers} == {200}
        assert max(int(answer.headers["x-queue-wait-ms"]) for answer in answers) < 500
