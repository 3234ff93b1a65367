"""Refunds of purchases: what is refundable, and the two-step way of the credits.

Credits are set aside first (customer → refunding), money goes back second, outside; then
either it is done (refunding → refunded) or the credits come back to the same lots. Work on
the trial copy of `desk`. Keeps Laws 4 and 7.

**A refund takes the bonus back whole.** In the end a purchase that was refunded in part must
look as if the bonus had never been given, else bonus could be had for nothing: buy, spend
the bonus first, refund the purchase, repeat. So everything that was spent of the bonus, and
everything open holds may still spend of it, moves over to the paid credits, and what is there
of the bonus is withdrawn:

    refundable = free of the paid lot − what open holds would burn of it   (virtual burn, see `lots`)
               − bonus burned                                              (deducted)
               − bonus under open holds                                    (stays, as paid credits behind the holds)

and at most what neither a refund nor a chargeback has taken yet. The deducted part is set
aside with the refund and becomes promotional again when it is done; the lots then say that
those credits were burned of the paid lot instead of the bonus, so a second refund of the
same purchase deducts nothing twice. What remains of the paid lot covers all the open holds
that the bonus covered before: the two are credits of one account, a hold does not name lots.

**One at a time.** While a refund of a purchase is under way another is refused, so `refunding`
of its two lots tells the whole story: of the paid lot it is the money plus what the bonus
had burned, of the bonus lot all that was left. A failed refund undoes exactly that.

The time of asking decides, not the time of the answer: asked at `refundable_until_us` to the
microsecond is in time. Credits that come back to a lot whose expiry has passed meanwhile pay
what is owed, then expire in the same move.
"""

from __future__ import annotations

from farebox.faults import LawBroken
from farebox.ledger.commands import (
    Effects,
    LedgerRefusal,
    Lot,
    Move,
    RefundBack,
    RefundDone,
    RefundStart,
    Side,
)
from farebox.ledger.desk import Desk
from farebox.ledger.lots import lapsing_by_lot, under_holds, unstamp
from farebox.ledger.posting import BONUS_BACK, MONEY_BACK, RETURNED, SET_ASIDE, make_available
from farebox.money import MAX_NANO, Nano


def refunded_amount(effects: Effects) -> Nano:
    """The credits whose money a `RefundStart` sends back: name this amount in `RefundDone` or `RefundBack`."""
    for entry in effects.entries:
        if entry.move is Move.REFUND_START and entry.part == 0 and entry.credit is Side.REFUNDING:
            return entry.amount
    raise LawBroken(7, "these effects start no refund")


def money_under_way(desk: Desk, payment_id: str) -> int:
    """The credits of a purchase whose money is on its way back: without the deducted bonus."""
    lot = desk.paid_lot(payment_id)
    if lot is None or lot.refunding == 0:
        return 0
    return lot.refunding - _burned(desk.bonus_lot(payment_id))


def refund_start(desk: Desk, command: RefundStart) -> LedgerRefusal | None:
    """Set the refundable part of a purchase aside, at most `command.amount`, and withdraw its bonus."""
    lot, bonus = desk.paid_lot(command.payment_id), desk.bonus_lot(command.payment_id)
    if lot is None:
        return LedgerRefusal.UNKNOWN_LOT
    if (refusal := _refuses_asking(lot, command)) is not None:
        return refusal
    amount = _refundable(desk, lot, bonus)
    if amount <= 0:
        return LedgerRefusal.NOTHING_TO_REFUND
    if command.amount is not None:
        amount = min(amount, command.amount)
    _set_aside(desk, lot, (amount, _burned(bonus)))
    if bonus is not None:
        unstamp(bonus.id, desk.lot_books, desk.posting.effects)
        _set_aside(desk, bonus, (bonus.remaining,))
    return None


