"""What the ledger costs by itself: holds and captures through one writer, at several batch sizes.

    python -m benchmarks.ledger_writer [--pairs 4000] [--json]

Starts a private PostgreSQL of its own, with fsync as in production, runs as many requests at once
as a batch is meant to be large, and prints pairs a second and CPU a pair, Python's and PostgreSQL's
apart (process times; Python's with the requests' own building and waiting), for one hot account and
for a thousand. Compare figures of one run only: machines differ, and so does one machine an hour later.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from benchmarks.proc import Tree
from farebox.admission.commands import Admit, Capture, Opened
from farebox.admission.state import AdmissionRequest, Rules
from farebox.admission.tiers import DEFAULT_TIERS
from farebox.ids import AccountId, HoldId, KeyId, LotId, MoveId
from farebox.ledger.commands import Grant, LotCategory
from farebox.money import Nano
from farebox.store.embedded import EmbeddedPostgres
from farebox.store.id_source import new_id
from farebox.store.ledger_alone import LockedAccount
from farebox.store.ledger_writer import LedgerWriter
from farebox.store.migrate import migrate
from farebox.store.partitions import ensure_partitions
from farebox.store.postgres import connect_owner

BATCHES = (1, 8, 32, 128)
COLD_ACCOUNTS = 1_000
WARM_UP_PAIRS = 300
REQUEST = AdmissionRequest("gpt-5", 0, 1, 1, 100, 1_000, 10, 1, 100, 1_000)

Payer = tuple[AccountId, KeyId]


class Figures(msgspec.Struct, frozen=True):
    """One measurement."""

    at_once: int
    accounts: int
    pairs_a_second: int
    mean_batch: float
    python_us: float
    """CPU of this process a hold and its capture."""
    postgres_us: float


class BatchSizes:
    """An observer that averages what was committed together."""

    def __init__(self) -> None:
        self.commands = self.batches = 0

    def batch_committed(self, size: int, seconds: float) -> None:
        self.commands += size
        self.batches += 1

    def ledger_failed(self, why: str) -> None:
        sys.exit(f"the ledger failed while it was measured: {why}")


class Bench:
    """One database and one writer, asked for pairs by so many at once."""

    def __init__(self, writer: LedgerWriter, sizes: BatchSizes, postgres: Tree) -> None:
        self._writer = writer
        self._sizes = sizes
        self._postgres = postgres

    async def measure(self, payers: Sequence[Payer], *, at_once: int, pairs: int) -> Figures:
        await self._run(payers, at_once, WARM_UP_PAIRS)
        self._sizes.commands = self._sizes.batches = 0
        postgres_us, python_s, started = self._postgres.cpu_us(), time.process_time(), time.perf_counter()
        done = await self._run(payers, at_once, pairs)
        seconds, python_s = time.perf_counter() - started, time.process_time() - python_s
        return Figures(
            at_once,
            len(payers),
            round(done / seconds),
            round(self._sizes.commands / self._sizes.batches, 1),
            round(python_s / done * 1e6, 1),
            round((self._postgres.cpu_us() - postgres_us) / done, 1),
        )

    async def _run(self, payers: Sequence[Payer], at_once: int, pairs: int) -> int:
        each = max(1, pairs // at_once)
        await asyncio.gather(*(self._pairs(payers, place * each, each) for place in range(at_once)))
        return each * at_once

    async def _pairs(self, payers: Sequence[Payer], first: int, count: int) -> None:
        for place in range(first, first + count):
            account_id, key_id = payers[place % len(payers)]
            await self._pair(account_id, key_id)

    async def _pair(self, account_id: AccountId, key_id: KeyId) -> None:
        writer = self._writer
        hold_id = HoldId(new_id("hold"))
        command = Admit(
            account_id, key_id, hold_id, REQUEST, 3_600_000_000, "gpt-5", writer.boot, '{"model":"gpt-5"}', 1
        )
        opened = await writer.submit(command, patience_s=5)
        if not isinstance(opened, Opened):
            sys.exit(f"a request was not admitted: {opened}")
        await writer.submit(Capture(opened.open, Nano(1_500), 110, "provider", "{}"), patience_s=20)


async def payers_with_credits(dsn: str, writer: LedgerWriter, count: int) -> list[Payer]:
    """So many accounts without limits, each with one key and 1,000 credits."""
    payers = [(AccountId(new_id("acct")), KeyId(new_id("key"))) for _ in range(count)]
    owner = await connect_owner(dsn)
    try:
        await owner.executemany(
            "INSERT INTO accounts (id, name, tier, created_us) VALUES ($1, 'bench', 'enterprise', 0)",
            [(account_id,) for account_id, _ in payers],
        )
        await owner.executemany(
            "INSERT INTO api_keys (account_id, id, name, settings, created_us) VALUES ($1, $2, 'bench', '{}', 0)",
            payers,
        )
    finally:
        await owner.close()
    await asyncio.gather(*(writer.under_lock(account_id, _give_credits) for account_id, _ in payers))
    return payers


async def _give_credits(locked: LockedAccount) -> None:
    locked.apply(Grant(MoveId(new_id("mov")), LotId(new_id("lot")), Nano(10**12), LotCategory.PROMOTIONAL))


async def measure_all(server: EmbeddedPostgres, pairs: int) -> list[Figures]:
    """Every batch size, for one account and for many."""
    await migrate(server.dsn)
    owner = await connect_owner(server.dsn)
    await ensure_partitions(owner, time.time_ns() // 1000)
    await owner.close()
    sizes, rules = BatchSizes(), Rules(DEFAULT_TIERS)
    writer = LedgerWriter(server.dsn, lambda: rules, boot_id=new_id("boot"), observer=sizes)
    await writer.start()
    postmaster = int((server.cluster / "postmaster.pid").read_text().split()[0])
    bench = Bench(writer, sizes, Tree((postmaster,)))
    try:
        one, many = [await payers_with_credits(server.dsn, writer, count) for count in (1, COLD_ACCOUNTS)]
        return [
            await bench.measure(payers, at_once=at_once, pairs=max(200, pairs * min(at_once, 32) // 32))
            for payers in (one, many)
            for at_once in BATCHES
        ]
    finally:
        await writer.stop()


def as_table(figures: Sequence[Figures]) -> str:
    rows = [("at once", "accounts", "pairs/s", "batch", "Python µs/pair", "PostgreSQL µs/pair")]
    rows += [tuple(str(value) for value in msgspec.structs.astuple(each)) for each in figures]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--pairs", type=int, default=4_000, help="pairs at 32 and more at once; fewer below")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="farebox-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        with EmbeddedPostgres(Path(folder) / "ledger") as server:
            figures = uvloop.run(measure_all(server, chosen.pairs))
    print(msgspec.json.encode(figures).decode() if chosen.json else as_table(figures))


if __name__ == "__main__":
    main()
