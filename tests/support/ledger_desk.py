"""A database with customers in it, and as many ledger writers over it as a test wants nodes.

Enters: the DSN of a fresh, migrated database. Leaves: answers of the real writers, and the rows
they left behind, read by a connection of the database's owner. `check_books` is what every test
ends with: the audit's own checks on every account, and one end for every hold.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import msgspec

from farebox.admission.commands import Admit, Answer, Capture, Ended, Extend, IdempotencyClaim, Opened, OpenHold, Void
from farebox.admission.state import AdmissionRequest, Rules, Tier
from farebox.admission.tiers import DEFAULT_TIERS
from farebox.ids import AccountId, HoldId, KeyId, LotId, MoveId
from farebox.ledger.commands import Books, Effects, Grant, LedgerRefusal, LotCategory, LotCommand, Move, Side
from farebox.ledger.invariants import Finding, audit_account, check_versions
from farebox.money import Nano
from farebox.store import ledger_rows
from farebox.store.api_keys import ApiKeys
from farebox.store.id_source import new_id
from farebox.store.ledger_alone import LockedAccount
from farebox.store.ledger_writer import LedgerWriter
from farebox.store.partitions import ensure_partitions
from farebox.store.postgres import Pool, open_pool

T = TypeVar("T")

CREDIT = 1_000_000_000
HOUR_US = 3_600_000_000
PATIENCE_S = 10.0
MODEL = "gpt-5"
RULES = Rules(DEFAULT_TIERS)


class Noted:
    """An observer that remembers why the ledger failed."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.batches: list[int] = []

    def batch_committed(self, size: int, seconds: float) -> None:
        self.batches.append(size)

    def ledger_failed(self, why: str) -> None:
        self.failures.append(why)


class Customer(msgspec.Struct, frozen=True):
    """An account with one key, and the settings' versions its requests were worked out with."""

    account_id: AccountId
    key_id: KeyId
    account_version: int = 1
    key_version: int = 1


