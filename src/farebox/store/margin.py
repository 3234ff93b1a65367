"""What was earned, what it cost, and what was borne: sums over charges, exact, in nanocredits.

Reads the upstream cost that `relay.settle` wrote beside each charge when it was made, by the cost
card of the offer that served; later prices change nothing about it. What has no known cost is
counted apart and is in no margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from farebox import ids
from farebox.money import Nano
from farebox.store import statements
from farebox.store.postgres import Pool


class By(StrEnum):
    """What sums are made for."""

    MODEL = "model"
    CHANNEL = "channel"
    ACCOUNT = "account"


class MarginRow(msgspec.Struct, frozen=True):
    """The sums of one model, channel or account."""

    part: str
    """Its id."""
    charges: int
    revenue: Nano
    """Everything charged."""
    shortfall: Nano
    """Of it, what nobody could pay (Law 4)."""
    upstream_cost: Nano
    """Of the charges whose cost is known."""
    margin: Nano
    """Revenue less shortfall less upstream cost, of the charges whose cost is known."""
    cost_unknown: int
    """Charges without a known cost."""
    revenue_of_unknown: Nano
    borne: int
    """Requests that a provider worked for and nobody was charged for."""
    borne_cost: Nano
    """Of those whose cost is known."""
    borne_unknown: int


class BorneRow(msgspec.Struct, frozen=True):
    """Work that nobody was charged for, by the row of the failure policy (Law 5)."""

    reason: str
    requests: int
    upstream_cost: Nano
    cost_unknown: int


class Margins:
    """Sums over the requests opened from one moment up to another, in microseconds."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = statements.load("margin")

    async def rows(self, by: By, *, since_us: int, until_us: int) -> Sequence[MarginRow]:
        """The sums, the largest revenue first."""
        found = await self._pool.fetch(self._sql["margin"], *_holds(since_us, until_us), by.value)
        return [msgspec.convert(dict(row), MarginRow) for row in found]

    async def borne(self, *, since_us: int, until_us: int) -> Sequence[BorneRow]:
        """Why work was not charged for, and what it cost, the dearest first."""
        found = await self._pool.fetch(self._sql["borne"], *_holds(since_us, until_us))
        return [msgspec.convert(dict(row), BorneRow) for row in found]


def total(rows: Sequence[MarginRow]) -> MarginRow:
    """All rows together."""
    sums = {name: sum(getattr(row, name) for row in rows) for name in MarginRow.__struct_fields__ if name != "part"}
    return msgspec.convert({"part": "", **sums}, MarginRow)


def _holds(since_us: int, until_us: int) -> tuple[str, str]:
    """The ids that holds opened in this time lie between."""
    return ids.encode("hold", since_us // 1000, 0), ids.encode("hold", until_us // 1000, 0)
