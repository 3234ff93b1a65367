"""Writing entries: which sides a move may join, and the one rule for credits that become available.

A move is one or more entries under one move id and one version of the account. `ROUTES` is
the whole map of what may flow where; the audit reads the same table. Nothing here decides
amounts. Keeps Law 7 (balanced by construction, versions without gap) and its consequence
that no side is ever written directly.

**The receivable comes first.** While an account owes (after a chargeback), credits never
become available past the debt: whatever would become available, released by a hold, bought,
granted, adjusted or returned, pays `owed` first and only the rest is available. So an
account that owes has nothing available, one number says what can be spent, and it is never
negative. Credits that pay a debt are spent credits: they are burned from lots like any other.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from farebox.faults import LawBroken
from farebox.ids import HoldId, LotId, MoveId
from farebox.ledger.commands import Books, Effects, Entry, Move, Side
from farebox.money import MAX_NANO, Nano

Route = tuple[Side, Side]
"""Debit side, credit side: where an amount leaves and where it arrives."""

BOUGHT: Route = (Side.CASH, Side.CUSTOMER)
GIVEN: Route = (Side.PROMOTIONAL, Side.CUSTOMER)
LENT: Route = (Side.RECEIVABLE, Side.CUSTOMER)
CHARGED: Route = (Side.CUSTOMER, Side.REVENUE)
UNCOVERED: Route = (Side.SHORTFALL, Side.REVENUE)
LAPSED: Route = (Side.CUSTOMER, Side.EXPIRED)
REPAID: Route = (Side.CUSTOMER, Side.RECEIVABLE)
"""A debt paid, or a credit line that ended unused."""
SET_ASIDE: Route = (Side.CUSTOMER, Side.REFUNDING)
MONEY_BACK: Route = (Side.REFUNDING, Side.REFUNDED)
BONUS_BACK: Route = (Side.REFUNDING, Side.PROMOTIONAL)
RETURNED: Route = (Side.REFUNDING, Side.CUSTOMER)
TAKEN_BACK: Route = (Side.CUSTOMER, Side.CASH)
OWED: Route = (Side.RECEIVABLE, Side.CASH)
ADDED: Route = (Side.ADJUSTMENT, Side.CUSTOMER)
REMOVED: Route = (Side.CUSTOMER, Side.ADJUSTMENT)

ROUTES: Mapping[Move, frozenset[Route]] = {
    Move.PURCHASE: frozenset({BOUGHT, GIVEN}),
    Move.GRANT: frozenset({GIVEN, LENT}),
    Move.CAPTURE: frozenset({CHARGED, UNCOVERED}),
    Move.LATE_CHARGE: frozenset({CHARGED, UNCOVERED}),
    Move.EXPIRE: frozenset({LAPSED, REPAID}),
    Move.REFUND_START: frozenset({SET_ASIDE}),
    Move.REFUND_DONE: frozenset({MONEY_BACK, BONUS_BACK}),
    Move.REFUND_BACK: frozenset({RETURNED}),
    Move.CHARGEBACK: frozenset({TAKEN_BACK, OWED}),
    Move.RECOVER: frozenset({REPAID}),
    Move.ADJUST: frozenset({ADDED, REMOVED}),
}
"""Every move and the only routes its entries may take."""


class Posting(msgspec.Struct, gc=False):
    """One move being written. Its first entry adds one to the account's version; a move without entries adds none."""

    books: Books
    move_id: MoveId
    effects: Effects
    hold_id: HoldId | None = None
    corrects: MoveId | None = None
    part: int = 0

    def write(self, move: Move, route: Route, amount: int, lot_id: LotId | None = None) -> None:
        """Append one entry of `amount` nanocredits; an amount of zero writes nothing."""
        if amount == 0:
            return
        if not 0 < amount <= MAX_NANO:
            raise LawBroken(7, f"{move} {self.move_id} would write an entry of {amount}")
        books, part = self.books, self.part
        if part == 0:
            books.version += 1
        debit, credit = route
        entry = Entry(
            move,
            self.move_id,
            part,
            debit,
            credit,
            Nano(amount),
            books.version,
            lot_id,
            self.hold_id,
            self.corrects,
        )
        self.effects.entries.append(entry)
        self.part = part + 1


def make_available(books: Books, amount: int, posting: Posting) -> int:
    """Let `amount` become available, after what it must pay of the debt. Returns what it paid."""
    if not books.owed:
        books.available += amount
        return 0
    recovered = min(amount, books.owed)
    books.owed -= recovered
    books.unburned += recovered
    books.available += amount - recovered
    posting.write(Move.RECOVER, REPAID, recovered)
    return recovered
