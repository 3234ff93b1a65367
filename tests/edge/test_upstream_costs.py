"""What the work costs us: by the offer that served, on the operator's books, and never on the customer's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest
from tests.support.gateway import Customer
from tests.support.openai_answers import chat_answer, chat_stream, failure, usage
from tests.support.shop import INPUT, OUTPUT, Charge, Shop, model_for_sale, sell

from farebox.store.margin import By, MarginRow, Margins, total
from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import CallPrice, RateCard

PRICE = RateCard(rates={Meter.INPUT: "1", Meter.CACHED_INPUT: "0.25", Meter.OUTPUT: "3"})
COST = RateCard(rates={Meter.INPUT: "0.4", Meter.OUTPUT: "2"})
CHEAP = RateCard(rates={Meter.INPUT: "0.1", Meter.OUTPUT: "0.5"})
DEAR = RateCard(rates={Meter.INPUT: "5", Meter.OUTPUT: "10"})
REPORTED = usage(12, 8)


def paid(charge: Charge) -> int | None:
    return json.loads(charge.receipt)["charge"]["upstream_cost"]


def borne(charge: Charge) -> dict[str, Any]:
    return json.loads(charge.receipt)["borne"]


@contextmanager
def sold(shop: Shop, price: RateCard = PRICE, cost_card: RateCard | None = COST) -> Iterator[None]:
    """`words` at a price that has a cost, and as it was before at the end."""
    sell(shop.gateway, model_for_sale("words", price, cost_card=cost_card, aliases=("words-latest",)))
    yield
    sell(shop.gateway, model_for_sale("words", PRICE, aliases=("words-latest",)))


def set_cost(shop: Shop, channel_id: str, card: RateCard | None, *, in_s: float | None = None) -> tuple[str, ...]:
    """What a channel takes for `words`, from now on or from soon on."""
    starts_us = None if in_s is None else int((time.time() + in_s) * 1_000_000)
    changes = shop.gateway.books.changes
    changed = shop.gateway.call(changes.import_costs(channel_id, {"words": card}, starts_us=starts_us, source="test"))
    shop.gateway.call(shop.gateway.books.catalogue.verify())
    return changed


def only_charge(shop: Shop, **fields: Any) -> Charge:
    customer = shop.customer(credits="10")
    shop.chat(customer, **fields)
    return shop.charge(customer)


def test_a_channel_without_a_cost_of_its_own_costs_what_the_model_does(shop: Shop) -> None:
    with sold(shop):
        shop.upstream.play(chat_answer(usage=REPORTED))
        charge = only_charge(shop)
    assert (charge.amount, paid(charge)) == (12 * INPUT + 8 * OUTPUT, 12 * 400 + 8 * 2_000)


def test_a_channel_with_a_cost_of_its_own_costs_that_until_it_is_forgotten(shop: Shop) -> None:
    with sold(shop):
        assert set_cost(shop, shop.channel_id, CHEAP) == ("words",)
        assert set_cost(shop, shop.channel_id, CHEAP) == (), "the same again changes nothing"
        shop.upstream.play(chat_answer(usage=REPORTED))
        assert paid(only_charge(shop)) == 12 * 100 + 8 * 500
        assert set_cost(shop, shop.channel_id, None) == ("words",)
        shop.upstream.play(chat_answer(usage=REPORTED))
        assert paid(only_charge(shop)) == 12 * 400 + 8 * 2_000


def test_a_model_without_a_cost_may_have_one_at_a_channel(shop: Shop) -> None:
    with sold(shop, cost_card=None):
        shop.upstream.play(chat_answer(usage=REPORTED))
        assert paid(only_charge(shop)) is None
        set_cost(shop, shop.channel_id, CHEAP)
        shop.upstream.play(chat_answer(usage=REPORTED))
        assert paid(only_charge(shop)) == 12 * 100 + 8 * 500
        set_cost(shop, shop.channel_id, None)


def test_the_offer_that_served_decides_and_the_customer_pays_the_same(shop: Shop) -> None:
    """The first channel fails; the second, which takes more, serves (d35)."""
    with sold(shop), shop.another(priority=5) as other:
        set_cost(shop, shop.channel_id, CHEAP)
        channels = shop.gateway.books.catalogue.current.channels
        other_id = next(channel.id for channel in channels if channel.base_url == other.base_url)
        set_cost(shop, other_id, DEAR)
        other.play(chat_answer(usage=REPORTED))
        served_there = only_charge(shop)
        other.play(failure(500))
        shop.upstream.play(chat_answer(usage=REPORTED))
        served_here = only_charge(shop)
        set_cost(shop, shop.channel_id, None)
    assert (paid(served_there), paid(served_here)) == (12 * 5_000 + 8 * 10_000, 12 * 100 + 8 * 500)
    assert served_there.amount == served_here.amount == 12 * INPUT + 8 * OUTPUT


def test_the_cost_is_that_of_the_arrival_whenever_the_work_ends(shop: Shop) -> None:
    customer = shop.customer(credits="10")
    with sold(shop):
        set_cost(shop, shop.channel_id, CHEAP)
        shop.upstream.play(chat_stream(text="one two three four five six", usage=REPORTED, pause_s=0.1))
        with shop.stream(customer) as stream:
            stream.until(b"one")
            set_cost(shop, shop.channel_id, DEAR)
            stream.rest()
        assert paid(shop.charge(customer)) == 12 * 100 + 8 * 500
        shop.upstream.play(chat_answer(usage=REPORTED))
        assert paid(only_charge(shop)) == 12 * 5_000 + 8 * 10_000
        set_cost(shop, shop.channel_id, None)


def test_a_cost_may_begin_later_and_never_in_the_past(shop: Shop) -> None:
    with sold(shop):
        set_cost(shop, shop.channel_id, CHEAP, in_s=1.0)
        shop.upstream.play(chat_answer(usage=REPORTED))
        assert paid(only_charge(shop)) == 12 * 400 + 8 * 2_000
        time.sleep(1.1)
        shop.upstream.play(chat_answer(usage=REPORTED))
        assert paid(only_charge(shop)) == 12 * 100 + 8 * 500
        set_cost(shop, shop.channel_id, None)
    with pytest.raises(ValueError, match="past"):
        set_cost(shop, shop.channel_id, CHEAP, in_s=-60)


def test_costs_are_never_edited(shop: Shop) -> None:
    set_cost(shop, shop.channel_id, CHEAP)
    pool = shop.gateway.books.pool
    for statement in ("UPDATE offer_costs SET cost_card = NULL", "DELETE FROM offer_costs"):
        with pytest.raises(asyncpg.PostgresError, match=r"append-only|permission denied"):
            shop.gateway.call(pool.execute(statement))
    set_cost(shop, shop.channel_id, None)


def test_a_fee_for_the_call_is_charged_and_paid_once_beside_the_tokens(shop: Shop) -> None:
    price = RateCard(rates={**PRICE.rates, Meter.CALLS: "0.005"})
    with sold(shop, price, RateCard(rates={**COST.rates, Meter.CALLS: "0.002"})):
        shop.upstream.play(chat_answer(usage=REPORTED))
        charge = only_charge(shop)
    assert charge.amount == 12 * INPUT + 8 * OUTPUT + 5_000_000
    assert paid(charge) == 12 * 400 + 8 * 2_000 + 2_000_000
    assert charge.held >= charge.amount
    with sold(shop, PRICE, RateCard(rates={**COST.rates, Meter.CALLS: "0.002"})):
        shop.upstream.play(chat_answer(usage=REPORTED))
        free_for_them = only_charge(shop)
    assert (free_for_them.amount, paid(free_for_them)) == (12 * INPUT + 8 * OUTPUT, 12 * 400 + 8 * 2_000 + 2_000_000)


def test_a_cost_by_the_call_stands_beside_a_price_by_tokens(shop: Shop) -> None:
    with sold(shop, cost_card=RateCard(call_price=CallPrice("0.01"))):
        shop.upstream.play(chat_answer(usage=REPORTED))
        assert paid(only_charge(shop)) == 10_000_000


def test_an_empty_answer_is_free_and_its_cost_is_borne(shop: Shop) -> None:
    for stream in (False, True):
        customer = shop.customer(credits="10")
        with sold(shop):
            shop.upstream.play(
                chat_stream(text="", usage=usage(12, 0)) if stream else chat_answer(text="", usage=usage(12, 0))
            )
            shop.chat(customer, stream=stream)
        charge = shop.charge(customer)
        assert (charge.stamp, charge.amount, borne(charge)["upstream_cost"]) == ("empty", 0, 12 * 400)
        assert borne(charge)["offer"] == shop.channel_id


def test_an_upstream_that_dies_is_not_charged_for_and_its_cost_is_borne(shop: Shop) -> None:
    customer = shop.customer(credits="10")
    with sold(shop):
        shop.upstream.play(chat_stream(text="one two three four five six seven eight").cut(1_500))
        shop.chat(customer, stream=True)
    charge = shop.charge(customer)
    work = borne(charge)
    assert (charge.stamp, charge.amount, work["usage_source"]) == ("upstream_died", 0, "counted")
    assert work["upstream_cost"] == work["usage"]["input"] * 400 + work["usage"]["output"] * 2_000 > 0


def test_what_never_began_is_not_borne(shop: Shop) -> None:
    customer = shop.customer(credits="10")
    with sold(shop):
        shop.upstream.play(*[failure(500)] * 6)
        shop.chat(customer)
    shop.upstream.forget()
    assert "borne" not in json.loads(shop.charge(customer).receipt)


def test_no_customer_is_ever_shown_what_we_pay(shop: Shop) -> None:
    customer = shop.customer(credits="10")
    with sold(shop):
        shop.upstream.play(chat_answer(usage=REPORTED), chat_answer(text="", usage=usage(12, 0)))
        answers = [shop.chat(customer), shop.chat(customer)]
        assert paid(shop.charges(customer)[0]) == 12 * 400 + 8 * 2_000
        seen = [answer.body.decode() for answer in answers]
        seen += [json.dumps(dict(answer.headers)) for answer in answers]
        for path in ("/v1/models", "/v1/models/words", "/v1/receipts", "/v1/me", "/v1/key", "/v1/billing/usage"):
            seen.append(shop.gateway.get(path, customer).body.decode())
        seen += [json.dumps(shop.gateway.receipt(customer, each.headers["x-request-id"])) for each in answers]
    for text in seen:
        assert "cost" not in text.lower()
        assert "borne" not in text
        assert shop.channel_id not in text


class Naive:
    """The same sums, added up one charge at a time."""

    def __init__(self, charges: list[Charge]) -> None:
        works = [(charge, json.loads(charge.receipt)) for charge in charges]
        known = [(charge, read["charge"]) for charge, read in works if (read.get("charge") or {}).get("upstream_cost")]
        unknown = [c for c, read in works if read.get("charge") and read["charge"]["upstream_cost"] is None]
        self.revenue = sum(charge.amount for charge in charges)
        self.upstream_cost = sum(read["upstream_cost"] for _, read in known)
        self.margin = sum(charge.amount - charge.shortfall - read["upstream_cost"] for charge, read in known)
        self.cost_unknown = len(unknown)
        self.revenue_of_unknown = sum(charge.amount for charge in unknown)
        self.borne = sum(1 for _, read in works if "borne" in read)
        self.borne_cost = sum(read["borne"].get("upstream_cost", 0) for _, read in works if "borne" in read)


def margins(shop: Shop, by: By) -> dict[str, MarginRow]:
    found = Margins(shop.gateway.books.pool).rows(by, since_us=0, until_us=2**52)
    return {row.part: row for row in shop.gateway.call(found)}


def busy(shop: Shop, customer: Customer) -> list[Charge]:
    """A day in small: charged, unknown, empty, died, failed."""
    with sold(shop):
        shop.upstream.play(
            chat_answer(usage=REPORTED),
            chat_answer(text="", usage=usage(12, 0)),
            chat_stream(text="one two three four five six seven eight").cut(1_500),
            chat_answer(usage=usage(100, 50, cached=10)),
        )
        for stream in (False, False, True, False):
            shop.chat(customer, stream=stream, text="long " * 100)
    with sold(shop, cost_card=None):
        shop.upstream.play(chat_answer(usage=REPORTED), chat_answer(text="", usage=usage(12, 0)))
        shop.chat(customer)
        shop.chat(customer)
    return shop.charges(customer)


def test_the_margin_is_what_the_charges_add_up_to(shop: Shop) -> None:
    customers = [shop.customer(credits="10") for _ in range(2)]
    charges = {customer.account_id: busy(shop, customer) for customer in customers}
    by_account = margins(shop, By.ACCOUNT)
    for account_id, of_one in charges.items():
        naive, row = Naive(of_one), by_account[account_id]
        for name, expected in vars(naive).items():
            assert getattr(row, name) == expected, name
        assert (row.cost_unknown, row.borne, row.borne_unknown) == (1, 3, 1)
    whole = total(list(by_account.values()))
    for by in (By.MODEL, By.CHANNEL):
        again = total(list(margins(shop, by).values()))
        assert again == whole
    assert margins(shop, By.CHANNEL)[shop.channel_id].revenue >= sum(by_account[each].revenue for each in charges)


def test_work_that_is_borne_is_told_by_its_reason(shop: Shop) -> None:
    busy(shop, shop.customer(credits="10"))
    found = Margins(shop.gateway.books.pool).borne(since_us=0, until_us=2**52)
    rows = {row.reason: row for row in shop.gateway.call(found)}
    assert {"empty", "upstream_died"} <= rows.keys()
    assert rows["empty"].cost_unknown >= 1
    assert rows["upstream_died"].upstream_cost > 0


def test_the_margin_of_a_time_counts_what_was_opened_in_it(shop: Shop) -> None:
    customer = shop.customer(credits="10")
    before = time.time_ns() // 1000
    with sold(shop):
        shop.upstream.play(chat_answer(usage=REPORTED))
        shop.chat(customer)
    after = time.time_ns() // 1000 + 2_000
    rows = Margins(shop.gateway.books.pool)
    within = shop.gateway.call(rows.rows(By.ACCOUNT, since_us=before, until_us=after))
    assert [row.part for row in within] == [customer.account_id]
    assert not shop.gateway.call(rows.rows(By.ACCOUNT, since_us=after + 10**9, until_us=after + 2 * 10**9))
