"""The rows a batch writes, as values: one class for each part of the writing statement, fields named as its columns.

The batch notes them, the store encodes each part's rows at once and hands them to the database.
Amounts are nanocredits, times microseconds since 1970.
"""

from __future__ import annotations

import msgspec

from farebox.ids import AccountId, HoldId, KeyId, LotId, MoveId
from farebox.ledger.commands import Hold, HoldEnd, Lot, Move, Side


class OpenedRow(msgspec.Struct, frozen=True, gc=False):
    """A hold that begins."""

    account_id: AccountId
    id: HoldId
    key_id: KeyId
    amount: int
    opened_us: int
    deadline_us: int
    tokens_reserved: int
    boot: int
    request: msgspec.Raw
    """JSON as its encoder wrote it: it becomes part of the batch's own."""


class ExtendedRow(msgspec.Struct, frozen=True, gc=False):
    """A hold that grows; `revision` is the one that the batch knew."""

    account_id: AccountId
    id: HoldId
    revision: int
    amount: int
    tokens_reserved: int


class EndedRow(msgspec.Struct, frozen=True, gc=False):
    """A hold that ends; `revision` is the one that the batch knew."""

    account_id: AccountId
    id: HoldId
    revision: int


class ChargedRow(msgspec.Struct, frozen=True, gc=False):
    """How a hold ended (kind "end"), or what was charged after that ("late")."""

    account_id: AccountId
    hold_id: HoldId
    kind: str
    ended: HoldEnd
    stamp: str
    key_id: KeyId
    model: str
    held: int
    amount: int
    from_hold: int
    from_available: int
    shortfall: int
    opened_us: int
    ended_us: int
    receipt: msgspec.Raw
    """JSON as its encoder wrote it: it becomes part of the batch's own."""


class EnteredRow(msgspec.Struct, frozen=True, gc=False):
    """A journal entry."""

    account_id: AccountId
    move_id: MoveId
    part: int
    move: Move
    debit: Side
    credit: Side
    amount: int
    version: int
    at_us: int
    lot_id: LotId | None
    hold_id: HoldId | None
    corrects: MoveId | None
    reason: str | None


class ClaimedRow(msgspec.Struct, frozen=True, gc=False):
    """An idempotency key taken."""

    account_id: AccountId
    key: str
    fingerprint: bytes
    hold_id: HoldId
    created_us: int


class HoldOf(msgspec.Struct, frozen=True, gc=False):
    """The hold whose idempotency key is completed, or free again."""

    account_id: AccountId
    hold_id: HoldId


class KeptRow(msgspec.Struct, frozen=True, gc=False):
    """A sealed answer, kept for its caller."""

    account_id: AccountId
    hold_id: HoldId
    fingerprint: bytes
    sealed: bytes
    expires_us: int


class Writes(msgspec.Struct):
    """The rows of a batch by the part of the writing statement they belong to, and the rare changes beside it."""

    opened: list[OpenedRow] = []
    extended: list[ExtendedRow] = []
    ended: list[EndedRow] = []
    charged: list[ChargedRow] = []
    entered: list[EnteredRow] = []
    claimed: list[ClaimedRow] = []
    completed: list[HoldOf] = []
    freed: list[HoldOf] = []
    kept: list[KeptRow] = []
    lots: list[tuple[AccountId, Lot]] = []
    stamps: list[Hold] = []
    """Holds with another lapsing stamp."""
