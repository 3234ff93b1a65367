"""What is held while output flows: holds that grow, holds that cannot, and limits sent upstream instead (Law 1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.gateway import Customer
from tests.support.openai_answers import UsageIn, chat_answer, chat_stream, usage
from tests.support.script import Script
from tests.support.shop import INPUT, OUTPUT, Shop, model_for_sale, request_of, sell, until
from tests.support.sse import chunks_of, ends_with_done, finish_of

from farebox.admission.state import Budget, OnLowCredits, Period
from farebox.money import parse_credits
from farebox.store.ledger_rows import KeySettings
from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import RateCard
from farebox.wire.call import TEMPLATE_TOKENS


def long_stream(words: int, *, pause_s: float = 0.0, **shape: Any) -> Script:
    """So many words, ten to an event, reported as a token each."""
    group = "-".join(["word"] * 10)
    return chat_stream(text=" ".join([group] * (words // 10)), usage=usage(12, words), pause_s=pause_s, **shape)


# Growing --------------------------------------------------------------------------------------------


def test_a_stream_without_a_limit_starts_small_and_its_hold_grows(shop: Shop) -> None:
    customer = shop.customer(credits="0.01")  # 4,096 tokens of output are 0.0123
    shop.upstream.play(long_stream(2_500, pause_s=0.001))
    with shop.stream(customer) as stream:
        stream.until(b"word")
        first = shop.held_by(customer)
        body = stream.rest()
    charge = shop.charge(customer)
    assert first < charge.held
    assert (charge.stamp, charge.amount) == ("provider", 12 * INPUT + 2_500 * OUTPUT)
    assert charge.amount <= charge.held <= parse_credits("0.01")
    assert ends_with_done(_events(body))
    receipt = shop.gateway.receipt(customer, stream.request_id)
    assert parse_credits(receipt["held"]) == charge.held
    assert parse_credits(receipt["released"]) == charge.held - charge.amount


def test_a_hold_covers_what_was_sent_at_every_moment(shop: Shop) -> None:
    customer = shop.customer(credits="0.012")
    shop.upstream.play(long_stream(3_000, pause_s=0.003))
    with shop.stream(customer) as stream:
        for words in (100, 800, 1_500, 2_000, 2_800):
            while (shown := stream.seen.count(b"word")) < words:
                stream.seen += stream.response.read1(4_096)
            assert shop.held_by(customer) >= shown * OUTPUT
        stream.rest()
    assert shop.charge(customer).stamp == "provider"


def test_a_stream_as_long_as_the_model_allows_is_not_cut_once_all_of_it_is_held(shop: Shop) -> None:
    """Our bound of another vendor's tokens lies above the tokens; what is held in full need not be watched."""
    card = RateCard(rates={Meter.INPUT: "1", Meter.OUTPUT: "3"})
    sell(shop.gateway, model_for_sale("foreign", card, tokenizer="claude", max_output_tokens=2_000))
    customer = shop.customer(credits="0.02")
    with shop.another(priority=9) as upstream:
        shop.gateway.channel(upstream.base_url, models={"foreign": "upstream-foreign"}, priority=10)
        upstream.play(long_stream(2_000))
        answer = shop.chat(customer, stream=True, model="foreign")
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("provider", 12 * INPUT + 2_000 * OUTPUT)
    assert finish_of(chunks_of(answer.body)) == "stop"


def test_credits_bought_meanwhile_carry_the_stream_on(shop: Shop) -> None:
    customer = shop.customer(credits="0.006")
    shop.upstream.play(long_stream(3_500, pause_s=0.002))
    with shop.stream(customer) as stream:
        stream.until(b"word")
        grant(shop, customer, "1")
        stream.rest()
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("provider", 12 * INPUT + 3_500 * OUTPUT)


# Running out ----------------------------------------------------------------------------------------


