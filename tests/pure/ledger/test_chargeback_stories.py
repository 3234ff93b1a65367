"""Chargebacks told in stories: what is taken, what is owed, and how it is paid."""

from __future__ import annotations

import pytest
from tests.pure.ledger.scenario import play

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
    "money that a chargeback took is not refunded again": """
        purchase   p 100
        hold       h 100
        chargeback p 40
        grant      g 40
        owed       0
        void       h
        available  100
        refund     p
        refunding  60
        refund_done p
        available  40
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


@pytest.mark.parametrize("story", CHARGEBACKS.values(), ids=list(CHARGEBACKS))
def test_story(story: str) -> None:
    play(story)
