"""What the ledger writer is asked during a request, and what it answers: values only.

`batch` decides them; the store writes what they come to. Times are microseconds since 1970,
amounts nanocredits.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from farebox.admission.budgets import Announcement
from farebox.admission.rate_limits import RateNow
from farebox.admission.refusals import Refusal
from farebox.admission.state import AdmissionRequest, Admitted, Stale
from farebox.ids import AccountId, HoldId, KeyId
from farebox.ledger.commands import Hold, HoldEnd
from farebox.money import Nano


class IdempotencyClaim(msgspec.Struct, frozen=True, gc=False):
    """The caller's idempotency key and what its request looked like."""

    key: str
    fingerprint: bytes


class Admit(msgspec.Struct, frozen=True, gc=False):
    """Hold first (Law 1): may this request run, and what does it hold?"""

    account_id: AccountId
    key_id: KeyId
    hold_id: HoldId
    request: AdmissionRequest
    hold_ttl_us: int
    model: str
    boot: int
    described: str
    """What the request was, as JSON: method, model, offers, card version."""
    catalogue_version: int = 0
    """The catalogue the request was worked out with; an older one than the books know means: look again."""
    prices_from_us: int = 0
    prices_until_us: int | None = None
    """The span in which the card it was estimated with is in force; outside it the caller looks again."""
    claim: IdempotencyClaim | None = None


class OpenHold(msgspec.Struct, frozen=True, gc=False):
    """A hold as its process knows it: the row, how often it changed, and what it is for."""

    hold: Hold
    revision: int
    model: str


class Extend(msgspec.Struct, frozen=True, gc=False):
    """Output flows: hold more, up to what `request` may cause."""

    open: OpenHold
    request: AdmissionRequest


class Capture(msgspec.Struct, frozen=True, gc=False):
    """The charge of a request: `amount` to revenue, the rest of the hold released at once."""

    open: OpenHold
    amount: Nano
    tokens_used: int
    """Input and output tokens without cache reads, for the tokens-per-minute window."""
    stamp: str
    """The row of the failure policy that applied."""
    receipt: str
    kept: bytes | None = None
    """The sealed answer, when the caller gave an idempotency key."""
    kept_until_us: int = 0
    keyed: bool = False
    """The caller gave an idempotency key, which is now completed."""
    fingerprint: bytes = b""
    """Of the request's body, by which an SDK's own retry finds a kept answer."""


class Void(msgspec.Struct, frozen=True, gc=False):
    """The hold ends without a charge."""

    open: OpenHold
    stamp: str
    receipt: str
    ended: HoldEnd = HoldEnd.VOIDED
    keyed: bool = False


class LateCharge(msgspec.Struct, frozen=True, gc=False):
    """A capture whose hold has ended meanwhile: charged from what is available."""

    capture: Capture


Command = Admit | Extend | Capture | Void | LateCharge


def account_and_key_of(command: Command) -> tuple[AccountId, KeyId]:
    """Whose rows a command needs locked."""
    if isinstance(command, Admit):
        return command.account_id, command.key_id
    hold = command.capture.open.hold if isinstance(command, LateCharge) else command.open.hold
    return hold.account_id, hold.key_id


def hold_of(command: Command) -> HoldId:
    """The hold a command opens, changes or ends."""
    if isinstance(command, Admit):
        return command.hold_id
    return command.capture.open.hold.id if isinstance(command, LateCharge) else command.open.hold.id


class NeedsLots(NamedTuple):
    """Load the account's lots and open holds, then decide again."""

    account_id: AccountId


class Opened(msgspec.Struct, frozen=True, gc=False):
    """Admitted, and its hold is in the batch."""

    admitted: Admitted
    open: OpenHold
    now_us: int
    rate: RateNow
    """Requests per minute, this one counted."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Not admitted; nothing is held or counted."""

    refusal: Refusal
    rate: RateNow


class Extended(msgspec.Struct, frozen=True, gc=False):
    open: OpenHold
    output_tokens: int


class Ended(msgspec.Struct, frozen=True, gc=False):
    """A hold's end: what was charged and what the account has now."""

    amount: Nano
    available: Nano
    shortfall: Nano
    announcements: tuple[Announcement, ...] = ()


Answer = Opened | Refused | Extended | Ended | Refusal | Stale | NeedsLots
