"""New ids: this node's clock for the order, the operating system's randomness for the rest.

Nothing is decided by the time in an id; it only places rows near their neighbours.
"""

from __future__ import annotations

import os
import time

from farebox import ids

_CHARACTERS = bytes(ord(ids.ALPHABET[byte & 31]) for byte in range(256))
"""Each byte of randomness becomes one character: 256 is a multiple of 32, so all are equally likely."""

_latest = (0, "")
"""The last millisecond, and how an id of it begins."""


def new_id(prefix: str) -> str:
    """A fresh id such as `req_01k9z6m3e8…`, as `ids.encode` builds it, unique by its 80 random bits."""
    global _latest
    unix_ms = time.time_ns() // 1_000_000
    if _latest[0] != unix_ms:
        _latest = (unix_ms, ids.encode("", unix_ms, 0)[1 : -ids.ENTROPY_LENGTH])
    entropy = os.urandom(ids.ENTROPY_LENGTH).translate(_CHARACTERS).decode("ascii")
    return f"{prefix}_{_latest[1]}{entropy}"
