"""The ledger as one would write it without a thought for speed, to compare the machine with.

Every nanocredit is an item of a list and says what became of it. Each charge burns at once,
time passes one microsecond after the other, nothing is kept that could be counted. Shares no
code with the machine; amounts must be small.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

LEFT, BURNED, EXPIRED, REFUNDING, REFUNDED, TAKEN = "left", "burned", "expired", "refunding", "refunded", "taken"


@dataclass(eq=False)
class NaiveLot:
    name: str
    category: str
    amount: int
    created: int
    priority: int = 0
    expires: int | None = None
    refundable_until: int | None = None
    payment: str | None = None
    disputed: int = 0
    credits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.credits = [LEFT] * self.amount

    def count(self, state: str) -> int:
        return self.credits.count(state)

    def turn(self, before: str, after: str, times: int) -> None:
        for _ in range(times):
            self.credits[self.credits.index(before)] = after


@dataclass(eq=False)
class NaiveHold:
    name: str
    amount: int
    lapsing: list[NaiveLot] = field(default_factory=list)


@dataclass
class NaiveLedger:
    now: int = 0
    owed: int = 0
    shortfall: int = 0
    revenue: int = 0
    lots: list[NaiveLot] = field(default_factory=list)
    holds: list[NaiveHold] = field(default_factory=list)
    refunds: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By payment, the refund under way: the money, and what was deducted for spent bonus."""

    @property
    def held(self) -> int:
        return sum(hold.amount for hold in self.holds)

    @property
    def available(self) -> int:
        return sum(lot.count(LEFT) for lot in self.lots) - self.held

    @property
    def refunding(self) -> int:
        return sum(lot.count(REFUNDING) for lot in self.lots)

    def free_credits(self) -> list[NaiveLot]:
        """The lot of every credit that no expiry has caught, the next to burn first."""
        lapsing = [lot for hold in self.holds for lot in hold.lapsing]
        queue: list[NaiveLot] = []
        for lot in sorted(self.lots, key=self._turn_to_burn):
            queue += [lot] * (lot.count(LEFT) - lapsing.count(lot))
        return queue

    def burn(self, times: int) -> None:
        for lot in self.free_credits()[:times]:
            lot.turn(LEFT, BURNED, 1)

    def pass_time(self, to: int) -> None:
        while self.now < to:
            self.now += 1
            if any(lot.expires == self.now for lot in self.lots):
                self.expire_lots()

    def expire_lots(self) -> None:
        expired = [lot for lot in self.free_credits() if lot.expires is not None and lot.expires <= self.now]
        for lot in sorted(dict.fromkeys(expired), key=lambda lot: lot.expires or 0):
            for_holds = self.free_credits()[: self.held - sum(len(hold.lapsing) for hold in self.holds)]
            kept = for_holds.count(lot)
            for hold in self.holds:
                while kept and len(hold.lapsing) < hold.amount:
                    hold.lapsing.append(lot)
                    kept -= 1
                lots = list(dict.fromkeys(hold.lapsing))
                hold.lapsing.sort(key=lots.index)
            lot.turn(LEFT, EXPIRED, self.free_credits().count(lot))

    def pay_debt(self) -> None:
        paid = min(self.owed, self.available)
        self.burn(paid)
        self.owed -= paid

    def add(self, *lots: NaiveLot) -> None:
        self.lots += lots
        self.pay_debt()
        self.expire_lots()

    def end(self, hold: NaiveHold, charge: int) -> None:
        self.revenue += charge
        for _ in range(min(charge, hold.amount)):
            hold.amount -= 1
            if hold.lapsing:
                hold.lapsing.pop(0).turn(LEFT, BURNED, 1)
            else:
                self.burn(1)
            charge -= 1
        self.holds.remove(hold)
        for lot in hold.lapsing:
            lot.turn(LEFT, EXPIRED, 1)
        hold.lapsing = []
        self._pay(charge)
        self.pay_debt()

    def charge_late(self, charge: int) -> None:
        self.revenue += charge
        self._pay(charge)

    def remove(self, amount: int) -> str | None:
        if amount > self.available:
            return "insufficient_available"
        self.burn(amount)
        return None

    def start_refund(self, payment: str, limit: int | None) -> str | None:
        """Look at how things would stand if every open hold were captured whole."""
        paid, bonus = self._bought(payment)
        if paid.refundable_until is None:
            return "not_refundable"
        if self.now > paid.refundable_until:
            return "refund_window_closed"
        if payment in self.refunds:
            return "refund_under_way"
        then = copy.deepcopy(self)
        for hold in list(then.holds):
            then.end(hold, hold.amount)
        then_paid, then_bonus = then._bought(payment)
        money = then_paid.count(LEFT) - sum(lot.count(BURNED) for lot in then_bonus)
        money = min(money, paid.amount - paid.count(REFUNDED) - paid.disputed)
        if money <= 0:
            return "nothing_to_refund"
        money = min(money, limit) if limit is not None else money
        deducted = sum(lot.count(BURNED) for lot in bonus)
        paid.turn(LEFT, REFUNDING, money + deducted)
        for lot in bonus:
            lot.turn(LEFT, REFUNDING, lot.count(LEFT))
            for hold in self.holds:
                hold.lapsing = [lapsing for lapsing in hold.lapsing if lapsing is not lot]
        self.refunds[payment] = (money, deducted)
        return None

    def finish_refund(self, payment: str) -> None:
        (paid, bonus), (money, deducted) = self._bought(payment), self.refunds.pop(payment)
        paid.turn(REFUNDING, REFUNDED, money)
        paid.turn(REFUNDING, BURNED, deducted)
        for lot in bonus:
            lot.turn(REFUNDING, REFUNDED, lot.count(REFUNDING))
            lot.turn(BURNED, REFUNDED, deducted)

    def undo_refund(self, payment: str) -> None:
        paid, bonus = self._bought(payment)
        del self.refunds[payment]
        for lot in (paid, *bonus):
            lot.turn(REFUNDING, LEFT, lot.count(REFUNDING))
        self.pay_debt()
        self.expire_lots()

    def charge_back(self, payment: str, amount: int) -> str | None:
        lot, _ = self._bought(payment)
        under_way, _ = self.refunds.get(payment, (0, 0))
        if not 0 < amount <= lot.amount - lot.count(REFUNDED) - under_way - lot.disputed:
            return "amount_out_of_range"
        lot.disputed += amount
        for _ in range(amount):
            if not self.available:
                self.owed += 1
            elif lot in self.free_credits():
                lot.turn(LEFT, TAKEN, 1)
            else:
                self.burn(1)
        return None

    def bought(self, payment: str) -> NaiveLot:
        return self._bought(payment)[0]

    def _pay(self, charge: int) -> None:
        paid = min(charge, self.available)
        self.burn(paid)
        self.shortfall += charge - paid

    def _bought(self, payment: str) -> tuple[NaiveLot, list[NaiveLot]]:
        lots = [lot for lot in self.lots if lot.payment == payment]
        return next(lot for lot in lots if lot.category == "paid"), [lot for lot in lots if lot.category != "paid"]

    def _turn_to_burn(self, lot: NaiveLot) -> tuple[object, ...]:
        soonest = (lot.expires is None, lot.expires or 0)
        unpaid_first = 1 if lot.category == "paid" else 0
        return (lot.category == "credit_line", lot.priority, *soonest, unpaid_first, lot.created, lot.name)