class LedgerDesk:
    """See the module. Made by `open_desk`."""

    def __init__(self, dsn: str, owner: asyncpg.Connection, pool: Pool) -> None:
        self.dsn = dsn
        self.owner = owner
        self.pool = pool
        self.noted: dict[LedgerWriter, Noted] = {}
        """What each writer told its observer."""

    # Nodes and customers ----------------------------------------------------------------------

    async def node(
        self, dsn: str | None = None, *, rules: Callable[[], Rules] | None = None, boot_id: str | None = None
    ) -> LedgerWriter:
        """One more process's writer, stopped at the end; `dsn` may lead through a wire that can be cut."""
        noted = Noted()
        writer = LedgerWriter(
            dsn or self.dsn, rules or (lambda: RULES), boot_id=boot_id or new_id("boot"), observer=noted
        )
        await writer.start()
        self.noted[writer] = noted
        return writer

    async def customer(self, credits: int = 0, *, tier: str = "enterprise", settings: str = "{}") -> Customer:
        """An account with one key and `credits` nanocredits in a lot that never expires."""
        account_id, key_id = AccountId(new_id("acct")), KeyId(new_id("key"))
        await self.owner.execute(
            "INSERT INTO accounts (id, name, tier, created_us) VALUES ($1, 'one', $2, 0)", account_id, tier
        )
        await self.owner.execute(
            "INSERT INTO api_keys (account_id, id, name, settings, created_us) VALUES ($1, $2, 'key', $3, 0)",
            account_id,
            key_id,
            settings,
        )
        if credits:
            writer = next(iter(self.noted), None) or await self.node()
            await grant(writer, account_id, credits)
        return Customer(account_id, key_id)

    async def current(self, customer: Customer) -> Customer:
        """The customer with the settings' versions as they are now."""
        row = await self.pool.fetchrow(
            "SELECT a.settings_version AS account, k.settings_version AS key FROM accounts a, api_keys k"
            " WHERE a.id = $1 AND k.account_id = a.id AND k.id = $2",
            customer.account_id,
            customer.key_id,
        )
        assert row is not None
        return Customer(customer.account_id, customer.key_id, row["account"], row["key"])

    def api_keys(self, writer: LedgerWriter) -> ApiKeys:
        return ApiKeys(self.pool, writer)

    async def close(self) -> None:
        for writer in self.noted:
            await writer.stop()

    # What the database says -------------------------------------------------------------------

    async def account(self, customer: Customer) -> asyncpg.Record:
        row = await self.owner.fetchrow("SELECT * FROM accounts WHERE id = $1", customer.account_id)
        assert row is not None
        return row

    async def key(self, customer: Customer) -> asyncpg.Record:
        row = await self.owner.fetchrow("SELECT * FROM api_keys WHERE id = $1", customer.key_id)
        assert row is not None
        return row

    async def available(self, customer: Customer) -> int:
        return (await self.account(customer))["available"]

    async def held(self, customer: Customer) -> int:
        return (await self.account(customer))["held"]

    async def holds(self, customer: Customer) -> list[asyncpg.Record]:
        return await self.owner.fetch("SELECT * FROM holds WHERE account_id = $1 ORDER BY id", customer.account_id)

    async def charges(self, customer: Customer) -> list[asyncpg.Record]:
        return await self.owner.fetch(
            "SELECT * FROM charges WHERE account_id = $1 ORDER BY hold_id, kind", customer.account_id
        )

    async def ends(self, hold_id: str) -> list[tuple[str, str, int]]:
        """How a hold ended: kind, end, amount of each of its charge rows."""
        rows = await self.owner.fetch(
            "SELECT kind, ended, amount FROM charges WHERE hold_id = $1 ORDER BY kind", hold_id
        )
        return [(row["kind"], row["ended"], row["amount"]) for row in rows]

    async def entries(self, customer: Customer) -> list[asyncpg.Record]:
        return await self.owner.fetch(
            "SELECT * FROM entries WHERE account_id = $1 ORDER BY version, part", customer.account_id
        )

    async def check_books(self) -> None:
        """Every account adds up at one moment, and no hold ended twice, has lost its end or ended while it is open."""
        findings: list[Finding] = []
        async with self.owner.transaction(isolation="repeatable_read", readonly=True):
            for row in await self.owner.fetch("SELECT * FROM accounts"):
                findings += await self._audit(row)
            strays = await self.owner.fetch(
                "SELECT h.id FROM holds h JOIN charges c ON c.account_id = h.account_id AND c.hold_id = h.id"
            )
        assert findings == []
        assert strays == []

    async def _audit(self, row: asyncpg.Record) -> list[Finding]:
        account_id = AccountId(row["id"])
        books = Books(account_id, *(row[name] for name in Books.__struct_fields__[1:]))
        lots = await self.owner.fetch("SELECT * FROM lots WHERE account_id = $1", account_id)
        holds = await self.owner.fetch("SELECT * FROM holds WHERE account_id = $1 ORDER BY opened_us, id", account_id)
        entries = await self.owner.fetch("SELECT * FROM entries WHERE account_id = $1", account_id)
        assert row["running"] == len(holds)
        running = await self.owner.fetch("SELECT running, id FROM api_keys WHERE account_id = $1", account_id)
        assert {key["id"]: key["running"] for key in running} == {
            key["id"]: sum(hold["key_id"] == key["id"] for hold in holds) for key in running
        }
        versions = [(entry["version"], MoveId(entry["move_id"])) for entry in entries]
        return [
            *audit_account(books, ledger_rows.lot_books(lots, holds), _flows(entries)),
            *check_versions(account_id, versions, first=1, last=books.version),
        ]


@asynccontextmanager
async def open_desk(dsn: str) -> AsyncIterator[LedgerDesk]:
    """A desk over a migrated database, with partitions for now; stops its writers at the end."""
    owner = await asyncpg.connect(dsn)
    try:
        await ensure_partitions(owner, await owner.fetchval("SELECT unix_us()"))
        async with open_pool(dsn, size=4) as pool:
            desk = LedgerDesk(dsn, owner, pool)
            try:
                yield desk
            finally:
                await desk.close()
    finally:
        await owner.close()


# What customers and operators ask ---------------------------------------------------------------


def asks(customer: Customer, amount: int = 0, **fields: Any) -> AdmissionRequest:
    """A request that holds exactly `amount` nanocredits, unless `fields` say otherwise."""
    plain: dict[str, Any] = {
        "model": MODEL,
        "model_rank": 0,
        "account_version": customer.account_version,
        "key_version": customer.key_version,
        "input_tokens": 1,
        "input_numerator": amount,
        "output_numerator": 0,
        "denominator": 1,
        "output_limit": None,
        "output_max": 0,
    }
    return AdmissionRequest(**(plain | fields))


