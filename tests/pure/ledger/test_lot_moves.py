"""Lot commands: which amounts they refuse, that a refusal touches nothing, and how entries are written."""

from __future__ import annotations

import copy

import pytest
from tests.pure.ledger.scenario import DAY_US, play

from farebox.faults import LawBroken
from farebox.ids import LotId, MoveId
from farebox.ledger.commands import (
    Adjust,
    Chargeback,
    Grant,
    LedgerRefusal,
    LotCategory,
    LotCommand,
    Move,
    Purchase,
    RefundStart,
)
from farebox.ledger.lot_moves import apply
from farebox.ledger.lots import due_expiry
from farebox.ledger.posting import ROUTES
from farebox.money import MAX_NANO, Nano

MOVE, LOT = MoveId("mov_x"), LotId("lot_x")
OUT_OF_RANGE = LedgerRefusal.AMOUNT_OUT_OF_RANGE


def a_purchase(amount: int, *, bonus: int = 0, cost_basis: int = 0, payment: str = "pay_x") -> Purchase:
    return Purchase(MOVE, LOT, Nano(amount), payment, Nano(cost_basis), bonus=Nano(bonus), bonus_lot_id=LotId("lot_x+"))


def a_grant(amount: int, lot_id: LotId = LOT) -> Grant:
    return Grant(MOVE, lot_id, Nano(amount), LotCategory.PROMOTIONAL)


BEFORE = """
    purchase p 100 bonus 20
    grant    g 10 expires 5
    hold     h 30
    hold     i 4
    capture  i 4
"""
ROOM = MAX_NANO - 126 * 10**9

REFUSED: dict[str, tuple[LotCommand, LedgerRefusal]] = {
    "a purchase of nothing": (a_purchase(0), OUT_OF_RANGE),
    "a negative purchase (d18)": (a_purchase(-1), OUT_OF_RANGE),
    "a negative bonus (d18)": (a_purchase(1, bonus=-1), OUT_OF_RANGE),
    "a negative price paid (d18)": (a_purchase(1, cost_basis=-1), OUT_OF_RANGE),
    "a purchase the totals cannot hold": (a_purchase(ROOM, bonus=1), OUT_OF_RANGE),
    "a purchase paid before": (a_purchase(1, payment="pay_p"), LedgerRefusal.ALREADY_DONE),
    "a grant of nothing": (a_grant(0), OUT_OF_RANGE),
    "a negative grant (d18)": (a_grant(-1), OUT_OF_RANGE),
    "a grant the totals cannot hold": (a_grant(ROOM + 1), OUT_OF_RANGE),
    "a grant of a lot that exists": (a_grant(1, LotId("lot_g")), LedgerRefusal.ALREADY_DONE),
    "an adjustment of nothing": (Adjust(MOVE, Nano(0), LOT), OUT_OF_RANGE),
    "an adjustment the totals cannot hold": (Adjust(MOVE, Nano(ROOM + 1), LOT), OUT_OF_RANGE),
    "a negative adjustment no book can hold": (Adjust(MOVE, Nano(-MAX_NANO - 1), LOT), OUT_OF_RANGE),
    "a refund of nothing": (RefundStart(MOVE, "pay_p", 0, Nano(0)), OUT_OF_RANGE),
    "a negative refund (d18)": (RefundStart(MOVE, "pay_p", 0, Nano(-1)), OUT_OF_RANGE),
    "a refund asked too late": (RefundStart(MOVE, "pay_p", 99 * DAY_US), LedgerRefusal.REFUND_WINDOW_CLOSED),
    "a refund of an unknown payment": (RefundStart(MOVE, "pay_none", 0), LedgerRefusal.UNKNOWN_LOT),
    "a negative chargeback (d18)": (Chargeback(MOVE, "pay_p", Nano(-1)), OUT_OF_RANGE),
    "a chargeback above the purchase": (Chargeback(MOVE, "pay_p", Nano(100 * 10**9 + 1)), OUT_OF_RANGE),
}


@pytest.mark.parametrize(("command", "refusal"), REFUSED.values(), ids=list(REFUSED))
def test_a_refused_command_touches_nothing_even_when_an_expiry_is_due(
    command: LotCommand, refusal: LedgerRefusal
) -> None:
    teller = play(BEFORE)
    books, lot_books = copy.deepcopy(teller.books), copy.deepcopy(teller.lot_books)
    assert due_expiry(teller.books, 5 * DAY_US)
    assert apply(teller.books, teller.lot_books, command, 5 * DAY_US) is refusal
    assert (teller.books, teller.lot_books) == (books, lot_books)


def test_the_totals_may_be_filled_to_the_last_nanocredit() -> None:
    teller = play(BEFORE)
    assert not isinstance(teller.do(a_grant(ROOM)), LedgerRefusal)
    assert teller.books.available + teller.books.held == MAX_NANO
    assert teller.findings() == []


def test_credits_are_paid_only_when_a_purchase_made_them() -> None:
    teller = play("grant 1")
    with pytest.raises(LawBroken):
        teller.do(Grant(MOVE, LOT, Nano(1), LotCategory.PAID))


def test_a_correction_links_what_it_corrects() -> None:
    teller = play("grant 1")
    teller.do(Adjust(MOVE, Nano(-5), LOT, corrects=MoveId("mov_wrong")))
    assert teller.entries[-1].corrects == "mov_wrong"


def test_every_move_has_its_routes() -> None:
    assert set(ROUTES) == set(Move)
    assert all(debit is not credit for routes in ROUTES.values() for debit, credit in routes)


def test_a_purchase_and_its_bonus_are_one_move_of_two_entries() -> None:
    teller = play("purchase p 100 bonus 20")
    assert [(entry.part, entry.version, entry.lot_id) for entry in teller.entries] == [
        (0, 1, "lot_p"),
        (1, 1, "lot_p+"),
    ]


def test_each_expiry_is_a_move_of_its_own_named_after_its_lot() -> None:
    teller = play("""
        grant a 10 expires 5
        grant b 10 expires 5
        day   5
        hold  h 0
    """)
    assert [(entry.move_id, entry.version) for entry in teller.entries[2:]] == [
        ("mov_a_expired", 3),
        ("mov_b_expired", 4),
    ]
