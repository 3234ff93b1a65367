"""Long random histories, played to the machine and to the naive model: they must agree at every step.

Held at every step, beside equality of all totals and of all lots: the audit finds nothing
(conservation), nothing is below zero, a hold ends once, and a replay of any earlier command
changes nothing. The machine burns lazily and expires at the next command, the model does
both at once: their equality shows that being lazy changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.pure.ledger.naive import BURNED, EXPIRED, LEFT, REFUNDED, REFUNDING, TAKEN, NaiveHold, NaiveLedger, NaiveLot
from tests.pure.ledger.teller import Answer, Teller

from farebox.ids import LotId, MoveId
from farebox.ledger.commands import (
    Adjust,
    Chargeback,
    Grant,
    LedgerRefusal,
    Lot,
    LotCategory,
    LotCommand,
    Purchase,
    RefundBack,
    RefundDone,
    RefundStart,
    Side,
)
from farebox.ledger.lots import expire_lots
from farebox.money import Nano

amounts = st.integers(1, 30)
picks = st.integers(0, 1000)
lifetimes = st.sampled_from([None, 1, 2, 3, 5, 8])
given_categories = st.sampled_from([category for category in LotCategory if category is not LotCategory.PAID])


class TwoLedgers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.teller = Teller()
        self.naive = NaiveLedger()
        self.names = 0
        self.payments: list[str] = []
        self.ended: list[str] = []
        self.done: list[Callable[[], Answer]] = []

    @initialize(amount=amounts, lifetime=lifetimes)
    def begin_with_a_grant(self, amount: int, lifetime: int | None) -> None:
        self.grant(amount, LotCategory.STARTER, 0, lifetime)

    @rule(step=st.integers(1, 6))
    def time_passes(self, step: int) -> None:
        self.teller.now_us += step
        self.naive.pass_time(self.teller.now_us)

    @rule(amount=amounts, category=given_categories, priority=st.integers(0, 1), lifetime=lifetimes)
    def grant(self, amount: int, category: LotCategory, priority: int, lifetime: int | None) -> None:
        name, expires = self._name(), self._after(lifetime)
        self._do(Grant(self._move(), LotId(f"lot_{name}"), Nano(amount), category, priority, expires), None)
        self.naive.add(NaiveLot(name, category.value, amount, self.naive.now, priority, expires))

    @rule(amount=amounts, bonus=st.integers(0, 15), lifetime=lifetimes, bonus_lifetime=lifetimes)
    def purchase(self, amount: int, bonus: int, lifetime: int | None, bonus_lifetime: int | None) -> None:
        name, now = self._name(), self.naive.now
        expires, bonus_expires = self._after(lifetime), self._after(bonus_lifetime)
        payment = f"pay_{name}"
        self._do(
            Purchase(
                move_id=self._move(),
                lot_id=LotId(f"lot_{name}"),
                amount=Nano(amount),
                payment_id=payment,
                cost_basis=Nano(amount),
                expires_us=expires,
                refundable_for_s=1,
                bonus=Nano(bonus),
                bonus_lot_id=LotId(f"lot_{name}+"),
                bonus_expires_us=bonus_expires,
            ),
            None,
        )
        paid = NaiveLot(name, "paid", amount, now, 0, expires, now + 1_000_000, payment)
        extra = NaiveLot(f"{name}+", "promotional", bonus, now, 0, bonus_expires, None, payment)
        self.naive.add(paid, *([extra] if bonus else []))
        self.payments.append(payment)

    @rule(amount=amounts, bonus=st.integers(1, 15), quarters=st.integers(1, 4), ends=st.booleans())
    def purchase_and_use_of_its_bonus(self, amount: int, bonus: int, quarters: int, ends: bool) -> None:
        """The start of every refund worth a look."""
        self.purchase(amount, bonus, None, 2)
        if ends:
            self.spend(quarters)
        else:
            self.hold(quarters, 0)

    @rule(amount=amounts, up=st.booleans())
    def adjust(self, amount: int, up: bool) -> None:
        name = self._name()
        if up:
            self._do(Adjust(self._move(), Nano(amount), LotId(f"lot_{name}")), None)
            self.naive.add(NaiveLot(name, "promotional", amount, self.naive.now))
        else:
            self._do(Adjust(self._move(), Nano(-amount), LotId(f"lot_{name}")), self.naive.remove(amount))

    @rule(quarters=st.integers(0, 4), more=st.integers(0, 1))
    def hold(self, quarters: int, more: int) -> None:
        name, amount = self._name(), self.naive.available * quarters // 4 + more
        refused = amount > self.naive.available
        self._run(lambda: self.teller.hold(name, amount), "insufficient_available" if refused else None)
        if not refused:
            self.naive.holds.append(NaiveHold(name, amount))

    @rule(quarters=st.integers(1, 4))
    def spend(self, quarters: int) -> None:
        name, amount = self._name(), self.naive.available * quarters // 4
        self._run(lambda: self.teller.hold(name, amount), None)
        self._run(lambda: self.teller.capture(name, amount), None)
        hold = NaiveHold(name, amount)
        self.naive.holds.append(hold)
        self._end(hold, amount)

    @precondition(lambda self: self.naive.holds)
    @rule(pick=picks, by=st.integers(0, 20))
    def extend(self, pick: int, by: int) -> None:
        hold, nth = self._pick_hold(pick), len(self.done)
        refused = by > self.naive.available
        self._run(lambda: self.teller.extend(hold.name, by, nth), "insufficient_available" if refused else None)
        hold.amount += 0 if refused else by

    @precondition(lambda self: self.naive.holds)
    @rule(pick=picks, quarters=st.integers(0, 5), more=st.integers(0, 1))
    def capture(self, pick: int, quarters: int, more: int) -> None:
        hold = self._pick_hold(pick)
        charge = hold.amount * quarters // 4 + more
        self._run(lambda: self.teller.capture(hold.name, charge), None)
        self._end(hold, charge)

    @precondition(lambda self: self.naive.holds)
    @rule(pick=picks, expires=st.booleans())
    def release(self, pick: int, expires: bool) -> None:
        hold = self._pick_hold(pick)
        self._run(lambda: self.teller.expire(hold.name) if expires else self.teller.void(hold.name), None)
        self._end(hold, 0)

    @precondition(lambda self: self.ended)
    @rule(pick=picks, other=st.sampled_from(["capture", "void", "expire"]))
    def a_second_end_is_no_end(self, pick: int, other: str) -> None:
        name = self.ended[pick % len(self.ended)]
        before = everything(self._brought_up_to_now())
        if other == "capture":
            self.teller.capture(name, 3)
        else:
            getattr(self.teller, other)(name)
        assert everything(self._brought_up_to_now()) == before

    @precondition(lambda self: self.ended)
    @rule(charge=st.integers(0, 20))
    def late_charge(self, charge: int) -> None:
        name = self.ended[-1]
        if f"late {name}" not in self.teller.once:
            self._run(lambda: self.teller.late(name, charge), None)
            self.naive.charge_late(charge)

    @precondition(lambda self: self.payments)
    @rule(pick=picks, limit=st.none() | amounts)
    def refund(self, pick: int, limit: int | None) -> None:
        payment = self.payments[pick % len(self.payments)]
        refusal = self.naive.start_refund(payment, limit)
        limit_nano = None if limit is None else Nano(limit)
        self._do(RefundStart(self._move(), payment, self.teller.now_us, limit_nano), refusal)

    @precondition(lambda self: self.naive.refunds)
    @rule(pick=picks, succeeds=st.booleans())
    def refund_ends(self, pick: int, succeeds: bool) -> None:
        payment = sorted(self.naive.refunds)[pick % len(self.naive.refunds)]
        money, _ = self.naive.refunds[payment]
        command = RefundDone if succeeds else RefundBack
        self._do(command(self._move(), MoveId("mov_start"), payment, Nano(money)), None)
        if succeeds:
            self.naive.finish_refund(payment)
        else:
            self.naive.undo_refund(payment)

    @precondition(lambda self: self.payments)
    @rule(pick=picks, part=st.none() | amounts)
    def chargeback(self, pick: int, part: int | None) -> None:
        payment = self.payments[pick % len(self.payments)]
        amount = part or self.naive.bought(payment).amount
        refusal = self.naive.charge_back(payment, amount)
        self._do(Chargeback(self._move(), payment, Nano(amount)), refusal)

    @precondition(lambda self: self.done)
    @rule(pick=picks)
    def a_replay_changes_nothing(self, pick: int) -> None:
        before = everything(self.teller)
        self.done[pick % len(self.done)]()
        assert everything(self.teller) == before

    @invariant()
    def totals_agree(self) -> None:
        books, naive = self._brought_up_to_now().books, self.naive
        assert (books.available, books.held) == (naive.available, naive.held)
        assert (books.refunding, books.owed) == (naive.refunding, naive.owed)
        assert (self.teller.side(Side.SHORTFALL), self.teller.side(Side.REVENUE)) == (-naive.shortfall, naive.revenue)
        assert min(books.available, books.held, books.refunding, books.owed, books.unburned) >= 0

    @invariant()
    def late_burning_gives_the_lots_of_burning_at_once(self) -> None:
        lots = self._brought_up_to_now().lot_books.lots
        assert {lot.id: seen(lot) for lot in lots.values()} == {
            f"lot_{lot.name}": counted(lot) for lot in self.naive.lots
        }

    @invariant()
    def lapsing_credits_agree(self) -> None:
        holds = self._brought_up_to_now().lot_books.holds
        stamps = [(hold.id, lapse.lot_id, int(lapse.amount)) for hold in holds.values() for lapse in hold.lapsing]
        assert stamps == [
            (f"hold_{hold.name}", f"lot_{lot.name}", hold.lapsing.count(lot))
            for hold in self.naive.holds
            for lot in dict.fromkeys(hold.lapsing)
        ]

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        assert self.teller.findings() == []
        assert self._brought_up_to_now().findings() == []

    def _brought_up_to_now(self) -> Teller:
        """A copy that has done what the next command that sees a lot would do first."""
        teller = deepcopy(self.teller, {id(self.teller.once): {}, id(self.teller.entries): list(self.teller.entries)})
        teller.entries += expire_lots(teller.books, teller.lot_books, teller.now_us).entries
        return teller

    def _name(self) -> str:
        self.names += 1
        return str(self.names)

    def _move(self) -> MoveId:
        return MoveId(f"mov_{self._name()}")

    def _after(self, lifetime: int | None) -> int | None:
        return None if lifetime is None else self.naive.now + lifetime

    def _pick_hold(self, pick: int) -> NaiveHold:
        return self.naive.holds[pick % len(self.naive.holds)]

    def _end(self, hold: NaiveHold, charge: int) -> None:
        self.naive.end(hold, charge)
        self.ended.append(hold.name)

    def _do(self, command: LotCommand, refusal: str | None) -> None:
        self._run(lambda: self.teller.do(command), refusal)

    def _run(self, act: Callable[[], Answer], refusal: str | None) -> None:
        answer = act()
        assert (answer.value if isinstance(answer, LedgerRefusal) else None) == refusal
        if refusal is None:
            self.done.append(act)


def everything(teller: Teller) -> tuple[str, str, int]:
    return repr(teller.books), repr(teller.lot_books), len(teller.entries)


def seen(lot: Lot) -> tuple[int, ...]:
    return lot.remaining, lot.burned, lot.expired, lot.refunding, lot.refunded, lot.charged_back, lot.disputed


def counted(lot: NaiveLot) -> tuple[int, ...]:
    states = (LEFT, BURNED, EXPIRED, REFUNDING, REFUNDED, TAKEN)
    return (*(lot.count(state) for state in states), lot.disputed)


TestTwoLedgers = TwoLedgers.TestCase
TestTwoLedgers.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
