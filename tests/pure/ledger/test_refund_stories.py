"""Refunds told in stories: what is refundable, and what becomes of a bonus."""

from __future__ import annotations

import pytest
from tests.pure.ledger.scenario import play

REFUNDS = {
    "what is left of a purchase is refunded in two steps": """
        purchase   p 100
        hold       h 30
        capture    h 30
        refund     p
        available  0
        refunding  70
        replay
        refund_done p
        refunding  0
        refunded   70
        refund_done p          | already_done
    """,
    "a refund that fails brings the credits back to their lot": """
        purchase   p 100
        refund     p amount 60
        lot        p remaining 40
        refund_back p
        replay
        available  100
        lot        p remaining 100
        refunding  0
        refund     p
        refunding  100
    """,
    "fourteen days to the microsecond, by the time of asking": """
        purchase   p 10
        purchase   q 10
        day        14
        refund     p
        day        14 +1
        refund     q           | refund_window_closed
    """,
    "what open holds may still burn is not refundable": """
        purchase   p 100
        hold       h 30
        refund     p
        refunding  70
        available  0
        refund     p           | refund_under_way
        refund_done p
        void       h
        available  30
        refund     p
        refund_done p
        refunded   100
    """,
    "unspent bonus is withdrawn with the refund": """
        purchase   p 100 bonus 20
        available  120
        refund     p
        refunding  120
        available  0
        refund_done p
        refunded   100
        promotional 0
    """,
    "spent bonus is deducted": """
        purchase   p 100 bonus 20
        hold       h 20
        capture    h 20
        refund     p
        refund_done p
        refunded   80
        available  0
        promotional 0
        revenue    20
        lot        p burned 20
        lot        p+ burned 0
        lot        p+ refunded 20
    """,
    "bonus under an open hold is deducted until the hold is void": """
        purchase   p 100 bonus 20
        hold       h 20
        refund     p
        refund_done p
        refunded   80
        held       20
        void       h
        available  20
        refund     p
        refund_done p
        refunded   100
        available  0
        promotional 0
    """,
    "a second refund does not deduct the bonus again": """
        purchase   p 100 bonus 20
        hold       h 20
        capture    h 20
        refund     p amount 30
        refund_done p
        available  50
        refund     p
        refund_done p
        refunded   80
        available  0
    """,
    "a failed refund gives bonus and deduction back": """
        purchase   p 100 bonus 20
        hold       h 5
        capture    h 5
        refund     p
        refunding  115
        refund_back p
        available  115
        lot        p+ remaining 15
        lot        p remaining 100
    """,
    "bonus lapsing under a hold counts as bonus the hold may spend": """
        purchase   p 100 bonus 20 bonus_expires 3
        hold       h 20
        day        3
        refund     p
        refund_done p
        refunded   80
        capture    h 20
        available  0
        promotional 0
        lot        p burned 20
    """,
    "nothing is refunded when the bonus ate more than is left": """
        purchase   p 100 bonus 20
        hold       h 105
        capture    h 105
        available  15
        refund     p           | nothing_to_refund
    """,
    "credits that come back to an expired lot and pay a debt are burned of it, not expired too": """
        grant      g 1
        purchase   p 1 expires 1
        refund     p 1
        purchase   q 1
        hold       h 2
        capture    h 2
        day        2
        chargeback q 1
        owed       1
        refund_back p
        owed       0
        available  0
        expired    0
        lot p      remaining 0
        lot p      burned 1
    """,
    "credits that come back to an expired lot expire at once": """
        purchase   p 100 expires 10
        refund     p amount 60
        day        10
        hold       h 0
        expired    40
        refund_back p
        available  0
        refunding  0
        expired    100
    """,
    "what is no purchase cannot be refunded": """
        grant      g 10
        refund     g           | unknown_lot
        purchase   p 10 refundable 0
        refund     p           | not_refundable
        refund_done p 5        | already_done
    """,
    "a refund ends with the amount it started with": """
        purchase   p 10
        refund     p amount 6
        refund_done p 7        | amount_out_of_range
        refund_back p 5        | amount_out_of_range
        refund_done p 6
        refunded   6
    """,
}


@pytest.mark.parametrize("story", REFUNDS.values(), ids=list(REFUNDS))
def test_story(story: str) -> None:
    play(story)


def test_d57_buying_spending_the_bonus_first_and_refunding_in_a_loop_gains_nothing() -> None:
    play("""
        purchase   p 100 bonus 20
        hold       a 20
        capture    a 20
        refund     p
        refund_done p
        refunded   80
        available  0
        purchase   q 80 bonus 16
        hold       b 16
        refund     q
        capture    b 16
        refund_done q
        refunded   144
        available  0
        revenue    36
        promotional 0
    """)
