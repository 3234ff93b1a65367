"""Nodes over one database, customers with much and with little credit, clients at work, and the reckoning afterwards.

async with CrashSite(dsn, folder, seed=7, nodes=2) as site:
    load = site.load(clients=12)
    await asyncio.sleep(1)
    await site.kill(site.nodes[0])
    reckoning = await site.reckon(load)
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.faults.books_at_rest import read_books
from tests.faults.comparison import Figures, Hit, compare
from tests.faults.load import Load
from tests.faults.node import Node, until
from tests.support.gateway import Customer

from farebox.admission.state import Budget
from farebox.config import load_settings
from farebox.ids import AccountId
from farebox.main import Books, open_books, set_up
from farebox.money import parse_credits
from farebox.store.api_keys import NewKey
from farebox.store.audit import audit
from farebox.store.audit_report import AuditReport
from farebox.store.catalogue_changes import ChannelRow
from farebox.store.id_source import new_id
from farebox.store.postgres import open_pool

CHANNELS = 4
SETTLED_S = 15.0
"""Longer than a lease takes to be found free, its holds to be voided and a kept end to be seen to."""
SHOWN = 12
RICH, POOR = "50", "0.03"
WORDS_OF_FAULTS = ("LawBroken", "request failed", "never awaited", "never retrieved")


@dataclass(frozen=True)
class Reckoning:
    """What a run came to."""

    seed: int
    figures: Figures
    wrong: list[str]
    audit: AuditReport
    settled_s: float
    """How long after the last client had gone the last hold was ended."""

    @property
    def discrepancies(self) -> list[str]:
        """All that does not agree, the audit's findings among it."""
        return [*self.wrong, *(f"audit {check.name}: {each}" for check in self.audit.checks for each in check.offences)]

    def assert_exact(self) -> None:
        if self.discrepancies:
            shown = "\n".join(self.discrepancies[:SHOWN])
            raise AssertionError(f"seed {self.seed}, {self.figures}: {len(self.discrepancies)} wrong\n{shown}")


class CrashSite:
    """See the module. `seed` decides who does what and, in the tests, what is hit when."""

    def __init__(
        self, dsn: str, folder: Path, *, seed: int, nodes: int = 2, workers: int = 1, embedded: bool = False
    ) -> None:
        """`embedded`: the database is the embedded one of `folder`, and the first node is its gateway."""
        self.dsn = dsn
        self.dice = random.Random(seed)
        self.seed = seed
        self.hits: list[Hit] = []
        self.customers: list[Customer] = []
        self._folder = folder
        self.nodes = [
            Node(folder, settings={} if embedded and not number else {"database_url": dsn}, workers=workers)
            for number in range(nodes)
        ]

    async def __aenter__(self) -> Self:
        await set_up(self.dsn)
        await self.equip()
        try:
            for node in self.nodes:
                node.start()
            await asyncio.gather(*(node.ready() for node in self.nodes))
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        for node in self.nodes:
            node.end()

    # Who there is ----------------------------------------------------------------------------

    async def equip(self, *, rich: int = 3, poor: int = 3, keys: int = 3) -> None:
        """Channels to the sandbox; accounts of either kind, each with several keys, one of those with a cap."""
        async with self.books() as books:
            for _ in range(CHANNELS):
                channel = new_id("chan")
                row = ChannelRow(channel, channel, "sandbox", "http://sandbox", True, {"models": {"*": "*"}})
                await books.changes.put_channel(row, secrets=("sandbox",))
            for number in range(rich + poor):
                await self._account(books, RICH if number < rich else POOR, keys)

    async def _account(self, books: Books, credits: str, keys: int) -> None:
        account = await books.accounts.create(new_id("name"), tier="enterprise", starter=parse_credits(credits))
        for number in range(keys):
            cap = Budget("cap", parse_credits("0.02")) if credits == RICH and number == 0 else None
            key = await books.api_keys.create(account.id, "clients", cap=cap)
            assert isinstance(key, NewKey), key
            self.customers.append(Customer(account.id, key.id, key.secret))

    async def top_up(self, credits: str) -> None:
        """Grant every account some more, as an operator does while the gateways work."""
        async with self.books() as books:
            for account_id in sorted({customer.account_id for customer in self.customers}):
                await books.accounts.grant(AccountId(account_id), parse_credits(credits), key=new_id("grant"))

    @asynccontextmanager
    async def books(self) -> AsyncGenerator[Books, None]:
        """The books as a command has them, with a ledger writer of its own."""
        settings = load_settings({"data_dir": str(self._folder), "database_url": self.dsn}, environment={})
        async with open_books(settings, self.dsn) as books:
            yield books

    # What happens ----------------------------------------------------------------------------

    def load(self, *, nodes: Sequence[Node] = (), customers: Sequence[Customer] = (), pause_s: float = 0.02) -> Load:
        """The customers' clients begin: everybody, asking any node, unless it is said otherwise."""
        ports = [node.port for node in nodes or self.nodes]
        return Load(ports, customers or self.customers, seed=self.seed, pause_s=pause_s)

    async def kill(self, *nodes: Node, down_s: float = 0.0) -> None:
        """SIGKILL, stay down for a while, come back."""
        for node in nodes:
            began_us = now_us()
            node.kill()
            self.hits.append(Hit("kill", node.port, began_us, now_us()))
        await asyncio.sleep(down_s)
        await asyncio.gather(*(node.run() for node in nodes))

    async def kill_some(self, node: Node, pids: Sequence[int]) -> None:
        """SIGKILL to some of a node's processes; the others are on their own."""
        began_us = now_us()
        node.signal(signal.SIGKILL, pids)
        await asyncio.sleep(0.1)
        self.hits.append(Hit("kill of some", node.port, began_us, now_us()))

    async def freeze(self, node: Node, seconds: float) -> None:
        """SIGSTOP for so long."""
        began_us = now_us()
        pids = node.freeze()
        await asyncio.sleep(seconds)
        node.thaw(pids)
        self.hits.append(Hit("freeze", node.port, began_us, now_us()))

    # The reckoning ---------------------------------------------------------------------------

    async def reckon(self, *loads: Load) -> Reckoning:
        """Stop the load, wait until nothing is held, audit, compare."""
        await asyncio.gather(*(load.stop() for load in loads))
        began = time.monotonic()
        await until(self._is_at_rest, SETTLED_S, "holds are still open")
        settled_s = time.monotonic() - began
        async with open_pool(self.dsn, size=2) as pool:
            report = await audit(pool)
        books = await read_books(self.dsn)
        attempts = [attempt for load in loads for attempt in load.attempts]
        figures, wrong = compare(attempts, self.hits, books)
        return Reckoning(self.seed, figures, [*wrong, *self._said()], report, settled_s)

    async def _is_at_rest(self) -> bool:
        return not (await read_books(self.dsn)).open_holds

    def _said(self) -> list[str]:
        """What a gateway logged that no crash explains."""
        lines = [line for node in self.nodes for line in node.log.read_text(errors="replace").splitlines()]
        return [line for line in lines if any(words in line for words in WORDS_OF_FAULTS)]


def now_us() -> int:
    return time.time_ns() // 1000
