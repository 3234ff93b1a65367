"""The group-commit ledger writer: one per process, the only way to an account's money or limits.

Commands wait in a queue; the writer takes every one waiting, locks their accounts and keys in
id order, lets the pure `Batch` decide them in order, writes once and commits once. While it
commits, the next batch gathers. What a batch cannot decide (a lot expires, a hold changed,
a row vanished, the connection broke) goes back into the queue and is decided by itself, from the
rows as they are then. Commands carry their hold's id, so a replay finds its first result.

Keeps Laws 1, 2, 4, 6, 7 and 9 together with `admission.batch` and the constraints in SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import asyncpg

from farebox.admission.batch import AccountState, Batch
from farebox.admission.commands import Answer, Command, Opened, account_and_key_of, hold_of
from farebox.admission.state import Rules
from farebox.faults import LawBroken, LedgerUnavailable
from farebox.ids import AccountId
from farebox.store.ledger_alone import CONTENDED, LockedAccount, decide_alone, run_under_lock
from farebox.store.ledger_queue import Solo, Waiting, give_up, reject
from farebox.store.ledger_session import ChangedMeanwhile, Known, LedgerSession
from farebox.store.postgres import GONE

T = TypeVar("T")

BATCH_LIMIT = 256
SOLO_PATIENCE_S = 20.0
ATTEMPT_S = 5.0
"""Longer than the server lets a statement run: what takes longer is a connection that has gone silent."""
_IDLE_S = 0.5
_RETRY_S = 0.05
_TICK_S = 0.05
"""How exactly patience is measured: one timer for everything is cheaper than one for each command and attempt."""


class Observer(Protocol):
    """Who wants to know what the writer does (metrics)."""

    def batch_committed(self, size: int, seconds: float) -> None: ...
    def ledger_failed(self, why: str) -> None: ...


class LedgerWriter:
    """See the module. Start with `start`, end with `stop`; both once."""

    def __init__(
        self, dsn: str, rules: Callable[[], Rules], *, boot_id: str, commit_gap_s: float = 0.001, observer: Observer
    ) -> None:
        self._dsn = dsn
        self._rules = rules
        self._boot_id = boot_id
        self._gap_s = commit_gap_s
        self._observer = observer
        self._queue: deque[Waiting | Solo] = deque()
        self._in_hand: Sequence[Waiting | Solo] = ()
        self._wake = asyncio.Event()
        self._session: LedgerSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._stop_by: float | None = None
        self._trouble = "none"
        self._last_commit = 0.0
        self._last_size = 0
        """How many commands the last batch took."""
        self._clock_offset_us = 0
        self.catalogue_seen = 0
        """The newest catalogue version that a batch has met."""
        self.boot = 0
        """The number of this process among the living, stamped on its holds; another one after a lost lease."""

    async def start(self) -> None:
        """Connect and begin to work. Raises `LedgerUnavailable`."""
        try:
            await self._connected()
        except TimeoutError as error:
            raise LedgerUnavailable("the database does not answer") from error
        self._task = asyncio.create_task(self._run(), name="ledger-writer")

    async def stop(self) -> None:
        """Finish what waits, give the lease back, disconnect."""
        self._stop_by = time.monotonic() + SOLO_PATIENCE_S
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._session is not None:
            with contextlib.suppress(*GONE, Known):
                await self._session.close()
            self._session = None

    @property
    def connected(self) -> bool:
        return self._session is not None

    def database_now_us(self) -> int:
        """About what the database's clock says now. For estimates only; decisions use the lock's clock."""
        return time.time_ns() // 1000 + self._clock_offset_us

    async def submit(self, command: Command, *, patience_s: float) -> Answer:
        """Decide and commit one command; the answer is true once this returns.

        Raises `LedgerUnavailable` after `patience_s` without an answer. An `Admit` nobody waits
        for any more is voided when it turns out to have been committed.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiting = Waiting(command, future, time.monotonic() + patience_s)
        self._enqueue(waiting)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled():
                self._let_go(waiting)  # answered, and its caller left in the moment before it could hear
            raise

    async def under_lock(self, account_id: AccountId, work: Callable[[LockedAccount], Awaitable[T]]) -> T:
        """Run `work` with one account locked, in one transaction, and commit.

        For everything that changes an account outside a request. `work` must be repeatable:
        it runs again when the connection broke before the commit was known, so it claims its
        effect with `LockedAccount.once`. Raises `LedgerUnavailable`, and `KeyError` for an unknown account.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._enqueue(Solo(account_id, work, future, time.monotonic() + SOLO_PATIENCE_S))
        return await future

    def _enqueue(self, item: Waiting | Solo) -> None:
        if self._task is None or self._task.done():
            raise LedgerUnavailable("the ledger writer does not run")
        self._queue.append(item)
        self._wake.set()

    def _tick(self) -> None:
        """Whatever the writer waits for: callers hear when their patience has ended, an attempt on a connection
        that fell silent is broken off, and an idle connection is looked after."""
        now = time.monotonic()
        for item in (*self._in_hand, *self._queue):
            if item.deadline <= now:
                give_up(item, self._trouble)
        if self._in_hand:
            if now - self._since > ATTEMPT_S and self._session is not None:
                self._session.abandon()
        elif not self._queue and now - self._since > _IDLE_S:
            self._since = now
            self._wake.set()
        self._ticking = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    # The loop -------------------------------------------------------------------------------

    async def _run(self) -> None:
        self._tick()
        try:
            while self._queue or await self._wait():
                if self._stop_by is not None and time.monotonic() > self._stop_by:
                    break
                await self._pace()
                await self._settle_next()
        finally:
            if self._ticking is not None:
                self._ticking.cancel()
            for item in (*self._in_hand, *self._queue):
                reject(item, LedgerUnavailable("the ledger writer has stopped"))

    async def _wait(self) -> bool:
        """Sleep until there is work, resting now and then; False when stopping."""
        while not self._queue:
            if self._stop_by is not None:
                return False
            self._wake.clear()
            await self._wake.wait()
            if not self._queue:
                await self._rest()
        return True

    async def _rest(self) -> None:
        """Nothing to do: end the chained transaction, and take a lost lease back before others think us dead."""
        if self._session is not None and self._session.is_lost:
            self._lose(LedgerUnavailable("the idle connection broke"))
        try:
            await (await self._connected()).rollback()
        except (*GONE, Known, LedgerUnavailable) as error:
            self._lose(error)

    async def _pace(self) -> None:
        """Commits start at least the gap apart, so that each takes more commands along. The first after a pause
        goes at once, and so does a lone command after another: it would wait for nobody."""
        if self._last_size == 1 == len(self._queue):
            return
        due = self._last_commit + self._gap_s - time.monotonic()
        if due > 0:
            await asyncio.sleep(due)

    async def _settle_next(self) -> None:
        """One batch, or the one item at the head that goes alone."""
        head = self._queue[0]
        if head.alone:
            self._queue.popleft()
            if head.is_wanted(time.monotonic()):
                await self._attempt([head], self._settle_alone(head))
            else:
                self._let_go(head)
            return
        batch = self._take()
        if batch:
            await self._attempt(batch, self._settle_together(batch))

    def _take(self) -> list[Waiting]:
        """Everything waiting, at most one command a hold, up to the next that goes alone."""
        taken: list[Waiting] = []
        touched: set[str] = set()
        now = time.monotonic()
        while self._queue and len(taken) < BATCH_LIMIT:
            waiting = self._queue[0]
            if isinstance(waiting, Solo) or waiting.alone:
                break
            hold_id = hold_of(waiting.command)
            if hold_id in touched:
                break
            self._queue.popleft()
            if waiting.is_wanted(now):
                touched.add(hold_id)
                taken.append(waiting)
        return taken

    # Settling -------------------------------------------------------------------------------

    async def _attempt(self, items: Sequence[Waiting | Solo], settling: Awaitable[None]) -> None:
        """Settle; whatever fails for a reason that may pass is tried again, each item alone."""
        self._in_hand, self._since, self._last_size = items, time.monotonic(), len(items)
        try:
            await settling
        except (*GONE, LedgerUnavailable) as error:
            self._lose(error)
            self._again(items)
            await asyncio.sleep(_RETRY_S)
        except (ChangedMeanwhile, *CONTENDED) as error:
            await self._undo(error)
            self._again(items)
        except Exception as error:
            # A broken law or a mistake of ours: alone, only the culprit's caller hears of it.
            await self._undo(error)
            if items[0].alone:
                reject(items[0], _as_broken_law(error))
            else:
                self._again(items)
        finally:
            self._in_hand, self._since = (), time.monotonic()

    def _again(self, items: Iterable[Waiting | Solo]) -> None:
        for item in items:
            if isinstance(item, Waiting):
                item.alone = True
            self._queue.append(item)

    def _let_go(self, item: Waiting | Solo) -> None:
        """Nobody waits for it any more; a hold it may have opened is given back."""
        end = item.left_open()
        if end is not None:
            self._queue.append(end)
            self._wake.set()

    async def _settle_together(self, batch: list[Waiting]) -> None:
        session = await self._connected()
        started = time.monotonic()
        while True:
            await session.begin()
            accounts, keys = await session.lock({account_and_key_of(waiting.command) for waiting in batch})
            desk = Batch(accounts, keys, self._rules(), catalogue_version=self.catalogue_seen, boot=session.boot)
            for waiting in batch:
                waiting.decided = desk.decide(waiting.command)
            self._last_commit = time.monotonic()
            if await self._commit(session, desk):
                break
        self._note_clock(accounts)
        self._observer.batch_committed(len(batch), time.monotonic() - started)
        for waiting in batch:
            self._resolve(waiting)

    async def _commit(self, session: LedgerSession, desk: Batch) -> bool:
        """Write and commit. False: nothing was, since the catalogue has become newer; decide again."""
        try:
            await session.write_and_commit(desk, seen=self.catalogue_seen)
        except ChangedMeanwhile:
            await session.rollback()
            if self._is_news(await session.catalogue_version()):
                return False
            raise
        return True

    async def _settle_alone(self, item: Waiting | Solo) -> None:
        session = await self._connected()
        if isinstance(item, Solo):
            result = await run_under_lock(session, item.account_id, item.work)
            if not item.future.done():
                item.future.set_result(result)
            return
        item.decided, version = await decide_alone(session, item.command, self._rules(), item.decided)
        self._last_commit = time.monotonic()
        await session.commit()
        self._is_news(version)
        self._resolve(item)

    def _resolve(self, waiting: Waiting) -> None:
        """Committed: tell the caller. What could not be decided goes alone; what nobody wants is given back."""
        if not waiting.answer():
            self._again((waiting,))
        elif isinstance(waiting.decided, Opened) and (
            waiting.future.cancelled() or waiting.future.exception() is not None
        ):
            self._let_go(waiting)

    def _is_news(self, version: int) -> bool:
        """Whether the catalogue is newer than any seen before: requests worked out on older ones look again."""
        news = version > self.catalogue_seen
        self.catalogue_seen = max(version, self.catalogue_seen)
        return news

    def _note_clock(self, accounts: dict[AccountId, AccountState]) -> None:
        for state in accounts.values():
            self._clock_offset_us = state.now_us - time.time_ns() // 1000
            return

    # The connection -------------------------------------------------------------------------

    async def _connected(self) -> LedgerSession:
        if self._session is None:
            async with asyncio.timeout(ATTEMPT_S):
                self._session = await LedgerSession.open(self._dsn, self._boot_id)
                self._is_news(await self._session.catalogue_version())
            self.boot = self._session.boot
        return self._session

    def _lose(self, error: BaseException) -> None:
        self._note_trouble(error)
        if self._session is not None:
            self._session.abandon()
            self._session = None

    def _note_trouble(self, error: BaseException) -> None:
        self._trouble = repr(error)
        self._observer.ledger_failed(type(error).__name__)

    async def _undo(self, error: BaseException) -> None:
        self._note_trouble(error)
        try:
            if self._session is not None:
                await self._session.rollback()
        except Exception as lost:
            self._lose(lost)


def _as_broken_law(error: Exception) -> Exception:
    """What the database's own constraints refuse would have broken a law that they stand for."""
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return LawBroken(7, str(error))
    return error
