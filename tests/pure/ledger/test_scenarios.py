"""The ledger told in stories: each test is a small history with what must be seen on the way."""

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

LOTS = {
    "unpaid burns before paid, the sooner expiry before both, a credit line last": """
        grant      line 10 category credit_line expires 1
        purchase   p    10
        grant      g    10
        grant      soon 10 expires 30
        hold       h    35
        capture    h    35
        lot        soon burned 10
        lot        g    burned 10
        lot        p    burned 10
        lot        line burned 5
    """,
    "priority goes before expiry": """
        grant      late 10 priority 1 expires 5
        grant      now  10 priority 0
        hold       h    12
        capture    h    12
        lot        now  burned 10
        lot        late burned 2
    """,
    "what was spent before an expiry was spent of the lot that expires": """
        grant      a 10 expires 5
        grant      b 10
        hold       h 4
        capture    h 4
        day        5
        hold       i 10
        lot        a burned 4
        lot        a expired 6
        available  0
        expired    6
        capture    i 10
        lot        b burned 10
    """,
    "several expiries crossed at once are worked off in the order of their times": """
        grant      second 10 priority 0 expires 6
        grant      first  10 priority 1 expires 5
        hold       h 12
        day        9
        hold       tick 0
        held       12
        available  0
        lot        second remaining 10
        lot        first  remaining 2
        lot        first  expired 8
        capture    h 11
        lot        first  burned 2
        lot        second burned 9
        lot        second expired 1
        expired    9
        available  0
    """,
    "credits under a hold lapse with it: a capture burns them first": """
        grant      old 10 expires 5
        grant      new 10
        hold       h   15
        day        5
        capture    h   8
        available  10
        expired    2
        lot        old burned 8
        lot        old expired 2
        lot        new burned 0
    """,
    "a void lets lapsing credits expire and gives back the rest": """
        grant      old 10 expires 5
        grant      new 10
        hold       h   15
        day        6
        void       h
        available  10
        expired    10
    """,
    "the oldest hold carries the lapsing credits": """
        grant      old 10 expires 5
        grant      new 10
        hold       a   8
        hold       b   8
        day        5
        void       b
        available  10
        expired    2
        void       a
        available  10
        expired    10
    """,
    "an extension after the expiry takes only credits that live": """
        grant      old 10 expires 5
        grant      new 10
        hold       h   6
        day        5
        extend     h   10
        available  0
        expired    4
        capture    h   7
        lot        old burned 6
        available  9
    """,
    "a credit line that ends unused goes back to the receivable": """
        grant      line 50 category credit_line expires 5
        receivable -50
        hold       h    20
        capture    h    20
        day        5
        hold       i    0
        available  0
        receivable -20
        expired    0
    """,
    "an adjustment may take what is available and no more": """
        grant      10
        hold       h  4
        adjust     a  -7       | insufficient_available
        adjust     a  -6
        adjustment 6
        available  0
        capture    h  4
        adjust     b  5
        available  5
        adjustment 1
    """,
}

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

CHARGEBACKS = {
    "a chargeback takes the credits of its purchase": """
        purchase   p 100
        grant      g 10
        chargeback p 100
        replay
        available  10
        cash       0
        owed       0
        lot        p charged_back 100
        lot        g remaining 10
    """,
    "what is spent is owed, and paid by the next purchase": """
        purchase   p 100
        hold       h 70
        capture    h 70
        chargeback p 100
        available  0
        owed       70
        receivable -70
        purchase   q 100
        owed       0
        available  30
        receivable 0
        spent      170
    """,
    "other credits are taken as if spent": """
        purchase   p 100
        hold       h 100
        capture    h 100
        grant      g 30
        chargeback p 100
        available  0
        owed       70
        adjust     x 80
        available  10
        lot        g burned 30
        lot        p charged_back 0
    """,
    "credits under holds stay, and what they release pays the debt": """
        purchase   p 100
        hold       h 100
        chargeback p 100
        owed       100
        available  0
        capture    h 60
        owed       60
        available  0
        revenue    60
        late       h 5
        shortfall  -5
        owed       60
    """,
    "an over-long charge of an account that owes is a shortfall": """
        purchase   p 100
        hold       h 40
        capture    h 40
        hold       i 60
        chargeback p 100
        owed       100
        capture    i 70
        shortfall  -10
        owed       100
    """,
    "refunded and charged back together are no more than was bought": """
        purchase   p 100
        refund     p amount 60
        chargeback p 41        | amount_out_of_range
        refund_done p
        chargeback p 41        | amount_out_of_range
        chargeback p 40
        chargeback p 1         | amount_out_of_range
        available  0
        refund     p           | nothing_to_refund
    """,
    "lapsing credits expire before what is released pays a debt": """
        purchase   p 50
        hold       h 50
        capture    h 50
        grant      g 10 expires 5
        grant      i 10
        hold       h2 20
        chargeback p 50
        owed       50
        day        5
        void       h2
        expired    10
        owed       40
        available  0
    """,
    "a chargeback of nothing we sold is refused": """
        chargeback p 10        | unknown_lot
        purchase   p 10
        chargeback p 0         | amount_out_of_range
    """,
}

STORIES = {**HOLDS, **LOTS, **REFUNDS, **CHARGEBACKS}


@pytest.mark.parametrize("story", STORIES.values(), ids=list(STORIES))
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
