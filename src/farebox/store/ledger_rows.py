"""Rows of the locking read to the pure machine's state, and its state back to columns.

Enters: asyncpg records. Leaves: `AccountState`, `KeyState`, `OpenHold`, and tuples in the
order of the parts in `ledger.sql`. A key's settings change rarely and are read on every
request, so their decoded form is kept by (key, settings version).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from farebox.admission.batch import AccountState, KeyState
from farebox.admission.commands import OpenHold
from farebox.admission.limits import Windows
from farebox.admission.state import AccountGate, Budget, KeyGate, Limits, OnLowCredits
from farebox.ids import AccountId, HoldId, KeyId, LotId
from farebox.ledger.commands import Books, Hold, Lapse, Lot, LotBooks, LotCategory
from farebox.money import Nano
from farebox.tariff.billing_mode import BillingMode


class KeySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What its owner chose for an API key: the `settings` column."""

    enabled: bool = True
    revoked_us: int | None = None
    expires_us: int | None = None
    models: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    billing_mode: BillingMode = BillingMode.PAY_PER_USE_PRIORITY
    on_low_credits: OnLowCredits = OnLowCredits.CLAMP
    limits: Limits = Limits()


_SETTINGS_KEPT = 50_000
_Chosen = tuple[
    bool, int | None, int | None, frozenset[str], tuple[str, ...], BillingMode, OnLowCredits, Limits
]  # fmt: skip
"""The fields of a `KeyGate` that are settings, in its order."""
_chosen: dict[tuple[str, int], _Chosen] = {}
_decode_settings = msgspec.json.Decoder(KeySettings).decode
_decode_budgets = msgspec.json.Decoder(tuple[Budget, ...]).decode
_decode_cap = msgspec.json.Decoder(Budget | None).decode
_decode_lapsing = msgspec.json.Decoder(tuple[Lapse, ...]).decode
_encode = msgspec.json.Encoder().encode


def account_state(row: Any, lots: LotBooks | None = None) -> AccountState:
    """A locked account row as the machine's state; its time is that of the lock."""
    account_id: AccountId = row["account_id"]
    budgets, last_us, clock_us = row["account_budgets"], row["now_us"], row["clock_us"]
    now_us = clock_us if clock_us > last_us else last_us
    books = Books(
        account_id,
        row["available"],
        row["held"],
        row["refunding"],
        row["owed"],
        row["unburned"],
        row["version"],
        row["next_expiry_us"],
    )
    gate = AccountGate(
        account_id,
        row["tier"],
        row["account_settings_version"],
        row["suspended"],
        row["account_running"],
        Windows(row["account_windows"], now_us),
        () if budgets == "[]" else _decode_budgets(budgets),
        last_us,
    )
    return AccountState(books, gate, now_us, lots)


def key_state(row: Any) -> KeyState:
    """A locked key row as the machine's state."""
    key_id, version = row["key_id"], row["key_settings_version"]
    cap, budgets = row["cap"], row["key_budgets"]
    chosen = _chosen.get((key_id, version)) or _remember(key_id, version, row["key_settings"])
    return KeyState(
        KeyGate(
            key_id,
            row["account_id"],
            version,
            *chosen,
            None if cap is None else _decode_cap(cap),
            () if budgets == "[]" else _decode_budgets(budgets),
            row["key_running"],
            Windows(row["key_windows"]),
            row["spent"],
        )
    )


def _remember(key_id: str, version: int, text: str) -> _Chosen:
    """The settings of a key as its gate has them, decoded once for each version."""
    if len(_chosen) >= _SETTINGS_KEPT:
        _chosen.clear()
    settings = _decode_settings(text)
    _chosen[key_id, version] = chosen = (
        settings.enabled,
        settings.revoked_us,
        settings.expires_us,
        frozenset(settings.models),
        settings.ip_ranges,
        settings.billing_mode,
        settings.on_low_credits,
        settings.limits,
    )
    return chosen


class AccountRow(msgspec.Struct, frozen=True, gc=False):
    """The row of `part_accounts`."""

    id: AccountId
    available: int
    held: int
    refunding: int
    owed: int
    unburned: int
    version: int
    next_expiry_us: int | None
    running: int
    windows: bytes
    budgets: str
    now_us: int


class KeyRow(msgspec.Struct, frozen=True, gc=False):
    """The row of `part_keys`."""

    account_id: AccountId
    id: KeyId
    running: int
    windows: bytes
    spent: int
    cap: str | None
    budgets: str


def account_row(state: AccountState) -> AccountRow:
    """An account's totals and gates, to write."""
    books, gate = state.books, state.gate
    return AccountRow(
        books.account_id,
        books.available,
        books.held,
        books.refunding,
        books.owed,
        books.unburned,
        books.version,
        books.next_expiry_us,
        gate.running,
        gate.windows.pack(),
        _encode(gate.budgets).decode() if gate.budgets else "[]",
        gate.now_us,
    )


def key_row(state: KeyState) -> KeyRow:
    """A key's counters, to write."""
    gate = state.gate
    return KeyRow(
        gate.account_id,
        gate.id,
        gate.running,
        gate.windows.pack(),
        gate.spent,
        None if gate.cap is None else _encode(gate.cap).decode(),
        _encode(gate.budgets).decode() if gate.budgets else "[]",
    )


class StoredHold(msgspec.Struct, frozen=True):
    """A hold row: what the machine needs, whose it is, and what its request was."""

    open: OpenHold
    boot: int | None
    request: str


_decode_model = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def stored_hold(row: Any) -> StoredHold:
    """A hold row as its values."""
    hold = Hold(
        HoldId(row["id"]),
        AccountId(row["account_id"]),
        KeyId(row["key_id"]),
        Nano(row["amount"]),
        row["opened_us"],
        row["deadline_us"],
        row["tokens_reserved"],
        () if row["lapsing"] == "[]" else _decode_lapsing(row["lapsing"]),
    )
    described = _decode_model(row["request"])
    model = msgspec.json.decode(described.get("model", msgspec.Raw(b'""')), type=str)
    return StoredHold(OpenHold(hold, row["revision"], model), row["boot"], row["request"])


def lot_books(lots: Sequence[Any], holds: Sequence[Any]) -> LotBooks:
    """An account's lots and open holds, oldest hold first."""
    open_holds = [stored_hold(row).open.hold for row in holds]
    return LotBooks({LotId(row["id"]): _lot(row) for row in lots}, {hold.id: hold for hold in open_holds})


def _lot(row: Any) -> Lot:
    return Lot(
        LotId(row["id"]),
        LotCategory(row["category"]),
        Nano(row["amount"]),
        row["created_us"],
        row["priority"],
        row["expires_us"],
        row["refundable_until_us"],
        row["payment_id"],
        Nano(row["cost_basis"]),
        row["burned"],
        row["expired"],
        row["refunding"],
        row["refunded"],
        row["charged_back"],
        row["disputed"],
    )


def lot_columns(account_id: AccountId, lot: Lot) -> tuple[object, ...]:
    """The columns of `write_lots`."""
    return (
        account_id,
        lot.id,
        lot.category.value,
        lot.amount,
        lot.created_us,
        lot.priority,
        lot.expires_us,
        lot.refundable_until_us,
        lot.payment_id,
        lot.cost_basis,
        lot.burned,
        lot.expired,
        lot.refunding,
        lot.refunded,
        lot.charged_back,
        lot.disputed,
    )


def lapsing_text(hold: Hold) -> str:
    """The `lapsing` column of a hold."""
    return _encode(hold.lapsing).decode()
