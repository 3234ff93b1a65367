"""What new prices would have meant for each customer: their stored usage of the last days, rated by the new cards.

Enters: new price lists and stored charges. Leaves: sums per customer and model. The past is not changed by it, and not
promised for the future: the same usage at other prices, nothing more.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from farebox.cli.output import Column, Kind
from farebox.relay.settle import Receipt
from farebox.store.overview import ChargedRow, Overview
from farebox.tariff.compiled import CompiledCard, Unpriced, compile_card
from farebox.tariff.price_list import Model
from farebox.tariff.rate import recompute

DAY_US = 86_400_000_000
COLUMNS = (
    Column("account_id", title="account"),
    Column("name"),
    Column("model"),
    Column("calls", Kind.NUMBER),
    Column("before", Kind.CREDITS),
    Column("after", Kind.CREDITS),
    Column("change", Kind.CREDITS),
    Column("percent", title="per cent"),
    Column("unpriced", Kind.NUMBER),
)


class Effect(msgspec.Struct):
    """One customer's use of one model. Amounts in nanocredits."""

    account_id: str
    model: str
    calls: int = 0
    before: int = 0
    after: int = 0
    unpriced: int = 0
    """Calls that one of the cards has no price for; they would have been refused, and are in neither sum."""

    @property
    def change(self) -> int:
        return self.after - self.before

    @property
    def percent(self) -> str | None:
        """The change to a tenth of a per cent, with its sign; None where nothing was charged before."""
        if not self.before:
            return None
        tenths = round(1000 * self.change / self.before)
        return f"{'-' if tenths < 0 else '+'}{abs(tenths) // 10}.{abs(tenths) % 10}"


class Cards(NamedTuple):
    """New cards by model, and those to compare with where that is not what was charged."""

    new: Mapping[str, CompiledCard]
    before: Mapping[str, CompiledCard]


async def effects(
    overview: Overview,
    models: Iterable[Model],
    *,
    before: Mapping[str, CompiledCard],
    days: int,
    advance: Callable[[int], None],
) -> Sequence[Effect]:
    """The effect of these models' prices, the largest change first; compared with `before`, or what was charged."""
    cards = Cards({model.id: compile_card(model.price, "new") for model in models}, before)
    since_us = max(0, time.time_ns() // 1000 - days * DAY_US)
    found = await summed(overview.charges(list(cards.new), since_us=since_us), cards, advance)
    return sorted(found, key=lambda effect: -abs(effect.change))


async def summed(
    pages: AsyncIterator[Sequence[ChargedRow]], cards: Cards, advance: Callable[[int], None]
) -> Sequence[Effect]:
    """Stored charges rated anew, by customer and model."""
    by_place: dict[tuple[str, str], Effect] = {}
    async for page in pages:
        for row in page:
            place = (row.account_id, row.model)
            effect = by_place.setdefault(place, Effect(*place))
            _add(effect, row, cards)
        advance(len(page))
    return list(by_place.values())


def _add(effect: Effect, row: ChargedRow, cards: Cards) -> None:
    charge = msgspec.json.decode(row.receipt, type=Receipt).charge
    new, old = cards.new[row.model], cards.before.get(row.model)
    amount = Unpriced(None) if charge is None else recompute(charge, new)
    before = row.amount if charge is None or old is None else recompute(charge, old)
    effect.calls += 1
    if isinstance(amount, Unpriced) or isinstance(before, Unpriced):
        effect.unpriced += 1
    else:
        effect.before += before
        effect.after += amount
