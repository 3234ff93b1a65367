"""Lots: burn order, lazy burning, expiry, and the credits that lapse under open holds.

A lot is credits of one origin with one expiry. An account's totals and its lots enter and
are changed in place; rows to write leave as `Effects`. No clock: `now` is given. Keeps Law 7.

**Where a lot's credits are.** `remaining` is what the lot still has to give. Part of it may
be lapsing: the lot has expired, an open hold keeps those credits alive. The rest is *free*,
and only free credits burn in order. With the totals of `Books`:

    Σ remaining = available + held + unburned
    Σ free      = available + (held − Σ lapsing) + unburned

A lot whose expiry was worked off has nothing free. So whether a lot can burn follows from
the lot and the open holds alone; no clock is asked.

**Burning is lazy, and equal to burning at once.** Burning walks the free lots in one fixed
order and takes from the first that has anything left, so burning a then b is burning a + b
as long as neither the set of lots, nor what is free of them, changes in between for another
reason than burning. It changes only (1) by a command that adds, returns or takes credits of
a lot: each burns first (`lot_moves.apply`); (2) when a lot expires: every command whose `now`
has reached `next_expiry_us` burns and expires before it does anything else, so all of
`unburned` was spent before the first expiry crossed, however many are crossed at once, and
they are worked off in the order of their times with nothing spent between; (3) by the end of
a hold with lapsing credits, which burns or expires only credits that are not free. Hence at
every point burn(unburned) gives the lots that eager burning would have given.

**What a hold keeps alive.** At the expiry of a lot every open hold is burned *virtually*, in
the same order and apart from what it already carries as lapsing. What that takes of the
expiring lot is stamped on the holds, oldest first; the rest was free of holds and expires.
It is at most `available`: the virtual burn takes held − Σ lapsing of Σ free, the lots before
this one first, so whatever it leaves of any lot is part of what it leaves of all.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from farebox.faults import LawBroken
from farebox.ids import LotId, MoveId
from farebox.ledger.commands import Books, Effects, Hold, Lapse, Lot, LotBooks, LotCategory, Move
from farebox.ledger.posting import LAPSED, REPAID, Posting
from farebox.money import Nano

_NEVER = 2**63


def burn_key(lot: Lot) -> tuple[bool, int, int, bool, int, str]:
    """The burn order: credit lines last, then priority, soonest expiry, unpaid before paid, oldest."""
    expires_us = _NEVER if lot.expires_us is None else lot.expires_us
    is_lent, is_paid = lot.category is LotCategory.CREDIT_LINE, lot.category is LotCategory.PAID
    return is_lent, lot.priority, expires_us, is_paid, lot.created_us, lot.id


def lapsing_of(hold: Hold) -> int:
    """How much of a hold is credits of lots that have expired."""
    return sum(lapse.amount for lapse in hold.lapsing)


def lapsing_by_lot(holds: Iterable[Hold]) -> dict[LotId, int]:
    """What open holds keep alive of each expired lot."""
    lapsing: dict[LotId, int] = {}
    for hold in holds:
        for lapse in hold.lapsing:
            lapsing[lapse.lot_id] = lapsing.get(lapse.lot_id, 0) + lapse.amount
    return lapsing


def free_lots(lot_books: LotBooks) -> list[tuple[Lot, int]]:
    """The lots that can burn, in burn order, each with what is free of it."""
    lapsing = lapsing_by_lot(lot_books.holds.values())
    free = [(lot, lot.remaining - lapsing.get(lot.id, 0)) for lot in lot_books.lots.values()]
    return sorted(((lot, amount) for lot, amount in free if amount > 0), key=lambda pair: burn_key(pair[0]))


def burn(books: Books, lot_books: LotBooks, effects: Effects | None = None) -> Effects:
    """Burn what was spent since the last burn, in burn order. Changes no total but `unburned`."""
    effects = Effects() if effects is None else effects
    for lot, amount in _share_out(books.unburned, free_lots(lot_books)):
        lot.burned += amount
        effects.lots_changed[lot.id] = lot
    books.unburned = 0
    return effects


def under_holds(lot_books: LotBooks) -> dict[LotId, int]:
    """What the open holds would burn of each lot if all were captured whole. Needs everything spent to be burned."""
    amount = sum(hold.amount - lapsing_of(hold) for hold in lot_books.holds.values())
    return {lot.id: part for lot, part in _share_out(amount, free_lots(lot_books))}


def due_expiry(books: Books, now_us: int) -> bool:
    """Whether a lot has expired by `now_us`: then `expire_lots` comes before anything else."""
    return books.next_expiry_us is not None and books.next_expiry_us <= now_us


def next_expiry(lot_books: LotBooks) -> int | None:
    """The soonest expiry of a lot that has anything free."""
    times = [lot.expires_us for lot, _ in free_lots(lot_books) if lot.expires_us is not None]
    return min(times, default=None)


def expire_lots(books: Books, lot_books: LotBooks, now_us: int) -> Effects:
    """Burn, then expire every lot whose time has come (`expires_us` ≤ `now_us`), in order of time.

    Free credits go to `expired`, one move a lot; credits under open holds are stamped as
    lapsing: take the holds of `holds_changed` from here on. A credit line that ends unused
    goes back to the receivable it came from.
    """
    effects = burn(books, lot_books)
    for lot in lots_due(lot_books, now_us):
        posting = Posting(books, MoveId(f"mov_{lot.id.removeprefix('lot_')}_expired"), effects)
        expire_lot(lot, lot_books, posting)
    books.next_expiry_us = next_expiry(lot_books)
    return effects


def lots_due(lot_books: LotBooks, now_us: int) -> list[Lot]:
    """The lots to expire at `now_us`, in the order of their times; equal times in burn order."""
    due = [(lot.expires_us, lot) for lot, _ in free_lots(lot_books) if lot.expires_us is not None]
    return [lot for expires_us, lot in sorted(due, key=lambda pair: pair[0]) if expires_us <= now_us]


def expire_lot(lot: Lot, lot_books: LotBooks, posting: Posting) -> None:
    """Expire one lot: stamp what open holds keep alive, let go of the rest. Everything spent must be burned."""
    free = lot.remaining - lapsing_by_lot(lot_books.holds.values()).get(lot.id, 0)
    kept = under_holds(lot_books).get(lot.id, 0)
    posting.books.available -= free - kept
    _expire(lot, free - kept, posting)
    _stamp(lot.id, kept, lot_books, posting.effects)


def settle_lapses(lot_books: LotBooks, hold: Hold, charge: int, posting: Posting) -> tuple[int, int]:
    """End a hold's lapsing credits: the first `charge` of them burn, the others expire. Returns both sums."""
    burned = lapsed = 0
    for lapse in hold.lapsing:
        lot = lot_books.lots[lapse.lot_id]
        burning = min(charge - burned, lapse.amount)
        lot.burned += burning
        posting.effects.lots_changed[lot.id] = lot
        _expire(lot, lapse.amount - burning, posting)
        burned += burning
        lapsed += lapse.amount - burning
    return burned, lapsed


