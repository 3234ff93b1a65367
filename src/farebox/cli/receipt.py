"""`farebox receipt`: what a request was held, charged and released for, in whatever account.

The operator's view: it has what the work costs us, and the channel that served, which no customer is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from farebox.cli.desk import Desk, with_books
from farebox.cli.output import Column, not_found
from farebox.cli.receipt_table import receipt_table
from farebox.edge.shapes import receipt_shape
from farebox.money import format_credits
from farebox.relay.settle import Borne, Receipt
from farebox.store.history import ChargeRow
from farebox.store.overview import Overview
from farebox.tariff.rate import Charge

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
    shape = {**receipt_shape(ended if running is None else running), "account_id": account_id, **_paid(desk, ended)}
    if desk.out.as_json:
        desk.out.json(shape)
    elif shape["status"] == "running":
        desk.out.record(shape, RUNNING)
    else:
        desk.out.show(receipt_table(shape, title=f"{shape['model']} · {shape['status']}"))
        desk.out.say(f"account {account_id} · key {shape['key_id']}")
        desk.out.say(f"upstream cost {shape['upstream_cost'] or 'unknown'} · channel {shape['channel'] or 'none'}")


def _paid(desk: Desk, ended: Sequence[ChargeRow]) -> dict[str, Any]:
    """What we pay for the work, charged or borne, and to whom."""
    receipts = [msgspec.json.decode(row.receipt, type=Receipt) for row in ended if "request_id" in row.receipt]
    works = [work for receipt in receipts for work in (receipt.charge, receipt.borne) if work is not None]
    costs = [work.upstream_cost for work in works]
    known = [cost_of_work for cost_of_work in costs if cost_of_work is not None]
    names = {channel.id: channel.name for channel in desk.books.catalogue.current.channels}
    offers = [_offer(work) for work in works]
    return {
        "upstream_cost": format_credits(sum(known)) if known and len(known) == len(costs) else None,
        "borne": any(receipt.borne is not None for receipt in receipts),
        "channel": next((names.get(offer, offer) for offer in offers if offer), None),
    }


def _offer(work: Charge | Borne) -> str:
    return work.offer if isinstance(work, Borne) else work.basis.offer
