"""The same request twice: idempotency keys, and retries that SDKs make by themselves (Law 9)."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import openai as openai_sdk
import pytest
from tests.support.gateway import Answer
from tests.support.openai_answers import chat_answer, chat_stream, failure, usage
from tests.support.shop import INPUT, OUTPUT, Shop, until
from tests.support.sse import chunks_of, ends_with_done, text_of

KEY = {"idempotency-key": "order-66"}
RETRY = {"x-stainless-retry-count": "1"}
REPORTED = 12 * INPUT + 8 * OUTPUT
FORMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


# Idempotency keys -----------------------------------------------------------------------------------


@FORMS
def test_a_keyed_request_runs_once_and_its_answer_is_replayed_for_free(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    first = shop.chat(customer, stream=stream, headers=KEY)
    again = shop.chat(customer, stream=stream, headers=KEY)
    assert again.status == 200
    assert again.body == first.body
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len(shop.upstream.seen) == 1
    assert shop.charge(customer).amount == REPORTED


def test_the_key_of_a_request_ends_here(shop: Shop) -> None:
    shop.chat(shop.customer(), headers=KEY)
    assert "idempotency-key" not in shop.upstream.seen[0].headers


def test_another_body_under_the_same_key_is_a_mismatch(shop: Shop) -> None:
    customer = shop.customer()
    shop.chat(customer, headers=KEY)
    answer = shop.chat(customer, text="Something else.", headers=KEY)
    assert (answer.status, answer.error["code"]) == (409, "idempotency_mismatch")
    assert answer.headers["x-should-retry"] == "false"
    assert len(shop.upstream.seen) == 1
    assert shop.charge(customer).amount == REPORTED


def test_the_same_body_to_another_endpoint_is_a_mismatch(shop: Shop) -> None:
    customer = shop.customer()
    body = {"model": "text-embedding-3-small", "input": "x", "messages": [{"role": "user", "content": "x"}]}
    assert shop.gateway.post("/v1/embeddings", customer, body, KEY).status == 200
    assert shop.gateway.post("/v1/chat/completions", customer, body, KEY).error["code"] == "idempotency_mismatch"


def test_a_request_still_running_under_the_key_is_in_progress(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_answer().after(1.0))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(shop.chat, customer, headers=KEY)
        until(lambda: shop.upstream.seen)
        second = shop.chat(customer, headers=KEY)
        assert (second.status, second.error["code"]) == (409, "idempotency_in_progress")
        assert int(second.headers["retry-after"]) >= 1
        assert "x-should-retry" not in second.headers
        assert first.result().status == 200
    assert shop.chat(customer, headers=KEY).headers["idempotent-replayed"] == "true"
    assert len(shop.charges(customer)) == 1


@FORMS
def test_the_same_key_many_times_at_once_runs_once(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.always(chat_stream(pause_s=0.02) if stream else chat_answer().after(0.3))
    start = threading.Barrier(8)

    def ask() -> Answer:
        start.wait()
        return shop.chat(customer, stream=stream, headers=KEY)

    with ThreadPoolExecutor(8) as pool:
        answers = [each.result() for each in [pool.submit(ask) for _ in range(8)]]
    first_hand = [each for each in answers if each.status == 200 and "idempotent-replayed" not in each.headers]
    assert len(first_hand) == 1
    assert {each.error["code"] for each in answers if each.status != 200} == {"idempotency_in_progress"}
    assert len(shop.upstream.seen) == 1
    assert shop.charge(customer).amount == REPORTED


def test_different_bodies_under_one_key_at_once_run_once(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.always(chat_answer().after(0.3))
    start = threading.Barrier(4)

    def ask(number: int) -> Answer:
        start.wait()
        return shop.chat(customer, text=f"question {number}", headers=KEY)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
    assert {answer.error["code"] for answer in answers if answer.status == 409} == {"idempotency_mismatch"}
    assert len(shop.charges(customer)) == 1


def test_keys_belong_to_an_account_and_span_its_api_keys(shop: Shop) -> None:
    one, stranger = shop.customer(), shop.customer()
    other_key = shop.gateway.key(one.account_id)
    shop.chat(one, headers=KEY)
    assert shop.chat(other_key, headers=KEY).headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in shop.chat(stranger, headers=KEY).headers
    assert len(shop.upstream.seen) == 2


@FORMS
def test_a_request_that_failed_frees_its_key(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(failure(500))
    assert shop.chat(customer, stream=stream, headers=KEY).status == 502
    answer = shop.chat(customer, stream=stream, headers=KEY)
    assert answer.status == 200
    assert "idempotent-replayed" not in answer.headers
    assert [charge.stamp for charge in shop.charges(customer)] == ["upstream_failed", "provider"]


def test_a_refusal_takes_no_key(shop: Shop) -> None:
    customer = shop.customer(credits="0.0001")
    assert shop.chat(customer, headers=KEY).status == 402
    assert shop.chat(customer, text="Another question.", headers=KEY).status == 402


def test_a_paid_answer_is_replayed_to_who_has_no_credits_left(shop: Shop) -> None:
    customer = shop.customer(credits="0.0036")
    shop.upstream.play(chat_answer(usage=usage(12, 1_000)))
    first = shop.chat(customer, headers=KEY)
    assert shop.chat(customer).status == 402
    assert shop.chat(customer, headers=KEY).body == first.body


@FORMS
def test_who_left_a_keyed_request_fetches_its_answer_later(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text="one two three four", pause_s=0.05) if stream else chat_answer().after(0.3))
    line = shop.stream(customer, headers=KEY) if stream else shop.line(customer, headers=KEY)
    with line:
        until(lambda: shop.upstream.seen)
    assert shop.charge(customer).stamp == "client_left_drained"
    again = shop.chat(customer, headers=KEY, **({"stream": True} if stream else {}))
    assert again.headers["idempotent-replayed"] == "true"
    if stream:
        assert text_of(chunks_of(again.body)) == "one two three four"
        assert ends_with_done(again.body)
    else:
        assert again.json["choices"][0]["message"]["content"] == "A short answer from upstream."
    assert shop.charge(customer).amount == REPORTED


def test_an_answer_no_longer_kept_is_completed_with_its_receipt(shop: Shop) -> None:
    customer = shop.customer()
    first = shop.chat(customer, headers=KEY)
    pool = shop.gateway.books.pool
    shop.gateway.call(pool.execute("UPDATE kept_answers SET expires_us = 1 WHERE account_id = $1", customer.account_id))
    answer = shop.chat(customer, headers=KEY)
    assert (answer.status, answer.error["code"]) == (409, "idempotency_completed")
    assert answer.error["param"] == f"/v1/receipts/{first.headers['x-request-id']}"
    assert answer.headers["x-should-retry"] == "false"
    assert shop.gateway.get(answer.error["param"], customer).json["charged"] == "0.000036"


def test_kept_answers_are_sealed(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_answer(text="a very private answer"))
    shop.chat(customer, headers=KEY)
    rows = shop.gateway.call(
        shop.gateway.books.pool.fetch("SELECT sealed FROM kept_answers WHERE account_id = $1", customer.account_id)
    )
    assert len(rows) == 1
    assert b"private" not in rows[0]["sealed"]


# Retries of SDKs ------------------------------------------------------------------------------------


@FORMS
def test_a_retry_joins_the_answer_still_running(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    with shop.another(priority=9, bills_after_disconnect=True) as upstream:
        upstream.play(chat_stream().after(0.8) if stream else chat_answer().after(0.8))
        with shop.stream(customer) if stream else shop.line(customer):
            until(lambda: upstream.seen)
        again = shop.chat(customer, headers=RETRY, **({"stream": True} if stream else {}))
        assert len(upstream.seen) == 1
    assert again.status == 200
    assert again.headers["idempotent-replayed"] == "true"
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("client_left_drained", REPORTED)
    if stream:
        assert text_of(chunks_of(again.body)) == "A short answer from upstream."
        assert ends_with_done(again.body)


def test_a_retry_takes_the_answer_that_was_just_drained(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_answer().after(0.2))
    with shop.line(customer):
        until(lambda: shop.upstream.seen)
    assert shop.charge(customer).stamp == "client_left_drained"
    again = shop.chat(customer, headers=RETRY)
    assert again.headers["idempotent-replayed"] == "true"
    assert len(shop.upstream.seen) == 1
    assert shop.charge(customer).amount == REPORTED


def test_a_retry_of_what_failed_runs_again(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(failure(500))
    assert shop.chat(customer).status == 502
    assert shop.chat(customer, headers=RETRY).status == 200
    assert len(shop.upstream.seen) == 2


def test_a_retry_of_an_answer_that_was_fetched_runs_again(shop: Shop) -> None:
    customer = shop.customer()
    shop.chat(customer)
    assert "idempotent-replayed" not in shop.chat(customer, headers=RETRY).headers
    assert len(shop.charges(customer)) == 2


def test_another_api_key_of_the_account_does_not_join(shop: Shop) -> None:
    customer = shop.customer()
    other_key = shop.gateway.key(customer.account_id)
    shop.upstream.play(chat_answer().after(0.2))
    with shop.line(customer):
        until(lambda: shop.upstream.seen)
    until(lambda: shop.held_by(customer) == 0)
    assert "idempotent-replayed" not in shop.chat(other_key, headers=RETRY).headers
    assert len(shop.charges(customer)) == 2


def test_a_retry_does_not_take_the_answer_kept_for_an_idempotency_key(shop: Shop) -> None:
    customer = shop.customer()
    shop.chat(customer, headers=KEY)
    assert "idempotent-replayed" not in shop.chat(customer, headers=RETRY).headers
    assert len(shop.upstream.seen) == 2


def test_a_drained_answer_can_be_joined_for_ten_minutes(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_answer().after(0.2))
    with shop.line(customer):
        until(lambda: shop.upstream.seen)
    shop.charges(customer)
    left_us = shop.gateway.call(
        shop.gateway.books.pool.fetchval(
            "SELECT expires_us - unix_us() FROM kept_answers WHERE account_id = $1", customer.account_id
        )
    )
    assert 590 < left_us / 1_000_000 <= 600


def test_the_official_client_that_times_out_and_retries_pays_once(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.always(chat_answer().after(1.2))
    client = openai_sdk.OpenAI(
        base_url=f"{shop.gateway.base_url}/v1", api_key=customer.secret, timeout=0.9, max_retries=3
    )
    completion = client.chat.completions.create(model="words", messages=[{"role": "user", "content": "slowly"}])
    assert completion.choices[0].message.content == "A short answer from upstream."
    time.sleep(0.3)
    assert len(shop.upstream.seen) == 1
    assert [charge.amount for charge in shop.charges(customer)] == [REPORTED]


def test_a_retry_whose_own_client_left_as_well_starts_nothing(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_answer(text="").after(0.8))  # ends without a charge, so nothing is kept
    with shop.line(customer):
        until(lambda: shop.upstream.seen)
        with shop.line(customer, headers=RETRY):
            time.sleep(0.3)
    until(lambda: shop.held_by(customer) == 0)
    time.sleep(0.6)
    assert len(shop.upstream.seen) == 1
