"""Ledger stories in a small text language, one step a line, read top to bottom by an accountant.

    purchase   p 100 bonus 20     credits bought; the bonus lot is called p+
    hold       h 40
    capture    h 25               a refusal is named in the last column: | insufficient_available
    available  95

Amounts are credits, times are days. Steps: `day`, `purchase` (bonus, expires, bonus_expires,
refundable), `grant` (category, priority, expires), `adjust`, `hold`, `extend`, `capture`,
`void`, `expire`, `late`, `refund` (amount), `refund_done`, `refund_back`, `chargeback`,
`replay` (the last step again: nothing may change). Checks: a total (`available`, `held`,
`refunding`, `owed`, `spent`), an operator's side (`revenue`, `shortfall`, …), or a lot
(`lot p remaining 60`; whoever looks at a lot burns first). Names may be left out where there
is only one. The audit runs after every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.pure.ledger.teller import Answer, Teller

from farebox.ids import LotId, MoveId
from farebox.ledger.commands import (
    Adjust,
    Chargeback,
    Effects,
    Grant,
    LedgerRefusal,
    LotCategory,
    LotCommand,
    Purchase,
    RefundBack,
    RefundDone,
    RefundStart,
    Side,
)
from farebox.ledger.invariants import flows_of, spent
from farebox.ledger.lots import burn
from farebox.ledger.refunds import refunded_amount
from farebox.money import Nano, format_credits, parse_credits

TOTALS = ("available", "held", "refunding", "owed")
CHECKS = {*TOTALS, "spent", "lot", *(side.value for side in Side)}
DAY_US = 24 * 3600 * 1_000_000


def play(text: str) -> Teller:
    """Run a scenario and return the teller as it ends, for checks that the language has no words for."""
    stage = Stage()
    for number, line in enumerate(text.strip().splitlines(), start=1):
        step, _, refusal = line.partition("|")
        words = step.split()
        if words:
            stage.step(words, expected=refusal.strip() or None, where=f"line {number}: {line.strip()}")
    return stage.teller


class Stage:
    def __init__(self) -> None:
        self.teller = Teller()
        self.refunds: dict[str, Nano] = {}
        self.moves = 0
        self.last: Callable[[], Answer] | None = None

    def step(self, words: Sequence[str], *, expected: str | None, where: str) -> None:
        verb, *rest = words
        if verb in CHECKS:
            assert format_credits(self._seen(verb, rest)) == rest[-1], where
        elif verb == "day":
            self.teller.now_us = moment(rest)
        elif verb == "replay":
            self._replay(where)
        else:
            self._act(verb, rest, expected, where)
        assert self.teller.findings() == [], where

    def _act(self, verb: str, rest: list[str], expected: str | None, where: str) -> None:
        name = rest.pop(0) if rest and not is_amount(rest[0]) else verb[0]
        amount = parse_credits(rest.pop(0)) if rest and is_amount(rest[0]) else None
        options = dict(zip(rest[::2], rest[1::2], strict=True))
        self.moves += 1
        self.last = self._call(verb, name, amount, options)
        answer = self.last()
        refusal = answer.value if isinstance(answer, LedgerRefusal) else None
        assert refusal == expected, where
        if verb == "refund" and isinstance(answer, Effects):
            self.refunds[name] = refunded_amount(answer)

    def _call(self, verb: str, name: str, amount: Nano | None, options: dict[str, str]) -> Callable[[], Answer]:
        teller = self.teller
        match verb, amount:
            case (("void" | "expire"), None):
                return lambda: getattr(teller, verb)(name)
            case ("extend", int()):
                nth = self.moves
                return lambda: teller.extend(name, amount, nth)
            case (("hold" | "capture" | "late"), int()):
                return lambda: getattr(teller, verb)(name, amount)
            case _:
                command = self._command(verb, name, amount, options)
                return lambda: teller.do(command)

    def _command(self, verb: str, name: str, amount: Nano | None, options: dict[str, str]) -> LotCommand:
        move, lot, payment = MoveId(f"mov_{self.moves}"), LotId(f"lot_{name}"), f"pay_{name}"
        nano = amount if amount is not None else Nano(0)
        match verb:
            case "purchase":
                return self._purchase(name, nano, options)
            case "grant":
                category = LotCategory(options.get("category", "promotional"))
                return Grant(move, lot, nano, category, int(options.get("priority", 0)), day(options, "expires"))
            case "adjust":
                return Adjust(move, nano, lot)
            case "refund":
                return RefundStart(move, payment, self.teller.now_us, self._limit(options))
            case "refund_done":
                return RefundDone(move, MoveId("mov_r"), payment, amount or self.refunds[name])
            case "refund_back":
                return RefundBack(move, MoveId("mov_r"), payment, amount or self.refunds[name])
            case "chargeback":
                return Chargeback(move, payment, nano)
            case _:
                raise ValueError(f"no such step: {verb}")

    def _purchase(self, name: str, amount: Nano, options: dict[str, str]) -> Purchase:
        return Purchase(
            move_id=MoveId(f"mov_{self.moves}"),
            lot_id=LotId(f"lot_{name}"),
            amount=amount,
            payment_id=f"pay_{name}",
            cost_basis=amount,
            expires_us=day(options, "expires"),
            refundable_for_s=int(options.get("refundable", "14")) * 24 * 3600,
            bonus=parse_credits(options.get("bonus", "0")),
            bonus_lot_id=LotId(f"lot_{name}+"),
            bonus_expires_us=day(options, "bonus_expires"),
        )

    def _limit(self, options: dict[str, str]) -> Nano | None:
        return parse_credits(options["amount"]) if "amount" in options else None

    def _seen(self, verb: str, rest: list[str]) -> int:
        if verb == "lot":
            burn(self.teller.books, self.teller.lot_books)
            return getattr(self.teller.lot(rest[0]), rest[1])
        if verb == "spent":
            return spent(flows_of(self.teller.entries))
        if verb in TOTALS:
            return getattr(self.teller.books, verb)
        return self.teller.side(Side(verb))

    def _replay(self, where: str) -> None:
        assert self.last is not None, where
        before = (repr(self.teller.books), repr(self.teller.lot_books), len(self.teller.entries))
        self.last()
        assert (repr(self.teller.books), repr(self.teller.lot_books), len(self.teller.entries)) == before, where


def moment(rest: Sequence[str]) -> int:
    """`day 14` is its first microsecond, `day 14 +1` the next one."""
    return int(rest[0]) * DAY_US + (int(rest[1]) if len(rest) > 1 else 0)


def day(options: dict[str, str], name: str) -> int | None:
    return int(options[name]) * DAY_US if name in options else None


def is_amount(word: str) -> bool:
    return word.lstrip("-")[:1].isdigit()
