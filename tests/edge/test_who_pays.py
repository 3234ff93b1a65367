"""Who pays when something goes wrong: each row of the failure policy, over HTTP, streamed and not (Law 5).

Each test looks at what the customer was told, what the books say, and what the provider saw.
"""

from __future__ import annotations

import time

import pytest
from rs_bpe.bpe import openai  # type: ignore[import-untyped]
from tests.support.openai_answers import UsageIn, chat_answer, chat_stream, failure, usage
from tests.support.script import Ending, Script, hang_up
from tests.support.shop import A_CALL, INPUT, OUTPUT, Shop, until
from tests.support.sse import chunks_of, ends_with_done, finish_of, text_of

LONG_TEXT = " ".join(f"word{number}" for number in range(400))
QUESTION = "Say something short."
REPORTED = 12 * INPUT + 8 * OUTPUT


def tokens(text: str) -> int:
    return openai.o200k_base().count(text)


ASKED = tokens(QUESTION) + 4
"""The question as we count it, with what a template writes around a message."""
FORMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def good(stream: bool, **shape: object) -> Script:
    return chat_stream(**shape) if stream else chat_answer(**shape)


# Failed before any output ---------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize(
    ("script", "status"),
    [(failure(500), 502), (failure(503), 502), (hang_up(), 502), (hang_up(Ending.RESET), 502)],
    ids=["500", "503", "closed", "reset"],
)
def test_an_upstream_that_fails_before_any_output_costs_nothing(
    shop: Shop, stream: bool, script: Script, status: int
) -> None:
    customer = shop.customer()
    shop.upstream.always(script)
    answer = shop.chat(customer, stream=stream)
    assert (answer.status, answer.error["code"]) == (status, "upstream_error")
    charge = shop.charge(customer)
    assert (charge.ended, charge.stamp, charge.amount) == ("voided", "upstream_failed", 0)
    assert shop.gateway.receipt(customer, answer.headers["x-request-id"])["reason"] == "upstream_failed"


def test_a_whole_answer_that_breaks_off_costs_nothing(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.always(chat_answer(text=LONG_TEXT).cut(300))
    answer = shop.chat(customer)
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount, len(charge.attempts)) == ("upstream_failed", 0, 1)


def test_a_stream_that_breaks_off_before_any_output_costs_nothing(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.always(chat_stream(text=LONG_TEXT).cut(230))  # within the second event; the first has no text
    answer = shop.chat(customer, stream=True)
    assert b"[DONE]" not in answer.body
    assert shop.charge(customer).stamp == "upstream_failed"
    assert shop.charge(customer).amount == 0


# Complete -------------------------------------------------------------------------------------------


@FORMS
def test_a_complete_answer_is_charged_as_reported(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream))
    assert shop.chat(customer, stream=stream).status == 200
    charge = shop.charge(customer)
    assert (charge.ended, charge.stamp, charge.amount) == ("captured", "provider", REPORTED)


@FORMS
@pytest.mark.parametrize(
    ("stated", "flag"),
    [
        (None, "usage_missing"),
        (usage(12, -8), "usage_negative"),
        (usage(12, 5_000), "usage_more_output_than_limit"),
        (usage(500_000, 8), "usage_more_input_than_sent"),
        ({"prompt_tokens": 12.5, "completion_tokens": 8}, "usage_not_whole"),
        ({"completion_tokens": 8}, "usage_missing"),
    ],
    ids=["none", "negative", "beyond-the-limit", "beyond-the-input", "fractional", "half"],
)
def test_usage_that_cannot_be_believed_is_counted_and_flagged(
    shop: Shop, stream: bool, stated: dict[str, object] | None, flag: str
) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream, text=LONG_TEXT, usage=stated))
    assert shop.chat(customer, stream=stream, max_tokens=4_000).status == 200
    charge = shop.charge(customer)
    assert (charge.stamp, charge.flags) == ("counted", [flag])
    assert charge.amount == ASKED * INPUT + tokens(LONG_TEXT) * OUTPUT


@FORMS
def test_an_empty_answer_is_free(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream, text="", usage=usage(12, 0)))
    answer = shop.chat(customer, stream=stream)
    assert answer.status == 200
    charge = shop.charge(customer)
    assert (charge.ended, charge.stamp, charge.amount) == ("voided", "empty", 0)
    if stream:
        assert ends_with_done(answer.body)
    else:
        assert answer.headers["x-credits-charged"] == "0"


