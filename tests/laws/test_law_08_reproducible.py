"""Law 8: a stored charge can be worked out again to the last nanocredit, whatever the prices are today."""

from __future__ import annotations

import json

from tests.support.openai_answers import chat_answer, chat_stream, embeddings_answer, usage
from tests.support.shop import Charge, Shop, model_for_sale, sell

from farebox.store.catalogue import price_version
from farebox.tariff.compiled import CompiledCard
from farebox.tariff.conditions import When
from farebox.tariff.meters import Meter
from farebox.tariff.rate import Charge as StoredCharge
from farebox.tariff.rate import decode_charge, recompute, recompute_from_lines
from farebox.tariff.rate_card import CallPrice, Override, RateCard

ODD = RateCard(
    rates={Meter.INPUT: "0.123456789", Meter.CACHED_INPUT: "0.0123", Meter.OUTPUT: "7.77"},
    overrides=(
        Override(when=When(input_above=100), multiply="1.5"),
        Override(when=When(service_tier="priority"), multiply="1.75"),
    ),
)
COST = RateCard(rates={Meter.INPUT: "0.1", Meter.OUTPUT: "3.333333333"})
NEXT = RateCard(rates={Meter.INPUT: "999", Meter.OUTPUT: "999"})


def stored(charge: Charge) -> StoredCharge:
    return decode_charge(json.dumps(json.loads(charge.receipt)["charge"]))


def card_of(shop: Shop, version: str) -> CompiledCard:
    """The rate card as the database keeps it, read by its version alone."""
    pool = shop.gateway.books.pool
    row = shop.gateway.call(pool.fetchrow("SELECT * FROM price_versions WHERE version = $1", int(version)))
    return price_version(row).card


def offer(shop: Shop, card: RateCard, **facts: object) -> None:
    sell(shop.gateway, model_for_sale("words", card, **facts))


def test_every_kind_of_charge_is_worked_out_again_after_prices_changed(shop: Shop) -> None:
    customer = shop.customer(credits="10")
    offer(shop, ODD, cost_card=COST)
    shop.upstream.play(
        chat_answer(usage=usage(12, 8)),
        chat_stream(usage=usage(17, 3, cached=5)),
        chat_answer(usage=usage(170, 31, cached=133, reasoning=11)),
        chat_answer(usage=usage(13, 7), extra={"service_tier": "priority"}),
        chat_answer(usage=None),
        chat_stream(text="one two three four").cut(800),
    )
    shop.chat(customer)
    shop.chat(customer, stream=True)
    shop.chat(customer, text="long " * 100)
    shop.chat(customer, service_tier="priority")
    shop.chat(customer)
    shop.chat(customer, model="calls")
    shop.chat(customer, stream=True, model="calls", n=2)
    shop.upstream.play(embeddings_answer(prompt=77))
    shop.gateway.post("/v1/embeddings", customer, {"model": "text-embedding-3-small", "input": "x" * 500})
    offer(shop, NEXT)
    charges = [charge for charge in shop.charges(customer) if charge.amount]
    assert len(charges) == 7
    for charge in charges:
        again = stored(charge)
        assert recompute(again, card_of(shop, again.card_id)) == charge.amount
        assert recompute_from_lines(again) == charge.amount


def test_by_hand(shop: Shop) -> None:
    """170 input of which 133 cached, 31 output: above 100 input, so everything times 1.5."""
    customer = shop.customer(credits="10")
    offer(shop, ODD)
    shop.upstream.play(chat_answer(usage=usage(170, 31, cached=133)))
    shop.chat(customer, text="long " * 100)
    exact = (37 * 123.456789 + 133 * 12.3 + 31 * 7770) * 1.5
    assert shop.charge(customer).amount == round(exact)


def test_a_charge_held_to_what_was_held_says_so(shop: Shop) -> None:
    customer = shop.customer(credits="0.004")
    offer(shop, RateCard(rates={Meter.INPUT: "1", Meter.OUTPUT: "3"}))
    shop.upstream.play(chat_stream(text=" ".join(["word"] * 4_000)))
    shop.chat(customer, stream=True)
    charge = shop.charge(customer)
    again = stored(charge)
    assert charge.stamp == "credits_exhausted"
    assert again.basis.at_most == charge.held
    assert recompute(again, card_of(shop, again.card_id)) == charge.amount


def test_what_the_work_costs_us_stands_beside_the_charge(shop: Shop) -> None:
    customer = shop.customer(credits="10")
    offer(shop, ODD, cost_card=COST)
    shop.upstream.play(chat_answer(usage=usage(12, 8)))
    shop.chat(customer)
    assert stored(shop.charge(customer)).upstream_cost == round(12 * 100 + 8 * 3333.333333)


def test_the_receipt_adds_up_by_its_lines(shop: Shop) -> None:
    customer = shop.customer(credits="10")
    offer(shop, RateCard(rates={Meter.INPUT: "1", Meter.CACHED_INPUT: "0.25", Meter.OUTPUT: "3"}))
    shop.upstream.play(chat_answer(usage=usage(100, 10, cached=40)))
    answer = shop.chat(customer, text="long " * 100)
    receipt = shop.gateway.receipt(customer, answer.headers["x-request-id"])
    lines = {line["meter"]: (line["quantity"], line["price"], line["amount"]) for line in receipt["lines"]}
    assert lines == {
        "input": (60, "1", "0.00006"),
        "cached_input": (40, "0.25", "0.00001"),
        "output": (10, "3", "0.00003"),
    }
    assert receipt["charged"] == "0.0001"


def test_call_prices_keep_their_units(shop: Shop) -> None:
    customer = shop.customer(credits="10")
    card = RateCard(call_price=CallPrice("0.0123456789", input_covered=1_000))
    sell(shop.gateway, model_for_sale("calls", card))
    shop.chat(customer, model="calls", n=3)
    charge = shop.charge(customer)
    again = stored(charge)
    assert (again.basis.units, charge.amount) == (3, 37_037_037)
    assert recompute(again, card_of(shop, again.card_id)) == charge.amount
