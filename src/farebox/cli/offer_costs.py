"""What one channel takes for models, where that is not what the model costs elsewhere: read in, shown, forgotten."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import cast

from farebox.cli.desk import Desk
from farebox.cli.output import Column, Kind, not_found, refused
from farebox.store.catalogue import OfferCost
from farebox.tariff.price_diff import described
from farebox.tariff.price_list import PriceList
from farebox.tariff.rate_card import RateCard

TAKEN = (Column("channel"), Column("changed", empty="none"), Column("unchanged", Kind.NUMBER))
COSTS = (
    Column("model"),
    Column("starts_at", Kind.TIME, "in force from"),
    Column("state"),
    Column("prices", title="we pay"),
    Column("imported_from"),
)


async def take(desk: Desk, channel: str, new: PriceList, *, starts_us: int | None, source: str) -> None:
    """Note the cost cards of a list as a channel's."""
    cards: dict[str, RateCard | None] = {model.id: model.cost_card for model in new.models}
    missing = [name for name, card in cards.items() if card is None]
    if missing:
        raise refused(
            f"The list says no cost for {', '.join(missing)}.",
            next_step="Give those models a cost_card, or leave them out.",
        )
    await change(desk, channel, cards, starts_us=starts_us, source=source)


async def change(
    desk: Desk, channel: str, cards: Mapping[str, RateCard | None], *, starts_us: int | None, source: str
) -> None:
    """Add versions of what a channel takes; None: what the model costs elsewhere."""
    found = await desk.books.changes.find_channel(channel)
    if found is None:
        raise not_found("channel", channel, next_step="`farebox channel list` shows them.")
    try:
        changed = await desk.books.changes.import_costs(found.id, cards, starts_us=starts_us, source=source)
    except KeyError as unknown:
        raise not_found("model", str(unknown.args[0]), next_step="Import it with a price first.") from None
    except ValueError as wrong:
        raise refused(f"{wrong}.", next_step="Give a later --starts, or none for at once.") from None
    row = {"channel": found.name, "changed": changed, "unchanged": len(cards) - len(changed)}
    desk.out.record(row, TAKEN)


def lines(prices: object) -> str | None:
    """Prices as a table shows them."""
    if not isinstance(prices, Mapping):
        return None
    return "\n".join(f"{where}: {price}" for where, price in cast("Mapping[str, str]", prices).items())


def rows_of(desk: Desk, channel_id: str) -> list[dict[str, object]]:
    """Every cost of a channel's own: past, in force, to come."""
    now_us = time.time_ns() // 1000
    rows: list[dict[str, object]] = []
    for name, priced in desk.books.catalogue.current.models.items():
        costs = priced.costs.get(channel_id, ())
        in_force = next((each for each in reversed(costs) if each.starts_us <= now_us), None)
        rows += [_row(name, each, _state(each, in_force, now_us)) for each in costs]
    return rows


def _row(model: str, each: OfferCost, state: str) -> dict[str, object]:
    return {
        "model": model,
        "starts_at": each.starts_us,
        "state": state,
        "prices": None if each.card is None else described(each.card.card),
        "imported_from": each.source,
    }


def _state(each: OfferCost, in_force: OfferCost | None, now_us: int) -> str:
    if each is in_force:
        return "in force"
    return "to come" if each.starts_us > now_us else "past"
