"""Holds told in stories: each is a small history with what must be seen on the way."""

from __future__ import annotations

import pytest
from tests.pure.ledger.scenario import play

from farebox.ledger.commands import Move

HOLDS = {
    "a capture charges what was used and gives back the rest": """
        grant      100
        hold       40
        available  60
        held       40
        capture    h 25
        available  75
        held       0
        revenue    25
        promotional -100
    """,
    "a void gives back the whole hold": """
        grant      100
        hold       40
        void       h
        available  100
        held       0
        revenue    0
        replay
    """,
    "an expired hold gives back the whole hold": """
        grant      100
        hold       40
        expire     h
        available  100
        held       0
    """,
    "a hold above available is refused and changes nothing": """
        grant      100
        hold       a 60
        hold       b 41        | insufficient_available
        available  40
        hold       b 40
        available  0
    """,
    "an extension is more hold, from what is available": """
        grant      100
        hold       40
        extend     h 60
        extend     h 0.000000001  | insufficient_available
        available  0
        capture    h 70
        available  30
    """,
    "a hold ends once": """
        grant      100
        hold       40
        capture    h 25
        void       h           | already_done
        expire     h           | already_done
        capture    h 25
        available  75
        revenue    25
    """,
    "a charge above its hold takes from available, then posts a shortfall": """
        grant      100
        hold       a 40
        hold       b 50
        capture    a 55
        available  0
        held       50
        revenue    55
        shortfall  -5
        capture    b 50
        revenue    105
        available  0
    """,
    "work that ends after its hold is charged late, once": """
        grant      100
        hold       40
        void       h
        late       h 30
        late       h 30
        replay
        available  70
        revenue    30
        hold       i 70
        void       i
        late       i 90
        available  0
        shortfall  -20
    """,
    "a free call holds and charges nothing": """
        hold       h 0
        capture    h 0
        available  0
        revenue    0
    """,
}


@pytest.mark.parametrize("story", HOLDS.values(), ids=list(HOLDS))
def test_story(story: str) -> None:
    play(story)


def test_d15_what_a_charge_needs_beyond_hold_and_available_is_posted_as_shortfall() -> None:
    teller = play("""
        grant      10
        hold       10
        capture    h 14
        revenue    14
        shortfall  -4
        available  0
    """)
    assert [entry.amount for entry in teller.entries if entry.move is Move.CAPTURE] == [10 * 10**9, 4 * 10**9]


def test_d17_available_reaches_exactly_zero_and_never_a_hair_below() -> None:
    play("""
        grant      0.3
        hold       a 0.1
        capture    a 0.100000001
        hold       b 0.199999999
        capture    b 0.2
        available  0
        shortfall  -0.000000001
        hold       c 0
    """)


def test_d34_a_charge_of_a_billion_credits_posts() -> None:
    play("""
        grant      1000000000
        hold       1000000000
        capture    h 1000000000
        revenue    1000000000
        available  0
    """)
