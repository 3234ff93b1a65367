"""The words of the ledger: sides, moves, entries, holds, lots, an account's books, commands.

Values only; what they do is in `machine` and `lots`. Amounts are nanocredits, times are
microseconds since 1970 in UTC, both `int`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from farebox.ids import AccountId, HoldId, KeyId, LotId, MoveId
from farebox.money import Nano


class Side(StrEnum):
    """One side of an entry. The first two belong to the customer, the rest to the operator."""

    CUSTOMER = "customer"
    """Available plus held: holds are not entries."""
    REFUNDING = "refunding"
    CASH = "cash"
    PROMOTIONAL = "promotional"
    REVENUE = "revenue"
    REFUNDED = "refunded"
    EXPIRED = "expired"
    SHORTFALL = "shortfall"
    RECEIVABLE = "receivable"
    ADJUSTMENT = "adjustment"


class Move(StrEnum):
    """What an entry is part of."""

    PURCHASE = "purchase"
    GRANT = "grant"
    CAPTURE = "capture"
    LATE_CHARGE = "late_charge"
    EXPIRE = "expire"
    REFUND_START = "refund_start"
    REFUND_DONE = "refund_done"
    REFUND_BACK = "refund_back"
    CHARGEBACK = "chargeback"
    RECOVER = "recover"
    """What the account owes is paid out of credits that became available."""
    ADJUST = "adjust"


class LotCategory(StrEnum):
    STARTER = "starter"
    PLAN = "plan"
    PROMOTIONAL = "promotional"
    PAID = "paid"
    CREDIT_LINE = "credit_line"


class HoldEnd(StrEnum):
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"


class LedgerRefusal(StrEnum):
    """Why a command that moves credits is refused. Nothing has moved."""

    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    INSUFFICIENT_AVAILABLE = "insufficient_available"
    UNKNOWN_LOT = "unknown_lot"
    NOT_REFUNDABLE = "not_refundable"
    REFUND_WINDOW_CLOSED = "refund_window_closed"
    NOTHING_TO_REFUND = "nothing_to_refund"
    REFUND_UNDER_WAY = "refund_under_way"
    """One refund of a purchase at a time: the money of the last one is still on its way."""
    ALREADY_DONE = "already_done"


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One journal row: `amount` > 0 leaves `debit` and arrives at `credit`, so it sums to zero."""

    move: Move
    move_id: MoveId
    part: int
    """0, 1, … within the move; (account, move_id, part) is unique."""
    debit: Side
    credit: Side
    amount: Nano
    version: int
    """The account's version after the move; every move that writes entries adds one."""
    lot_id: LotId | None = None
    hold_id: HoldId | None = None
    corrects: MoveId | None = None


class Lapse(msgspec.Struct, frozen=True):
    """Credits of an expired lot that an open hold still keeps alive."""

    lot_id: LotId
    amount: Nano


class Hold(msgspec.Struct, frozen=True, gc=False):
    """An open hold. Its end is its charge row; ended holds never change."""

    id: HoldId
    account_id: AccountId
    key_id: KeyId
    amount: Nano
    opened_us: int
    deadline_us: int
    tokens_reserved: int = 0
    """What admission reserved in the tokens-per-minute window, corrected at the end."""
    lapsing: tuple[Lapse, ...] = ()


class Lot(msgspec.Struct):
    """Credits of one origin. remaining = amount − burned − expired − refunding − refunded − charged_back."""

    id: LotId
    category: LotCategory
    amount: Nano
    created_us: int
    priority: int = 0
    """Lower burns first."""
    expires_us: int | None = None
    refundable_until_us: int | None = None
    payment_id: str | None = None
    """The purchase it came with; a bonus lot carries the payment of its purchase."""
    cost_basis: Nano = Nano(0)
    """What was paid for it, in nano units of money at one credit = one unit."""
    burned: int = 0
    expired: int = 0
    refunding: int = 0
    refunded: int = 0
    charged_back: int = 0
    """Credits of this lot that a chargeback of its purchase took away."""
    disputed: int = 0
    """What the bank took back of this purchase in all, wherever it was taken from; no part of `remaining`.
    refunded + disputed ≤ amount."""

    @property
    def remaining(self) -> int:
        return self.amount - self.burned - self.expired - self.refunding - self.refunded - self.charged_back


class Books(msgspec.Struct):
    """An account's totals. Changed in place by the machine, within one batch, under the account's lock."""

    account_id: AccountId
    available: int = 0
    held: int = 0
    refunding: int = 0
    owed: int = 0
    """What the customer owes after a chargeback (the receivable), paid first by later releases and purchases."""
    unburned: int = 0
    """Spent since the last burn: lots still carry these credits, the totals no longer do."""
    version: int = 0
    next_expiry_us: int | None = None
    """When the next lot expires; a command past it burns, then expires, before anything else."""


class LotBooks(msgspec.Struct):
    """The cold part of an account, loaded only when a command can see a lot."""

    lots: dict[LotId, Lot]
    holds: dict[HoldId, Hold]
    """Every open hold of the account, oldest first."""


class Effects(msgspec.Struct, gc=False):
    """What a move changed besides the books: rows for the store to write in the same transaction."""

    # msgspec copies empty defaults; a typed factory would cost ten times as much, twice a request.
    entries: list[Entry] = []
    lots_changed: dict[LotId, Lot] = {}
    """New or changed lots."""
    holds_changed: dict[HoldId, Hold] = {}
    """Holds whose lapsing stamp changed."""


class Purchase(msgspec.Struct, frozen=True, tag="purchase"):
    """Credits bought: a paid lot, and a bonus lot when `bonus` > 0, both carrying the payment."""

    move_id: MoveId
    lot_id: LotId
    amount: Nano
    payment_id: str
    cost_basis: Nano
    expires_us: int | None = None
    refundable_for_s: int = 14 * 24 * 3600
    bonus: Nano = Nano(0)
    bonus_lot_id: LotId | None = None
    bonus_expires_us: int | None = None


class Grant(msgspec.Struct, frozen=True, tag="grant"):
    """Credits given: starter, plan or promotional, or a credit line (against `receivable`)."""

    move_id: MoveId
    lot_id: LotId
    amount: Nano
    category: LotCategory
    priority: int = 0
    expires_us: int | None = None


class Adjust(msgspec.Struct, frozen=True, tag="adjust"):
    """A correction by the operator, either sign. Negative beyond available is refused."""

    move_id: MoveId
    amount: Nano
    lot_id: LotId
    """The new lot of a positive adjustment."""
    corrects: MoveId | None = None


class RefundStart(msgspec.Struct, frozen=True, tag="refund_start"):
    """Take what is refundable of a purchase into `refunding`; at most `amount` when given."""

    move_id: MoveId
    payment_id: str
    asked_us: int
    amount: Nano | None = None


class RefundDone(msgspec.Struct, frozen=True, tag="refund_done"):
    """The money went back: `refunding` → `refunded`."""

    move_id: MoveId
    refund_move_id: MoveId
    payment_id: str
    amount: Nano


class RefundBack(msgspec.Struct, frozen=True, tag="refund_back"):
    """The money could not go back: the credits return to the same lot."""

    move_id: MoveId
    refund_move_id: MoveId
    payment_id: str
    amount: Nano


class Chargeback(msgspec.Struct, frozen=True, tag="chargeback"):
    """The bank took `amount` of a purchase back: take what is available, the rest is owed."""

    move_id: MoveId
    payment_id: str
    amount: Nano


LotCommand = Purchase | Grant | Adjust | RefundStart | RefundDone | RefundBack | Chargeback
