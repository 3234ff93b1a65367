"""A store in memory: does for one account what the ledger writer does, in the same order.

Every call first expires what is due, then decides, then keeps the entries. A command id that
was seen before returns its first result and does nothing (`once`). Lots are only shown to a
hold's end when the hold carries lapsing credits, as the store does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from farebox.ids import AccountId, HoldId, KeyId, LotId
from farebox.ledger import machine
from farebox.ledger.commands import (
    Books,
    Effects,
    Entry,
    Hold,
    HoldEnd,
    LedgerRefusal,
    Lot,
    LotBooks,
    LotCommand,
    Side,
)
from farebox.ledger.invariants import audit_account, check_versions, flows_of, side_sum
from farebox.ledger.lot_moves import apply
from farebox.ledger.lots import due_expiry, expire_lots
from farebox.money import Nano

ACCOUNT = AccountId("acct_1")
REFUSED = LedgerRefusal.INSUFFICIENT_AVAILABLE

Answer = LedgerRefusal | machine.Settlement | Effects | Hold


@dataclass
class Teller:
    books: Books = field(default_factory=lambda: Books(ACCOUNT))
    lot_books: LotBooks = field(default_factory=lambda: LotBooks({}, {}))
    entries: list[Entry] = field(default_factory=list)
    once: dict[str, Answer] = field(default_factory=dict)
    ends: dict[HoldId, HoldEnd | None] = field(default_factory=dict)
    now_us: int = 0

    def hold(self, name: str, amount: int) -> Answer:
        hold = Hold(HoldId(f"hold_{name}"), ACCOUNT, KeyId("key_1"), Nano(amount), self.now_us, self.now_us + 10**9)
        return self._once(f"open {name}", lambda: self._open(hold))

    def extend(self, name: str, by: int, nth: int = 0) -> Answer:
        return self._once(f"extend {name} {nth}", lambda: self._extend(HoldId(f"hold_{name}"), by))

    def capture(self, name: str, charge: int) -> Answer:
        return self._end(name, HoldEnd.CAPTURED, lambda hold, lots: machine.capture(self.books, hold, charge, lots))

    def void(self, name: str) -> Answer:
        return self._end(name, HoldEnd.VOIDED, lambda hold, lots: machine.void(self.books, hold, lots))

    def expire(self, name: str) -> Answer:
        return self._end(name, HoldEnd.EXPIRED, lambda hold, lots: machine.expire_hold(self.books, hold, lots))

    def late(self, name: str, amount: int) -> Answer:
        assert self.ends[HoldId(f"hold_{name}")] is not None
        charge = lambda: machine.late_charge(self.books, HoldId(f"hold_{name}"), amount)  # noqa: E731
        return self._once(f"late {name}", lambda: self._settle(charge))

    def do(self, command: LotCommand) -> Answer:
        return self._once(command.move_id, lambda: self._apply(command))

    def lot(self, name: str) -> Lot:
        return self.lot_books.lots[LotId(f"lot_{name}")]

    def side(self, side: Side) -> int:
        return side_sum(flows_of(self.entries), side)

    def findings(self) -> list[str]:
        """What the audit has to say of this account."""
        versions = [(entry.version, entry.move_id) for entry in self.entries]
        found = audit_account(self.books, self.lot_books, flows_of(self.entries))
        found += check_versions(ACCOUNT, versions, first=1, last=self.books.version)
        doubles = len(self.entries) - len({(entry.move_id, entry.part) for entry in self.entries})
        return [finding.what for finding in found] + (["a move is written twice"] if doubles else [])

    def _once(self, command_id: str, act: Callable[[], Answer]) -> Answer:
        if command_id not in self.once:
            if due_expiry(self.books, self.now_us):
                self.entries += expire_lots(self.books, self.lot_books, self.now_us).entries
            answer = act()
            if isinstance(answer, LedgerRefusal):
                return answer
            self.once[command_id] = answer
        return self.once[command_id]

    def _open(self, hold: Hold) -> Answer:
        if hold.amount > self.books.available:
            return REFUSED
        machine.open_hold(self.books, hold.amount)
        self.lot_books.holds[hold.id] = hold
        self.ends[hold.id] = None
        return hold

    def _extend(self, hold_id: HoldId, by: int) -> Answer:
        if by > self.books.available:
            return REFUSED
        self.lot_books.holds[hold_id] = machine.extend_hold(self.books, self.lot_books.holds[hold_id], by)
        return self.lot_books.holds[hold_id]

    def _end(self, name: str, end: HoldEnd, act: Callable[[Hold, LotBooks | None], machine.Settlement]) -> Answer:
        def settle() -> Answer:
            hold_id = HoldId(f"hold_{name}")
            if end not in machine.HOLD_TRANSITIONS[self.ends[hold_id]]:
                return LedgerRefusal.ALREADY_DONE
            hold = self.lot_books.holds[hold_id]
            settlement = self._settle(lambda: act(hold, self.lot_books if hold.lapsing else None))
            self.lot_books.holds.pop(hold_id, None)
            self.ends[hold_id] = end
            return settlement

        return self._once(f"{end} {name}", settle)

    def _settle(self, act: Callable[[], machine.Settlement]) -> machine.Settlement:
        settlement = act()
        self.entries += settlement.effects.entries
        return settlement

    def _apply(self, command: LotCommand) -> Answer:
        answer = apply(self.books, self.lot_books, command, self.now_us)
        if isinstance(answer, Effects):
            self.entries += answer.entries
        return answer
