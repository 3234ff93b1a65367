"""What must be true of an account's books at any moment, as pure checks that the audit runs.

Stored values and summed entries enter, findings leave: one for each thing that does not add
up, none when all is well. Nothing is mended here. States Laws 2, 4 and 7 for one account:

    available + held          = Σ entries on the customer side
    refunding                 = Σ entries on the refunding side          = Σ lot.refunding
    owed + lent               = −Σ entries on the receivable side        (lent: credit lines, less what expired)
    held                      = Σ open holds
    spent                     = Σ (lot.burned + lot.charged_back) + unburned
    Σ lot.remaining           = available + held + unburned
    Σ lot.amount              = Σ purchases, grants and positive adjustments
    Σ lot.expired             = Σ expire entries
    Σ lot.refunded            = Σ refund_done entries
    Σ lot.disputed            = Σ chargeback entries
    lapsing of a lot          ≤ lot.remaining;  lapsing of a hold ≤ hold.amount
    refunded + disputed       ≤ amount, lot by lot
    owed > 0                  ⇒ available = 0

`spent` is all that left the customer for good through captures, late charges, recoveries,
negative adjustments and chargebacks. Lapsing credits need no term of their own: they stay in
`remaining` until their hold ends, as their hold stays in `held`.

Sums are given as `Flows`, which a database can add up and an archived partition can leave
behind as a checkpoint; `flows_of` adds up entries in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from farebox.ids import AccountId, MoveId
from farebox.ledger.commands import Books, Entry, Hold, Lot, LotBooks, LotCategory, Move, Side
from farebox.ledger.lots import lapsing_by_lot, lapsing_of, next_expiry
from farebox.ledger.posting import ROUTES

Flows = Mapping[tuple[Move, Side, Side], int]
"""Σ amount by move, debit and credit: all that the checks need to know of the entries."""

SPENDING = frozenset({Move.CAPTURE, Move.LATE_CHARGE, Move.RECOVER, Move.ADJUST, Move.CHARGEBACK})


class Finding(msgspec.Struct, frozen=True):
    """Something that does not add up."""

    law: int
    account_id: AccountId
    what: str


def audit_account(books: Books, lot_books: LotBooks, flows: Flows) -> list[Finding]:
    """Every check on one account's totals, holds, lots and summed entries. `lot_books` holds all its lots."""
    checks = (
        *check_routes(flows),
        *check_totals(books, flows),
        *check_holds(books, lot_books),
        *check_lot_sums(books, lot_books, flows),
        *(what for lot in lot_books.lots.values() for what in check_lot(lot)),
    )
    return [Finding(law, books.account_id, what) for law, what in checks]


def flows_of(entries: Iterable[Entry]) -> dict[tuple[Move, Side, Side], int]:
    """Add entries up by move and sides."""
    flows: dict[tuple[Move, Side, Side], int] = {}
    for entry in entries:
        route = (entry.move, entry.debit, entry.credit)
        flows[route] = flows.get(route, 0) + entry.amount
    return flows


def side_sum(flows: Flows, side: Side) -> int:
    """What arrived at a side less what left it. Over all sides the sums add up to zero."""
    arrived = sum(amount for (_, _, credit), amount in flows.items() if credit is side)
    return arrived - sum(amount for (_, debit, _), amount in flows.items() if debit is side)


def check_routes(flows: Flows) -> Iterator[tuple[int, str]]:
    """Each move only along its routes, and nothing negative."""
    for (move, debit, credit), amount in flows.items():
        if (debit, credit) not in ROUTES[move]:
            yield 7, f"{move} entries lead from {debit} to {credit}"
        if amount <= 0:
            yield 7, f"{move} entries from {debit} to {credit} sum to {amount}"


def check_totals(books: Books, flows: Flows) -> Iterator[tuple[int, str]]:
    """The account row against its entries."""
    for name in ("available", "held", "refunding", "owed", "unburned", "version"):
        if getattr(books, name) < 0:
            yield 4, f"{name} is {getattr(books, name)}"
    yield from _equal(7, "available + held", books.available + books.held, side_sum(flows, Side.CUSTOMER))
    yield from _equal(7, "refunding", books.refunding, side_sum(flows, Side.REFUNDING))
    if books.owed > 0 and books.available != 0:
        yield 4, f"{books.available} is available while {books.owed} is owed"


