"""Failures, retries and routing: defects of others (d49, d50, d56, d58 to d60), shown not to be ours, over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import openai as openai_sdk
import pytest
from tests.support.openai_answers import chat_answer, chat_stream, failure, usage
from tests.support.script import hang_up
from tests.support.shop import A_CALL, INPUT, OUTPUT, UPSTREAM_NAMES, Shop, remove_channel, until

FORMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
REPORTED = 12 * INPUT + 8 * OUTPUT
QUESTION = "the patient, Mrs. Smith, born in 1954"


# Health and secrets ---------------------------------------------------------------------------------


@FORMS
def test_d49_our_own_refusals_never_touch_a_channels_health(shop: Shop, stream: bool) -> None:
    poor, rich = shop.customer(credits="0.00001"), shop.customer()
    with shop.another(priority=9) as first:
        for _ in range(8):
            assert shop.chat(poor, stream=stream).status == 402
            assert shop.chat(rich, stream=stream, model="no-such-model").status == 404
            assert shop.chat(rich, stream=stream, n=0).status == 400
        assert first.seen == []
        assert shop.chat(rich, stream=stream).status == 200
        assert len(first.seen) == 1
    assert shop.upstream.seen == []


def test_d49_credits_that_run_out_mid_stream_never_do_either(shop: Shop) -> None:
    with shop.another(priority=9) as first:
        first.always(chat_stream(text=" ".join(["word"] * 4_000)))
        for _ in range(5):
            shop.chat(shop.customer(credits="0.004"), stream=True)
        assert len(first.seen) == 5
    assert shop.upstream.seen == []


@FORMS
@pytest.mark.parametrize(
    "said",
    [
        "Incorrect API key provided: sk-proj-AbCdEf123456. See https://platform.provider.example/keys",
        "org-AbCdEf123456 has no access to upstream-words",
        "connect to 10.20.30.40:8443 failed for user@operator.example",
    ],
)
@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_d50_no_secret_of_anybody_stands_in_an_answer_or_in_the_log(
    shop: Shop, capsys: pytest.CaptureFixture[str], said: str, status: int, stream: bool
) -> None:
    customer = shop.customer()
    shop.upstream.always(failure(status, said))
    answer = shop.chat(customer, text=QUESTION, stream=stream)
    logged = "".join(capsys.readouterr())
    secrets = ("sk-proj", "platform.provider", "org-AbCdEf", "upstream-words", "10.20.30.40", "operator.example")
    for secret in (*secrets, customer.secret, "sk-upstream-1", shop.upstream.base_url):
        assert secret not in answer.body.decode(), secret
        assert secret not in logged, secret
    for private in (QUESTION, "Mrs. Smith"):
        assert private not in answer.body.decode()
        assert private not in logged


@FORMS
@pytest.mark.parametrize("status", [400, 413])
def test_d56_a_provider_400_stays_a_400_so_that_tools_compact_and_do_not_resend(
    shop: Shop, status: int, stream: bool
) -> None:
    customer = shop.customer()
    said = "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens."
    shop.upstream.always(failure(status, said, code="context_length_exceeded"))
    client = openai_sdk.OpenAI(base_url=f"{shop.gateway.base_url}/v1", api_key=customer.secret)
    with pytest.raises(openai_sdk.APIStatusError) as refused:
        client.chat.completions.create(model="words", messages=[{"role": "user", "content": "x"}], stream=stream)
    assert refused.value.status_code == status
    assert refused.value.code == "context_length_exceeded"
    assert said in refused.value.message
    assert len(shop.upstream.seen) == 1


# Retries --------------------------------------------------------------------------------------------


@FORMS
def test_d58_an_sdk_that_retries_after_a_timeout_pays_once(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    with shop.another(priority=9, bills_after_disconnect=True) as upstream:
        upstream.always((chat_stream() if stream else chat_answer()).after(1.0))
        client = openai_sdk.OpenAI(
            base_url=f"{shop.gateway.base_url}/v1", api_key=customer.secret, timeout=0.7, max_retries=4
        )
        answer = client.chat.completions.create(
            model="words", messages=[{"role": "user", "content": "slowly"}], stream=stream
        )
        if stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
        else:
            text = answer.choices[0].message.content
        assert text == "A short answer from upstream."
        assert len(upstream.seen) == 1
    assert [charge.amount for charge in shop.charges(customer)] == [REPORTED]


def test_d58_three_retries_at_once_join_the_same_answer(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_answer().after(0.6))
    with shop.line(customer), ThreadPoolExecutor() as pool:
        until(lambda: shop.upstream.seen)
        counts = [{"x-stainless-retry-count": str(count)} for count in (1, 2, 3)]
        retries = [pool.submit(shop.chat, customer, headers=headers) for headers in counts]
        # The first attempt stays connected: its answer is kept because somebody waits for it.
    assert {retry.result().status for retry in retries} == {200}
    assert len(shop.upstream.seen) == 1
    assert shop.charge(customer).amount == REPORTED


# Routing --------------------------------------------------------------------------------------------


def test_d59_a_growing_conversation_keeps_its_prompt_cache(shop: Shop) -> None:
    customer = shop.customer()
    keys = tuple(f"sk-{number}" for number in range(12))
    channel_id = shop.gateway.channel(shop.upstream.base_url, models=UPSTREAM_NAMES, secrets=keys, priority=9)
    history = [{"role": "system", "content": "You help."}, {"role": "user", "content": "Begin."}]
    for turn in range(8):
        shop.chat(customer, messages=history, stream=turn % 2 == 1)
        history += [{"role": "assistant", "content": f"answer {turn}"}, {"role": "user", "content": f"more {turn}"}]
    assert len({seen.api_key for seen in shop.upstream.seen}) == 1
    remove_channel(shop.gateway, channel_id)


def test_d59_it_moves_only_when_its_place_fails_and_comes_back(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9) as first, shop.another(priority=8) as second:
        first.play(hang_up(), hang_up(), hang_up())
        for _ in range(4):
            assert shop.chat(customer).status == 200
        assert (len(first.seen), len(second.seen)) == (3, 4)
        until(lambda: shop.chat(customer).status == 200 and len(first.seen) > 3, within_s=6)
        moved = len(second.seen)
        assert shop.chat(customer).status == 200
        assert len(second.seen) == moved


# Free compute ---------------------------------------------------------------------------------------


@FORMS
def test_d60_hidden_reasoning_under_a_tiny_limit_is_not_an_empty_answer(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shape = {"text": "", "finish": "length", "usage": usage(12, 16, reasoning=16)}
    shop.upstream.play(chat_stream(**shape) if stream else chat_answer(**shape))
    shop.chat(customer, model="thinker", max_tokens=16, stream=stream)
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("provider", 12 * INPUT + 16 * OUTPUT)


@FORMS
def test_d60_reasoning_that_ends_by_itself_without_a_word_is_charged_too(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shape = {"text": "", "finish": "stop", "usage": usage(12, 16, reasoning=16)}
    shop.upstream.play(chat_stream(**shape) if stream else chat_answer(**shape))
    shop.chat(customer, model="thinker", stream=stream)
    assert shop.charge(customer).amount == 12 * INPUT + 16 * OUTPUT


@FORMS
def test_d60_a_stop_sequence_that_swallows_the_answer_is_no_free_compute(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shape = {"text": "", "finish": "stop", "usage": usage(12, 0)}
    shop.upstream.play(chat_stream(**shape) if stream else chat_answer(**shape))
    shop.chat(customer, stop=["A"], stream=stream)
    assert shop.charge(customer).amount == 12 * INPUT


def test_d60_leaving_a_call_before_its_end_is_charged_in_full(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text="word " * 300, pause_s=0.01))
    with shop.stream(customer, model="calls") as stream:
        stream.until(b"word")
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("client_left_cancelled", A_CALL)


def test_d60_leaving_a_whole_call_is_charged_in_full(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_answer().after(0.3))
    with shop.line(customer, model="calls"):
        until(lambda: shop.upstream.seen)
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("client_left_drained", A_CALL)