def test_a_stream_ends_at_what_is_held_and_never_takes_more(shop: Shop) -> None:
    customer = shop.customer(credits="0.005")
    shop.upstream.play(long_stream(4_000, pause_s=0.001))
    answer = shop.chat(customer, stream=True)
    charge = shop.charge(customer)
    assert charge.stamp == "credits_exhausted"
    assert charge.shortfall == 0
    assert charge.amount <= charge.held <= parse_credits("0.005")
    assert shop.gateway.available(customer) == parse_credits("0.005") - charge.amount
    assert finish_of(chunks_of(answer.body)) == "length"


def test_several_streams_of_one_account_share_what_there_is(shop: Shop) -> None:
    customer = shop.customer(credits="0.016")
    shop.upstream.always(long_stream(4_000, pause_s=0.001))
    lines = [shop.stream(customer) for _ in range(3)]
    for line in lines:
        line.__enter__()
    ends = [finish_of(chunks_of(_events(line.rest()))) for line in lines]
    for line in lines:
        line.leave()
    charges = shop.charges(customer)
    assert sum(charge.amount for charge in charges) <= parse_credits("0.016")
    assert shop.gateway.available(customer) >= 0
    assert sum(charge.shortfall for charge in charges) == 0
    assert "length" in ends


def test_a_ceiling_of_the_request_ends_its_stream(shop: Shop) -> None:
    customer = shop.customer(credits="10")
    shop.upstream.play(long_stream(4_000, pause_s=0.001))
    answer = shop.chat(customer, stream=True, headers={"x-max-credits": "0.006"})
    charge = shop.charge(customer)
    assert charge.stamp == "credits_exhausted"
    assert charge.amount <= charge.held <= parse_credits("0.006")
    assert finish_of(chunks_of(answer.body)) == "length"


def test_a_cap_of_the_key_ends_its_stream(shop: Shop) -> None:
    cap = Budget("cap", parse_credits("0.006"), Period.LIFETIME)
    customer = shop.customer(credits="10", cap=cap)
    shop.upstream.play(long_stream(4_000, pause_s=0.001))
    shop.chat(customer, stream=True)
    charge = shop.charge(customer)
    assert charge.stamp == "credits_exhausted"
    assert charge.amount <= charge.held <= parse_credits("0.006")


def test_a_stream_that_is_complete_in_one_piece_is_complete_whatever_was_held(shop: Shop) -> None:
    customer = shop.customer(credits="0.0045")
    shop.upstream.play(chat_stream(text="word," * 1_500, usage=usage(12, 3_000)).in_pieces_of(10_000_000))
    answer = shop.chat(customer, stream=True)
    charge = shop.charge(customer)
    assert charge.stamp == "provider"
    assert charge.amount == 12 * INPUT + 3_000 * OUTPUT
    assert charge.shortfall == charge.amount - parse_credits("0.0045")
    assert shop.gateway.available(customer) == 0
    assert finish_of(chunks_of(answer.body)) == "stop"


def test_choices_share_the_hold(shop: Shop) -> None:
    customer = shop.customer(credits="0.006")
    shop.upstream.play(long_stream(3_000, pause_s=0.001, choices=2, usage_in=UsageIn.NOWHERE))
    answer = shop.chat(customer, stream=True, n=2)
    charge = shop.charge(customer)
    assert charge.stamp == "credits_exhausted"
    assert charge.amount <= charge.held
    chunks = chunks_of(answer.body)
    assert (finish_of(chunks, 0), finish_of(chunks, 1)) == ("length", "length")


# Limits sent upstream -------------------------------------------------------------------------------


def test_a_whole_answer_that_is_not_affordable_in_full_is_limited_and_told_so(shop: Shop) -> None:
    customer = shop.customer(credits="0.0045")
    answer = shop.chat(customer)
    limit = int(answer.headers["x-max-tokens-applied"])
    assert shop.upstream.seen[0].json()["max_completion_tokens"] == limit
    charge = shop.charge(customer)
    assert limit >= 1_024
    assert charge.held >= limit * OUTPUT + 12 * INPUT


def test_a_limit_of_the_callers_own_is_lowered_where_it_stands(shop: Shop) -> None:
    customer = shop.customer(credits="0.0045")
    answer = shop.chat(customer, max_tokens=4_000)
    limit = int(answer.headers["x-max-tokens-applied"])
    sent = shop.upstream.seen[0].json()
    assert sent["max_tokens"] == limit < 4_000
    assert "max_completion_tokens" not in sent


