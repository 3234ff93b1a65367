"""New ids: this node's clock for the order, the operating system's randomness for the rest.

Nothing is decided by the time in an id; it only places rows near their neighbours.
"""

from __future__ import annotations

import os
import time

from farebox import ids


def new_id(prefix: str) -> str:
    """A fresh id such as `req_01k9z6m3e8…`, unique by its 80 random bits."""
    return ids.encode(prefix, time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big"))
