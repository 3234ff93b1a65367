"""Limits of tiers and keys, exact over two gateways at once: no counter of one process, no check before the count.

d10, d11: what is allowed is counted under the account's lock, so two gateways allow together what one would.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support.gateway import Answer, Customer, Gateway, chat, running_gateway
from tests.support.shop import model_for_sale, sell, until

from farebox.admission.state import Budget, Limits
from farebox.money import parse_credits
from farebox.store.ledger_rows import KeySettings
from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import CallPrice, CallUnit, RateCard

CHAT = "/v1/chat/completions"
CALL = RateCard(call_price=CallPrice("0.05", CallUnit.CALL, 60_000))
TOKENS = RateCard(rates={Meter.INPUT: "1", Meter.OUTPUT: "1"})


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        sell(gateway, model_for_sale("calls", CALL), model_for_sale("tokens", TOKENS))
        gateway.sandbox()
        yield gateway


def storm(
    places: tuple[Gateway, ...], callers: list[Customer], count: int, *, sandbox: str = "", **fields: Any
) -> list[Answer]:
    """So many requests at once, spread over gateways and keys."""
    rounds = itertools.cycle(itertools.product(callers, places))
    asked = [next(rounds) for _ in range(count)]
    body = chat(**{"model": "calls", **fields})
    with ThreadPoolExecutor(24) as pool:
        return list(pool.map(lambda pair: pair[1].post(CHAT, pair[0], body, {"x-sandbox": sandbox}), asked))


def limited(answers: list[Answer]) -> Counter[str]:
    """How many were answered, how many refused by which limit."""
    return Counter("ok" if one.status == 200 else one.error["param"] or one.error["code"] for one in answers)


def keyed(**limits: int) -> KeySettings:
    return KeySettings(limits=Limits(**limits))


def test_requests_per_minute_of_a_key_are_exact_over_two_gateways(gateway: Gateway, other_gateway: Gateway) -> None:
    who = gateway.customer(settings=keyed(requests_per_minute=17))
    answers = storm((gateway, other_gateway), [who], 60)
    assert limited(answers) == {"ok": 17, "requests_per_minute": 43}
    assert {one.headers["retry-after"].isdigit() for one in answers if one.status == 429} == {True}
    assert {one.headers["x-ratelimit-limit"] for one in answers} == {"17"}


def test_requests_per_minute_of_a_tier_are_the_accounts_whatever_its_keys(
    gateway: Gateway, other_gateway: Gateway
) -> None:
    first = gateway.customer(tier="free")
    keys = [first, gateway.key(first.account_id), gateway.key(first.account_id)]
    assert limited(storm((gateway, other_gateway), keys, 30)) == {"ok": 10, "requests_per_minute": 20}


def test_a_streamed_answer_counts_as_one_request(gateway: Gateway, other_gateway: Gateway) -> None:
    who = gateway.customer(settings=keyed(requests_per_minute=5))
    answers = storm((gateway, other_gateway), [who], 12, stream=True, sandbox="chunks=20")
    assert limited(answers) == {"ok": 5, "requests_per_minute": 7}


def test_tokens_per_minute_are_held_before_the_answer_and_put_right_after_it(
    gateway: Gateway, other_gateway: Gateway
) -> None:
    """d40: what is under way counts with all it may use."""
    who = gateway.customer(settings=keyed(tokens_per_minute=9_000))
    answers = storm(
        (gateway, other_gateway), [who], 30, model="tokens", max_tokens=3_000, sandbox="delay_ms=1200,tokens=2"
    )
    assert limited(answers) == {"ok": 2, "tokens_per_minute": 28}, "each may use some 3,300 tokens"
    again = storm((gateway, other_gateway), [who], 2, model="tokens", max_tokens=3_000)
    assert limited(again) == {"ok": 2}, "they used few, and the rest was given back"


def test_a_request_larger_than_a_minute_is_refused_for_its_size(gateway: Gateway) -> None:
    who = gateway.customer(settings=keyed(tokens_per_minute=300))
    answer = gateway.post(CHAT, who, chat("calls", "lorem ipsum " * 400))
    assert (answer.status, answer.error["param"]) == (400, "tokens_per_minute")
    assert answer.headers["x-should-retry"] == "false"


def test_requests_per_day_are_exact_and_not_retried(gateway: Gateway, other_gateway: Gateway) -> None:
    who = gateway.customer(settings=keyed(requests_per_day=8))
    answers = storm((gateway, other_gateway), [who], 20)
    assert limited(answers) == {"ok": 8, "requests_per_day": 12}
    refused = next(one for one in answers if one.status == 429)
    assert refused.headers["x-should-retry"] == "false"
    assert int(refused.headers["retry-after"]) > 3_600


def test_concurrency_is_what_runs_at_once_over_all_gateways(gateway: Gateway, other_gateway: Gateway) -> None:
    who = gateway.customer(settings=keyed(concurrency=4))
    answers = storm((gateway, other_gateway), [who], 20, sandbox="delay_ms=1500")
    assert limited(answers) == {"ok": 4, "concurrency": 16}
    assert {one.headers["retry-after"] for one in answers if one.status == 429} == {"1"}
    until(lambda: gateway.get("/v1/key", who).json["running"] == 0)
    assert limited(storm((gateway, other_gateway), [who], 4, sandbox="delay_ms=300")) == {"ok": 4}


def test_what_was_refused_uses_no_limit(gateway: Gateway) -> None:
    who = gateway.customer(settings=keyed(requests_per_minute=2, concurrency=2))
    for _ in range(5):
        assert gateway.post(CHAT, who, chat("nobody")).status == 404
        assert gateway.post(CHAT, who, chat("calls", n=0)).status == 400
    assert limited(storm((gateway,), [who], 4)) == {"ok": 2, "requests_per_minute": 2}


def test_credits_for_k_requests_admit_exactly_k(gateway: Gateway, other_gateway: Gateway) -> None:
    """d01, d11: available never goes below zero, on any number of gateways."""
    who = gateway.customer(credits="0.37")
    assert limited(storm((gateway, other_gateway), [who], 40)) == {"ok": 7, "insufficient_credits": 33}
    assert gateway.available(who) == parse_credits("0.02")
    assert gateway.held(who) == 0


def test_a_cap_is_exact_over_two_gateways(gateway: Gateway, other_gateway: Gateway) -> None:
    who = gateway.customer(credits="10", cap=Budget(id="cap", limit=parse_credits("0.3")))
    assert limited(storm((gateway, other_gateway), [who], 40)) == {"ok": 6, "cap": 34}
    assert gateway.get("/v1/key", who).json["spent"] == "0.3"


def test_a_budget_of_the_account_is_exact_over_two_gateways_and_two_keys(
    gateway: Gateway, other_gateway: Gateway
) -> None:
    first = gateway.customer(credits="10")
    budget = Budget(id="month", limit=parse_credits("0.26"))
    gateway.call(gateway.books.accounts.set_budgets(first.account_id, [budget]))
    keys = [first, gateway.key(first.account_id)]
    assert limited(storm((gateway, other_gateway), keys, 30)) == {"ok": 5, "month": 25}


def test_per_key_limits_count_for_each_key_where_the_operator_says_so(module_database: str, gateway: Gateway) -> None:
    key_file = str(gateway.books.settings.secret_key_path)
    with running_gateway(module_database, secret_key_file=key_file, limit_scope="key") as per_key:
        first = per_key.customer(tier="free")
        keys = [first, per_key.key(first.account_id)]
        assert limited(storm((per_key,), keys, 24)) == {"ok": 20, "requests_per_minute": 4}


def test_the_window_slides(gateway: Gateway) -> None:
    """Retry-After is no guess: until then it is refused, then it is not."""
    who = gateway.customer(settings=keyed(requests_per_minute=1))
    assert gateway.post(CHAT, who, chat("calls")).status == 200
    refused = gateway.post(CHAT, who, chat("calls"))
    wait_s = int(refused.headers["retry-after"])
    assert 55 <= wait_s <= 61
    assert int(refused.headers["x-ratelimit-reset"]) - time.time() <= wait_s + 1
