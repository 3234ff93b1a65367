"""How long an upstream may take, stage by stage.

Values only: the connection compares them with the loop's clock, which is read once per arrival and once per
sweep, so a time-out may come up to one sweep (`HttpClient`'s `sweep_s`) late and never early.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Stage(StrEnum):
    """Where a request stood when its time ran out."""

    CONNECT = "connect"
    FIRST_BYTE = "first_byte"
    IDLE = "idle"
    TOTAL = "total"


class Timeouts(msgspec.Struct, frozen=True, gc=False):
    """Seconds per stage.

    `connect`: a free place in the pool, the name, the address, the proxy and TLS, all together.
    `first_byte`: from the last byte of the request to the end of the answer's head (interim 1xx answers do not
    count); while a long body is still being sent, from the last progress of sending.
    `idle`: between two arrivals of the body. It stands still while our reader is too slow to take what came.
    `total`: from the call to the last byte, whatever happens in between.
    """

    connect: float = 10.0
    first_byte: float = 600.0
    idle: float = 120.0
    total: float = 1800.0
