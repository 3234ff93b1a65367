"""The audit's checks: silent on sound books, loud about every number that is off."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.pure.ledger.scenario import play
from tests.pure.ledger.teller import ACCOUNT, Teller

from farebox.ids import LotId, MoveId
from farebox.ledger.commands import Lapse, Move, Side
from farebox.ledger.invariants import audit_account, check_versions, flows_of
from farebox.money import Nano


def a_full_history() -> Teller:
    """Something of everything: open holds, lapsing credits, a refund under way, a chargeback, spent credits."""
    return play("""
        purchase   p 100 bonus 20
        purchase   q 50
        grant      g 30 expires 5
        grant      line 10 category credit_line
        hold       a 12
        capture    a 10
        hold       b 15
        day        6
        refund     p amount 40
        chargeback q 50
        hold       c 7
        capture    c 3
    """)


@pytest.mark.parametrize("name", ["available", "held", "refunding", "owed", "unburned", "next_expiry_us"])
def test_a_total_that_is_off_is_found(name: str) -> None:
    teller = a_full_history()
    assert teller.findings() == []
    setattr(teller.books, name, (getattr(teller.books, name) or 0) + 1)
    assert teller.findings() != []


@pytest.mark.parametrize("name", ["amount", "burned", "expired", "refunding", "refunded", "charged_back", "disputed"])
@pytest.mark.parametrize("by", [1, -1])
def test_a_lot_that_is_off_is_found(name: str, by: int) -> None:
    teller = a_full_history()
    lot = teller.lot("p")
    setattr(lot, name, getattr(lot, name) + by)
    assert teller.findings() != []


def test_a_hold_that_is_off_is_found() -> None:
    teller = a_full_history()
    hold = next(iter(teller.lot_books.holds.values()))
    for wrong in (
        replace(hold, amount=Nano(hold.amount - 1)),
        replace(hold, lapsing=(Lapse(LotId("lot_g"), Nano(hold.amount + 1)),)),
        replace(hold, lapsing=(Lapse(LotId("lot_none"), Nano(1)),)),
        replace(hold, lapsing=(Lapse(LotId("lot_g"), Nano(0)),)),
    ):
        teller.lot_books.holds[hold.id] = wrong
        assert teller.findings() != []


def test_every_entry_that_is_missing_is_found() -> None:
    teller = a_full_history()
    for missing in teller.entries:
        flows = flows_of(entry for entry in teller.entries if entry is not missing)
        assert audit_account(teller.books, teller.lot_books, flows) != [], missing


def test_an_entry_along_no_route_is_found() -> None:
    teller = a_full_history()
    flows = {**flows_of(teller.entries), (Move.CAPTURE, Side.CASH, Side.REVENUE): 5}
    assert [finding.law for finding in audit_account(teller.books, teller.lot_books, flows)] == [7]


VERSIONS = {
    "a gap": [(1, "mov_a"), (3, "mov_b")],
    "a fork": [(1, "mov_a"), (2, "mov_b"), (2, "mov_c"), (3, "mov_d")],
    "a version from the future": [(1, "mov_a"), (2, "mov_b"), (3, "mov_c"), (4, "mov_d")],
    "the last one missing": [(1, "mov_a"), (2, "mov_b")],
}


@pytest.mark.parametrize("versions", VERSIONS.values(), ids=list(VERSIONS))
def test_versions_with_a_gap_or_a_fork_are_found(versions: list[tuple[int, str]]) -> None:
    pairs = [(version, MoveId(move)) for version, move in versions]
    assert len(check_versions(ACCOUNT, pairs, first=1, last=3)) == 1


def test_the_parts_of_a_move_share_its_version() -> None:
    pairs = [(1, MoveId("mov_a")), (1, MoveId("mov_a")), (2, MoveId("mov_b"))]
    assert check_versions(ACCOUNT, pairs, first=1, last=2) == []
