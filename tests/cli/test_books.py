"""Receipts, what new prices would mean, the audit, the doctor: over real charges."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import yaml
from tests.cli.conftest import Farebox
from tests.support.gateway import Customer, Gateway, chat, running_gateway

from farebox.money import format_credits, parse_credits


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
    """A request that was charged."""
    answer = gateway.post("/v1/chat/completions", customer, chat())
    assert answer.status == 200
    return answer.headers["x-request-id"]


def test_a_receipt_is_found_in_whatever_account(farebox: Farebox, customer: Customer, request_id: str) -> None:
    receipt = farebox.json("receipt", request_id)
    assert receipt["account_id"] == customer.account_id
    assert receipt["status"] == "captured"
    assert sum(parse_credits(line["amount"]) for line in receipt["lines"]) == parse_credits(receipt["charged"])
    shown = farebox.run("receipt", request_id).out
    assert f"charged {receipt['charged']}" in shown
    assert "1,000,000 tokens" in shown
    assert farebox.run("receipt", "req_0").code == 3


def test_new_prices_are_felt_by_those_who_use_the_model(
    farebox: Farebox, gateway: Gateway, customer: Customer, request_id: str, tmp_path: Path
) -> None:
    charged = parse_credits(gateway.receipt(customer, request_id)["charged"])
    prices = yaml.safe_load(farebox.run("price", "export").out)
    model = next(entry for entry in prices["models"] if entry["id"] == "gpt-4o")
    model["price"]["rates"] = {meter: str(2 * float(rate)) for meter, rate in model["price"]["rates"].items()}
    doubled = tmp_path / "doubled.yaml"
    doubled.write_text(yaml.safe_dump({"name": "doubled", "models": [model]}))
    effect = farebox.json("price", "diff", str(doubled))["effect"]
    assert [(each["account_id"], each["calls"], each["percent"]) for each in effect] == [
        (customer.account_id, 1, "+100.0")
    ]
    assert (effect[0]["before"], effect[0]["change"]) == (format_credits(charged), format_credits(charged))
    assert "100.0" in farebox.run("price", "diff", str(doubled)).out
    assert farebox.json("price", "diff", str(doubled), "--days", "0")["effect"] == []


def test_the_audit_proves_the_books_or_shows_what_is_off(
    farebox: Farebox, module_database: str, customer: Customer, request_id: str
) -> None:
    report = farebox.json("audit")
    assert report["ok"] is True
    assert report["counts"]["charges"] == 1
    assert sum(parse_credits(amount) for amount in report["sides"].values()) == 0
    spoil(module_database, customer, 5)
    ran = farebox.run("audit")
    assert ran.code == 1
    assert customer.account_id in ran.out
    assert "make a backup" in ran.err
    spoil(module_database, customer, -5)
    assert "The books balance" in farebox.run("audit").out


def test_the_doctor_finds_nothing_bad_until_there_is(farebox: Farebox, request_id: str) -> None:
    findings = {each["check"]: each for each in farebox.json("doctor")}
    assert {"secret key", "disk", "database", "clock", "migrations", "partitions", "models"} <= findings.keys()
    assert not [each for each in findings.values() if each["state"] == "bad"]
    (farebox.data_dir / "secret.key").chmod(0o644)
    ran = farebox.run("doctor")
    (farebox.data_dir / "secret.key").chmod(0o600)
    assert ran.code == 1
    assert "chmod 600" in " ".join(ran.out.split())


def test_the_doctor_says_what_is_wrong_with_a_database_it_cannot_reach(farebox: Farebox) -> None:
    ran = farebox.run("doctor", FAREBOX_DATABASE_URL="postgresql://127.0.0.1:1/x")
    assert ran.code == 1
    assert "FAREBOX_DATABASE_URL" in ran.out


def test_migrating_is_done_once(farebox: Farebox, empty_database: str) -> None:
    assert farebox.json("migrate", FAREBOX_DATABASE_URL=empty_database)["applied"] != []
    assert "up to date" in farebox.run("migrate", FAREBOX_DATABASE_URL=empty_database).out


def test_only_an_embedded_database_is_backed_up_here(farebox: Farebox, tmp_path: Path) -> None:
    ran = farebox.run("backup", str(tmp_path / "copy"))
    assert ran.code == 4
    assert "pg_basebackup" in ran.err
    assert farebox.run("rotate-secret-key").code == 5


def spoil(dsn: str, customer: Customer, amount: int) -> None:
    """Change a total behind the ledger's back."""

    async def change() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(
            "UPDATE accounts SET available = available + $1 WHERE id = $2", amount, customer.account_id
        )
        await connection.close()

    asyncio.run(change())
