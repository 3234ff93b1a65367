"""Work that outlives its hold's deadline: the hold expires, the answer goes on, and is charged late and once."""

from __future__ import annotations

import pytest
from tests.support.openai_answers import chat_answer, chat_stream, usage
from tests.support.shop import INPUT, OUTPUT, Shop
from tests.support.sse import ends_with_done

from farebox.money import parse_credits
from farebox.store import leases

SETTINGS = {"hold_ttl_s": 1}
REPORTED = 12 * INPUT + 8 * OUTPUT


@pytest.fixture(autouse=True)
def _deadlines_are_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LOOK_EVERY_S", 0.1)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_that_outlives_its_hold_is_charged_late(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.play((chat_stream() if stream else chat_answer()).after(2.2))
    answer = shop.chat(customer, stream=stream)
    assert answer.status == 200
    assert not stream or ends_with_done(answer.body)
    end, late = shop.charges(customer)
    assert (end.kind, end.ended, end.amount) == ("end", "expired", 0)
    assert (late.kind, late.ended, late.amount, late.held) == ("late", "captured", REPORTED, 0)
    receipt = shop.gateway.receipt(customer, answer.headers["x-request-id"])
    assert (receipt["charged"], receipt["late"], receipt["reason"]) == ("0.000036", True, "provider")
    assert shop.gateway.available(customer) == parse_credits("10") - REPORTED


def test_a_stream_whose_hold_is_gone_cannot_grow_and_ends_at_what_was_held(shop: Shop) -> None:
    customer = shop.customer(credits="0.012")
    group = "-".join(["word"] * 10)
    shop.upstream.play(chat_stream(text=" ".join([group] * 300), usage=usage(12, 3_000), pause_s=0.012))
    answer = shop.chat(customer, stream=True)
    charges = shop.charges(customer)
    assert ends_with_done(answer.body)
    assert charges[0].ended == "expired"
    assert sum(charge.amount for charge in charges) <= charges[0].held
    assert shop.gateway.available(customer) == parse_credits("0.012") - sum(charge.amount for charge in charges)


def test_a_keyed_answer_that_outlives_its_hold_is_not_paid_twice(shop: Shop) -> None:
    """The key was given back when the hold expired, so the late answer may not be charged: the next one is."""
    customer, key = shop.customer(), {"idempotency-key": "late"}
    shop.upstream.play(chat_answer().after(2.2))
    first = shop.chat(customer, headers=key)
    assert (first.status, first.error["code"]) == (503, "ledger_unavailable")
    assert shop.chat(customer, headers=key).status == 200
    assert sum(charge.amount for charge in shop.charges(customer)) == REPORTED