def unstamp(lot_id: LotId, lot_books: LotBooks, effects: Effects) -> None:
    """Take the lapsing stamps of a lot off all holds: from here on other credits stand behind them."""
    for hold in list(lot_books.holds.values()):
        if any(lapse.lot_id == lot_id for lapse in hold.lapsing):
            _restamp(hold, tuple(lapse for lapse in hold.lapsing if lapse.lot_id != lot_id), lot_books, effects)


def _expire(lot: Lot, amount: int, posting: Posting) -> None:
    if amount == 0:
        return
    lot.expired += amount
    posting.effects.lots_changed[lot.id] = lot
    route = REPAID if lot.category is LotCategory.CREDIT_LINE else LAPSED
    posting.write(Move.EXPIRE, route, amount, lot.id)


def _stamp(lot_id: LotId, amount: int, lot_books: LotBooks, effects: Effects) -> None:
    for hold in list(lot_books.holds.values()):
        part = min(amount, hold.amount - lapsing_of(hold))
        if part > 0:
            _restamp(hold, _with_lapse(hold, lot_id, part), lot_books, effects)
            amount -= part


def _with_lapse(hold: Hold, lot_id: LotId, amount: int) -> tuple[Lapse, ...]:
    """One stamp a lot: a lot whose refund failed after its expiry can lapse under the same hold twice."""
    lapsing = {lapse.lot_id: lapse for lapse in hold.lapsing}
    before = lapsing[lot_id].amount if lot_id in lapsing else 0
    lapsing[lot_id] = Lapse(lot_id, Nano(before + amount))
    return tuple(lapsing.values())


def _restamp(hold: Hold, lapsing: tuple[Lapse, ...], lot_books: LotBooks, effects: Effects) -> None:
    stamped = replace(hold, lapsing=lapsing)
    lot_books.holds[hold.id] = stamped
    effects.holds_changed[hold.id] = stamped


def _share_out(amount: int, free: list[tuple[Lot, int]]) -> list[tuple[Lot, int]]:
    shares: list[tuple[Lot, int]] = []
    for lot, limit in free:
        if amount == 0:
            break
        part = min(amount, limit)
        shares.append((lot, part))
        amount -= part
    if amount:
        raise LawBroken(7, f"the lots lack {amount} nanocredits that the totals say are there")
    return shares