def refund_done(desk: Desk, command: RefundDone) -> LedgerRefusal | None:
    """The money went back: what was set aside is refunded, the bonus and what was deducted for it is the operator's."""
    lot = _lot_under_way(desk, command)
    if isinstance(lot, LedgerRefusal):
        return lot
    bonus = desk.bonus_lot(command.payment_id)
    deducted = lot.refunding - command.amount
    lot.refunding, lot.refunded, lot.burned = 0, lot.refunded + command.amount, lot.burned + deducted
    desk.change(lot)
    desk.posting.write(Move.REFUND_DONE, MONEY_BACK, command.amount, lot.id)
    desk.posting.write(Move.REFUND_DONE, BONUS_BACK, deducted, lot.id)
    desk.books.refunding -= command.amount + deducted
    if bonus is not None:
        _withdraw(desk, bonus, deducted)
    return None


def refund_back(desk: Desk, command: RefundBack) -> LedgerRefusal | None:
    """The money could not go back: everything set aside returns to where it was."""
    lot = _lot_under_way(desk, command)
    if isinstance(lot, LedgerRefusal):
        return lot
    bonus = desk.bonus_lot(command.payment_id)
    returned = _take_back(desk, lot) + (_take_back(desk, bonus) if bonus is not None else 0)
    desk.books.refunding -= returned
    make_available(desk.books, returned, desk.posting)
    return None


def _refuses_asking(lot: Lot, command: RefundStart) -> LedgerRefusal | None:
    if command.amount is not None and not 0 < command.amount <= MAX_NANO:
        return LedgerRefusal.AMOUNT_OUT_OF_RANGE
    if lot.refundable_until_us is None:
        return LedgerRefusal.NOT_REFUNDABLE
    if command.asked_us > lot.refundable_until_us:
        return LedgerRefusal.REFUND_WINDOW_CLOSED
    if lot.refunding:
        return LedgerRefusal.REFUND_UNDER_WAY
    return None


def _lot_under_way(desk: Desk, command: RefundDone | RefundBack) -> Lot | LedgerRefusal:
    lot = desk.paid_lot(command.payment_id)
    if lot is None:
        return LedgerRefusal.UNKNOWN_LOT
    if lot.refunding == 0:
        return LedgerRefusal.ALREADY_DONE
    if command.amount != money_under_way(desk, command.payment_id):
        return LedgerRefusal.AMOUNT_OUT_OF_RANGE
    return lot


def _refundable(desk: Desk, lot: Lot, bonus: Lot | None) -> int:
    lapsing = lapsing_by_lot(desk.lot_books.holds.values())
    held = under_holds(desk.lot_books)
    refundable = lot.remaining - lapsing.get(lot.id, 0) - held.get(lot.id, 0)
    if bonus is not None:
        refundable -= bonus.burned + lapsing.get(bonus.id, 0) + held.get(bonus.id, 0)
    return min(refundable, lot.amount - lot.refunded - lot.disputed)


def _set_aside(desk: Desk, lot: Lot, parts: tuple[int, ...]) -> None:
    """One entry for each part; the first of the paid lot is the money."""
    total = sum(parts)
    if total > desk.books.available:
        raise LawBroken(4, f"a refund sets {total} aside with {desk.books.available} available")
    for part in parts:
        desk.posting.write(Move.REFUND_START, SET_ASIDE, part, lot.id)
    desk.books.available -= total
    desk.books.refunding += total
    lot.refunding += total
    desk.change(lot)


def _take_back(desk: Desk, lot: Lot) -> int:
    returned = lot.refunding
    desk.posting.write(Move.REFUND_BACK, RETURNED, returned, lot.id)
    lot.refunding = 0
    desk.change(lot)
    return returned


def _withdraw(desk: Desk, bonus: Lot, deducted: int) -> None:
    """The bonus counts as never spent and wholly gone; what was burned of it was burned of the paid lot."""
    desk.posting.write(Move.REFUND_DONE, BONUS_BACK, bonus.refunding, bonus.id)
    desk.books.refunding -= bonus.refunding
    bonus.burned -= deducted
    bonus.refunded += bonus.refunding + deducted
    bonus.refunding = 0
    desk.change(bonus)


def _burned(bonus: Lot | None) -> int:
    return 0 if bonus is None else bonus.burned
