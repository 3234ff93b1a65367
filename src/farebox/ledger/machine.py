"""Hot moves: open, extend, capture, void, expire a hold, and the charge that comes late.

An account's `Books` enter and are changed in place, under the account's lock; what must be
written besides leaves as a `Settlement`. Nothing here reads a clock, draws an id or sees a
lot, except the lots of lapsing credits. A call either raises `LawBroken` and has touched
nothing, or has done all of its move. Keeps Laws 2, 4 and 7.

**Totals.** available + held is what the customer side of the journal sums to; a hold only
shifts credits between the two and writes no entry. An end takes the hold off `held`, sends
the charge to revenue and the rest back:

    from_held      = min(charge, hold)              what the hold pays
    from_available = min(charge − from_held, available)
    shortfall      = charge − from_held − from_available     the operator's, posted, never dropped
    released       = hold − from_held               = lapsed + recovered + available again

Three of the four are minima against numbers that are never negative, so `available` cannot
go below zero. While no charge exceeds its hold every end subtracts its own hold and its own
charge and nothing else: sums commute, so the order of ends does not matter.

**Lots are not looked at.** What left the customer adds up in `unburned` until something must
see a lot; `lots` says why that is the same as burning at once. The exception are lapsing
credits, stamped on the hold when their lot expired under it: a charge burns these first (the
customer keeps the credits that live longer), and those it leaves go to `expired`.

**Due expiries come first.** Before any call here, with the `now` of the decision: when
`lots.due_expiry` says so, load the lots, run `lots.expire_lots`, and pass the hold as that
stamped it. Calls that are given the account's `LotBooks` look the stamped hold up themselves
and drop it from the open holds; whoever opens or extends a hold while lots are loaded puts
it there.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from farebox.faults import LawBroken
from farebox.ids import HoldId, MoveId
from farebox.ledger.commands import Books, Effects, Hold, HoldEnd, LotBooks, Move
from farebox.ledger.lots import settle_lapses
from farebox.ledger.posting import CHARGED, UNCOVERED, Posting, make_available
from farebox.money import MAX_NANO, Nano

HOLD_TRANSITIONS: Mapping[HoldEnd | None, frozenset[HoldEnd]] = {
    None: frozenset({HoldEnd.CAPTURED, HoldEnd.VOIDED, HoldEnd.EXPIRED}),
    HoldEnd.CAPTURED: frozenset(),
    HoldEnd.VOIDED: frozenset(),
    HoldEnd.EXPIRED: frozenset(),
}
"""The life of a hold (Law 2): `None` is open; every end is final."""


_CAPTURE = Move.CAPTURE
"""Bound once: reading a member from its class costs as much as a comparison of amounts, several times a request."""


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """How a hold ended, or a late charge was paid. Amounts in nanocredits, none negative."""

    end: HoldEnd | None
    """None: a late charge, whose hold had ended before."""
    charge: int
    """from_held + from_available + shortfall."""
    from_held: int
    from_available: int
    shortfall: int
    released: int
    """What the charge left of the hold: lapsed + recovered + what is available again."""
    lapsed: int
    """Of `released`: credits of lots that had expired under the hold."""
    recovered: int
    """Of `released`: what paid the receivable."""
    effects: Effects


def move_of(hold_id: HoldId, suffix: str = "") -> MoveId:
    """The identity of the move that ends a hold: the hold's own body, so there can be only one."""
    return MoveId("mov_" + hold_id[5:] + suffix)


def open_hold(books: Books, amount: int) -> None:
    """Shift `amount` from available to held. More than is available breaks Law 4: admission decides before."""
    if not 0 <= amount <= books.available:
        raise LawBroken(4, f"a hold of {amount} on {books.account_id} with {books.available} available")
    books.available -= amount
    books.held += amount


def extend_hold(books: Books, hold: Hold, by: int) -> Hold:
    """The hold, larger by `by`; raises as `open_hold` does. Lapsing stamps stay as they are."""
    open_hold(books, by)
    return replace(hold, amount=Nano(hold.amount + by))


def capture(books: Books, hold: Hold, charge: int, lots: LotBooks | None = None) -> Settlement:
    """End a hold with its charge; the rest is released at once. `lots` is needed when the hold carries lapsing credits.

    A charge beyond hold and available is posted to shortfall. A charge of zero writes no entry.
    Raises `LawBroken` for a charge that is negative or beyond the books, and for a hold that cannot be open.
    """
    return _end(books, hold, charge, HoldEnd.CAPTURED, lots)


def void(books: Books, hold: Hold, lots: LotBooks | None = None) -> Settlement:
    """End a hold without a charge and release all of it."""
    return _end(books, hold, 0, HoldEnd.VOIDED, lots)


def expire_hold(books: Books, hold: Hold, lots: LotBooks | None = None) -> Settlement:
    """End a hold that outlived its hard deadline: as `void`, under its own name."""
    return _end(books, hold, 0, HoldEnd.EXPIRED, lots)


def late_charge(books: Books, ended_hold_id: HoldId, amount: int) -> Settlement:
    """Charge work that ended after its hold did: from available, then shortfall.

    At most one per hold: its move id follows from the hold's, and the journal holds each only once.
    """
    _check_charge(books, amount)
    from_available = min(amount, books.available)
    posting = Posting(books, move_of(ended_hold_id, "_late"), Effects(), ended_hold_id)
    posting.write(Move.LATE_CHARGE, CHARGED, from_available)
    posting.write(Move.LATE_CHARGE, UNCOVERED, amount - from_available)
    books.available -= from_available
    books.unburned += from_available
    return Settlement(None, amount, 0, from_available, amount - from_available, 0, 0, 0, posting.effects)


def _end(books: Books, hold: Hold, charge: int, end: HoldEnd, lots: LotBooks | None) -> Settlement:
    if lots is not None:
        hold = lots.holds.get(hold.id, hold)
    _check_charge(books, charge)
    _check_open(books, hold, lots)
    amount, available = hold.amount, books.available
    from_held = charge if charge < amount else amount
    beyond = charge - from_held
    from_available = beyond if beyond < available else available
    shortfall = beyond - from_available
    spent = from_held + from_available

    posting = Posting(books, MoveId("mov_" + hold.id[5:]), Effects(), hold.id)
    posting.write(_CAPTURE, CHARGED, spent)
    posting.write(_CAPTURE, UNCOVERED, shortfall)
    books.held -= amount
    books.available -= from_available
    burned = lapsed = 0
    if lots is not None:
        burned, lapsed = settle_lapses(lots, hold, from_held, posting)
        lots.holds.pop(hold.id, None)
    books.unburned += spent - burned
    released = amount - from_held
    recovered = make_available(books, released - lapsed, posting)
    return Settlement(end, charge, from_held, from_available, shortfall, released, lapsed, recovered, posting.effects)


def _check_charge(books: Books, charge: int) -> None:
    if not 0 <= charge <= MAX_NANO:
        raise LawBroken(7, f"a charge of {charge} on {books.account_id} is no amount the books can hold")


def _check_open(books: Books, hold: Hold, lots: LotBooks | None) -> None:
    if hold.amount > books.held:
        raise LawBroken(2, f"{hold.id} of {hold.amount} cannot be open: {books.account_id} holds {books.held}")
    if hold.lapsing and (lots is None or any(lapse.lot_id not in lots.lots for lapse in hold.lapsing)):
        raise LawBroken(7, f"{hold.id} carries lapsing credits and ends without their lots")
