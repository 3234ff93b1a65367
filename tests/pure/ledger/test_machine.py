"""The hot moves: what they refuse to do, what they leave alone, and that settling commutes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.pure.ledger.scenario import play
from tests.pure.ledger.teller import Teller

from farebox.faults import LawBroken
from farebox.ids import AccountId, HoldId, KeyId, LotId
from farebox.ledger.commands import Books, Hold, HoldEnd, Lapse, Move
from farebox.ledger.lots import burn
from farebox.ledger.machine import (
    HOLD_TRANSITIONS,
    capture,
    expire_hold,
    extend_hold,
    late_charge,
    move_of,
    open_hold,
    void,
)
from farebox.money import MAX_NANO, Nano


def a_hold(amount: int, **fields: object) -> Hold:
    hold = Hold(HoldId("hold_1"), AccountId("acct_1"), KeyId("key_1"), Nano(amount), 0, 0)
    return replace(hold, **fields)


def books(available: int = 100, held: int = 40) -> Books:
    return Books(AccountId("acct_1"), available=available, held=held)


LAPSING = a_hold(40, lapsing=(Lapse(LotId("lot_1"), Nano(5)),))

IMPOSSIBLE: dict[str, tuple[int, Callable[[Books], object]]] = {
    "a hold above available": (4, lambda b: open_hold(b, 101)),
    "a negative hold": (4, lambda b: open_hold(b, -1)),
    "an extension above available": (4, lambda b: extend_hold(b, a_hold(40), 101)),
    "a negative extension": (4, lambda b: extend_hold(b, a_hold(40), -1)),
    "a negative charge (d18)": (7, lambda b: capture(b, a_hold(40), -1)),
    "a charge no book can hold": (7, lambda b: capture(b, a_hold(40), MAX_NANO + 1)),
    "a negative late charge": (7, lambda b: late_charge(b, HoldId("hold_1"), -1)),
    "capturing a hold that is not open": (2, lambda b: capture(b, a_hold(41), 0)),
    "voiding a hold that is not open": (2, lambda b: void(b, a_hold(41))),
    "lapsing credits without their lots": (7, lambda b: expire_hold(b, LAPSING)),
}


@pytest.mark.parametrize(("law", "act"), IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
def test_what_would_break_a_law_raises_and_touches_nothing(law: int, act: Callable[[Books], object]) -> None:
    account = books()
    with pytest.raises(LawBroken) as broken:
        act(account)
    assert broken.value.law == law
    assert account == books()


def test_every_end_of_a_hold_is_final() -> None:
    assert HOLD_TRANSITIONS[None] == set(HoldEnd)
    assert all(HOLD_TRANSITIONS[end] == frozenset() for end in HoldEnd)


#                  hold available charge   held avail. short. released
COVERAGE = [
    pytest.param(40, 100, 0, 0, 0, 0, 40, id="nothing charged"),
    pytest.param(40, 100, 25, 25, 0, 0, 15, id="below the hold"),
    pytest.param(40, 100, 40, 40, 0, 0, 0, id="all of the hold"),
    pytest.param(40, 100, 41, 40, 1, 0, 0, id="a nanocredit more"),
    pytest.param(40, 100, 140, 40, 100, 0, 0, id="all there is"),
    pytest.param(40, 100, 141, 40, 100, 1, 0, id="more than there is"),
    pytest.param(0, 0, 7, 0, 0, 7, 0, id="nothing there"),
]


@pytest.mark.parametrize(
    ("held", "available", "charge", "from_held", "from_available", "shortfall", "released"), COVERAGE
)
def test_a_charge_takes_from_hold_then_available_then_shortfall(
    held: int, available: int, charge: int, from_held: int, from_available: int, shortfall: int, released: int
) -> None:
    account = books(available, held)
    settled = capture(account, a_hold(held), charge)
    assert (settled.from_held, settled.from_available, settled.shortfall) == (from_held, from_available, shortfall)
    assert settled.released == released
    assert (account.held, account.available) == (0, available - from_available + released)
    assert account.unburned == from_held + from_available
    assert sum(entry.amount for entry in settled.effects.entries) == charge


def test_an_end_without_a_charge_writes_no_entry_and_keeps_the_version() -> None:
    for end in (void, expire_hold):
        account = books()
        assert end(account, a_hold(40)).effects.entries == []
        assert account.version == 0


def test_entries_of_a_capture_share_the_move_of_their_hold_and_one_version() -> None:
    account = books(available=10)
    entries = capture(account, a_hold(40), 60).effects.entries
    assert [(entry.move, entry.move_id, entry.part, entry.version) for entry in entries] == [
        (Move.CAPTURE, "mov_1", 0, 1),
        (Move.CAPTURE, "mov_1", 1, 1),
    ]
    assert {entry.hold_id for entry in entries} == {"hold_1"}


def test_a_late_charge_has_the_one_move_id_its_hold_allows() -> None:
    entry = late_charge(books(), HoldId("hold_1"), 5).effects.entries[0]
    assert entry.move_id == move_of(HoldId("hold_1"), "_late") == "mov_1_late"


def test_d13_every_end_called_three_times_has_one_effect() -> None:
    for end in ("capture    h 25", "void       h", "expire     h"):
        once = play(f"grant 100\nhold 40\n{end}")
        thrice = play(f"grant 100\nhold 40\n{end}\nreplay\nreplay")
        assert (thrice.books, thrice.entries) == (once.books, once.entries)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_the_order_of_settlement_does_not_matter_while_no_charge_exceeds_its_hold(data: st.DataObject) -> None:
    grants = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=4))
    holds = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=6))
    charges = [data.draw(st.none() | st.integers(0, hold)) for hold in holds]
    order = data.draw(st.permutations(range(len(holds))))
    in_order = settle(grants, holds, charges, list(range(len(holds))))
    shuffled = settle(grants, holds, charges, order)
    assert shuffled.books == in_order.books
    assert shuffled.lot_books == in_order.lot_books


def settle(grants: list[int], holds: list[int], charges: list[int | None], order: list[int]) -> Teller:
    """Grants in credits come first, then every hold that fits, then the ends in the order given."""
    teller = play("\n".join(f"grant g{number} 0.{amount:09d}" for number, amount in enumerate(grants)))
    for number, hold in enumerate(holds):
        teller.hold(str(number), hold)
    for number in order:
        if HoldId(f"hold_{number}") not in teller.ends:
            continue
        charge = charges[number]
        if charge is None:
            teller.void(str(number))
        else:
            teller.capture(str(number), charge)
    burn(teller.books, teller.lot_books)
    return teller
