"""`farebox budget`: what an account may spend in a period, and what happens when it has."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from farebox.admission.state import Budget, BudgetAction, Period
from farebox.cli.desk import AccountName, Desk, with_books
from farebox.cli.output import Column, CommandFailed, ExitCode, Kind, not_found
from farebox.ids import AccountId
from farebox.money import parse_credits
from farebox.store.overview import Overview

app = typer.Typer(no_args_is_help=True, help="Budgets of accounts: warn or block.")

COLUMNS = (
    Column("id"),
    Column("limit", Kind.CREDITS),
    Column("period"),
    Column("action"),
    Column("thresholds"),
    Column("used", Kind.CREDITS),
    Column("held", Kind.CREDITS),
    Column("announced", Kind.NUMBER),
)


@app.command("set")
@with_books
async def set_budget(
    desk: Desk,
    account: AccountName,
    limit: Annotated[str, typer.Argument(metavar="AMOUNT", help="Credits in a period.")],
    name: Annotated[str | None, typer.Option(help="What to call it; its period by default.")] = None,
    period: Annotated[Period, typer.Option(help="When it starts again, in UTC.")] = Period.MONTHLY,
    action: Annotated[BudgetAction, typer.Option(help="Refuse what goes beyond, or only tell.")] = BudgetAction.BLOCK,
    threshold: Annotated[
        list[int] | None, typer.Option(min=1, max=1000, metavar="PERCENT", help="Tell when reached; repeat.")
    ] = None,
) -> None:
    """Add a budget, or change the one of this name; what it has counted stays counted."""
    account_id = await desk.account(account)
    thresholds = tuple(sorted(set(threshold or ())))
    wanted = Budget(name or period.value, parse_credits(limit), period, action, thresholds)
    others = [budget for budget in await _budgets(desk, account_id) if budget.id != wanted.id]
    try:
        await desk.books.accounts.set_budgets(account_id, [*others, wanted])
    except ValueError as wrong:
        raise CommandFailed(f"{wrong}.", code=ExitCode.USAGE) from None
    await _show(desk, account_id)


@app.command("list")
@with_books
async def list_budgets(desk: Desk, account: AccountName) -> None:
    """List an account's budgets and what they have counted."""
    await _show(desk, await desk.account(account))


@app.command("remove")
@with_books
async def remove(
    desk: Desk, account: AccountName, name: Annotated[str, typer.Argument(metavar="BUDGET", help="Its id.")]
) -> None:
    """Take a budget away."""
    account_id = await desk.account(account)
    budgets = await _budgets(desk, account_id)
    rest = [budget for budget in budgets if budget.id != name]
    if len(rest) == len(budgets):
        raise not_found("budget", name, next_step="`farebox budget list` shows them.")
    await desk.books.accounts.set_budgets(account_id, rest)
    await _show(desk, account_id)


async def _budgets(desk: Desk, account_id: AccountId) -> list[Budget]:
    return list(await Overview(desk.books.pool).budgets(account_id))


async def _show(desk: Desk, account_id: AccountId) -> None:
    rows = [
        {**msgspec.structs.asdict(budget), "period": budget.period.value, "action": budget.action.value}
        for budget in await _budgets(desk, account_id)
    ]
    desk.out.table(rows, COLUMNS, title="Budgets")
