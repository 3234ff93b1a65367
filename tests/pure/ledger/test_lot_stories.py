"""Lots told in stories: burn order, expiry, lapsing, adjustments."""

from __future__ import annotations

import pytest
from tests.pure.ledger.scenario import play

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
    "credits that no hold would burn expire although a hold is open": """
        grant      first 10 priority 0
        grant      old   10 priority 1 expires 5
        hold       h     12
        day        5
        hold       i     0
        expired    8
        available  0
        lot        old   remaining 2
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


@pytest.mark.parametrize("story", LOTS.values(), ids=list(LOTS))
def test_story(story: str) -> None:
    play(story)
