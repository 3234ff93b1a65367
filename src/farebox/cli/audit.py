"""`farebox audit`: proves the books, or shows the rows that are off and ends with exit code 1."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
import typer

from farebox.books import database
from farebox.cli.desk import Stage, bring_up_to_date, with_settings
from farebox.cli.output import Column, CommandFailed, Kind
from farebox.money import format_credits
from farebox.store.audit import audit, rows_to_check
from farebox.store.audit_report import AuditReport
from farebox.store.postgres import open_pool

app = typer.Typer(add_completion=False)

CHECKS = (
    Column("law", Kind.NUMBER),
    Column("says", title="what was checked"),
    Column("checked", Kind.NUMBER),
    Column("failed", Kind.NUMBER, "off"),
)
OFFENCES = (Column("law", Kind.NUMBER), Column("check"), Column("where"), Column("what"))
AMOUNTS = ("charged", "shortfall", "given_back")


@app.command("audit")
@with_settings
def audit_books(
    stage: Stage, rows: Annotated[int, typer.Option(min=1, help="Offending rows to show of each check.")] = 10
) -> None:
    """Prove the books: every entry, hold, lot and charge. Changes nothing; a gateway may serve meanwhile."""
    with database(stage.settings) as dsn:
        report = asyncio.run(_audited(stage, dsn, rows))
    _print(stage, report)
    if not report.ok:
        failed = sum(check.failed for check in report.checks)
        raise CommandFailed(
            f"{failed:,} things are off.",
            next_step="Keep the books as they are: make a backup, and look at these rows.",
        )


async def _audited(stage: Stage, dsn: str, rows: int) -> AuditReport:
    await bring_up_to_date(dsn)
    async with open_pool(dsn, size=1) as pool:
        with stage.out.progress("Auditing", await rows_to_check(pool) or None) as advance:
            return await audit(pool, progress=advance, offences_kept=rows)


def _print(stage: Stage, report: AuditReport) -> None:
    out = stage.out
    if out.as_json:
        out.json(_shape(report))
        return
    out.table([msgspec.structs.asdict(check) for check in report.checks], CHECKS, title="Audit")
    offences = [
        {"law": check.law, "check": check.name.value, "where": offence.where, "what": offence.what}
        for check in report.checks
        for offence in check.offences
    ]
    if offences:
        out.table(offences, OFFENCES, title="Off")
    counts = _amounts_written(msgspec.structs.asdict(report.counts))
    out.say(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counts.items()))
    out.say(f"{'The books balance' if report.ok else 'The books do not balance'} ({report.seconds} s).")


def _shape(report: AuditReport) -> dict[str, Any]:
    shape: dict[str, Any] = msgspec.to_builtins(report)
    shape["counts"] = _amounts_written(shape["counts"])
    shape["sides"] = {side: format_credits(amount) for side, amount in sorted(report.sides.items())}
    return shape


def _amounts_written(counts: dict[str, Any]) -> dict[str, Any]:
    return counts | {name: format_credits(counts[name]) for name in AMOUNTS}
