"""The rules of the audit over accounts and entries as the database has them: pure, one function a rule.

Rows enter, findings leave as sentences in nanocredits: none when all is well. What holds of an
account's totals and lots `ledger.invariants` states; here stands what only stored rows can get
wrong: counters, links, ids. Nothing is mended, nothing is read. Charges: `audit_charges`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from farebox.admission.state import Budget
from farebox.ids import AccountId, HoldId
from farebox.ledger.commands import Books, Hold, LotBooks, Move, Side
from farebox.ledger.invariants import Flows
from farebox.ledger.machine import move_of
from farebox.ledger.posting import ROUTES
from farebox.store.ledger_rows import lot_books

Row = Mapping[str, Any]

UNREADABLE = (msgspec.MsgspecError, ValueError, KeyError, ArithmeticError)
"""What reading a damaged row raises."""


class AccountRows(NamedTuple):
    """An account and all that must agree with it, from one snapshot."""

    row: Row
    keys: Sequence[Row]
    holds: Sequence[Row]
    lots: Sequence[Row]
    flows: Sequence[Row]
    charged: Sequence[Row]
    """Σ of its charges by key and kind."""


class Opened(NamedTuple):
    """An account's rows as the ledger's own values."""

    books: Books
    lot_books: LotBooks
    flows: Flows

    @property
    def holds(self) -> Iterable[Hold]:
        return self.lot_books.holds.values()


class Counted(NamedTuple):
    """A cap or budget, whose charges it counts (`key_id` "" for all of the account), and what they sum to."""

    key_id: str
    budget: Budget
    charged: int = 0
    charged_earlier: int = 0


# Accounts -----------------------------------------------------------------------------------


def open_account(rows: AccountRows) -> Opened:
    """The rows as values. Raises one of `UNREADABLE` for rows that are none."""
    row = rows.row
    books = Books(
        AccountId(row["id"]),
        row["available"],
        row["held"],
        row["refunding"],
        row["owed"],
        row["unburned"],
        row["version"],
        row["next_expiry_us"],
    )
    return Opened(books, lot_books(rows.lots, rows.holds), _flows(rows.flows))


def _flows(rows: Iterable[Row]) -> Flows:
    """Sums by route; words that are none are left out: `route` names them entry by entry."""
    words = frozenset(Move), frozenset(Side)
    return {
        (Move(row["move"]), Side(row["debit"]), Side(row["credit"])): int(row["amount"])
        for row in rows
        if row["move"] in words[0] and row["debit"] in words[1] and row["credit"] in words[1]
    }


def running(rows: AccountRows) -> Iterator[str]:
    """The counters of the account and of each key against the open holds."""
    by_key = {key["id"]: 0 for key in rows.keys}
    for hold in rows.holds:
        by_key[hold["key_id"]] = by_key.get(hold["key_id"], 0) + 1
    counters = {key["id"]: key["running"] for key in rows.keys}
    if rows.row["running"] != len(rows.holds):
        yield f"counts {rows.row['running']} running, {len(rows.holds)} holds are open"
    for key_id, holds in by_key.items():
        if counters.get(key_id) != holds:
            yield f"{key_id} counts {counters.get(key_id)} running, {holds} holds are open"


def spent_by_keys(rows: AccountRows) -> Iterator[str]:
    """What each key has spent against its charges."""
    charged = dict.fromkeys((row["key_id"] for row in rows.charged), 0)
    for row in rows.charged:
        charged[row["key_id"]] += int(row["amount"])
    spent = {key["id"]: key["spent"] for key in rows.keys}
    for key_id in spent | charged:
        if spent.get(key_id) != charged.get(key_id, 0):
            yield f"{key_id} has spent {spent.get(key_id)}, its charges sum to {charged.get(key_id, 0)}"


def revenue(rows: AccountRows, flows: Flows) -> Iterator[str]:
    """All charges together against all that went to revenue: so no entry charges without a charge row."""
    for kind, move in (("end", Move.CAPTURE), ("late", Move.LATE_CHARGE)):
        of_kind = [row for row in rows.charged if row["kind"] == kind]
        for side, column in ((Side.CUSTOMER, "paid"), (Side.SHORTFALL, "shortfall")):
            charged = sum(int(row[column]) for row in of_kind)
            posted = flows.get((move, side, Side.REVENUE), 0)
            if charged != posted:
                yield f"{move} entries from {side} to revenue sum to {posted}, the charges to {charged}"


def budgets_of(rows: AccountRows) -> list[Counted]:
    """Every cap and budget of an account and its keys."""
    found = [Counted("", budget) for budget in _decode_budgets(rows.row["budgets"])]
    for key in rows.keys:
        cap = () if key["cap"] is None else (_decode_budget(key["cap"]),)
        found += [Counted(key["id"], budget) for budget in (*cap, *_decode_budgets(key["budgets"]))]
    return found


def budget(counted: Counted, holds: Iterable[Hold]) -> Iterator[str]:
    """A cap's or budget's counters against the holds and charges admitted in its period and the one before."""
    of_key = [hold for hold in holds if counted.key_id in ("", hold.key_id)]
    it = counted.budget
    held = sum(hold.amount for hold in of_key if hold.opened_us >= it.period_start_us)
    earlier = sum(hold.amount for hold in of_key if it.earlier_start_us <= hold.opened_us < it.period_start_us)
    sums = {
        "held": (it.held, held),
        "used": (it.used, held + counted.charged),
        "used in the period before": (it.earlier_used, earlier + counted.charged_earlier),
    }
    for name, (stored, summed) in sums.items():
        if stored != summed:
            yield f"budget {it.id} counts {stored} {name}, its holds and charges sum to {summed}"


def overdue(hold: Hold, now_us: int) -> Iterator[str]:
    """A hold still open past its deadline."""
    if hold.deadline_us < now_us:
        yield f"is open {(now_us - hold.deadline_us) // 1_000_000} s past its deadline and the time allowed to end it"


def correction(row: Row) -> Iterator[str]:
    """What corrects a move: the move is there, and a charge is not given back more than once."""
    if not row["moves"]:
        yield f"corrects {row['corrects']}, which is no move of this account"
    elif row["charged"] is not None and row["amount"] > row["charged"]:
        yield f"{row['amount']} are given back of {row['corrects']}, which took {row['charged']}"


class Versions:
    """The versions of one account, seen in order: each carried by one move, none left out.

    The same rule as `ledger.invariants.check_versions`, in constant memory.
    """

    def __init__(self) -> None:
        self._last = 0
        self._move = ""

    def see(self, version: int, move_id: str) -> Iterator[str]:
        """The next (version, move) in order of versions."""
        if version == self._last:
            yield f"version {version} is carried by {self._move} and {move_id}"
        elif version > self._last + 1:
            yield f"versions {self._last + 1} to {version - 1} are missing"
        self._last, self._move = version, move_id

    def end(self, version: int) -> Iterator[str]:
        """No more entries; `version` is the account row's."""
        if self._last < version:
            yield f"versions {self._last + 1} to {version} are missing"
        elif self._last > version:
            yield f"version {self._last} of {self._move} is beyond the account's {version}"


