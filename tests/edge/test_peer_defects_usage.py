"""What was used: defects of others (d20 to d39), shown not to be ours, over HTTP."""

from __future__ import annotations

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.openai_answers import UsageIn, chat_answer, chat_stream, usage
from tests.support.script import Script
from tests.support.shop import CACHED, INPUT, OUTPUT, Shop, model_for_sale, sell, until
from tests.support.sse import chunks_of, ends_with_done, text_of

from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import RateCard

FORMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
REPORTED = 12 * INPUT + 8 * OUTPUT
LONG_TEXT = " ".join(f"word{number}" for number in range(400))
WRITTEN, WRITTEN_LONG = 1_250, 2_000


def good(stream: bool, **shape: Any) -> Script:
    return chat_stream(**shape) if stream else chat_answer(**shape)


def charged(shop: Shop, stated: dict[str, Any] | None, *, stream: bool = False, **fields: Any) -> Any:
    """What one answer with this usage comes to."""
    customer = shop.customer()
    shop.upstream.play(good(stream, usage=stated))
    assert shop.chat(customer, stream=stream, **({"text": "long " * 200} | fields)).status == 200
    return shop.charge(customer)


# Streams that end early -----------------------------------------------------------------------------


@pytest.mark.parametrize("words", [1, 40, 200])
def test_d20_a_stream_left_is_charged_what_was_produced_neither_nothing_nor_all(shop: Shop, words: int) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text=LONG_TEXT, pause_s=0.002))
    with shop.stream(customer) as stream:
        stream.until(f"word{words} ".encode())
        stream.leave()
    charge = shop.charge(customer)
    assert charge.stamp == "client_left_cancelled"
    assert words * 2 * OUTPUT <= charge.amount < 400 * 2 * OUTPUT
    assert charge.usage["output"] * OUTPUT + charge.usage["input"] * INPUT == charge.amount


def test_d21_an_upstream_does_not_generate_unseen(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text=LONG_TEXT, pause_s=0.02))
    with shop.stream(customer) as stream:
        stream.until(b"word5 ")
        left_at = stream.leave()
    (seen,) = shop.upstream.seen
    until(lambda: seen.peer_closed_at is not None)
    assert seen.peer_closed_at is not None
    assert seen.peer_closed_at - left_at < 1.0
    assert seen.left_early
    sent = seen.bytes_sent
    time.sleep(0.2)
    assert seen.bytes_sent == sent


def test_d21_nor_while_it_thinks_before_its_first_byte(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream().after(20))
    with shop.stream(customer) as stream:
        until(lambda: shop.upstream.seen)
        left_at = stream.leave()
    (seen,) = shop.upstream.seen
    until(lambda: seen.peer_closed_at is not None)
    assert seen.peer_closed_at is not None
    assert seen.peer_closed_at - left_at < 1.0


def test_d22_the_text_of_an_error_is_not_output(shop: Shop) -> None:
    """Where what a dead upstream produced is charged, its error message is not part of it (see `saw_output` too)."""
    customer = shop.customer()
    shop.upstream.play(chat_stream(text="", error_after=1))
    answer = shop.chat(customer, stream=True)
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("upstream_failed", 0)
    assert b"upstream broke" not in answer.body


# Usage in streams -----------------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize("present", [True, False], ids=["stated", "unstated"])
def test_d23_usage_is_known_on_every_route(shop: Shop, stream: bool, *, present: bool) -> None:
    charge = charged(shop, usage(12, 8) if present else None, stream=stream, text="Say something short.")
    assert charge.stamp == ("provider" if present else "counted")
    assert charge.usage["output"] == (8 if present else 6)
    assert charge.amount == sum(
        charge.usage.get(meter, 0) * price for meter, price in (("input", INPUT), ("output", OUTPUT))
    )


def test_d23_embeddings_too(shop: Shop) -> None:
    customer = shop.customer()
    body = {"model": "text-embedding-3-small", "input": "some text"}
    assert shop.gateway.post("/v1/embeddings", customer, body).status == 200
    assert shop.charge(customer).usage == {"input": 5}


@pytest.mark.parametrize("place", [UsageIn.EVERY_CHUNK, UsageIn.TWICE, UsageIn.FINISHING_CHUNK, UsageIn.LAST_CHUNK])
def test_d24_usage_that_is_repeated_or_grows_counts_once(shop: Shop, place: UsageIn) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(usage_in=place))
    shop.chat(customer, stream=True)
    assert shop.charge(customer).amount == REPORTED


@FORMS
def test_d25_a_stated_zero_is_a_zero(shop: Shop, stream: bool) -> None:
    charge = charged(shop, usage(0, 8), stream=stream)
    assert (charge.stamp, charge.usage["input"], charge.amount) == ("provider", 0, 8 * OUTPUT)


