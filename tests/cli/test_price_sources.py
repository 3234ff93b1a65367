"""Others' prices, costs of channels and the margin, from the command line over real charges."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import Farebox
from tests.support.gateway import Customer, Gateway, chat, running_gateway

from farebox.money import parse_credits

FILE = {
    "gpt-4o": {
        "litellm_provider": "openai",
        "mode": "chat",
        "max_input_tokens": 128000,
        "max_output_tokens": 16384,
        "input_cost_per_token": 4e-06,
        "output_cost_per_token": 8e-06,
        "source": "https://example.com",
    },
    "openai/brand-new": {
        "litellm_provider": "openai",
        "mode": "chat",
        "max_input_tokens": 1000,
        "max_output_tokens": 100,
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
    },
    "azure/gpt-4o": {"litellm_provider": "azure", "mode": "chat", "input_cost_per_token": 3e-06},
    "azure/odd": {"litellm_provider": "azure", "mode": "chat", "input_cost_per_moon": 1},
}


@pytest.fixture(scope="module")
def gateway(farebox: Farebox, module_database: str) -> Iterator[Gateway]:
    farebox.json("account", "list")  # makes the data directory and its secret key
    with running_gateway(module_database, secret_key_file=str(farebox.data_dir / "secret.key")) as gateway:
        gateway.sandbox()
        yield gateway


@pytest.fixture(scope="module")
def customer(gateway: Gateway) -> Customer:
    return gateway.customer(credits="10")


@pytest.fixture(scope="module")
def request_id(gateway: Gateway, customer: Customer) -> str:
    """A request of gpt-4o that was charged, with no known cost."""
    answer = gateway.post("/v1/chat/completions", customer, chat())
    assert answer.status == 200
    return answer.headers["x-request-id"]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A newer file of LiteLLM's, as an operator fetched it on a certain day."""
    path = tmp_path / "prices.json.gz"
    path.write_bytes(gzip.compress(json.dumps(FILE).encode()))
    day = datetime(2026, 10, 5, 12, tzinfo=UTC).timestamp()
    os.utime(path, (day, day))
    return str(path)


def exported(farebox: Farebox, model: str) -> dict[str, Any]:
    models = yaml.safe_load(farebox.run("price", "export").out)["models"]
    return next(entry for entry in models if entry["id"] == model)


@pytest.mark.parametrize("source", ["genai-prices", "litellm"])
def test_the_shipped_files_are_compared_with_the_catalogue(farebox: Farebox, source: str) -> None:
    ran = farebox.run("price", "diff", "--from", source, "--without-refused", "--days", "0", "--json")
    found = ran.json
    assert found["added"] == []
    costs = {change["model"] for change in found["changed"] if change["where"].startswith("cost ")}
    assert {"gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro"} <= costs or len(costs) > 100
    assert "grok-voice" in ran.err, "what cannot be said is told by model"


def test_new_prices_of_others_are_compared_for_those_who_used_the_model(
    farebox: Farebox, gateway: Gateway, customer: Customer, request_id: str, file: str
) -> None:
    before = {line["meter"]: line["quantity"] for line in gateway.receipt(customer, request_id)["lines"]}
    found = farebox.json("price", "diff", file, "--from", "litellm", "--markup", "1.5", "--model", "gpt-4o")
    changed = {each["where"]: (each["before"], each["after"]) for each in found["changed"]}
    assert changed["price input"][1] == "6 per 1000000"
    assert changed["cost input"] == (None, "4 per 1000000")
    (effect,) = found["effect"]
    assert (effect["account_id"], effect["calls"], effect["unpriced"]) == (customer.account_id, 1, 0)
    assert parse_credits(effect["after"]) == before["input"] * 6_000 + before["output"] * 12_000


