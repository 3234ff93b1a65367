"""The desk a lot command works at: a trial copy of the books, thrown away when it is refused.

Lot commands are rare and see everything, so they may take the simple way: work on a copy,
hand the changes over only when the command is accepted. So a refusal touches nothing, also
when it is found after the burn that the command needed to be decided.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from farebox.ledger.commands import Books, Effects, LedgerRefusal, Lot, LotBooks, LotCategory, LotCommand, Move
from farebox.ledger.lots import burn, expire_lot, expire_lots, lots_due, next_expiry
from farebox.ledger.posting import Posting, Route
from farebox.money import MAX_NANO


class Desk(msgspec.Struct):
    """One command at work. `posting` is its move; everything spent before is burned, everything due has expired."""

    books: Books
    lot_books: LotBooks
    posting: Posting
    now_us: int

    def change(self, lot: Lot) -> Lot:
        """Note that a lot is new or changed."""
        self.lot_books.lots[lot.id] = lot
        self.posting.effects.lots_changed[lot.id] = lot
        return lot

    def add(self, lot: Lot, move: Move, route: Route) -> None:
        """Bring a new lot in: its entry, and its credits available."""
        self.change(lot)
        self.posting.write(move, route, lot.amount, lot.id)

    def paid_lot(self, payment_id: str) -> Lot | None:
        """The lot a payment bought."""
        lots = self.lot_books.lots.values()
        return next((lot for lot in lots if lot.payment_id == payment_id and lot.category is LotCategory.PAID), None)

    def bonus_lot(self, payment_id: str) -> Lot | None:
        """The bonus that came with a payment."""
        lots = self.lot_books.lots.values()
        return next(
            (lot for lot in lots if lot.payment_id == payment_id and lot.category is not LotCategory.PAID), None
        )

    def refuses(self, amount: int) -> LedgerRefusal | None:
        """Why `amount` cannot come in: not above zero, or the totals would leave the range of the books."""
        books = self.books
        room = MAX_NANO - books.available - books.held - books.refunding
        return None if 0 < amount <= room else LedgerRefusal.AMOUNT_OUT_OF_RANGE


def set_up(books: Books, lot_books: LotBooks, command: LotCommand, now_us: int) -> Desk:
    """A desk over copies, after burning and expiring what is due."""
    trial_books = replace(books)
    trial_lots = LotBooks({lot.id: replace(lot) for lot in lot_books.lots.values()}, dict(lot_books.holds))
    effects = expire_lots(trial_books, trial_lots, now_us)
    return Desk(trial_books, trial_lots, Posting(trial_books, command.move_id, effects), now_us)


def close(desk: Desk) -> None:
    """Expire, as part of the same move, what the command brought in past its time; note the next expiry.

    What the command itself spent, by paying a debt, is burned before: it may have come out of just that lot.
    """
    if lots_due(desk.lot_books, desk.now_us):
        burn(desk.books, desk.lot_books, desk.posting.effects)
    for lot in lots_due(desk.lot_books, desk.now_us):
        expire_lot(lot, desk.lot_books, desk.posting)
    desk.books.next_expiry_us = next_expiry(desk.lot_books)


def hand_over(desk: Desk, books: Books, lot_books: LotBooks) -> Effects:
    """Make the trial real."""
    effects = desk.posting.effects
    for name in Books.__struct_fields__:
        setattr(books, name, getattr(desk.books, name))
    lot_books.lots.update(effects.lots_changed)
    lot_books.holds.update(effects.holds_changed)
    return effects
