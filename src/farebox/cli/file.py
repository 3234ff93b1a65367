"""`farebox file`: what customers keep, and deleting it for them."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from farebox.cli.desk import AccountName, Desk, with_books
from farebox.cli.output import Column, Kind, not_found
from farebox.store.files import Page, StoredFile

app = typer.Typer(no_args_is_help=True, help="Files that customers uploaded.")

COLUMNS = (
    Column("id"),
    Column("filename"),
    Column("purpose"),
    Column("size", Kind.NUMBER, "bytes"),
    Column("created_at", Kind.TIME, "created"),
    Column("expires_at", Kind.TIME, "expires", empty="never"),
)


@app.command("list")
@with_books
async def list_files(
    desk: Desk,
    account: AccountName,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Begin after this file.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
) -> None:
    """List an account's files, newest first, and what they take together."""
    account_id, files = await desk.account(account), desk.books.files
    page = await files.page(account_id, Page(after, limit))
    desk.out.table([_row(file) for file in page], COLUMNS, title="Files")
    count, size = await files.used(account_id)
    desk.out.say(f"In all: {count} {'file' if count == 1 else 'files'}, {size} bytes.")
    if len(page) == limit:
        desk.out.say(f"There may be more: farebox file list {account_id} --after {page[-1].id}")


@app.command("delete")
@with_books
async def delete(
    desk: Desk,
    account: AccountName,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of `farebox file list`.")],
) -> None:
    """Delete a file of an account for good."""
    account_id = await desk.account(account)
    found = await desk.books.files.get(account_id, file)
    if found is None or not await desk.books.files.delete(account_id, file):
        raise not_found("file", file, next_step=f"`farebox file list {account_id}` shows them.")
    desk.out.record(_row(found), COLUMNS, title="Deleted")


def _row(file: StoredFile) -> dict[str, object]:
    return {**msgspec.structs.asdict(file), "created_at": file.created_us, "expires_at": file.expires_us}