def check_holds(books: Books, lot_books: LotBooks) -> Iterator[tuple[int, str]]:
    """The account row against its open holds, and their lapsing stamps against the lots."""
    holds = lot_books.holds.values()
    yield from _equal(2, "held", books.held, sum(hold.amount for hold in holds))
    for hold in holds:
        yield from _check_stamps(hold)
    for lot_id, lapsing in lapsing_by_lot(holds).items():
        remaining = lot_books.lots[lot_id].remaining if lot_id in lot_books.lots else 0
        if lapsing > remaining:
            yield 7, f"{lapsing} of {lot_id} lapses under holds, {remaining} remains"


def check_lot_sums(books: Books, lot_books: LotBooks, flows: Flows) -> Iterator[tuple[int, str]]:
    """All lots together against the account row and the entries."""
    lots = lot_books.lots.values()
    remaining = books.available + books.held + books.unburned
    lent = sum(lot.amount - lot.expired for lot in lots if lot.category is LotCategory.CREDIT_LINE)
    yield from _equal(7, "remaining of lots", sum(lot.remaining for lot in lots), remaining)
    yield from _equal(7, "refunding of lots", sum(lot.refunding for lot in lots), books.refunding)
    yield from _equal(7, "owed and lent", books.owed + lent, -side_sum(flows, Side.RECEIVABLE))
    yield from _equal(7, "amounts of lots", sum(lot.amount for lot in lots), _came_in(flows))
    burned = sum(lot.burned + lot.charged_back for lot in lots) + books.unburned
    yield from _equal(7, "burned and unburned", burned, spent(flows))
    yield from _equal(7, "expired of lots", sum(lot.expired for lot in lots), _moved(flows, Move.EXPIRE))
    yield from _equal(7, "refunded of lots", sum(lot.refunded for lot in lots), _moved(flows, Move.REFUND_DONE))
    yield from _equal(7, "disputed of lots", sum(lot.disputed for lot in lots), _moved(flows, Move.CHARGEBACK))
    yield from _equal(7, "next expiry", books.next_expiry_us, next_expiry(lot_books))


def check_lot(lot: Lot) -> Iterator[tuple[int, str]]:
    """One lot by itself."""
    for name in ("burned", "expired", "refunding", "refunded", "charged_back", "disputed", "remaining"):
        if getattr(lot, name) < 0:
            yield 7, f"{name} of {lot.id} is {getattr(lot, name)}"
    if lot.refunded + lot.disputed > lot.amount:
        yield 7, f"{lot.id}: {lot.refunded} refunded and {lot.disputed} charged back of {lot.amount}"


def check_versions(
    account_id: AccountId, versions: Iterable[tuple[int, MoveId]], *, first: int, last: int
) -> list[Finding]:
    """Entries carry every version from `first` to `last` (the account row's), each for one move: no gap, no fork."""
    moves: dict[int, set[MoveId]] = {}
    for version, move_id in versions:
        moves.setdefault(version, set()).add(move_id)
    forks = [f"version {version} is carried by {len(ids)} moves" for version, ids in moves.items() if len(ids) > 1]
    gaps = [f"version {version} is missing" for version in range(first, last + 1) if version not in moves]
    strays = [f"version {version} is outside {first} to {last}" for version in moves if not first <= version <= last]
    return [Finding(7, account_id, what) for what in (*forks, *gaps, *strays)]


def spent(flows: Flows) -> int:
    """All that left the customer for good and burns lots."""
    return sum(amount for (move, debit, _), amount in flows.items() if debit is Side.CUSTOMER and move in SPENDING)


def _check_stamps(hold: Hold) -> Iterator[tuple[int, str]]:
    if any(lapse.amount <= 0 for lapse in hold.lapsing):
        yield 7, f"{hold.id} carries a lapse of nothing"
    if lapsing_of(hold) > hold.amount:
        yield 7, f"{hold.id} of {hold.amount} carries {lapsing_of(hold)} lapsing credits"


def _came_in(flows: Flows) -> int:
    origins = {Move.PURCHASE, Move.GRANT, Move.ADJUST}
    return sum(amount for (move, _, credit), amount in flows.items() if credit is Side.CUSTOMER and move in origins)


def _moved(flows: Flows, wanted: Move) -> int:
    return sum(amount for (move, _, _), amount in flows.items() if move is wanted)


def _equal(law: int, name: str, stored: int | None, summed: int | None) -> Iterator[tuple[int, str]]:
    if stored != summed:
        yield law, f"{name}: {stored} is not {summed}"
