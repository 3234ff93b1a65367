"""`farebox demo`: what a stranger sees first. It proves its receipts itself; here that it runs, twice, and serves."""

from __future__ import annotations

import http.client
import json
import signal
from pathlib import Path

import pytest
from tests.cli.conftest import Farebox

from farebox.cli.demo_calls import STEPS
from farebox.cli.receipt_table import adds_up
from farebox.money import parse_credits


@pytest.fixture(scope="module")
def demo(module_server_dir: Path) -> Farebox:
    return Farebox(module_server_dir / "demo")


def test_the_demo_ends_after_receipts_that_add_up(demo: Farebox) -> None:
    told = demo.run("demo", "--once", "--json", "--data-dir", str(demo.data_dir), "--port", "0").json
    assert [step["refused"] for step in told["steps"]] == [step.refused for step in STEPS]
    receipts = [step["receipt"] for step in told["steps"] if step["receipt"]]
    assert len(receipts) == 3
    assert all(map(adds_up, receipts))
    summary = {name: parse_credits(amount) for name, amount in told["summary"].items()}
    assert summary["before"] - summary["after"] == summary["charged"] > 0
    assert told["audit"]["ok"] is True


def test_it_runs_again_on_what_is_there_serves_on_and_stops(demo: Farebox) -> None:
    program = demo.start("demo", "--data-dir", str(demo.data_dir), "--port", "0")
    assert program.stdout is not None
    lines: list[str] = []
    while "Serving until" not in (line := program.stdout.readline()):
        assert line, program.communicate()
        lines.append(line)
    shown = "".join(lines)
    assert max(map(len, lines)) <= 200
    assert max(len(line) for line in lines if "│" in line) <= 100
    for words in ("held ", "released ", "remaining ", "model_tier_restricted", "billing_mode_unsupported", "balance"):
        assert words in shown
    base_url, secret = (
        shown.split("Base URL")[1].split()[0],
        next(word for word in shown.split() if word.startswith("sk-")),
    )
    assert f'OpenAI(base_url="{base_url}", api_key="{secret}")' in shown
    connection = http.client.HTTPConnection(base_url.split("/")[2], timeout=10)
    body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]})
    connection.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {secret}"})
    assert connection.getresponse().status == 200
    program.send_signal(signal.SIGINT)
    assert program.communicate(timeout=20)[1] == ""
    assert program.returncode == 0


def test_a_receipt_with_a_wrong_line_does_not_add_up() -> None:
    line = {"meter": "input", "quantity": 3, "price": "0.15", "per": 1_000_000, "multiplier": "1", "unit": None}
    receipt = {
        "lines": [line],
        "held": "0.000001",
        "charged": "0.00000045",
        "released": "0.00000055",
        "from_available": "0",
        "shortfall": "0",
    }
    assert adds_up(receipt)
    assert not adds_up(receipt | {"lines": [line | {"quantity": 4}]})
    assert not adds_up(receipt | {"released": "0.0000005"})