@FORMS
def test_d25_what_is_missing_is_no_zero(shop: Shop, stream: bool) -> None:
    charge = charged(shop, {"completion_tokens": 8}, stream=stream)
    assert (charge.stamp, charge.flags) == ("counted", ["usage_missing"])
    assert charge.usage["input"] > 200


@FORMS
def test_d25_zero_output_for_an_answer_with_text_is_not_believed(shop: Shop, stream: bool) -> None:
    charge = charged(shop, usage(12, 0), stream=stream)
    assert (charge.stamp, charge.flags) == ("counted", ["usage_no_output_though_seen"])
    assert charge.amount > 0


# Parts of the input ---------------------------------------------------------------------------------


@FORMS
def test_d26_cached_tokens_are_priced_once_and_as_cached(shop: Shop, stream: bool) -> None:
    inside = charged(shop, usage(100, 10, cached=60), stream=stream)
    assert inside.amount == 40 * INPUT + 60 * CACHED + 10 * OUTPUT


@pytest.mark.parametrize(
    "told",
    [
        {"prompt_tokens_details": {"cached_tokens": 60}},
        {"prompt_cache_hit_tokens": 60, "prompt_cache_miss_tokens": 40},
        {"cached_tokens": 60},
    ],
    ids=["openai", "deepseek", "moonshot"],
)
def test_d26_every_way_of_telling_it_is_the_same_money(shop: Shop, told: dict[str, Any]) -> None:
    stated = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110} | told
    assert charged(shop, stated).amount == 40 * INPUT + 60 * CACHED + 10 * OUTPUT


def test_d26_more_cached_than_there_was_is_not_believed(shop: Shop) -> None:
    charge = charged(shop, usage(10, 8, cached=60))
    assert (charge.stamp, charge.flags) == ("counted", ["usage_parts_exceed_whole"])


@pytest.mark.parametrize(
    ("fields", "price"),
    [({}, WRITTEN), ({"prompt_cache_retention": "24h"}, WRITTEN_LONG)],
    ids=["5 minutes", "long"],
)
def test_d27_tokens_written_to_a_cache_have_their_price(shop: Shop, fields: dict[str, Any], price: int) -> None:
    card = RateCard(
        rates={
            Meter.INPUT: "1", Meter.CACHED_INPUT: "0.1", Meter.OUTPUT: "3", Meter.CACHE_WRITE_5M: "1.25",
            Meter.CACHE_WRITE_1H: "2",
        }
    )  # fmt: skip
    sell(shop.gateway, model_for_sale("caching", card))
    with shop.another(priority=9) as upstream:
        shop.gateway.channel(upstream.base_url, models={"caching": "upstream"}, priority=10)
        stated = usage(100, 10, cached=20)
        stated["prompt_tokens_details"]["cache_write_tokens"] = 50
        upstream.play(chat_answer(usage=stated))
        customer = shop.customer()
        shop.chat(customer, model="caching", text="long " * 100, **fields)
    assert shop.charge(customer).amount == 30 * 1_000 + 20 * 100 + 50 * price + 10 * 3_000


def test_d27_without_a_price_of_their_own_they_cost_what_input_costs(shop: Shop) -> None:
    stated = usage(100, 10)
    stated["prompt_tokens_details"]["cache_write_tokens"] = 50
    assert charged(shop, stated).amount == 100 * INPUT + 10 * OUTPUT


