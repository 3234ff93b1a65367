"""Typed, prefixed, time-ordered ids such as `req_01k9z6m3e8…`.

An id is its prefix and 26 characters of lower-case Crockford base32: 48 bits of Unix
milliseconds, then 80 random bits. Ids of one prefix sort by time as text (collation "C"),
which is what time partitions rely on. This module draws no time and no randomness.
"""

from __future__ import annotations

from typing import NewType

AccountId = NewType("AccountId", str)
KeyId = NewType("KeyId", str)
HoldId = NewType("HoldId", str)
RequestId = NewType("RequestId", str)
LotId = NewType("LotId", str)
EntryId = NewType("EntryId", str)
MoveId = NewType("MoveId", str)
BootId = NewType("BootId", str)

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
BODY_LENGTH = 26
ENTROPY_LENGTH = 16
"""The last characters of an id, five random bits each."""


def encode(prefix: str, unix_ms: int, entropy: int) -> str:
    """Build an id from milliseconds since 1970 (48 bits) and 80 bits of `entropy`.

    Bits beyond those sizes raise `ValueError`.
    """
    if unix_ms >> 48 or entropy >> 80 or unix_ms < 0 or entropy < 0:
        raise ValueError("an id takes 48 bits of time and 80 bits of entropy")
    return f"{prefix}_" + _base32(unix_ms, BODY_LENGTH - ENTROPY_LENGTH) + _base32(entropy, ENTROPY_LENGTH)


def time_of(identifier: str) -> int:
    """The Unix milliseconds an id was made at. Raises `ValueError` if it is not one of ours."""
    _, _, body = identifier.rpartition("_")
    if len(body) != BODY_LENGTH:
        raise ValueError("not a Farebox id")
    value = 0
    for character in body[:10]:
        value = value * 32 + ALPHABET.index(character)
    return value


def hold_of(request_id: str) -> HoldId:
    """The one hold under which all attempts of a request run has the request's own body."""
    return HoldId("hold_" + request_id.removeprefix("req_"))


def response_of(request_id: str) -> str:
    """The answer to a request, where it has a name that outlives it, has the request's own body."""
    return "resp_" + request_id.removeprefix("req_")


def request_of(hold_id: str) -> RequestId:
    """The request a hold was opened for."""
    return RequestId("req_" + hold_id.removeprefix("hold_"))


def _base32(value: int, length: int) -> str:
    parts: list[str] = []
    for shift in range(5 * length - 10, -1, -10):
        parts.append(_PAIRS[(value >> shift) & 1023])
    return "".join(parts)