@FORMS
@pytest.mark.parametrize(
    ("finish", "fields"), [("length", {}), ("stop", {"stop": ["x"]})], ids=["by the limit", "by a stop sequence"]
)
def test_nothing_that_was_asked_for_is_charged(
    shop: Shop, stream: bool, finish: str, fields: dict[str, object]
) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream, text="", finish=finish, usage=usage(12, 0)))
    shop.chat(customer, stream=stream, **fields)
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("provider", 12 * INPUT)


@FORMS
def test_hidden_reasoning_is_output_and_is_charged(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream, text="", finish="length", usage=usage(12, 8, reasoning=8)))
    shop.chat(customer, stream=stream, model="thinker", max_tokens=8)
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("provider", REPORTED)


# The client left ------------------------------------------------------------------------------------


def test_a_client_that_leaves_a_stream_pays_for_what_was_produced(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text=LONG_TEXT, pause_s=0.02))
    with shop.stream(customer) as stream:
        stream.until(b"word20 ")
        left_at = stream.leave()
    (seen,) = shop.upstream.seen
    until(lambda: seen.peer_closed_at is not None, "the upstream was not told")
    assert seen.peer_closed_at is not None
    assert seen.peer_closed_at - left_at < 1.0
    charge = shop.charge(customer)
    assert charge.stamp == "client_left_cancelled"
    words = (charge.amount - ASKED * INPUT) / OUTPUT
    assert tokens(LONG_TEXT[: LONG_TEXT.index("word20 ")]) <= words < tokens(LONG_TEXT) / 2
    assert charge.amount < charge.held


def test_a_client_that_leaves_before_the_first_byte_pays_for_its_input(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text=LONG_TEXT).after(30))
    with shop.stream(customer) as stream:
        until(lambda: shop.upstream.seen)
        left_at = stream.leave()
    (seen,) = shop.upstream.seen
    until(lambda: seen.peer_closed_at is not None, "the upstream was not told")
    assert seen.peer_closed_at is not None
    assert seen.peer_closed_at - left_at < 1.0
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("client_left_cancelled", ASKED * INPUT)


def test_where_the_provider_bills_regardless_a_stream_is_read_to_its_end(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9, bills_after_disconnect=True) as upstream:
        upstream.play(chat_stream(text="one two three four five six", pause_s=0.05))
        with shop.stream(customer) as stream:
            stream.until(b"one")
        (charge,) = shop.charges(customer)
        assert upstream.seen[0].answered_at is not None
    assert (charge.stamp, charge.amount) == ("client_left_drained", REPORTED)


def test_a_keyed_stream_is_finished_whoever_leaves(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text="one two three four five six", pause_s=0.05))
    with shop.stream(customer, headers={"idempotency-key": "k1"}) as stream:
        stream.until(b"one")
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("client_left_drained", REPORTED)
    assert shop.upstream.seen[0].answered_at is not None


def test_a_whole_answer_is_finished_whoever_leaves(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_answer().after(0.3))
    with shop.line(customer):
        until(lambda: shop.upstream.seen)
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("client_left_drained", REPORTED)


def test_a_client_that_leaves_when_only_the_usage_is_missing_is_charged_as_reported(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text="one two", pause_s=0.15))
    with shop.stream(customer) as stream:
        stream.until(b"two")
        time.sleep(0.2)  # the finish has come and is withheld; the usage has not
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("client_left_drained", REPORTED)


# The upstream died ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET])
def test_an_upstream_that_dies_mid_answer_costs_nothing(shop: Shop, ending: Ending) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text=LONG_TEXT, pause_s=0.001).cut(4_000, ending))
    answer = shop.chat(customer, stream=True)
    charge = shop.charge(customer)
    assert (charge.ended, charge.stamp, charge.amount) == ("voided", "upstream_died", 0)
    error = chunks_of(answer.body)[-1]["error"]
    assert error["code"] == "upstream_error"
    assert "Nothing was charged" in error["message"]
    assert b"[DONE]" not in answer.body


def test_done_without_a_finish_is_no_complete_answer(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(finish=None))
    answer = shop.chat(customer, stream=True)
    assert shop.charge(customer).stamp == "upstream_died"
    assert b"[DONE]" not in answer.body


