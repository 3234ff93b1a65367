"""What the demo prints: a table for each receipt, a line for each refusal, the sums, and how to go on by oneself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from farebox.cli.output import Output, human_credits
from farebox.cli.receipt_table import WIDTH, receipt_table, total_of
from farebox.money import parse_credits
from farebox.store.audit_report import AuditReport

if TYPE_CHECKING:
    from farebox.cli.demo_calls import Done

HELLO = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello!"}]}'


class DemoScreen:
    """Prints as things happen; with `--json` one object at the end."""

    def __init__(self, out: Output) -> None:
        self._out = out
        width = WIDTH + 2 if not sys.stdout.isatty() else None
        self._console = Console(file=out.out, width=width, highlight=False, quiet=out.as_json)
        self._told: dict[str, Any] = {"steps": []}
        self._number = 0

    def begins(self, url: str, tier: str) -> None:
        self._told |= {"base_url": url, "tier": tier}
        self._console.print(f"\n[bold]Farebox demo[/] · {url} · sandbox provider · account Demo, tier {tier}\n")

    def step(self, done: Done) -> None:
        """A call and its receipt, or its refusal."""
        self._number += 1
        title = f"{self._number} · {done.step.title} · {done.step.model}"
        shown = {"title": done.step.title, "model": done.step.model, "available": done.available}
        self._told["steps"].append(
            shown | {"receipt": done.receipt, "refused": done.spoken.refused, "as_expected": done.as_expected}
        )
        if done.receipt is not None:
            self._console.print(
                receipt_table(done.receipt, title=title, remaining=done.available, width=self._console.width)
            )
        else:
            self._console.print(f"[bold]{title}[/]")
            self._console.print(Padding(f"Refused, {done.spoken.refused}: {done.spoken.message}", (0, 0, 0, 2)))
            self._console.print(f"  [dim]nothing held, nothing charged · remaining {done.available}[/]")
        self._console.print()

    def summary(self, before: str, after: str, done: Sequence[Done], report: AuditReport) -> None:
        receipts = [each.receipt for each in done if each.receipt is not None]
        total = total_of(receipts)
        checked = sum(check.checked for check in report.checks)
        self._told["summary"] = {"before": before, "charged": total, "after": after}
        self._told["audit"] = {"ok": report.ok, "checked": checked}
        grid = Table(
            box=None, show_header=False, pad_edge=False, title="In all", title_justify="left", title_style="bold"
        )
        grid.add_column()
        grid.add_column(justify="right")
        for name, amount in (("credits before", before), ("− charged", total), ("= credits after", after)):
            grid.add_row(name, _aligned(amount))
        self._console.print(grid)
        verdict = "the books balance" if report.ok else "[bold red]the books do not balance[/]"
        self._console.print(f"Audit: {len(report.checks)} checks over {checked:,} things; {verdict}.\n")

    def ends(self, url: str, keys: dict[str, str], *, once: bool) -> None:
        self._told["keys"] = keys
        if self._out.as_json:
            self._out.out.write(msgspec.json.encode(self._told).decode() + "\n")
            self._out.out.flush()
        elif not once:
            self._console.print(_how_to_go_on(url, keys), markup=False, soft_wrap=True)


def _aligned(amount: str) -> str:
    """Nine places, so that the sums stand under each other."""
    whole, _, fraction = human_credits(parse_credits(amount)).partition(".")
    return f"{whole}.{fraction.ljust(9, '0')}"


def _how_to_go_on(url: str, keys: dict[str, str]) -> str:
    key = keys["everyday"]
    return f"""\
Base URL  {url}
API key   {key}   pays by what it uses
          {keys["per-call"]}   pays by the call

curl {url}/chat/completions \\
  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
  -d '{HELLO}'

from openai import OpenAI
client = OpenAI(base_url="{url}", api_key="{key}")
answer = client.chat.completions.create(model="gpt-4o-mini", messages=[{{"role": "user", "content": "Hello!"}}])
print(answer.choices[0].message.content)
print(answer.usage)

Serving until Ctrl-C. The keys are new at each start.
"""
