"""`farebox credit`: give credits, correct them by a new entry, look through an account's journal."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from farebox.cli.desk import AccountName, Desk, with_books
from farebox.cli.moments import read_moment_us
from farebox.cli.output import Column, Kind, refused
from farebox.ids import AccountId
from farebox.ledger.commands import LedgerRefusal, LotCategory, Side
from farebox.money import Nano, parse_credits, parse_positive_credits
from farebox.store.accounts import GrantTerms, Moved, StatementLine

app = typer.Typer(no_args_is_help=True, help="Credits: give, correct, look through.")

MOVED = (
    Column("move_id", title="move"),
    Column("account_id", title="account"),
    Column("amount", Kind.CREDITS),
    Column("available", Kind.CREDITS),
    Column("repeated"),
)
STATEMENT = (
    Column("at", Kind.TIME, "when"),
    Column("move"),
    Column("amount", Kind.CREDITS),
    Column("debit", title="from"),
    Column("credit", title="to"),
    Column("about"),
    Column("reason"),
    Column("move_id", title="id"),
)
LINES = tuple(Column(name) for name in ("part", "version", "lot_id", "hold_id", "corrects"))
CUSTOMER = {Side.CUSTOMER.value, Side.REFUNDING.value}

Once = Annotated[
    str | None, typer.Option("--once", metavar="KEY", help="A word of your own: the same word moves credits once.")
]
_NEGATIVE = {"ignore_unknown_options": True}
"""An amount such as -5 is no option."""

_WORDS = {
    LedgerRefusal.AMOUNT_OUT_OF_RANGE: "This amount is zero, or more than the books can hold.",
    LedgerRefusal.INSUFFICIENT_AVAILABLE: "The account has less than that available.",
}


@app.command("grant")
@with_books
async def grant(
    desk: Desk,
    account: AccountName,
    amount: Annotated[str, typer.Argument(help="Credits to give.")],
    category: Annotated[LotCategory, typer.Option(help="What they are; `paid` comes with purchases only.")] = (
        LotCategory.PROMOTIONAL
    ),
    expires: Annotated[str | None, typer.Option(metavar="WHEN", help="When they lapse: a date, or 90d.")] = None,
    reason: Annotated[str | None, typer.Option(help="Stands in the journal.")] = None,
    once: Once = None,
) -> None:
    """Give credits."""
    if category is LotCategory.PAID:
        raise refused("Paid credits come with a payment.", next_step="Grant promotional credits, or adjust.")
    given = parse_positive_credits(amount)
    account_id = await desk.account(account)
    expires_us = None if expires is None else read_moment_us(expires)
    terms = GrantTerms(category, expires_us)
    moved = await desk.books.accounts.grant(account_id, given, terms, key=once, reason=reason)
    _show(desk, account_id, given, moved)


@app.command("adjust", context_settings=_NEGATIVE)
@with_books
async def adjust(
    desk: Desk,
    account: AccountName,
    amount: Annotated[str, typer.Argument(help="Credits to add, or with a minus to take.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the journal.")],
    corrects: Annotated[str | None, typer.Option(metavar="MOVE", help="The move that was wrong.")] = None,
    once: Once = None,
) -> None:
    """Correct an account by a new entry; never below zero."""
    given = parse_credits(amount)
    account_id = await desk.account(account)
    moved = await desk.books.accounts.adjust(account_id, given, key=once, corrects=corrects, reason=reason)
    _show(desk, account_id, given, moved)


@app.command("statement")
@with_books
async def statement(
    desk: Desk,
    account: AccountName,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many entries at most.")] = 50,
    before: Annotated[str, typer.Option(metavar="MOVE", help="Only entries older than this move.")] = "",
) -> None:
    """List an account's journal entries, newest first."""
    account_id = await desk.account(account)
    lines = await desk.books.accounts.statement(account_id, before=before, limit=limit)
    columns = (*STATEMENT, *LINES) if desk.out.as_json else STATEMENT
    desk.out.table([_row(line) for line in lines], columns, title="Journal")
    if len(lines) == limit:
        desk.out.say(f"There may be more: add --before {lines[-1].move_id}")


def _show(desk: Desk, account_id: AccountId, amount: Nano, moved: Moved | LedgerRefusal) -> None:
    if isinstance(moved, LedgerRefusal):
        message = _WORDS.get(moved, f"The books refuse this ({moved.value}).")
        raise refused(message, next_step="`farebox account show` tells what the account has.")
    row = {**msgspec.structs.asdict(moved), "account_id": account_id, "amount": amount}
    desk.out.record(row, MOVED)
    if moved.repeated:
        desk.out.say("\nThis word moved credits before; nothing moved now.")


def _row(line: StatementLine) -> dict[str, object]:
    """An entry as the customer feels it: what leaves the account is negative."""
    leaves = line.debit in CUSTOMER and line.credit not in CUSTOMER
    amount = -line.amount if leaves else line.amount
    return {**msgspec.structs.asdict(line), "amount": amount, "at": line.at_us, "about": line.hold_id or line.lot_id}