def test_a_finish_without_done_is_a_complete_answer(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(done=False))
    answer = shop.chat(customer, stream=True)
    assert ends_with_done(answer.body)
    assert (shop.charge(customer).stamp, shop.charge(customer).amount) == ("provider", REPORTED)


def test_an_error_event_in_the_middle_becomes_ours_and_ends_the_stream(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text=LONG_TEXT, error_after=9))
    answer = shop.chat(customer, stream=True)
    assert shop.charge(customer).stamp == "upstream_died"
    *chunks, last = chunks_of(answer.body)
    assert text_of(chunks) == "word0 word1 word2 word3 word4 word5 word6 word7 "
    assert last["error"]["type"] == "upstream_error"
    assert b"upstream broke" not in answer.body
    assert b"[DONE]" not in answer.body


# Credits ran out ------------------------------------------------------------------------------------


def test_credits_that_run_out_end_the_stream_with_length(shop: Shop) -> None:
    customer = shop.customer(credits="0.004")
    shop.upstream.play(chat_stream(text=" ".join(["word"] * 4_000), pause_s=0.0))
    answer = shop.chat(customer, stream=True, stream_options={"include_usage": True})
    charge = shop.charge(customer)
    assert charge.stamp == "credits_exhausted"
    assert 0 < charge.amount <= charge.held <= 4_000_000
    assert shop.gateway.available(customer) == 4_000_000 - charge.amount
    chunks = chunks_of(answer.body)
    assert finish_of(chunks) == "length"
    assert ends_with_done(answer.body)
    assert chunks[-1]["usage"]["cost"] == shop.gateway.receipt(customer, answer.headers["x-request-id"])["charged"]
    until(lambda: shop.upstream.seen[0].peer_closed_at is not None, "the upstream was not told")


# Per call -------------------------------------------------------------------------------------------


@FORMS
def test_a_call_is_charged_whole_on_success(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream, usage=None))
    shop.chat(customer, stream=stream, model="calls")
    charge = shop.charge(customer)
    assert (charge.ended, charge.amount, charge.held) == ("captured", A_CALL, A_CALL)


@FORMS
def test_each_choice_of_a_call_is_charged(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream, choices=3))
    shop.chat(customer, stream=stream, model="calls", n=3)
    assert shop.charge(customer).amount == 3 * A_CALL


@FORMS
def test_a_call_that_fails_costs_nothing(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(failure(500))
    assert shop.chat(customer, stream=stream, model="calls").status == 502
    assert (shop.charge(customer).stamp, shop.charge(customer).amount) == ("upstream_failed", 0)


def test_a_call_that_breaks_off_costs_nothing(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text=LONG_TEXT).cut(4_000))
    shop.chat(customer, stream=True, model="calls")
    assert (shop.charge(customer).stamp, shop.charge(customer).amount) == ("upstream_died", 0)


def test_leaving_a_call_after_output_began_costs_the_full_price(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text=LONG_TEXT, pause_s=0.02))
    with shop.stream(customer, model="calls") as stream:
        stream.until(b"word1 ")
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("client_left_cancelled", A_CALL)


def test_leaving_a_call_before_any_output_costs_nothing(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text=LONG_TEXT).after(30))
    with shop.stream(customer, model="calls"):
        until(lambda: shop.upstream.seen)
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("client_left_cancelled", 0)


@FORMS
def test_a_call_with_an_empty_answer_is_free(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream, text="", usage=usage(12, 0)))
    shop.chat(customer, stream=stream, model="calls")
    assert shop.charge(customer).stamp == "empty"


# Several choices ------------------------------------------------------------------------------------


@FORMS
def test_choices_are_charged_together(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(good(stream, choices=3, usage=usage(12, 24)))
    shop.chat(customer, stream=stream, n=3)
    assert shop.charge(customer).amount == 12 * INPUT + 24 * OUTPUT


def test_a_stream_is_complete_only_when_every_choice_has_finished(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(choices=2, usage_in=UsageIn.NOWHERE))
    answer = shop.chat(customer, stream=True, n=3)
    # The provider ignored `n`: every choice it began has its finish, and `[DONE]` came.
    assert ends_with_done(answer.body)
    assert shop.charge(customer).stamp == "counted"
