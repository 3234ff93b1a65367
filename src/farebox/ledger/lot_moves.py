"""Cold moves: purchase, grant, adjust, refund, chargeback, each one command on an account's lots.

The account's `Books`, its `LotBooks` and a command enter; `Effects` leave, or a refusal that
has touched nothing. Every command first burns what was spent and expires what is due, which
is what makes lazy burning exact (see `lots`). No clock, no ids drawn. Keeps Laws 4, 7, 11.

`LotBooks` must hold every open hold, oldest first, every lot with anything remaining or
refunding, and the lots of the command's payment. Replays are filtered before, by the once
row and by the uniqueness of (account, move id, part); beyond that a lot id that exists is
refused as `already_done`.

| command    | entries | lots |
|---|---|---|
| Purchase   | cash → customer; for a bonus promotional → customer | a paid lot, a bonus lot |
| Grant      | promotional → customer; a credit line: receivable → customer | a new lot |
| Adjust +   | adjustment → customer | a promotional lot that never expires |
| Adjust −   | customer → adjustment | burns like spending |
| Refund…    | see `refunds` | |
| Chargeback | customer → cash, as far as available; receivable → cash | its own credits, then like spending |

All that comes in pays `owed` first (customer → receivable, see `posting`).
"""

from __future__ import annotations

from typing import assert_never

from farebox.faults import LawBroken
from farebox.ledger.commands import (
    Adjust,
    Books,
    Chargeback,
    Effects,
    Grant,
    LedgerRefusal,
    Lot,
    LotBooks,
    LotCategory,
    LotCommand,
    Move,
    Purchase,
    RefundBack,
    RefundDone,
    RefundStart,
)
from farebox.ledger.desk import Desk, close, hand_over, set_up
from farebox.ledger.lots import free_lots
from farebox.ledger.posting import ADDED, BOUGHT, GIVEN, LENT, OWED, REMOVED, TAKEN_BACK, make_available
from farebox.ledger.refunds import money_under_way, refund_back, refund_done, refund_start
from farebox.money import MAX_NANO


def apply(books: Books, lot_books: LotBooks, command: LotCommand, now_us: int) -> Effects | LedgerRefusal:
    """Do one command, or say why not and change nothing."""
    desk = set_up(books, lot_books, command, now_us)
    refusal = _do(desk, command)
    if refusal is not None:
        return refusal
    close(desk)
    return hand_over(desk, books, lot_books)


def _do(desk: Desk, command: LotCommand) -> LedgerRefusal | None:
    match command:
        case Purchase():
            return _purchase(desk, command)
        case Grant():
            return _grant(desk, command)
        case Adjust():
            return _adjust(desk, command)
        case RefundStart():
            return refund_start(desk, command)
        case RefundDone():
            return refund_done(desk, command)
        case RefundBack():
            return refund_back(desk, command)
        case Chargeback():
            return _chargeback(desk, command)
        case _:
            assert_never(command)


def _purchase(desk: Desk, command: Purchase) -> LedgerRefusal | None:
    lots = desk.lot_books.lots
    if command.lot_id in lots or command.bonus_lot_id in lots or desk.paid_lot(command.payment_id) is not None:
        return LedgerRefusal.ALREADY_DONE
    if command.amount <= 0 or command.bonus < 0 or command.cost_basis < 0:
        return LedgerRefusal.AMOUNT_OUT_OF_RANGE
    if (refusal := desk.refuses(command.amount + command.bonus)) is not None:
        return refusal
    desk.add(_paid_lot(command, desk.now_us), Move.PURCHASE, BOUGHT)
    if (bonus := _bonus_lot(command, desk.now_us)) is not None:
        desk.add(bonus, Move.PURCHASE, GIVEN)
    make_available(desk.books, command.amount + command.bonus, desk.posting)
    return None