def admission(writer: LedgerWriter, customer: Customer, amount: int = 0, **fields: Any) -> Admit:
    """The command that asks for a hold of `amount`; `fields` replace those of the command."""
    request = fields.pop("request", None) or asks(customer, amount)
    command = Admit(
        account_id=customer.account_id,
        key_id=customer.key_id,
        hold_id=HoldId(new_id("hold")),
        request=request,
        hold_ttl_us=HOUR_US,
        model=MODEL,
        boot=writer.boot,
        described=f'{{"model":"{MODEL}"}}',
        catalogue_version=1,
    )
    return msgspec.structs.replace(command, **fields)


async def admit(writer: LedgerWriter, customer: Customer, amount: int, **fields: Any) -> Answer:
    """Ask for a hold of exactly `amount` nanocredits."""
    return await writer.submit(admission(writer, customer, amount, **fields), patience_s=PATIENCE_S)


async def opened(writer: LedgerWriter, customer: Customer, amount: int, **fields: Any) -> OpenHold:
    """A hold of exactly `amount`; the test fails when it is refused."""
    answer = await admit(writer, customer, amount, **fields)
    assert isinstance(answer, Opened), answer
    return answer.open


async def capture(writer: LedgerWriter, hold: OpenHold, amount: int, **fields: Any) -> Ended:
    """End a hold with a charge."""
    command = Capture(hold, Nano(amount), 1, "provider", "{}")
    return ended(await writer.submit(msgspec.structs.replace(command, **fields), patience_s=PATIENCE_S))


async def void(writer: LedgerWriter, hold: OpenHold, **fields: Any) -> Ended:
    """End a hold without a charge."""
    command = msgspec.structs.replace(Void(hold, "upstream_failed", "{}"), **fields)
    return ended(await writer.submit(command, patience_s=PATIENCE_S))


async def extend(writer: LedgerWriter, hold: OpenHold, request: AdmissionRequest) -> Answer:
    """Let a stream's hold grow."""
    return await writer.submit(Extend(hold, request), patience_s=PATIENCE_S)


async def apply(
    writer: LedgerWriter, account_id: AccountId, command: LotCommand, *, once: str | None = None
) -> Effects | LedgerRefusal | None:
    """Move credits outside a request; with `once`, the same key has one effect (None: it had it before)."""

    async def work(locked: LockedAccount) -> Effects | LedgerRefusal | None:
        if once is not None and await locked.recall("test", once) is not None:
            return None
        done = locked.apply(command)
        if once is not None and isinstance(done, Effects):
            await locked.remember("test", once, "{}")
        return done

    return await writer.under_lock(account_id, work)


async def grant(
    writer: LedgerWriter,
    account_id: AccountId,
    credits: int,
    *,
    expires_us: int | None = None,
    once: str | None = None,
) -> Effects | LedgerRefusal | None:
    """Give `credits` nanocredits in a lot of their own; with `once`, the same key gives them once."""
    command = Grant(
        MoveId(new_id("mov")), LotId(new_id("lot")), Nano(credits), LotCategory.PROMOTIONAL, expires_us=expires_us
    )
    return await apply(writer, account_id, command, once=once)


def ended(answer: Answer) -> Ended:
    assert isinstance(answer, Ended), answer
    return answer


def claim(key: str, fingerprint: bytes = b"body") -> IdempotencyClaim:
    return IdempotencyClaim(key, fingerprint)


async def until(look: Callable[[], Any], wanted: object = True, *, within_s: float = 8) -> None:
    """Look again and again until what is seen is what is wanted."""
    deadline = time.monotonic() + within_s
    while (seen := await _seen(look)) != wanted:
        assert time.monotonic() < deadline, f"still {seen!r}, not {wanted!r}"
        await asyncio.sleep(0.02)


async def _seen(look: Callable[[], Any]) -> object:
    seen = look()
    return await seen if inspect.isawaitable(seen) else seen


async def all_of(asked: Iterable[Awaitable[T]]) -> list[T]:
    """Everything asked at once."""
    return list(await asyncio.gather(*asked))


def tier_named(name: str, **limits: Any) -> Rules:
    """The default rules with one tier's limits replaced."""
    return Rules(tuple(_with_limits(tier, limits) if tier.name == name else tier for tier in DEFAULT_TIERS))


def _with_limits(tier: Tier, limits: dict[str, Any]) -> Tier:
    return msgspec.structs.replace(tier, limits=msgspec.structs.replace(tier.limits, **limits))


def _flows(entries: Sequence[asyncpg.Record]) -> dict[tuple[Move, Side, Side], int]:
    flows: dict[tuple[Move, Side, Side], int] = {}
    for entry in entries:
        route = (Move(entry["move"]), Side(entry["debit"]), Side(entry["credit"]))
        flows[route] = flows.get(route, 0) + entry["amount"]
    return flows
