"""What an audit says: every check by name, how much it looked at, and what does not add up.

Values and their counting; nothing is read or decided here. Amounts are nanocredits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec


class CheckName(StrEnum):
    """The checks, in the order of the laws they prove."""

    ENDED_ONCE = "ended_once"
    HELD = "held"
    RUNNING = "running"
    DEADLINES = "deadlines"
    ATTENDED = "attended"
    KEPT_ANSWERS = "kept_answers"
    NOT_NEGATIVE = "not_negative"
    CHARGES_ADD_UP = "charges_add_up"
    ROUTES = "routes"
    WHOLE_MOVES = "whole_moves"
    LINKS = "links"
    VERSIONS = "versions"
    TOTALS = "totals"
    LOTS = "lots"
    CHARGES_POSTED = "charges_posted"
    SPENT_BY_KEYS = "spent_by_keys"
    BUDGETS = "budgets"
    CORRECTIONS = "corrections"
    READABLE = "readable"
    FROM_LINES = "from_lines"
    FROM_PRICES = "from_prices"
    ONCE = "once"
    CLAIMS = "claims"


class Rule(NamedTuple):
    """The law a check proves, and what it says in a sentence."""

    law: int
    says: str


RULES: Mapping[CheckName, Rule] = {
    CheckName.ENDED_ONCE: Rule(2, "no hold is open and ended; a late charge follows a hold that ended without one"),
    CheckName.HELD: Rule(2, "held is the sum of the account's open holds"),
    CheckName.RUNNING: Rule(2, "accounts and keys count as many running requests as they have open holds"),
    CheckName.DEADLINES: Rule(2, "no hold is open past its deadline"),
    CheckName.ATTENDED: Rule(2, "no open hold belongs to a process that is gone"),
    CheckName.KEPT_ANSWERS: Rule(3, "every kept answer was charged"),
    CheckName.NOT_NEGATIVE: Rule(4, "no total is below zero, and nothing is available while something is owed"),
    CheckName.CHARGES_ADD_UP: Rule(4, "a charge is what the hold paid, then what was available, then shortfall"),
    CheckName.ROUTES: Rule(7, "every entry is above zero and follows a route of its move"),
    CheckName.WHOLE_MOVES: Rule(7, "the entries of a move are numbered without gap and share one version"),
    CheckName.LINKS: Rule(7, "every entry belongs to an account, a lot and a charge that exist"),
    CheckName.VERSIONS: Rule(7, "an account's moves carry every version once: no gap, no fork"),
    CheckName.TOTALS: Rule(7, "available + held, and refunding, equal the sums of their entries"),
    CheckName.LOTS: Rule(7, "lots = what came in − burned − expired − refunded; spent = burned + unburned"),
    CheckName.CHARGES_POSTED: Rule(7, "each charge is posted to revenue as it says, and nothing else is"),
    CheckName.SPENT_BY_KEYS: Rule(7, "what a key has spent is the sum of its charges"),
    CheckName.BUDGETS: Rule(7, "caps and budgets have counted the holds and charges of their period"),
    CheckName.CORRECTIONS: Rule(7, "a correction names a move of the same account and gives back no more than it took"),
    CheckName.READABLE: Rule(7, "every row can be read"),
    CheckName.FROM_LINES: Rule(8, "each charge recomputes from its own lines"),
    CheckName.FROM_PRICES: Rule(8, "each charge recomputes from its usage and the price version it names"),
    CheckName.ONCE: Rule(9, "every effect remembered by its key took place"),
    CheckName.CLAIMS: Rule(9, "a completed idempotency key has its charge, an open one its hold"),
}


class Offence(msgspec.Struct, frozen=True):
    """Something that does not add up: the row's ids, and what is wrong, in nanocredits."""

    where: str
    what: str


class Check(msgspec.Struct, frozen=True):
    """One check: how many things it looked at, how many were off, and the first of those."""

    name: CheckName
    law: int
    says: str
    checked: int
    failed: int
    offences: tuple[Offence, ...]


class Counts(msgspec.Struct):
    """What the books hold: things that an operator wants to know and that are nobody's mistake."""

    accounts: int = 0
    entries: int = 0
    open_holds: int = 0
    charges: int = 0
    captured: int = 0
    voided: int = 0
    expired: int = 0
    late: int = 0
    abandoned: int = 0
    """Holds whose process died or whose caller was gone before they began."""
    ledger_unavailable: int = 0
    """Holds voided because the ledger could not confirm their end in time."""
    reversed: int = 0
    """Charges given back by a correction."""
    charged: int = 0
    """Nanocredits, as the next two."""
    shortfall: int = 0
    """Charged beyond what customers had; the operator bears it."""
    given_back: int = 0
    """By corrections of charges."""


class AuditReport(msgspec.Struct, frozen=True):
    """The proof, or what is wrong with the books."""

    ok: bool
    checks: tuple[Check, ...]
    counts: Counts
    sides: dict[str, int]
    """What arrived at each side of the journal less what left it; the sum is zero."""
    seconds: int


class Tally:
    """Counts what the checks find while an audit runs."""

    def __init__(self, *, offences_kept: int) -> None:
        self._kept = offences_kept
        self._checked = dict.fromkeys(CheckName, 0)
        self._failed = dict.fromkeys(CheckName, 0)
        self._offences: dict[CheckName, list[Offence]] = {name: [] for name in CheckName}
        self.counts = Counts()
        self.sides: dict[str, int] = {}

    def looked(self, check: CheckName, many: int = 1) -> None:
        """So many more things were looked at."""
        self._checked[check] += many

    def found(self, check: CheckName, where: str, what: Iterable[str]) -> None:
        """What a check found in one place: each finding counts, the first few are kept."""
        for each in what:
            self._failed[check] += 1
            if len(self._offences[check]) < self._kept:
                self._offences[check].append(Offence(where, each))

    def judge(self, check: CheckName, where: str, what: Iterable[str]) -> None:
        """One thing was looked at, with these findings."""
        self.looked(check)
        self.found(check, where, what)

    def report(self, seconds: int) -> AuditReport:
        checks = tuple(
            Check(name, *RULES[name], self._checked[name], self._failed[name], tuple(self._offences[name]))
            for name in CheckName
        )
        ok = not any(self._failed.values())
        return AuditReport(ok, checks, self.counts, self.sides, seconds)