def _paid_lot(command: Purchase, now_us: int) -> Lot:
    window_us = command.refundable_for_s * 1_000_000
    return Lot(
        id=command.lot_id,
        category=LotCategory.PAID,
        amount=command.amount,
        created_us=now_us,
        expires_us=command.expires_us,
        refundable_until_us=now_us + window_us if window_us > 0 else None,
        payment_id=command.payment_id,
        cost_basis=command.cost_basis,
    )


def _bonus_lot(command: Purchase, now_us: int) -> Lot | None:
    if not command.bonus:
        return None
    if command.bonus_lot_id is None:
        raise LawBroken(7, f"{command.move_id} brings a bonus of {command.bonus} without a lot for it")
    return Lot(
        id=command.bonus_lot_id,
        category=LotCategory.PROMOTIONAL,
        amount=command.bonus,
        created_us=now_us,
        expires_us=command.bonus_expires_us,
        payment_id=command.payment_id,
    )


def _grant(desk: Desk, command: Grant) -> LedgerRefusal | None:
    if command.category is LotCategory.PAID:
        raise LawBroken(7, f"{command.move_id} grants paid credits: only a purchase makes them")
    if command.lot_id in desk.lot_books.lots:
        return LedgerRefusal.ALREADY_DONE
    if (refusal := desk.refuses(command.amount)) is not None:
        return refusal
    lot = Lot(
        id=command.lot_id,
        category=command.category,
        amount=command.amount,
        created_us=desk.now_us,
        priority=command.priority,
        expires_us=command.expires_us,
    )
    desk.add(lot, Move.GRANT, LENT if command.category is LotCategory.CREDIT_LINE else GIVEN)
    make_available(desk.books, command.amount, desk.posting)
    return None


def _adjust(desk: Desk, command: Adjust) -> LedgerRefusal | None:
    desk.posting.corrects = command.corrects
    if command.amount < 0:
        return _take_out(desk, -command.amount)
    if command.lot_id in desk.lot_books.lots:
        return LedgerRefusal.ALREADY_DONE
    if (refusal := desk.refuses(command.amount)) is not None:
        return refusal
    lot = Lot(id=command.lot_id, category=LotCategory.PROMOTIONAL, amount=command.amount, created_us=desk.now_us)
    desk.add(lot, Move.ADJUST, ADDED)
    make_available(desk.books, command.amount, desk.posting)
    return None


def _take_out(desk: Desk, amount: int) -> LedgerRefusal | None:
    books = desk.books
    if amount > MAX_NANO:
        return LedgerRefusal.AMOUNT_OUT_OF_RANGE
    if amount > books.available:
        return LedgerRefusal.INSUFFICIENT_AVAILABLE
    books.available -= amount
    books.unburned += amount
    desk.posting.write(Move.ADJUST, REMOVED, amount)
    return None


def _chargeback(desk: Desk, command: Chargeback) -> LedgerRefusal | None:
    """The credits of the purchase itself go first, as far as they are there; other available credits go as if spent.

    Credits under open holds stay: what their ends release pays the debt.
    """
    books, lot = desk.books, desk.paid_lot(command.payment_id)
    if lot is None:
        return LedgerRefusal.UNKNOWN_LOT
    in_money = lot.refunded + lot.disputed + money_under_way(desk, command.payment_id)
    if not 0 < command.amount <= min(lot.amount - in_money, MAX_NANO - books.owed):
        return LedgerRefusal.AMOUNT_OUT_OF_RANGE
    free = next((amount for free_lot, amount in free_lots(desk.lot_books) if free_lot.id == lot.id), 0)
    taken = min(command.amount, books.available)
    own = min(taken, free)
    lot.charged_back += own
    lot.disputed += command.amount
    desk.change(lot)
    books.available -= taken
    books.unburned += taken - own
    books.owed += command.amount - taken
    desk.posting.write(Move.CHARGEBACK, TAKEN_BACK, taken, lot.id)
    desk.posting.write(Move.CHARGEBACK, OWED, command.amount - taken, lot.id)
    return None
