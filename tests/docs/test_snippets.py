"""The documentation is executed: every shell and Python block of these pages, in the order a reader meets them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import HANDWRITTEN, ROOT, Block, page
from tests.docs.stage import Outcome, Stage
from tests.support.gateway import running_gateway
from tests.support.scripted_upstream import ScriptedUpstream

IN_ORDER = (
    "docs/start.md",
    "docs/concepts/credits.md",
    "docs/concepts/billing-modes.md",
    "docs/concepts/limits.md",
    "docs/concepts/failures.md",
    "docs/concepts/idempotency.md",
    "docs/concepts/files.md",
    "docs/concepts/pricing.md",
    "docs/operating/backup.md",
    "docs/operating/upgrades.md",
    "docs/concepts/books.md",
)
README = page("README.md")


def runnable(name: str) -> list[Block]:
    return [block for block in page(name).blocks if block.language in ("sh", "python") and block.runs]


@pytest.fixture(scope="module")
def outcome(module_server_dir: Path) -> Iterator[Outcome]:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    with ScriptedUpstream() as provider:
        blocks = [block for name in IN_ORDER for block in runnable(name)]
        yield Stage(module_server_dir, provider.base_url).run(blocks)


def test_every_block_runs_in_order(outcome: Outcome) -> None:
    assert outcome.code == 0, str(outcome)


def test_the_first_customer_is_charged_what_the_receipt_says(outcome: Outcome) -> None:
    header = re.search(r"^x-credits-charged: (\S+)", outcome.out, re.MULTILINE | re.IGNORECASE)
    assert header is not None, str(outcome)
    assert f'"charged":"{header.group(1)}"' in outcome.out
    assert re.search(r"^charged: 0\.\d+ credits$", outcome.out, re.MULTILINE)


def test_no_page_has_a_block_that_nobody_runs() -> None:
    run = {*IN_ORDER, README.name}
    assert [one.name for one in HANDWRITTEN if one.name not in run and runnable(one.name)] == []


def test_the_make_targets_of_the_readme_exist() -> None:
    lines = [line for block in runnable("README.md") for line in block.text.splitlines() if line.startswith("make ")]
    assert lines
    for line in lines:
        command = line.partition("#")[0].split()
        subprocess.run([*command, "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_the_five_lines_of_the_readme_are_answered(database: str) -> None:
    (block,) = (block for block in README.blocks if block.language == "python")
    with running_gateway(database) as gateway:
        gateway.sandbox()
        customer = gateway.customer(credits="1", tier="pro")
        program = block.text.replace("http://127.0.0.1:8080", gateway.base_url).replace("sk-…", customer.secret)
        answer = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout.strip()
        assert gateway.available(customer) < 1_000_000_000
