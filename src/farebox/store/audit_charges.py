"""The rules of the audit over charges and what is done once: pure, one function a rule.

Rows enter, findings leave as sentences in nanocredits. A charge is worked out again twice, from
its own lines and from its usage and the price version it names, by the code that made it
(`tariff.rate`): Law 8. Nothing is mended, nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from farebox.ledger.commands import HoldEnd
from farebox.store.audit_checks import Row
from farebox.store.catalogue import PriceVersion
from farebox.tariff.compiled import Unpriced
from farebox.tariff.rate import Charge, recompute, recompute_from_lines


class StoredReceipt(msgspec.Struct, frozen=True):
    """The part of a receipt that a charge follows from."""

    charge: Charge | None = None


def charge_of(row: Row) -> Charge | None:
    """The calculation a charge row keeps; None: it keeps none. Raises one of `UNREADABLE`."""
    return _decode_receipt(row["receipt"]).charge


def adds_up(row: Row) -> Iterator[str]:
    """Where the credits of a charge came from."""
    amount, held = row["amount"], row["held"]
    if amount != row["from_hold"] + row["from_available"] + row["shortfall"]:
        yield f"{amount} is not {row['from_hold']} + {row['from_available']} + {row['shortfall']}"
    if row["from_hold"] != min(amount, held):
        yield f"{row['from_hold']} came from a hold of {held} for a charge of {amount}"
    if amount and row["ended"] != HoldEnd.CAPTURED:
        yield f"{row['ended']} and charged {amount}"
    if min(amount, held, row["from_available"], row["shortfall"]) < 0:
        yield "an amount is below zero"


def posted(row: Row) -> Iterator[str]:
    """A charge against the entries of its move."""
    paid = row["from_hold"] + row["from_available"]
    if not row["has_account"]:
        yield "the account is not there"
    if row["paid"] != paid:
        yield f"the customer paid {paid}, the entries say {row['paid']}"
    if row["posted_shortfall"] != row["shortfall"]:
        yield f"the shortfall is {row['shortfall']}, the entries say {row['posted_shortfall']}"


def ended_once(row: Row) -> Iterator[str]:
    """A hold that ended is not open; a late charge comes after an end that charged nothing."""
    if row["is_open"]:
        yield f"{row['ended']} and still open"
    if row["kind"] == "late" and row["hold_ended"] not in (HoldEnd.VOIDED, HoldEnd.EXPIRED):
        yield f"charged late, and its hold is {row['hold_ended'] or 'not ended'}"


def from_lines(row: Row, charge: Charge | None) -> Iterator[str]:
    """The amount against the calculation kept with it."""
    if charge is None:
        if row["ended"] == HoldEnd.CAPTURED:
            yield f"charged {row['amount']} and keeps no calculation"
        return
    if charge.amount != row["amount"]:
        yield f"charged {row['amount']}, its receipt says {charge.amount}"
    if (again := recompute_from_lines(charge)) != row["amount"]:
        yield f"charged {row['amount']}, its lines come to {again}"


def from_prices(row: Row, charge: Charge, named: tuple[str, PriceVersion] | None) -> Iterator[str]:
    """The amount against the usage and the price version (with its model) that the charge names."""
    if named is None:
        yield f"price version {charge.card_id} is not there"
        return
    model, price = named
    if model != row["model"] or price.starts_us > row["opened_us"]:
        yield f"price version {charge.card_id} is of {model} from {price.starts_us} on"
    again = recompute(charge, price.card)
    if isinstance(again, Unpriced):
        yield f"price version {charge.card_id} has no price for {again.meter or 'it'}"
    elif again != row["amount"]:
        yield f"charged {row['amount']}, usage and price version {charge.card_id} come to {again}"


# Once ---------------------------------------------------------------------------------------


def remembered(row: Row) -> Iterator[str]:
    """A key whose effect is remembered: the effect is in the journal."""
    if not row["has_account"]:
        yield f"{row['account_id']} is not there"
    if row["move_id"] is not None and not row["has_entries"]:
        yield f"{row['move_id']} has no entries"


def claim(row: Row) -> Iterator[str]:
    """A caller's idempotency key: completed by a captured hold, or waiting for an open one."""
    if row["completed"] and row["ended"] != HoldEnd.CAPTURED:
        yield f"completed, and {row['hold_id']} is {row['ended'] or 'not ended'}"
    if not row["completed"] and not row["is_open"]:
        yield f"waits for {row['hold_id']}, which is {row['ended'] or 'not there'}"


def kept(row: Row) -> Iterator[str]:
    """An answer kept for its caller was charged."""
    if row["ended"] != HoldEnd.CAPTURED:
        yield f"kept, and its hold is {row['ended'] or 'not ended'}"


_decode_receipt = msgspec.json.Decoder(StoredReceipt).decode