# Entries ------------------------------------------------------------------------------------


def route(entry: Row) -> Iterator[str]:
    """Above zero, and along a route of its move."""
    routes = ROUTES[Move(entry["move"])] if entry["move"] in frozenset(Move) else frozenset[Any]()
    if (entry["debit"], entry["credit"]) not in routes:
        yield f"{entry['move']} leads from {entry['debit']} to {entry['credit']}"
    if entry["amount"] <= 0:
        yield f"the amount is {entry['amount']}"


def links(entry: Row) -> Iterator[str]:
    """What an entry names is there, and a move of a hold has the id that follows from it."""
    for flag, thing in (("has_account", "account_id"), ("has_lot", "lot_id"), ("has_charge", "hold_id")):
        if not entry[flag]:
            yield f"{entry[thing]} is not there" if thing != "hold_id" else f"{entry[thing]} has no charge for it"
    if entry["hold_id"] is not None:
        expected = move_of(HoldId(entry["hold_id"]), "_late" if entry["move"] == Move.LATE_CHARGE else "")
        if entry["move_id"] != expected:
            yield f"{entry['hold_id']} is ended by {expected}"


def whole(before: Row | None, entry: Row) -> Iterator[str]:
    """An entry after the one before it: parts 0, 1, … of a move, under one version."""
    follows = before is not None and before["account_id"] == entry["account_id"]
    if before is None or not follows or before["move_id"] != entry["move_id"]:
        if entry["part"] != 0:
            yield f"the move begins with part {entry['part']}"
        return
    if entry["part"] != before["part"] + 1:
        yield f"part {entry['part']} follows part {before['part']}"
    if entry["version"] != before["version"]:
        yield f"part {entry['part']} has version {entry['version']}, part {before['part']} has {before['version']}"


_decode_budget = msgspec.json.Decoder(Budget).decode
_decode_budgets = msgspec.json.Decoder(tuple[Budget, ...]).decode
