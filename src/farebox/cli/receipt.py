"""`farebox receipt`: what a request was held, charged and released for, in whatever account."""

from __future__ import annotations

from typing import Annotated

import typer

from farebox.cli.desk import Desk, with_books
from farebox.cli.output import Column, not_found
from farebox.cli.receipt_table import receipt_table
from farebox.edge.shapes import receipt_shape
from farebox.store.overview import Overview

app = typer.Typer(add_completion=False)

RUNNING = (
    Column("request_id", title="request"),
    Column("account_id", title="account"),
    Column("status"),
    Column("held"),
)


@app.command("receipt")
@with_books
async def receipt(
    desk: Desk, request_id: Annotated[str, typer.Argument(metavar="REQUEST", help="The X-Request-Id of the answer.")]
) -> None:
    """Show the receipt of a request."""
    ended = await desk.books.history.receipt_anywhere(request_id)
    running = None if ended else await Overview(desk.books.pool).running(request_id)
    if not ended and running is None:
        raise not_found("request", request_id, next_step="A request that was refused held nothing and has no receipt.")
    account_id = ended[0].account_id if running is None else running.account_id
    shape = {**receipt_shape(ended if running is None else running), "account_id": account_id}
    if desk.out.as_json:
        desk.out.json(shape)
    elif shape["status"] == "running":
        desk.out.record(shape, RUNNING)
    else:
        desk.out.show(receipt_table(shape, title=f"{shape['model']} · {shape['status']}"))
        desk.out.say(f"account {account_id} · key {shape['key_id']}")