@FORMS
@pytest.mark.parametrize(
    "stated",
    [
        usage(-12, 8),
        usage(12, -8),
        usage(12, 8, cached=-5),
        usage(12, 8, reasoning=-1),
        {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": -20},
    ],
)
def test_d28_negative_usage_credits_nobody(shop: Shop, stream: bool, stated: dict[str, Any]) -> None:
    charge = charged(shop, stated, stream=stream)
    assert (charge.stamp, charge.flags) == ("counted", ["usage_negative"])
    assert charge.amount > 0


# Identity and arithmetic ----------------------------------------------------------------------------


@FORMS
def test_d32_every_request_has_an_id_of_its_own_whatever_the_provider_says(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.always(good(stream, extra={"id": ""}).with_headers(x_request_id="req_same"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shop.chat(customer, stream=stream), range(24)))
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 24
    charges = shop.charges(customer)
    assert [charge.amount for charge in charges] == [REPORTED] * 24
    assert {charge.hold_id.removeprefix("hold_") for charge in charges} == {i.removeprefix("req_") for i in ids}
    assert shop.gateway.available(customer) == 10**10 - 24 * REPORTED


@pytest.mark.parametrize(
    ("price", "count", "amount"),
    [("0.001", 20_000, 20_000), ("0.0000333", 20_000, 666), ("0.00001", 1, 0), ("0.0005", 1, 0), ("0.0015", 1, 2)],
)
def test_d33_small_prices_are_exact_to_the_nanocredit_and_have_no_floor(
    shop: Shop, price: str, count: int, amount: int
) -> None:
    name = f"cheap-{price}"
    sell(
        shop.gateway,
        model_for_sale(name, RateCard(rates={Meter.INPUT: "0", Meter.OUTPUT: price}), max_output_tokens=30_000),
    )
    shop.gateway.channel(shop.upstream.base_url, models={name: "upstream"})
    customer = shop.customer()
    shop.upstream.play(chat_answer(usage=usage(12, count)))
    assert shop.chat(customer, model=name).status == 200
    assert shop.charge(customer).amount == amount
    assert shop.gateway.available(customer) == 10**10 - amount


# Prices ---------------------------------------------------------------------------------------------


@FORMS
def test_d35_the_price_at_arrival_is_charged_whatever_happens_meanwhile(shop: Shop, stream: bool) -> None:
    name = f"moving-{stream}"
    sell(shop.gateway, model_for_sale(name, RateCard(rates={Meter.INPUT: "1", Meter.OUTPUT: "3"})))
    shop.gateway.channel(shop.upstream.base_url, models={name: "upstream"})
    before, after = shop.customer(), shop.customer()
    shop.upstream.play(good(stream).after(0.4))
    with ThreadPoolExecutor() as pool:
        running = pool.submit(shop.chat, before, model=name, stream=stream)
        until(lambda: shop.upstream.seen)
        sell(shop.gateway, model_for_sale(name, RateCard(rates={Meter.INPUT: "100", Meter.OUTPUT: "300"})))
        assert shop.chat(after, model=name).status == 200
        assert running.result().status == 200
    assert shop.charge(before).amount == REPORTED
    assert shop.charge(after).amount == 100 * REPORTED


def test_d35_an_answer_from_the_second_try_is_charged_once_at_the_price_quoted(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9) as first:
        first.always(chat_answer().cut(40))
        shop.chat(customer)
    charge = shop.charge(customer)
    assert charge.amount == REPORTED
    assert json.loads(charge.receipt)["charge"]["basis"]["offer"] == shop.channel_id


@FORMS
def test_d36_what_has_no_price_is_not_sold(shop: Shop, stream: bool) -> None:
    sell(
        shop.gateway, model_for_sale("unpriced", RateCard()), model_for_sale("half", RateCard(rates={Meter.INPUT: "1"}))
    )
    shop.gateway.channel(shop.upstream.base_url, models={"unpriced": "u", "half": "h"})
    customer = shop.customer()
    for name in ("unpriced", "half"):
        answer = shop.chat(customer, model=name, stream=stream)
        assert (answer.status, answer.error["code"]) == (503, "model_unpriced")
    unknown = shop.chat(customer, model="no-such-model", stream=stream)
    assert (unknown.status, unknown.error["code"]) == (404, "invalid_model")
    assert shop.upstream.seen == []
    assert shop.charges_so_far(customer) == []


def test_d36_a_price_of_zero_is_a_price(shop: Shop) -> None:
    sell(shop.gateway, model_for_sale("gratis", RateCard(rates={Meter.INPUT: "0", Meter.OUTPUT: "0"})))
    shop.gateway.channel(shop.upstream.base_url, models={"gratis": "g"})
    customer = shop.customer()
    assert shop.chat(customer, model="gratis").status == 200
    charge = shop.charge(customer)
    assert (charge.ended, charge.stamp, charge.amount) == ("captured", "provider", 0)


# Cuts of the byte stream ----------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize("reported", [True, False], ids=["reported", "counted"])
def test_d37_a_search_asked_for_has_its_line_whatever_usage_says(shop: Shop, stream: bool, *, reported: bool) -> None:
    rates = {Meter.INPUT: "1", Meter.OUTPUT: "3", Meter.SEARCHES: "0.01"}
    sell(shop.gateway, model_for_sale("searcher", RateCard(rates=rates)))
    shop.gateway.channel(shop.upstream.base_url, models={"searcher": "s"})
    charge = charged(
        shop, usage(12, 8) if reported else None, stream=stream, model="searcher", web_search_options={}, n=2
    )
    assert charge.usage["searches"] == 2
    tokens = charge.usage["input"] * INPUT + charge.usage["output"] * OUTPUT
    assert charge.amount == tokens + 2 * 10_000_000 <= charge.held


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), text=st.text(min_size=1, max_size=30))
def test_d39_any_cut_of_the_bytes_gives_the_same_text_and_usage(shop: Shop, seed: int, text: str) -> None:
    whole = chat_stream(text=text, usage_in=UsageIn.EVERY_CHUNK)
    dice = random.Random(seed)
    sizes = [dice.choice((1, 2, 3, 5, 40, 200)) for _ in range(200)]
    customer = shop.customer()
    shop.upstream.play(whole.cut_into(sizes))
    answer = shop.chat(customer, stream=True)
    assert text_of(chunks_of(answer.body)) == text
    assert ends_with_done(answer.body)
    assert shop.charge(customer).amount == REPORTED
