"""The pure machine over a batch: commands in, answers and rows to write out.

The store's ledger writer locks the accounts and keys of a batch, hands their state to a
`Batch`, lets it decide command by command in order, and writes `Batch.writes` in one
statement. Nothing here knows a database or a clock: `now` comes with each account's state.

Keeps Laws 1, 2, 4 and 5 for what a request does: a hold is admitted whole or refused, and
ends once. A command that cannot be decided from what was loaded answers `NeedsLots` and
changes nothing; the store loads the account's lots and open holds and asks again.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from farebox.admission.admit import admit, extend, reserve, settle
from farebox.admission.budgets import Announcement
from farebox.admission.commands import (
    Admit,
    Answer,
    Capture,
    Command,
    Ended,
    Extend,
    Extended,
    LateCharge,
    NeedsLots,
    Opened,
    OpenHold,
    Refused,
    Void,
    account_and_key_of,
)
from farebox.admission.holding import covered_output
from farebox.admission.rate_limits import rate_now
from farebox.admission.refusals import Refusal
from farebox.admission.rows import (
    ChargedRow,
    ClaimedRow,
    EndedRow,
    EnteredRow,
    ExtendedRow,
    HoldOf,
    KeptRow,
    OpenedRow,
    Writes,
)
from farebox.admission.state import AccountGate, Gates, KeyGate, Rules, Stale
from farebox.admission.state import Settlement as GateSettlement
from farebox.faults import LawBroken
from farebox.ids import AccountId, KeyId
from farebox.ledger import machine
from farebox.ledger.commands import Books, Effects, Hold, HoldEnd, LotBooks
from farebox.ledger.lots import due_expiry
from farebox.ledger.machine import Settlement
from farebox.money import Nano


class AccountState:
    """One locked account: totals, gates, the clock, and the cold part when it was loaded."""

    __slots__ = ("books", "changed", "gate", "lots", "now_us")

    def __init__(self, books: Books, gate: AccountGate, now_us: int, lots: LotBooks | None = None) -> None:
        self.books = books
        self.gate = gate
        self.now_us = gate.now_us = now_us if now_us > gate.now_us else gate.now_us
        self.lots = lots
        self.changed = False


class KeyState:
    """One locked key, and its gates together with those of its account once a command has needed them."""

    __slots__ = ("changed", "gate", "gates")

    def __init__(self, gate: KeyGate) -> None:
        self.gate = gate
        self.gates: Gates | None = None
        self.changed = False


_CAPTURED = HoldEnd.CAPTURED


class Batch:
    """Decides commands one after the other over the locked state."""

    def __init__(
        self,
        accounts: Mapping[AccountId, AccountState],
        keys: Mapping[KeyId, KeyState],
        rules: Rules,
        *,
        catalogue_version: int = 0,
        boot: int | None = None,
    ) -> None:
        """`boot` is the number of the process that writes: new holds are its, whatever number a command carries."""
        self.accounts = accounts
        self.keys = keys
        self.writes = Writes()
        self._rules = rules
        self._tiers = {tier.name: tier for tier in rules.tiers}
        self._catalogue_version = catalogue_version
        self._boot = boot

    def decide(self, command: Command) -> Answer:
        """Answer one command and note its rows. Raises `LawBroken` when the books contradict it."""
        account_id, key_id = account_and_key_of(command)
        account, key = self.accounts.get(account_id), self.keys.get(key_id)
        if account is None or key is None:
            return Stale(0, 0)
        if account.lots is None and due_expiry(account.books, account.now_us):
            return NeedsLots(account_id)
        match command:
            case Admit():
                return self._admit(command, account, key)
            case Capture():
                return self._capture(command, account, key)
            case Void():
                return self._void(command, account, key)
            case Extend():
                return self._extend(command, account, key)
            case LateCharge():
                return self._late_charge(command.capture, account, key)

    def refused(self, command: Admit, refusal: Refusal) -> Refused:
        """Refuse an admission for a reason that only the store can know."""
        account, key = self.accounts[command.account_id], self.keys[command.key_id]
        return Refused(refusal, rate_now(self._gates(account, key), now_us=account.now_us))

    def note(self, account: AccountState, effects: Effects, *, reason: str | None = None) -> None:
        """Note the rows of a move: entries, lots and lapsing stamps."""
        account.changed = True
        self._note_entries(account, effects, reason)
        if effects.lots_changed:
            self.writes.lots += [(account.books.account_id, lot) for lot in effects.lots_changed.values()]
        if effects.holds_changed:
            self.writes.stamps += effects.holds_changed.values()

    def _admit(self, command: Admit, account: AccountState, key: KeyState) -> Answer:
        now_us = account.now_us
        if not self._is_current(command, now_us):
            return Stale(0, 0)
        gates = self._gates(account, key)
        decision = admit(gates, command.request, now_us=now_us)
        if isinstance(decision, Stale):
            return decision
        if isinstance(decision, Refusal):
            return Refused(decision, rate_now(gates, now_us=now_us))
        reserve(gates, decision, now_us=now_us)
        machine.open_hold(account.books, decision.amount)
        hold = Hold(
            command.hold_id,
            command.account_id,
            command.key_id,
            decision.amount,
            now_us,
            now_us + command.hold_ttl_us,
            decision.tokens_reserved,
        )
        self._note_opened(command, hold)
        account.changed = key.changed = True
        return Opened(decision, OpenHold(hold, 0, command.model), now_us, rate_now(gates, now_us=now_us))

    def _is_current(self, command: Admit, now_us: int) -> bool:
        if command.catalogue_version < self._catalogue_version or now_us < command.prices_from_us:
            return False
        return command.prices_until_us is None or now_us < command.prices_until_us

    def _extend(self, command: Extend, account: AccountState, key: KeyState) -> Answer:
        hold, gates, now_us = command.open.hold, self._gates(account, key), account.now_us
        more = extend(gates, command.request, held=hold.amount, admitted_us=hold.opened_us, now_us=now_us)
        if isinstance(more, Refusal):
            return more
        if more == 0:
            return Extended(command.open, covered_output(command.request, hold.amount))
        extended = machine.extend_hold(account.books, hold, more)
        if account.lots is not None:
            account.lots.holds[extended.id] = extended
        revision = command.open.revision
        grown = ExtendedRow(hold.account_id, hold.id, revision, extended.amount, extended.tokens_reserved)
        self.writes.extended.append(grown)
        account.changed = key.changed = True
        covered = covered_output(command.request, extended.amount)
        return Extended(OpenHold(extended, revision + 1, command.open.model), covered)

    def _capture(self, command: Capture, account: AccountState, key: KeyState) -> Answer:
        hold = command.open.hold
        if hold.lapsing and account.lots is None:
            return NeedsLots(hold.account_id)
        settlement = machine.capture(account.books, hold, command.amount, account.lots)
        announcements = self._settle(account, key, _ended(hold, command.amount, command.tokens_used))
        self._note_end(command, settlement, account)
        if command.keyed:
            self.writes.completed.append(HoldOf(hold.account_id, hold.id))
        if command.kept is not None:
            kept = KeptRow(hold.account_id, hold.id, command.fingerprint, command.kept, command.kept_until_us)
            self.writes.kept.append(kept)
        return _answer(account, settlement, announcements)

    def _void(self, command: Void, account: AccountState, key: KeyState) -> Answer:
        hold = command.open.hold
        if hold.lapsing and account.lots is None:
            return NeedsLots(hold.account_id)
        end = machine.void if command.ended is HoldEnd.VOIDED else machine.expire_hold
        settlement = end(account.books, hold, account.lots)
        announcements = self._settle(account, key, _ended(hold, 0, 0))
        self._note_end(command, settlement, account)
        if command.keyed:
            self.writes.freed.append(HoldOf(hold.account_id, hold.id))
        return _answer(account, settlement, announcements)

    def _late_charge(self, command: Capture, account: AccountState, key: KeyState) -> Answer:
        hold = command.open.hold
        settlement = machine.late_charge(account.books, hold.id, command.amount)
        late = GateSettlement(hold.opened_us, 0, command.tokens_used, Nano(0), command.amount, late=True)
        announcements = self._settle(account, key, late)
        self._note_charge(command, settlement, "late", account.now_us)
        self._note_entries(account, settlement.effects, None)
        return _answer(account, settlement, announcements)

    def _settle(self, account: AccountState, key: KeyState, ended: GateSettlement) -> tuple[Announcement, ...]:
        account.changed = key.changed = True
        told = settle(self._gates(account, key), ended, now_us=account.now_us)
        return tuple(told) if told else ()

    def _gates(self, account: AccountState, key: KeyState) -> Gates:
        """The gates of a command; those of a key are made once a batch."""
        if key.gates is None:
            tier = self._tiers.get(account.gate.tier)
            if tier is None:
                raise LawBroken(6, f"the tier {account.gate.tier} of {account.gate.id} is unknown")
            key.gates = Gates(account.gate, key.gate, account.books, tier, self._rules)
        return key.gates

    # Rows -----------------------------------------------------------------------------------

    def _note_opened(self, command: Admit, hold: Hold) -> None:
        row = OpenedRow(
            hold.account_id,
            hold.id,
            hold.key_id,
            hold.amount,
            hold.opened_us,
            hold.deadline_us,
            hold.tokens_reserved,
            command.boot if self._boot is None else self._boot,
            Raw(command.described),
        )
        self.writes.opened.append(row)
        claim = command.claim
        if claim is not None:
            claimed = ClaimedRow(hold.account_id, claim.key, claim.fingerprint, hold.id, hold.opened_us)
            self.writes.claimed.append(claimed)

    def _note_end(self, command: Capture | Void, settlement: Settlement, account: AccountState) -> None:
        hold = command.open.hold
        self.writes.ended.append(EndedRow(hold.account_id, hold.id, command.open.revision))
        self._note_charge(command, settlement, "end", account.now_us)
        self.note(account, settlement.effects)

    def _note_charge(self, command: Capture | Void, settlement: Settlement, kind: str, now_us: int) -> None:
        hold = command.open.hold
        row = ChargedRow(
            hold.account_id,
            hold.id,
            kind,
            settlement.end or _CAPTURED,
            command.stamp,
            hold.key_id,
            command.open.model,
            0 if settlement.end is None else hold.amount,
            settlement.charge,
            settlement.from_held,
            settlement.from_available,
            settlement.shortfall,
            hold.opened_us,
            now_us,
            Raw(command.receipt),
        )
        self.writes.charged.append(row)

    def _note_entries(self, account: AccountState, effects: Effects, reason: str | None) -> None:
        for entry in effects.entries:
            row = EnteredRow(
                account.books.account_id,
                entry.move_id,
                entry.part,
                entry.move,
                entry.debit,
                entry.credit,
                entry.amount,
                entry.version,
                account.now_us,
                entry.lot_id,
                entry.hold_id,
                entry.corrects,
                reason,
            )
            self.writes.entered.append(row)


def _ended(hold: Hold, charged: int, tokens_used: int) -> GateSettlement:
    return GateSettlement(hold.opened_us, hold.tokens_reserved, tokens_used, hold.amount, Nano(charged))


def _answer(account: AccountState, settlement: Settlement, announcements: tuple[Announcement, ...]) -> Ended:
    return Ended(Nano(settlement.charge), Nano(account.books.available), Nano(settlement.shortfall), announcements)