def test_an_import_is_a_version_with_a_start_a_source_and_a_markup(farebox: Farebox, file: str) -> None:
    facts = exported(farebox, "gpt-4o")
    arguments = ("price", "import", file, "--from", "litellm", "--markup", "1.5")
    done = farebox.json(*arguments, "--model", "gpt-4o", "--starts", "2099-01-01")
    assert (done["added"], done["repriced"]) == ([], ["gpt-4o"])
    in_force, to_come = farebox.json("price", "show", "gpt-4o")["versions"]
    assert (in_force["state"], to_come["state"]) == ("in force", "to come")
    assert in_force["prices"] != to_come["prices"] == {"input": "6 per 1000000", "output": "12 per 1000000"}
    assert (to_come["starts_at"], to_come["upstream_cost"]) == ("2099-01-01T00:00:00Z", "known")
    assert to_come["imported_from"] == "litellm (prices.json.gz)"
    after = exported(farebox, "gpt-4o")
    kept = ("display_name", "min_tier", "aliases", "capabilities", "tokenizer", "price")
    assert [after.get(fact) for fact in kept] == [facts.get(fact) for fact in kept]
    assert after["as_of"] == "2026-10-05"
    assert after["source"] == "litellm (prices.json.gz): https://example.com"


def test_what_is_scheduled_already_is_compared_too(farebox: Farebox, file: str) -> None:
    """After 2099 the list changes nothing; before, the scheduled version would replace it."""
    arguments = ("price", "diff", file, "--from", "litellm", "--model", "gpt-4o", "--days", "0")
    then = farebox.json(*arguments, "--markup", "1.5", "--starts", "2099-06-01")
    assert (then["changed"], then["scheduled"]) == ([], [])
    dearer = farebox.json(*arguments, "--markup", "2", "--starts", "2099-06-01")
    assert [(each["where"], each["before"], each["after"]) for each in dearer["changed"]] == [
        ("price input", "6 per 1000000", "8 per 1000000"),
        ("price output", "12 per 1000000", "16 per 1000000"),
    ]
    (later,) = farebox.json(*arguments, "--markup", "2")["scheduled"]
    assert (later["model"], later["starts_at"]) == ("gpt-4o", "2099-01-01T00:00:00Z")
    assert [(each["where"], each["after"]) for each in later["changed"]] == [
        ("price input", "6 per 1000000"),
        ("price output", "12 per 1000000"),
    ]
    assert "Scheduled already" in farebox.run(*arguments, "--markup", "2").out


def test_usage_is_compared_with_the_price_that_will_be_replaced(
    farebox: Farebox, gateway: Gateway, customer: Customer, request_id: str, file: str
) -> None:
    arguments = ("price", "diff", file, "--from", "litellm", "--model", "gpt-4o", "--markup", "3")
    (effect,) = farebox.json(*arguments, "--starts", "2099-06-01")["effect"]
    assert effect["percent"] == "+100.0", "three times the cost, where one and a half is scheduled"


