"""Who may call: the three places of a key, its settings, the address it is used from; and changes, which hold at once.

Two gateways stand over one database. What is changed through one is true for the very next request to the other (d16).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from tests.support.gateway import Customer, Gateway, chat, running_gateway
from tests.support.shop import model_for_sale, sell

from farebox.admission.state import Budget, BudgetAction, Limits, OnLowCredits, Period, Tier
from farebox.money import parse_credits
from farebox.store.api_keys import KeyChange
from farebox.store.ledger_rows import KeySettings
from farebox.tariff.billing_mode import BillingMode
from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import CallPrice, CallUnit, RateCard

CHAT = "/v1/chat/completions"
BY_TOKEN = RateCard(rates={Meter.INPUT: "100", Meter.OUTPUT: "100"})
BY_CALL = RateCard(call_price=CallPrice("0.05", CallUnit.CALL, 60_000))
BOTH = RateCard(rates={Meter.INPUT: "100", Meter.OUTPUT: "100"}, call_price=CallPrice("0.05", CallUnit.CALL, 60_000))
MODELS = (
    model_for_sale("tokens", BY_TOKEN, aliases=("tokens-latest",)),
    model_for_sale("calls", BY_CALL),
    model_for_sale("both", BOTH),
)
PROXIES = "127.0.0.0/8,10.1.0.0/16"


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database, trusted_proxies=PROXIES) as gateway:
        sell(gateway, *MODELS)
        gateway.sandbox()
        yield gateway


def code_of(gateway: Gateway, who: Customer | str | None, model: str = "tokens", **headers: str) -> str:
    """What a small call comes to: `ok`, or why not."""
    answer = gateway.post(
        CHAT, who, chat(model, max_tokens=5), {name.replace("_", "-"): value for name, value in headers.items()}
    )
    return "ok" if answer.status == 200 else answer.error["code"]


# Where a key is sent --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "x-goog-api-key", "X-API-KEY"])
def test_a_key_is_taken_from_each_of_three_places(gateway: Gateway, name: str) -> None:
    secret = gateway.customer().secret
    value = f"Bearer {secret}" if name == "authorization" else secret
    assert gateway.post(CHAT, None, chat("tokens", max_tokens=5), {name: value}).status == 200
    assert gateway.get("/v1/models", None, {name: value}).status == 200


@pytest.mark.parametrize("value", ["bearer {}", "BEARER {}", "Bearer   {}  "])
def test_the_scheme_is_read_as_http_has_it(gateway: Gateway, value: str) -> None:
    secret = gateway.customer().secret
    assert gateway.get("/v1/key", None, {"authorization": value.format(secret)}).status == 200


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("Basic dXNlcjpwYXNz", "missing_api_key"),
        ("Bearer", "missing_api_key"),
        ("Bearer ", "missing_api_key"),
        ("Bearer sk-", "invalid_api_key"),
        ("Bearer sk-ÿþ", "invalid_api_key"),
        ("Bearer " + "x" * 8_000, "invalid_api_key"),
        ("Bearer sk-a, Bearer sk-b", "invalid_api_key"),
    ],
)
def test_what_is_no_key_is_refused(gateway: Gateway, value: str, code: str) -> None:
    answer = gateway.get("/v1/key", None, {"authorization": value.encode("latin-1").decode("latin-1")})
    assert (answer.status, answer.error["code"]) == (401, code)


def test_the_authorization_header_goes_before_the_others(gateway: Gateway) -> None:
    who = gateway.customer()
    assert gateway.get("/v1/key", who, {"x-api-key": "sk-wrong"}).status == 200
    assert gateway.get("/v1/key", "sk-wrong", {"x-api-key": who.secret}).status == 401


def test_a_key_in_the_address_is_no_key(gateway: Gateway) -> None:
    assert gateway.get(f"/v1/key?api_key={gateway.customer().secret}").error["code"] == "missing_api_key"


# What a key may do ----------------------------------------------------------------------------


@pytest.mark.parametrize("listed", ["tokens", "both"])
@pytest.mark.parametrize("asked", ["tokens", "tokens-latest"])
def test_a_model_list_means_the_model_whatever_it_is_called(gateway: Gateway, listed: str, asked: str) -> None:
    """d43: an alias and its model are one."""
    who = gateway.customer(settings=KeySettings(models=(listed,)))
    assert code_of(gateway, who, asked) == ("ok" if listed == "tokens" else "model_not_allowed")


MODES = [
    # mode                              tokens                      calls                       both
    (BillingMode.PAY_PER_USE,           "token",                    "billing_mode_unsupported", "token"),
    (BillingMode.PAY_PER_CALL,          "billing_mode_unsupported", "call",                     "call"),
    (BillingMode.PAY_PER_USE_PRIORITY,  "token",                    "call",                     "token"),
    (BillingMode.PAY_PER_CALL_PRIORITY, "token",                    "call",                     "call"),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "tokens", "calls", "both"), MODES)
def test_a_billing_mode_chooses_the_price_or_refuses(
    gateway: Gateway, mode: BillingMode, tokens: str, calls: str, both: str
) -> None:
    who = gateway.customer(settings=KeySettings(billing_mode=mode))
    for model, expected in (("tokens", tokens), ("calls", calls), ("both", both)):
        answer = gateway.post(CHAT, who, chat(model, max_tokens=5))
        found = answer.headers["x-billing-method"] if answer.status == 200 else answer.error["code"]
        assert found == expected, model


def test_a_key_that_refuses_on_low_credits_is_never_clamped(gateway: Gateway) -> None:
    who = gateway.customer(credits="0.3", settings=KeySettings(on_low_credits=OnLowCredits.REFUSE))
    assert gateway.post(CHAT, who, chat("tokens", max_tokens=4_000)).error["code"] == "insufficient_credits"
    clamped = gateway.post(CHAT, gateway.key(who.account_id), chat("tokens", max_tokens=4_000))
    assert clamped.status == 200
    assert "x-max-tokens-applied" in clamped.headers


def test_a_cap_with_a_period_counts_what_was_charged_and_no_more(gateway: Gateway) -> None:
    cap = Budget(id="cap", limit=parse_credits("0.12"), period=Period.DAILY, action=BudgetAction.BLOCK)
    who = gateway.customer(credits="10", cap=cap)
    assert [code_of(gateway, who, "calls") for _ in range(4)] == ["ok", "ok", "key_limit_reached", "key_limit_reached"]
    left = gateway.get("/v1/key", who).json
    assert (left["cap"]["remaining"], left["spent"]) == ("0.02", "0.1")
    assert code_of(gateway, gateway.key(who.account_id), "calls") == "ok", "a cap is a key's own"


@pytest.mark.parametrize(("action", "code"), [(BudgetAction.BLOCK, "budget_exceeded"), (BudgetAction.WARN, "ok")])
def test_a_budget_blocks_or_only_warns(gateway: Gateway, action: BudgetAction, code: str) -> None:
    who = gateway.customer(credits="10")
    budget = Budget(id="month", limit=parse_credits("0.05"), period=Period.MONTHLY, action=action)
    gateway.call(gateway.books.accounts.set_budgets(who.account_id, [budget]))
    assert [code_of(gateway, who, "calls") for _ in range(2)] == ["ok", code]
    assert code_of(gateway, gateway.key(who.account_id), "calls") == code, "a budget is the whole account's"


@pytest.mark.parametrize(("ceiling", "code"), [("0.05", "ok"), ("0.049999999", "budget_exceeded"), ("1000", "ok")])
def test_a_request_may_have_a_ceiling_of_its_own(gateway: Gateway, ceiling: str, code: str) -> None:
    assert code_of(gateway, gateway.customer(), "calls", x_max_credits=ceiling) == code


@pytest.mark.parametrize("ceiling", ["", "0", "-1", "1e3", "nan", "inf", "0x1", "1,5", "0.0000000001", "9" * 40])
def test_a_ceiling_that_is_no_amount_is_refused(gateway: Gateway, ceiling: str) -> None:
    """d18: no amount but a positive decimal is let in anywhere."""
    answer = gateway.post(CHAT, gateway.customer(), chat("calls"), {"x-max-credits": ceiling})
    assert (answer.status, answer.error["param"]) == (400, "x-max-credits")


# Where it is used from ------------------------------------------------------------------------

FORWARDED = [
    # X-Forwarded-For as it arrives             from 203.0.113.0/24?
    ("203.0.113.9",                             True),
    ("198.51.100.1, 203.0.113.9",               True),
    ("203.0.113.9, 198.51.100.1",               False),  # what the client claims stands first
    ("203.0.113.9, 10.1.2.3",                   True),   # two of our proxies in a row
    ("203.0.113.9, 10.2.2.3",                   False),  # a proxy that is not ours
    ("203.0.113.9:4711",                        True),
    ("::ffff:203.0.113.9",                      True),
    ("[2001:db8::1]:4711",                      False),
    ("unknown",                                 False),
    ("203.0.113.9, unknown",                    False),
    ("",                                        False),
    ("127.0.0.1, 10.1.2.3",                     False),
]  # fmt: skip


@pytest.mark.parametrize(("forwarded", "inside"), FORWARDED)
def test_the_client_is_whom_the_last_trusted_proxy_saw(gateway: Gateway, forwarded: str, inside: bool) -> None:
    who = gateway.customer(settings=KeySettings(ip_ranges=("203.0.113.0/24",)))
    assert code_of(gateway, who, x_forwarded_for=forwarded) == ("ok" if inside else "ip_not_allowed")


def test_without_trusted_proxies_nobody_can_claim_an_address(module_database: str, gateway: Gateway) -> None:
    key_file = str(gateway.books.settings.secret_key_path)
    inside = gateway.customer(settings=KeySettings(ip_ranges=("127.0.0.1",)))
    outside = gateway.customer(settings=KeySettings(ip_ranges=("203.0.113.0/24",)))
    with running_gateway(module_database, secret_key_file=key_file) as plain:
        assert code_of(plain, inside, x_forwarded_for="203.0.113.9") == "ok"
        assert code_of(plain, outside, x_forwarded_for="203.0.113.9") == "ip_not_allowed"
        assert plain.get("/v1/key", outside, {"x-forwarded-for": "203.0.113.9"}).error["code"] == "ip_not_allowed"


# Changes hold at once, everywhere -------------------------------------------------------------

Change = Callable[[Gateway, Customer], Coroutine[Any, Any, Any]]


def edit(**settings: Any) -> Change:
    change = KeyChange(settings=KeySettings(**settings))
    return lambda gateway, who: gateway.books.api_keys.edit(who.account_id, who.key_id, change)


CHANGES: list[tuple[str, str, Change]] = [
    ("revoked", "key_revoked", lambda gateway, who: gateway.books.api_keys.revoke(who.account_id, who.key_id)),
    ("regenerated", "invalid_api_key",
     lambda gateway, who: gateway.books.api_keys.regenerate(who.account_id, who.key_id)),
    ("switched off", "key_disabled", edit(enabled=False)),
    ("expired", "key_expired", edit(expires_us=1)),
    ("kept to other models", "model_not_allowed", edit(models=("calls",))),
    ("kept to other addresses", "ip_not_allowed", edit(ip_ranges=("192.0.2.0/24",))),
    ("billed by the call", "billing_mode_unsupported", edit(billing_mode=BillingMode.PAY_PER_CALL)),
    ("capped", "key_limit_reached",
     lambda gateway, who: gateway.books.api_keys.edit(
         who.account_id, who.key_id, KeyChange(cap=Budget(id="cap", limit=parse_credits("0.000001"))))),
    ("suspended", "account_suspended",
     lambda gateway, who: gateway.books.accounts.set_suspended(who.account_id, True)),
    ("moved to a tier below", "model_tier_restricted",
     lambda gateway, who: gateway.books.accounts.set_tier(who.account_id, "free")),
    ("put on a budget", "budget_exceeded",
     lambda gateway, who: gateway.books.accounts.set_budgets(
         who.account_id, [Budget(id="b", limit=parse_credits("0.000001"))])),
    ("spent", "insufficient_credits",
     lambda gateway, who: gateway.books.accounts.adjust(who.account_id, -parse_credits("9.99"), reason="test")),
]  # fmt: skip


@pytest.mark.parametrize(("code", "change"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_change_is_true_for_the_next_request_everywhere(
    gateway: Gateway, other_gateway: Gateway, code: str, change: Change
) -> None:
    model = "gpt-4o" if code == "model_tier_restricted" else "tokens"
    who = gateway.customer(credits="10")
    for place in (gateway, other_gateway):
        assert code_of(place, who, model) == "ok"
    gateway.call(change(gateway, who))
    for place in (other_gateway, gateway):
        assert code_of(place, who, model) == code


def test_a_new_secret_works_everywhere_with_the_old_settings_and_counts(
    gateway: Gateway, other_gateway: Gateway
) -> None:
    who = gateway.customer(settings=KeySettings(models=("tokens",)))
    assert code_of(gateway, who) == "ok"
    spent = gateway.get("/v1/key", who).json["spent"]
    new = gateway.call(gateway.books.api_keys.regenerate(who.account_id, who.key_id))
    for place in (other_gateway, gateway):
        assert code_of(place, who.secret) == "invalid_api_key"
        assert code_of(place, new.secret, "calls") == "model_not_allowed"
        key = place.get("/v1/key", new.secret).json
        assert (key["id"], key["spent"]) == (who.key_id, spent)
    assert code_of(other_gateway, new.secret) == "ok"


def test_a_top_up_is_usable_by_the_next_request_everywhere(gateway: Gateway, other_gateway: Gateway) -> None:
    """d16: no cache says "empty" after a payment."""
    who = gateway.customer(credits="0.00001")
    for _ in range(3):
        assert code_of(other_gateway, who) == code_of(gateway, who) == "insufficient_credits"
    gateway.call(gateway.books.accounts.grant(who.account_id, parse_credits("1")))
    assert code_of(other_gateway, who) == "ok"
    assert code_of(gateway, who) == "ok"


@pytest.mark.parametrize(("code", "undo"), [("account_suspended", "lift"), ("key_disabled", "enable")])
def test_what_is_allowed_again_works_at_once(gateway: Gateway, other_gateway: Gateway, code: str, undo: str) -> None:
    who = gateway.customer(settings=KeySettings(enabled=undo != "enable"))
    accounts, keys = gateway.books.accounts, gateway.books.api_keys
    gateway.call(accounts.set_suspended(who.account_id, undo == "lift"))
    assert code_of(other_gateway, who) == code
    gateway.call(accounts.set_suspended(who.account_id, False))
    gateway.call(keys.edit(who.account_id, who.key_id, KeyChange(settings=KeySettings())))
    assert code_of(other_gateway, who) == "ok"


def test_a_new_price_is_charged_from_the_next_request_on(gateway: Gateway, other_gateway: Gateway) -> None:
    who = gateway.customer(credits="10")
    for price in ("0.05", "0.07", "0.04"):
        card = RateCard(call_price=CallPrice(price, CallUnit.CALL, 60_000))
        entry = model_for_sale("priced-anew", card)
        gateway.call(gateway.books.changes.import_models([entry], starts_us=None, source="test"))
        gateway.call(gateway.books.catalogue.verify())
        for place in (other_gateway, gateway):
            answer = place.post(CHAT, who, chat("priced-anew", max_tokens=5))
            assert answer.headers["x-credits-charged"] == price
            receipt = place.receipt(who, answer.headers["x-request-id"])
            assert place.get("/v1/models/priced-anew", who).json["price"]["version"] == receipt["price_version"]


def test_a_price_that_starts_later_is_charged_from_that_moment_on(gateway: Gateway, other_gateway: Gateway) -> None:
    who = gateway.customer(credits="10")
    starts_us = time.time_ns() // 1000 + 1_200_000
    for price, at in (("0.01", None), ("0.02", starts_us)):
        entry = model_for_sale("dearer-soon", RateCard(call_price=CallPrice(price, CallUnit.CALL, 60_000)))
        gateway.call(gateway.books.changes.import_models([entry], starts_us=at, source="test"))
    charged: list[tuple[bool, str]] = []
    while time.time_ns() // 1000 < starts_us + 300_000:
        for place in (gateway, other_gateway):
            answer = place.post(CHAT, who, chat("dearer-soon", max_tokens=5))
            created_us = place.call(
                place.books.pool.fetchval(
                    "SELECT opened_us FROM charges WHERE hold_id = $1",
                    answer.headers["x-request-id"].replace("req_", "hold_"),
                )
            )
            charged.append((created_us >= starts_us, answer.headers["x-credits-charged"]))
    assert set(charged) == {(False, "0.01"), (True, "0.02")}


def test_a_tiers_new_limits_hold_at_once(gateway: Gateway, other_gateway: Gateway) -> None:
    who = gateway.customer(tier="basic")
    usual = gateway.books.catalogue.current.tiers["basic"]
    tight = Tier("basic", usual.rank, usual.priority, Limits(requests_per_minute=1, tokens_per_minute=200_000))
    assert code_of(other_gateway, who, "calls") == "ok"
    gateway.call(gateway.books.changes.set_tier(tight))
    try:
        assert code_of(other_gateway, who, "calls") == "rate_limit_exceeded"
        assert code_of(gateway, who, "calls") == "rate_limit_exceeded"
    finally:
        gateway.call(gateway.books.changes.set_tier(usual))
    assert code_of(other_gateway, who, "calls") == "ok"


def test_a_revoked_key_cannot_fetch_an_answer_it_paid_for(gateway: Gateway, other_gateway: Gateway) -> None:
    who, once = gateway.customer(), {"idempotency-key": "k"}
    for place in (gateway, other_gateway):
        assert place.post(CHAT, who, chat("tokens", max_tokens=5), once).status == 200
    gateway.call(gateway.books.api_keys.revoke(who.account_id, who.key_id))
    for place in (other_gateway, gateway):
        assert place.post(CHAT, who, chat("tokens", max_tokens=5), once).error["code"] == "key_revoked"