def test_a_limit_is_divided_among_the_choices(shop: Shop) -> None:
    one, two = shop.customer(credits="0.0045"), shop.customer(credits="0.0045")
    alone = int(shop.chat(one).headers["x-max-tokens-applied"])
    shared = int(shop.chat(two, n=2).headers["x-max-tokens-applied"])
    assert shared == pytest.approx(alone // 2, abs=10)
    assert shop.upstream.seen[1].json()["max_completion_tokens"] == shared


def test_a_limit_that_is_affordable_is_left_alone(shop: Shop) -> None:
    customer = shop.customer(credits="10")
    answer = shop.chat(customer, max_tokens=100)
    assert "x-max-tokens-applied" not in answer.headers
    assert shop.upstream.seen[0].json()["max_tokens"] == 100
    bound = len(json.dumps(request_of(max_tokens=100))) + TEMPLATE_TOKENS
    assert shop.charge(customer).held == bound * INPUT + 100 * OUTPUT


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_reasoning_that_nobody_sees_is_limited_by_the_provider_itself(shop: Shop, stream: bool) -> None:
    customer = shop.customer(credits="0.0045")
    shop.upstream.play(chat_stream() if stream else chat_answer())
    answer = shop.chat(customer, model="thinker", stream=stream)
    limit = int(answer.headers["x-max-tokens-applied"])
    assert shop.upstream.seen[0].json()["max_completion_tokens"] == limit
    assert shop.charge(customer).held >= limit * OUTPUT


def test_a_prediction_is_held_for_on_top_of_the_limit_and_not_sent_as_part_of_it(shop: Shop) -> None:
    customer = shop.customer(credits="0.0045")
    prediction = {"type": "content", "content": "x" * 200}
    answer = shop.chat(customer, prediction=prediction)
    limit = int(answer.headers["x-max-tokens-applied"])
    assert shop.charge(customer).held >= (limit + 200) * OUTPUT


def test_a_key_that_refuses_on_low_credits_is_refused_instead(shop: Shop) -> None:
    customer = shop.customer(credits="0.0045", settings=KeySettings(on_low_credits=OnLowCredits.REFUSE))
    answer = shop.chat(customer)
    assert (answer.status, answer.error["code"]) == (402, "insufficient_credits")
    affordable = answer.error["affordable_max_tokens"]
    assert 0 < affordable < 4_096
    assert answer.headers["x-should-retry"] == "false"
    assert shop.upstream.seen == []
    assert shop.chat(customer, max_tokens=affordable).status == 200
    assert "max_completion_tokens" not in shop.upstream.seen[0].json()


def test_a_small_balance_still_buys_a_short_call(shop: Shop) -> None:
    customer = shop.customer(credits="0.004")
    assert shop.chat(customer).status == 200
    assert shop.chat(customer, stream=True).status == 200


def test_no_byte_goes_upstream_for_what_cannot_be_held(shop: Shop) -> None:
    customer = shop.customer(credits="0.0001")
    answer = shop.chat(customer)
    assert answer.status == 402
    assert answer.error["available"] == "0.0001"
    assert shop.upstream.seen == []
    assert shop.charges_so_far(customer) == []


def grant(shop: Shop, customer: Customer, credits: str) -> None:
    shop.gateway.call(
        shop.gateway.books.accounts.grant(customer.account_id, parse_credits(credits), key=f"grant {customer.key_id}")
    )


def _events(seen: bytes) -> bytes:
    return seen[seen.index(b"data:") :]


def test_a_client_that_leaves_stops_its_hold_from_growing(shop: Shop) -> None:
    customer = shop.customer(credits="0.01")
    shop.upstream.play(long_stream(3_000, pause_s=0.01))
    with shop.stream(customer) as stream:
        stream.until(b"word")
        first = shop.held_by(customer)
    until(lambda: shop.held_by(customer) == 0)
    assert shop.charge(customer).held == first