def test_models_are_added_by_name_or_by_provider(farebox: Farebox, file: str) -> None:
    arguments = ("price", "import", file, "--from", "litellm", "--markup", "1.2")
    assert farebox.json(*arguments)["added"] == [], "without a wish only models of the catalogue"
    assert farebox.json(*arguments, "--model", "mine=azure/gpt-4o", "--min-tier", "basic")["added"] == ["mine"]
    ran = farebox.run(*arguments, "--provider", "azure")
    assert (ran.code, "azure/odd: input_cost_per_moon: unknown field" in ran.err) == (5, True)
    done = farebox.json(*arguments, "--provider", "azure", "--provider", "openai", "--without-refused")
    assert sorted(done["added"]) == ["azure/gpt-4o", "brand-new"]
    shown = farebox.json("price", "show", "mine")
    assert (shown["min_tier"], shown["provider"]) == ("basic", "azure")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("price", "import"), 2, "--from litellm"),
        (("price", "import", "x.yaml", "--markup", "2"), 2, "--markup goes with --from"),
        (("price", "import", "--from", "litellm", "--markup", "0"), 2, "Write a factor like 1.2"),
        (("price", "import", "--from", "litellm", "--model", "no-such"), 5, "no-such: litellm"),
        (
            ("price", "import", "--from", "litellm", "--model", "gpt-4o-mini-2024-07-18"),
            5,
            "gpt-4o-mini=gpt-4o-mini-2024-07-18",
        ),
        (("price", "import", "--from", "litellm", "--model", "gpt-4o", "--min-tier", "gold"), 2, "no tier gold"),
        (("price", "import", "/nowhere.json", "--from", "litellm"), 2, "cannot be read"),
        (("price", "import", "--from", "litellm", "--model", "gpt-4o", "--channel", "no"), 3, "no channel no"),
        (("price", "import", "--from", "litellm", "--model", "gpt-4o", "--starts", "2020-01-01"), 5, "past"),
        (("margin", "--since", "2026-02-01", "--until", "2026-01-01"), 2, "after"),
    ],
)
def test_every_mistake_has_its_exit_code_and_a_way_on(
    farebox: Farebox, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ran = farebox.run(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err


def test_a_channel_has_costs_of_its_own(
    farebox: Farebox, gateway: Gateway, customer: Customer, request_id: str, file: str
) -> None:
    (channel,) = farebox.json("channel", "list")
    arguments = ("price", "import", file, "--from", "litellm", "--model", "gpt-4o", "--channel", channel["name"])
    assert farebox.json(*arguments)["changed"] == ["gpt-4o"]
    assert farebox.json(*arguments)["unchanged"] == 1
    (row,) = farebox.json("channel", "costs", channel["name"])
    assert (row["model"], row["state"], row["prices"]["input"]) == ("gpt-4o", "in force", "4 per 1000000")
    assert "output: 8 per 1000000" in farebox.run("channel", "costs", channel["name"]).out
    answer = gateway.post("/v1/chat/completions", customer, chat())
    receipt = farebox.json("receipt", answer.headers["x-request-id"])
    assert parse_credits(receipt["upstream_cost"]) == sum(
        line["quantity"] * {"input": 4_000, "output": 8_000}[line["meter"]] for line in receipt["lines"]
    )
    assert (receipt["channel"], receipt["borne"]) == (channel["name"], False)
    assert "upstream cost" in farebox.run("receipt", answer.headers["x-request-id"]).out
    assert farebox.json("receipt", request_id)["upstream_cost"] is None
    assert farebox.json("channel", "forget-cost", channel["name"], "gpt-4o")["changed"] == ["gpt-4o"]
    assert [each["state"] for each in farebox.json("channel", "costs", channel["name"])] == ["past", "in force"]


def test_the_margin_is_shown_for_models_channels_and_accounts(
    farebox: Farebox, customer: Customer, request_id: str
) -> None:
    receipts = [farebox.json("receipt", request_id)]
    for by in ("model", "channel", "account"):
        found = farebox.json("margin", "--by", by)
        (row,) = found["rows"]
        assert {name: row[name] for name in found["total"]} == found["total"]
        assert (row["charges"], row["cost_unknown"], row["borne"]) == (2, 1, 0)
        assert row["revenue_of_unknown"] == receipts[0]["charged"]
        known = parse_credits(row["revenue"]) - parse_credits(row["revenue_of_unknown"])
        assert parse_credits(row["margin"]) == known - parse_credits(row["upstream_cost"])
        assert re.fullmatch(r"-?[0-9]+\.[0-9]", row["percent"])
    assert row["account"] == customer.account_id
    shown = farebox.run("margin").out
    assert "Margin by model" in shown
    assert "Work nobody was charged for: none." in shown
    assert "no known cost" in shown
    assert farebox.json("margin", "--since", "2020-01-01", "--until", "2020-02-01")["total"]["charges"] == 0
