"""`farebox account`: open accounts, look at them, change their tier, suspend and resume them."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from farebox.cli.desk import AccountName, Desk, with_books
from farebox.cli.output import Column, Kind, not_found
from farebox.ids import AccountId
from farebox.money import Nano, parse_credits
from farebox.store.accounts import Account

app = typer.Typer(no_args_is_help=True, help="Accounts: who buys.")

COLUMNS = (
    Column("id"),
    Column("name"),
    Column("email"),
    Column("tier"),
    Column("suspended"),
    Column("available", Kind.CREDITS),
    Column("held", Kind.CREDITS),
    Column("refunding", Kind.CREDITS),
    Column("owed", Kind.CREDITS),
    Column("running", Kind.NUMBER),
    Column("created_at", Kind.TIME, "created"),
)
IN_A_LIST = tuple(column for column in COLUMNS if column.name not in {"refunding", "owed"})

TierName = Annotated[str, typer.Argument(metavar="TIER", help="A tier of `farebox tier list`.")]


@app.command("create")
@with_books
async def create(
    desk: Desk,
    name: Annotated[str, typer.Argument(help="What to call the account.")],
    email: Annotated[str | None, typer.Option(help="Where its owner reads mail.")] = None,
    tier: Annotated[str | None, typer.Option(help="Its tier; the lowest by default.")] = None,
    credits: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="Credits to start with; the setting starter_credits by default."),
    ] = None,
) -> None:
    """Open an account."""
    starter = parse_credits(desk.settings.starter_credits if credits is None else credits)
    accounts = desk.books.accounts
    try:
        made = await accounts.create(name, tier=tier or _lowest_tier(desk), email=email, starter=Nano(starter))
    except KeyError as missing:
        raise _no_tier(missing.args[0]) from None
    desk.out.record(row_of(made), COLUMNS, title="New account")
    desk.out.say(f"\nIts first API key: farebox key create {made.id}")


@app.command("list")
@with_books
async def list_accounts(
    desk: Desk,
    after: Annotated[str, typer.Option(metavar="ID", help="Begin after this account.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
) -> None:
    """List accounts, oldest first."""
    page = await desk.books.accounts.page(after, limit=limit)
    desk.out.table([row_of(account) for account in page], IN_A_LIST, title="Accounts")
    if len(page) == limit:
        desk.out.say(f"There may be more: farebox account list --after {page[-1].id}")


@app.command("show")
@with_books
async def show(desk: Desk, account: AccountName) -> None:
    """Show one account."""
    await _show(desk, await desk.account(account))


@app.command("tier")
@with_books
async def set_tier(desk: Desk, account: AccountName, tier: TierName) -> None:
    """Move an account to another tier, from its next request on."""
    account_id = await desk.account(account)
    try:
        await desk.books.accounts.set_tier(account_id, tier)
    except KeyError as missing:
        raise _no_tier(missing.args[0]) from None
    await _show(desk, account_id)


@app.command("suspend")
@with_books
async def suspend(desk: Desk, account: AccountName) -> None:
    """Refuse an account's requests from now on; those under way end as they would."""
    account_id = await desk.account(account)
    await desk.books.accounts.set_suspended(account_id, True)
    await _show(desk, account_id)


@app.command("resume")
@with_books
async def resume(desk: Desk, account: AccountName) -> None:
    """Accept a suspended account's requests again."""
    account_id = await desk.account(account)
    await desk.books.accounts.set_suspended(account_id, False)
    await _show(desk, account_id)


async def _show(desk: Desk, account_id: AccountId) -> None:
    account = await desk.books.accounts.get(account_id)
    desk.out.record(row_of(_there(account, account_id)), COLUMNS)


def row_of(account: Account) -> dict[str, object]:
    """An account as columns."""
    return {**msgspec.structs.asdict(account), "created_at": account.created_us}


def _there(account: Account | None, account_id: AccountId) -> Account:
    if account is None:
        raise not_found("account", account_id)
    return account


def _lowest_tier(desk: Desk) -> str:
    return min(desk.books.catalogue.current.tiers.values(), key=lambda tier: tier.rank).name


def _no_tier(name: str) -> Exception:
    return not_found("tier", name, next_step="`farebox tier list` shows them.")
