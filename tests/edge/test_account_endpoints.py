"""The profile, the key, and the billing pages older dashboards read: all agree with the books to the nanocredit."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.gateway import Customer, Gateway, chat

from farebox.admission.state import Budget, BudgetAction, Limits, Period
from farebox.money import parse_credits
from farebox.store.accounts import GrantTerms
from farebox.store.ledger_rows import KeySettings
from farebox.tariff.billing_mode import BillingMode

CHAT = "/v1/chat/completions"
BILLING = "/v1/dashboard/billing"


def spend(gateway: Gateway, who: Customer, times: int = 1) -> int:
    """Call a model; what it took, in nanocredits."""
    answers = [gateway.post(CHAT, who, chat(max_tokens=20)) for _ in range(times)]
    return sum(parse_credits(answer.headers["x-credits-charged"]) for answer in answers)


def test_the_profile_has_tier_priority_and_credits(gateway: Gateway) -> None:
    who = gateway.customer(credits="10", tier="pro")
    charged = spend(gateway, who)
    me = gateway.get("/api/auth/me", who).json
    assert me["id"] == who.account_id
    assert (me["tier"], me["priority"], me["priority_level"]) == ("pro", 3, "High")
    assert me["webhooks"] is True
    assert me["limits"]["requests_per_minute"] == 100
    assert parse_credits(me["credits"]["available"]) == parse_credits("10") - charged
    assert me["credits"]["held"] == "0"
    assert abs(me["created_at"] - time.time()) < 60


def test_what_is_unlimited_is_said_in_that_word(gateway: Gateway) -> None:
    limits = gateway.get("/api/auth/me", gateway.customer(tier="enterprise")).json["limits"]
    assert set(limits.values()) == {"unlimited"}


def test_a_key_tells_what_it_spent_and_may_spend(gateway: Gateway) -> None:
    cap = Budget(id="cap", limit=parse_credits("3"), period=Period.MONTHLY, action=BudgetAction.BLOCK)
    settings = KeySettings(
        models=("gpt-4o",), limits=Limits(requests_per_minute=7), billing_mode=BillingMode.PAY_PER_USE
    )
    who = gateway.customer(credits="10", settings=settings, cap=cap)
    charged = spend(gateway, who, times=2)
    key = gateway.get("/v1/key", who).json
    assert key["id"] == who.key_id
    assert parse_credits(key["spent"]) == charged
    assert parse_credits(key["cap"]["remaining"]) == parse_credits("3") - charged
    assert key["cap"]["period"] == "monthly"
    assert key["cap"]["resets_at"] > time.time()
    assert key["available"] == key["cap"]["remaining"], "the cap leaves less than the account has"
    assert key["limits"]["requests_per_minute"] == 7
    assert key["models"] == ["gpt-4o"]
    assert key["billing_mode"] == "pay_per_use"
    assert key["enabled"] is True


def test_a_key_is_shown_by_a_hint_and_never_whole(gateway: Gateway) -> None:
    who = gateway.customer()
    for path in ("/v1/key", "/api/auth/me"):
        assert who.secret not in gateway.get(path, who).body.decode()
    assert gateway.get("/v1/key", who).json["hint"] == f"{who.secret[:7]}…{who.secret[-4:]}"


def test_two_keys_of_an_account_share_credits_and_count_apart(gateway: Gateway) -> None:
    first = gateway.customer(credits="10")
    second = gateway.key(first.account_id)
    charged = spend(gateway, first)
    one, other = gateway.get("/v1/key", first).json, gateway.get("/v1/key", second).json
    assert parse_credits(one["spent"]) == charged
    assert other["spent"] == "0"
    assert one["available"] == other["available"]


def test_the_subscription_page_shows_all_that_was_ever_granted(gateway: Gateway) -> None:
    who = gateway.customer(credits="10", tier="pro")
    spend(gateway, who)
    page = gateway.get(f"{BILLING}/subscription", who).json
    assert page["object"] == "billing_subscription"
    assert page["hard_limit_usd"] == page["soft_limit_usd"] == page["system_hard_limit_usd"] == "10"
    assert page["plan"] == {"id": "pro", "title": "Pro"}
    assert page["access_until"] == 0


def test_the_usage_page_adds_up_by_day_and_model(gateway: Gateway) -> None:
    who = gateway.customer(credits="10")
    charged = spend(gateway, who, times=3)
    embedded = gateway.post("/v1/embeddings", who, {"model": "text-embedding-3-small", "input": "Hello"})
    charged += parse_credits(embedded.headers["x-credits-charged"])
    page = gateway.get(f"{BILLING}/usage", who).json
    assert parse_credits(page["total_usage"]) == 100 * charged, "in hundredths of a credit"
    items = [item for day in page["daily_costs"] for item in day["line_items"]]
    assert {item["name"] for item in items} == {"gpt-4o", "text-embedding-3-small"}
    assert sum(parse_credits(item["cost"]) for item in items) == 100 * charged
    assert all(day["timestamp"] % 86_400 == 0 for day in page["daily_costs"])


def test_the_usage_page_keeps_to_the_days_asked_for(gateway: Gateway) -> None:
    who = gateway.customer()
    spend(gateway, who)
    today = datetime.now(UTC).date()
    days = f"start_date={today}&end_date={today + timedelta(days=1)}"
    before = f"start_date={today - timedelta(days=3)}&end_date={today}"
    assert gateway.get(f"{BILLING}/usage?{days}", who).json["total_usage"] != "0"
    assert gateway.get(f"{BILLING}/usage?{before}", who).json == {
        "object": "list",
        "total_usage": "0",
        "daily_costs": [],
    }


@pytest.mark.parametrize(
    "query",
    [
        "start_date=yesterday",
        "start_date=2026-13-01",
        "start_date=2026-02-02&end_date=2026-02-01",
        "start_date=2020-01-01&end_date=2026-01-01",
        "start_date=9999-12-31",
        "end_date=0001-01-01",
        "start_date=%00",
        "start_date=-1",
    ],
)
def test_days_that_make_no_sense_are_refused(gateway: Gateway, query: str) -> None:
    answer = gateway.get(f"{BILLING}/usage?{query}", gateway.customer())
    assert (answer.status, answer.error["code"]) == (400, "invalid_parameter")


ENDS = ["start_date=9999-12-31&end_date=9999-12-31", "start_date=0001-01-01&end_date=0001-06-01"]


@pytest.mark.parametrize("query", ENDS)
def test_days_at_the_ends_of_time_are_merely_empty(gateway: Gateway, query: str) -> None:
    assert gateway.get(f"{BILLING}/usage?{query}", gateway.customer()).json["total_usage"] == "0"


def test_credit_grants_list_every_lot(gateway: Gateway) -> None:
    who = gateway.customer(credits="10")
    later = time.time_ns() // 1000 + 86_400_000_000
    grant = gateway.books.accounts.grant(who.account_id, parse_credits("2.5"), GrantTerms(expires_us=later))
    gateway.call(grant)
    charged = spend(gateway, who)
    page = gateway.get(f"{BILLING}/credit_grants", who).json
    assert page["total_granted"] == "12.5"
    assert parse_credits(page["total_used"]) == charged
    assert parse_credits(page["total_available"]) == parse_credits("12.5") - charged
    grants = page["grants"]["data"]
    assert sorted(grant["grant_amount"] for grant in grants) == ["10", "2.5"]
    assert [grant["expires_at"] for grant in grants if grant["grant_amount"] == "2.5"] == [later // 1_000_000]


def test_what_is_held_shows_everywhere_as_the_same_number(gateway: Gateway) -> None:
    """d17: available is one number everywhere."""
    who = gateway.customer(credits="10")
    spend(gateway, who)
    me = gateway.get("/api/auth/me", who).json["credits"]
    key = gateway.get("/v1/key", who).json
    grants = gateway.get(f"{BILLING}/credit_grants", who).json
    quote = gateway.post("/v1/quote", who, chat(max_tokens=5)).json
    assert me["available"] == key["available"] == key["account"]["available"] == grants["total_available"]
    assert me["available"] == quote["available"]
    assert parse_credits(me["available"]) == gateway.available(who)


def test_an_account_sees_nothing_of_another(gateway: Gateway) -> None:
    one, other = gateway.customer(credits="10"), gateway.customer(credits="7")
    spend(gateway, one)
    assert gateway.get("/api/auth/me", other).json["credits"]["available"] == "7"
    assert gateway.get(f"{BILLING}/usage", other).json["total_usage"] == "0"
