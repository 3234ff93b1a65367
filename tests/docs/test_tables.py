"""Tables of the documentation equal the tables of the code; generated pages are current."""

from __future__ import annotations

import pytest
from tests.docs import generated
from tests.docs.pages import page

from farebox.admission.tiers import DEFAULT_TIERS
from farebox.cli.output import ExitCode
from farebox.config import settings_markdown
from farebox.edge.errors import STATUSES
from farebox.edge.headers import EXPOSED
from farebox.relay.job import Stamp
from farebox.tariff.billing_mode import DECISIONS, HYBRID_REASONS, RECOMMENDED, BillingMode
from farebox.upstream.sandbox_script import RANGES, UsageShape
from farebox.upstream.verdicts import CALLER_ERRORS, KEY_REJECTIONS, RATE_LIMITS

HTTP = page("docs/reference/http.md")
FAILURES = page("docs/concepts/failures.md")
LIMITS = page("docs/concepts/limits.md")
MODES = page("docs/concepts/billing-modes.md")


@pytest.mark.parametrize("name", generated.PAGES)
def test_generated_pages_are_current(name: str) -> None:
    assert page(f"docs/reference/{name}").text == generated.PAGES[name](), "run: python -m tests.docs.generated"


def test_the_page_of_settings_is_current() -> None:
    assert page("docs/reference/settings.md").text == settings_markdown()


def test_the_table_of_errors_is_the_table_of_the_edge() -> None:
    written = [(int(row[0]), row[1], row[2].strip("`")) for row in HTTP.table("status", "type", "code")]
    assert written == [(row.status, row.type, code.value) for code, row in STATUSES.items()]


def test_every_header_a_browser_may_read_is_documented() -> None:
    exposed = {name.strip() for name in EXPOSED.decode().split(",")}
    assert exposed <= {code.lower() for code in HTTP.codes}


def test_the_failure_policy_has_a_row_for_every_stamp() -> None:
    stamps = [row[2].strip("`") for row in FAILURES.table("what happened", "charge", "stamp")]
    assert sorted(stamps) == sorted(stamp.value for stamp in Stamp)


def test_the_table_of_upstream_statuses_is_that_of_the_verdicts() -> None:
    written = {row[0] for row in FAILURES.table("status", "what happens")}
    for statuses in (CALLER_ERRORS, RATE_LIMITS, KEY_REJECTIONS):
        assert ", ".join(map(str, sorted(statuses))) in written


def test_every_directive_of_the_sandbox_is_documented() -> None:
    named = {
        code.partition("=")[0] for row in FAILURES.table("directive") for code in row[0].replace("`", "").split(", ")
    }
    assert named == {*RANGES, "usage", "empty"} | {shape.value for shape in UsageShape} - {"true", "none"}


def test_the_table_of_tiers_is_the_default() -> None:
    rows = {row[0]: row[1:] for row in LIMITS.table("", "free")}
    assert rows["priority"] == [str(tier.priority) for tier in DEFAULT_TIERS]
    for name in ("requests_per_minute", "tokens_per_minute", "requests_per_day"):
        assert rows[name.replace("_", " ")] == [_limit(getattr(tier.limits, name)) for tier in DEFAULT_TIERS]
    assert rows["API keys"] == [_limit(tier.max_api_keys) for tier in DEFAULT_TIERS]
    for table in (rows, {row[0]: row[1:] for row in page("docs/concepts/files.md").table("", "free")}):
        one, everything = (next(table[name] for name in table if name.startswith(kind)) for kind in ("one", "all"))
        assert one == [_size(tier.max_file_bytes) for tier in DEFAULT_TIERS]
        assert everything == [_size(tier.max_storage_bytes) for tier in DEFAULT_TIERS]


def test_the_table_of_billing_modes_is_the_decision() -> None:
    rows = {row[0].strip("`"): row[1:] for row in MODES.table("mode", "token prices only")}
    assert rows.pop(BillingMode.HYBRID.value) == ["cannot be chosen"] * 3
    decided = {
        mode.value: [method.value if method else "refused" for method in row.values()]
        for mode, row in DECISIONS.items()
    }
    assert rows == decided


def test_the_reasons_against_hybrid_are_those_customers_are_given() -> None:
    assert all(reason in MODES.text for reason in HYBRID_REASONS)
    assert f"`{RECOMMENDED}` is the default and the one to recommend" in MODES.text


def test_the_exit_codes_are_those_of_the_commands() -> None:
    listed = page("docs/operating/running.md").text.partition("scripts can use:")[2].partition(".")[0]
    assert [int(part.split()[0]) for part in listed.split(",")] == [code.value for code in ExitCode]


def _size(value: int | None) -> str:
    if value is None:
        return "unlimited"
    return f"{value >> 30} GB" if value >= 1 << 30 else f"{value >> 20} MB"


def _limit(value: int | None) -> str:
    return "unlimited" if value is None else f"{value:,}"
