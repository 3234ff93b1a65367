"""What the money path of one request costs by itself, step by step: no socket, no database, no event loop.

    python -m benchmarks.money_path [--tier pro] [--accounts 32] [--batch 32] [--rounds 1000] [--json]

Works requests out, admits them in one batch, rates their usage, captures them in the next batch, and
encodes the rows of both, as the gateway does. Each step is timed for itself in process time, and the
fastest of all rounds counts: what else runs on the machine only makes a round slower.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, TypeVar

import msgspec

from benchmarks.farebox_gateway import MODEL
from benchmarks.stage import PLAIN_BODY
from farebox.admission.batch import Batch
from farebox.admission.commands import Admit, Answer, Capture, Command, Opened
from farebox.admission.state import Limits, Rules, Tier
from farebox.ids import hold_of
from farebox.relay.ask import Ask
from farebox.relay.prepare import Known, Prepared, prepare
from farebox.relay.settle import Receipt
from farebox.store import ledger_rows, ledger_session
from farebox.store.catalogue import PricedModel, PriceVersion, Snapshot
from farebox.store.id_source import new_id
from farebox.store.keyring import KeyView
from farebox.tariff.compiled import Unpriced, compile_card
from farebox.tariff.conditions import Circumstances
from farebox.tariff.meters import Meter, Usage
from farebox.tariff.price_list import Model, ModelType
from farebox.tariff.rate import Basis, Charge, rate
from farebox.tariff.rate_card import RateCard
from farebox.wire.call import Call
from farebox.wire.dialect import OPENAI_CHAT

NOON_US = 1_793_534_400_000_000
HOLD_TTL_US = 3_600_000_000
DESCRIBED = '{"model":"gpt-4o-mini","dialect":"openai.chat","method":"token","card":"1"}'
PRICE = {
    "rates": {"input": "0.15", "cached_input": "0.075", "output": "0.60"},
    "overrides": [{"when": {"batch": True}, "multiply": "0.5"}],
}
TIERS = (
    Tier("enterprise", 3, 4),
    Tier("limited", 1, 2, Limits(10**6, 10**12, 10**9, 10**6)),
)
"""Without limits, as the other benchmarks have it, and with every limit, none of which is ever reached."""

Row = dict[str, Any]
T = TypeVar("T")


class Stopwatch:
    """The least time each step took, in nanoseconds of process time."""

    def __init__(self) -> None:
        self.least_ns: dict[str, int] = {}

    def time(self, step: str, work: Callable[[], T]) -> T:
        started = time.process_time_ns()
        result = work()
        spent = time.process_time_ns() - started
        self.least_ns[step] = min(spent, self.least_ns.get(step, spent))
        return result


class Course:
    """The same requests over and over, on rows that are kept as the database would."""

    def __init__(self, *, tier: str, accounts: int, batch: int) -> None:
        rules = Rules(TIERS)
        self._rows = [_row(tier) for _ in range(accounts)]
        self._rules, self._batch = rules, batch
        self._snapshot = Snapshot(1, rules, {}, {MODEL: _priced()}, (), {tier.name: tier for tier in TIERS})
        self._body = msgspec.json.encode(PLAIN_BODY)

    def round(self, watch: Stopwatch) -> None:
        """Every request once, from its call to its charge."""
        views = [_view(self._rows[place % len(self._rows)]) for place in range(self._batch)]
        asks = [Ask(new_id("req"), OPENAI_CHAT, "", [], self._body) for _ in views]
        calls = [_call(self._body) for _ in views]
        known = [Known(view, self._snapshot, NOON_US) for view in views]
        prepared = watch.time("prepare", lambda: [_prepared(*each) for each in zip(asks, calls, known, strict=True)])
        admits = [_admit(*each) for each in zip(asks, prepared, strict=True)]
        opened = self._settled(watch, "admit", admits)
        charges = watch.time("rate", lambda: [_rated(each, call) for each, call in zip(prepared, calls, strict=True)])
        texts = watch.time("receipt", lambda: [_receipt(*each) for each in zip(asks, charges, strict=True)])
        captures = [_capture(*each) for each in zip(opened, charges, texts, strict=True)]
        self._settled(watch, "capture", captures)

    def _settled(self, watch: Stopwatch, kind: str, commands: Sequence[Command]) -> list[Answer]:
        """One batch: rows to state, every decision, state and new rows to JSON."""
        accounts, keys = watch.time(f"{kind}: rows read", lambda: ledger_session.states_of(self._rows))
        batch = Batch(accounts, keys, self._rules, catalogue_version=1, boot=1)
        answers = watch.time(f"{kind}: decided", lambda: [batch.decide(command) for command in commands])
        watch.time(f"{kind}: rows written", lambda: [_encode(rows) for rows in ledger_session.parts_of(batch)[1]])
        for row in self._rows:
            _keep(row, batch)
        return answers


def _row(tier: str) -> Row:
    return {
        "account_id": new_id("acct"), "tier": tier, "suspended": False, "account_settings_version": 1,
        "available": 10**15, "held": 0, "refunding": 0, "owed": 0, "unburned": 0, "version": 1,
        "next_expiry_us": None, "account_running": 0, "account_windows": b"", "account_budgets": "[]",
        "now_us": 0, "clock_us": NOON_US, "key_id": new_id("key"), "key_settings": "{}",
        "key_settings_version": 1, "cap": None, "key_budgets": "[]", "key_running": 0, "key_windows": b"",
        "spent": 0,
    }  # fmt: skip


def _view(row: Row) -> KeyView:
    state = ledger_rows.account_state(row)
    return KeyView(state.gate, ledger_rows.key_state(row).gate, state.books, "bench", None, "bench", "", 0, 0, NOON_US)


def _priced() -> PricedModel:
    """A small text model with the prices and the override of most of its kind."""
    price = msgspec.convert(PRICE, RateCard)
    model = Model(
        id=MODEL, display_name=MODEL, provider="openai", type=ModelType.CHAT, min_tier="free", price=price,
        source="", as_of=date(2025, 10, 15), context_length=128_000, max_output_tokens=16_384,
    )  # fmt: skip
    return PricedModel(model, 0, (PriceVersion(1, 0, None, compile_card(price, "1"), None, ""),), ())


def _call(body: bytes) -> Call:
    call = OPENAI_CHAT.parse(body)
    assert isinstance(call, Call)
    return call


def _prepared(ask: Ask, call: Call, known: Known) -> Prepared:
    prepared = prepare(ask, call, known)
    assert isinstance(prepared, Prepared)
    return prepared


def _admit(ask: Ask, prepared: Prepared) -> Admit:
    view = prepared.view
    hold_id = hold_of(ask.request_id)
    return Admit(
        view.account.id, view.key.id, hold_id, prepared.admission, HOLD_TTL_US, prepared.model_id, 1, DESCRIBED, 1
    )


def _rated(prepared: Prepared, call: Call) -> Charge:
    circumstances = Circumstances(NOON_US, service_tier="default", parameters=dict(call.parameters))
    usage = Usage({Meter.INPUT: 88, Meter.CACHED_INPUT: 0, Meter.OUTPUT: 17, Meter.REASONING: 0})
    charge = rate(prepared.price.card, Basis(prepared.method, circumstances, usage, offer="chan_mock"))
    assert not isinstance(charge, Unpriced)
    return charge


def _receipt(ask: Ask, charge: Charge) -> str:
    return _encode(Receipt(ask.request_id, charge, (), (), 0, False, "openai.chat")).decode()


def _capture(opened: Answer, charge: Charge, receipt: str) -> Capture:
    assert isinstance(opened, Opened), opened
    return Capture(opened.open, charge.amount, 105, "provider", receipt)


def _keep(row: Row, batch: Batch) -> None:
    """What the writing statement would have done to the row."""
    account, key = batch.accounts[row["account_id"]], batch.keys[row["key_id"]]
    for name in ("available", "held", "unburned", "version"):
        row[name] = getattr(account.books, name)
    row |= {"account_running": account.gate.running, "account_windows": account.gate.windows.pack()}
    row |= {"key_running": key.gate.running, "key_windows": key.gate.windows.pack(), "spent": key.gate.spent}


_encode = msgspec.json.Encoder().encode


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--tier", choices=[tier.name for tier in TIERS], default="enterprise")
    options.add_argument("--accounts", type=int, default=32, help="spread each batch over so many")
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--rounds", type=int, default=1_000)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    watch = Stopwatch()
    course = Course(tier=chosen.tier, accounts=min(chosen.accounts, chosen.batch), batch=chosen.batch)
    gc.disable()
    for _ in range(chosen.rounds):
        course.round(watch)
    figures = {step: round(spent / chosen.batch / 1000, 2) for step, spent in watch.least_ns.items()}
    figures["together"] = round(sum(figures.values()), 2)
    if chosen.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{step:24} {us:6.2f} µs a request" for step, us in figures.items()))


if __name__ == "__main__":
    main()
