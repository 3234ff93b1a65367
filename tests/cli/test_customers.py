"""Accounts, keys, credits, budgets and tiers from the command line."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Farebox


@pytest.fixture(scope="module")
def ann(farebox: Farebox) -> str:
    """An account with 10 credits."""
    made = farebox.json("account", "create", "Ann", "--tier", "pro", "--email", "ann@example.com", "--credits", "10")
    assert made["tier"] == "pro"
    assert made["available"] == "10"
    assert made["created_at"].endswith("Z")
    return made["id"]


def test_an_account_is_shown_by_id_name_and_email(farebox: Farebox, ann: str) -> None:
    shown = farebox.run("account", "show", "Ann")
    assert shown.code == 0
    assert "ann@example.com" in shown.out
    assert ann in farebox.run("account", "show", "ann@example.com").out
    assert [row["id"] for row in farebox.json("account", "list")] == [ann]


def test_an_account_is_suspended_resumed_and_moved_to_another_tier(farebox: Farebox, ann: str) -> None:
    assert farebox.json("account", "suspend", ann)["suspended"] is True
    assert farebox.json("account", "resume", ann)["suspended"] is False
    assert farebox.json("account", "tier", ann, "basic")["tier"] == "basic"
    assert farebox.json("account", "tier", ann, "pro")["tier"] == "pro"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("account", "show", "Bob"), 3, "farebox account list"),
        (("account", "create", "Bob", "--tier", "gold"), 3, "farebox tier list"),
        (("account", "create", "Bob", "--credits", "ten"), 2, "like 12 or 0.25"),
        (("account", "make", "Bob"), 2, "No such command"),
        (("credit", "grant", "Ann", "0"), 2, "not more than zero"),
        (("credit", "grant", "Ann", "5", "--category", "paid"), 5, "adjust"),
        (("credit", "adjust", "Ann", "-11", "--reason", "x"), 5, "less than that available"),
        (("credit", "adjust", "Ann", "5"), 2, "--reason"),
        (("key", "create", "Ann", "--billing-mode", "hybrid"), 5, "compatibility problems"),
        (("key", "create", "Ann", "--model", "gpt-4"), 3, "Did you mean gpt-4"),
        (("key", "create", "Ann", "--ip", "10.0.0.300"), 2, "203.0.113.7"),
        (("key", "create", "Ann", "--concurrency", "0"), 2, "or none for unlimited"),
        (("key", "create", "Ann", "--expires", "soon"), 2, "30d"),
        (("key", "edit", "key_0"), 3, "farebox key list"),
        (("tier", "set", "gold", "--priority", "1"), 3, "free, basic, pro, enterprise"),
        (("budget", "remove", "Ann", "yearly"), 3, "farebox budget list"),
    ],
)
def test_every_mistake_has_its_exit_code_and_a_way_on(
    farebox: Farebox, ann: str, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ran = farebox.run(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert says in " ".join(ran.err.replace("│", " ").split())


def test_with_json_errors_are_json_too(farebox: Farebox, ann: str) -> None:
    error = farebox.run("account", "show", "Bob", "--json").error
    assert error["code"] == "not_found"
    assert "farebox account list" in error["next"]


def test_credits_are_given_once_corrected_and_stand_in_the_journal(farebox: Farebox, ann: str) -> None:
    first = farebox.json("credit", "grant", ann, "5", "--once", "invoice-1", "--reason", "invoice 1")
    again = farebox.json("credit", "grant", ann, "5", "--once", "invoice-1")
    assert (first["available"], first["repeated"]) == ("15", False)
    assert (again["move_id"], again["repeated"]) == (first["move_id"], True)
    assert (
        farebox.json("credit", "adjust", ann, "-5", "--reason", "slip", "--corrects", first["move_id"])["amount"]
        == "-5"
    )
    journal = farebox.json("credit", "statement", ann)
    assert [(row["move"], row["amount"]) for row in journal] == [("adjust", "-5"), ("grant", "5"), ("grant", "10")]
    assert journal[0]["corrects"] == first["move_id"]
    assert "invoice 1" in farebox.run("credit", "statement", ann, "--limit", "2").out


def test_a_key_is_shown_once_and_never_again(farebox: Farebox, ann: str) -> None:
    made = farebox.json("key", "create", ann, "--name", "once")
    assert made["secret"].startswith("sk-")
    for command in (("key", "list", ann, "--json"), ("key", "show", made["id"])):
        assert made["secret"] not in farebox.run(*command).out
    assert "shown this once" in farebox.run("key", "regenerate", made["id"]).out


def test_a_key_has_everything_its_owner_wished(farebox: Farebox, ann: str) -> None:
    wished = ("--cap", "20", "--cap-period", "monthly", "--expires", "2099-01-01", "--on-low-credits", "refuse")
    limited = ("--requests-per-minute", "5", "--tokens-per-minute", "1000", "--requests-per-day", "9")
    lists = (
        "--model",
        "nano-banana-pro",
        "--model",
        "gpt-4o",
        "--ip",
        "10.0.0.0/8",
        "--concurrency",
        "2",
        "--disabled",
    )
    key = farebox.json(
        "key", "create", ann, "--name", "full", "--billing-mode", "pay_per_call", *wished, *limited, *lists
    )
    expected = {
        "name": "full",
        "billing_mode": "pay_per_call",
        "cap": "20",
        "cap_period": "monthly",
        "cap_used": "0",
        "expires_at": "2099-01-01T00:00:00Z",
        "on_low_credits": "refuse",
        "requests_per_minute": 5,
        "tokens_per_minute": 1000,
        "requests_per_day": 9,
        "concurrency": 2,
        "models": ["gemini-3-pro-image-preview", "gpt-4o"],
        "ip_ranges": ["10.0.0.0/8"],
        "enabled": False,
        "spent": "0",
    }
    assert {name: key[name] for name in expected} == expected


def test_an_edit_changes_what_it_names_and_nothing_else(farebox: Farebox, ann: str) -> None:
    made = farebox.json("key", "create", ann, "--name", "edited", "--model", "gpt-4o", "--cap", "3")
    edited = farebox.json(
        "key",
        "edit",
        "edited",
        "--cap",
        "none",
        "--model",
        "any",
        "--expires",
        "90d",
        "--concurrency",
        "4",
        "--name",
        "renamed",
    )
    changed = {name for name in edited if edited[name] != made[name]}
    assert changed == {"name", "cap", "cap_period", "cap_used", "models", "expires_at", "concurrency"}
    assert farebox.json("key", "edit", made["id"], "--disabled", "--concurrency", "none")["enabled"] is False


def test_a_revoked_key_stays_revoked(farebox: Farebox, ann: str) -> None:
    made = farebox.json("key", "create", ann, "--name", "gone")
    assert farebox.json("key", "revoke", made["id"])["revoked_at"] is not None
    ran = farebox.run("key", "edit", made["id"], "--name", "back")
    assert ran.code == 5
    assert "farebox key create" in ran.err
    assert farebox.run("key", "regenerate", made["id"]).code == 5


def test_budgets_are_set_changed_and_taken_away(farebox: Farebox, ann: str) -> None:
    farebox.json("budget", "set", ann, "100", "--threshold", "80", "--threshold", "50", "--action", "warn")
    farebox.json("budget", "set", ann, "2.5", "--period", "daily")
    budgets = farebox.json("budget", "set", ann, "200")
    assert [(each["id"], each["limit"], each["action"]) for each in budgets] == [
        ("daily", "2.5", "block"),
        ("monthly", "200", "block"),
    ]
    assert [each["id"] for each in farebox.json("budget", "remove", ann, "daily")] == ["monthly"]
    assert "monthly" in farebox.run("budget", "list", ann).out


def test_what_files_of_a_tier_may_take_is_changed(farebox: Farebox) -> None:
    changed = farebox.json("tier", "set", "pro", "--max-file-bytes", "1000000", "--max-storage-bytes", "none")
    assert (changed["max_file_bytes"], changed["max_storage_bytes"]) == (1_000_000, None)
    assert farebox.json("tier", "set", "pro", "--priority", "3")["max_file_bytes"] == 1_000_000
    assert farebox.run("tier", "set", "pro", "--max-file-bytes", "0").code == 2


def test_a_tier_is_changed_for_everybody_at_once(farebox: Farebox) -> None:
    before = {tier["name"]: tier for tier in farebox.json("tier", "list")}
    changed = farebox.json("tier", "set", "basic", "--requests-per-minute", "60", "--tokens-per-minute", "none")
    assert before["basic"] | {"requests_per_minute": 60, "tokens_per_minute": None} == changed
