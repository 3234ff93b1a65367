"""The group-commit ledger writer: one per process, the only way to an account's money or limits.

Commands wait in a queue; the writer takes every one waiting, locks their accounts and keys in
id order, lets the pure `Batch` decide them in order, writes once and commits once. While it
commits, the next batch gathers. What a batch cannot decide (a lot expires, a hold changed,
a row vanished, the connection broke) is decided command by command, from the rows as they
are then. Commands carry their hold's id, so a replay finds its first result.

Keeps Laws 1, 2, 4, 6, 7 and 9 together with `admission.batch` and the constraints in SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from farebox.admission.batch import AccountState, Batch
from farebox.admission.commands import Admit, Answer, Command, NeedsLots, Opened, Void, account_and_key_of, hold_of
from farebox.admission.state import Rules
from farebox.faults import LedgerUnavailable
from farebox.ids import AccountId
from farebox.store.ledger_alone import CONTENDED, LockedAccount, run_under_lock, settle_alone
from farebox.store.ledger_session import ChangedMeanwhile, Known, LedgerSession
from farebox.store.postgres import GONE

T = TypeVar("T")

BATCH_LIMIT = 256
_IDLE_S = 0.5
_RETRY_S = 0.05
SOLO_PATIENCE_S = 20.0


class Observer(Protocol):
    """Who wants to know what the writer does (metrics)."""

    def batch_committed(self, size: int, seconds: float) -> None: ...
    def ledger_failed(self, why: str) -> None: ...


class _Waiting:
    """A command in the queue, its caller's future, and what was last decided for it."""

    __slots__ = ("command", "deadline", "decided", "future")

    def __init__(self, command: Command, future: asyncio.Future[Answer], deadline: float) -> None:
        self.command = command
        self.future = future
        self.deadline = deadline
        self.decided: Answer | None = None


class _Solo(NamedTuple):
    """Work that takes an account's lock for itself."""

    account_id: AccountId
    work: Callable[[LockedAccount], Awaitable[object]]
    future: asyncio.Future[object]


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
        self._queue: deque[_Waiting | _Solo] = deque()
        self._wake = asyncio.Event()
        self._session: LedgerSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._last_commit = 0.0
        self._clock_offset_us = 0
        self.catalogue_seen = 0
        """The newest catalogue version that came with a write."""

    async def start(self) -> None:
        """Connect and begin to work. Raises `LedgerUnavailable`."""
        self._session = await LedgerSession.open(self._dsn, self._boot_id)
        self._task = asyncio.create_task(self._run(), name="ledger-writer")

    async def stop(self) -> None:
        """Finish what waits, give the lease back, disconnect."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._session is not None:
            with contextlib.suppress(*GONE, Known):
                await self._session.close()

    @property
    def boot(self) -> int:
        """The number of this process among the living; stamped on its holds."""
        if self._session is None:
            raise LedgerUnavailable("the ledger is not connected")
        return self._session.boot

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
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._queue.append(_Waiting(command, future, time.monotonic() + patience_s))
        self._wake.set()
        handle = loop.call_later(patience_s, _give_up, future)
        try:
            return await future
        finally:
            handle.cancel()

    async def under_lock(self, account_id: AccountId, work: Callable[[LockedAccount], Awaitable[T]]) -> T:
        """Run `work` with one account locked, in one transaction, and commit.

        For everything that changes an account outside a request. `work` must be repeatable:
        it runs again when the connection broke before the commit was known, so it claims its
        effect with `LockedAccount.once`. Raises `LedgerUnavailable`, and `KeyError` for an unknown account.
        """
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._queue.append(_Solo(account_id, work, future))
        self._wake.set()
        return await future  # type: ignore[return-value]

    # The loop -------------------------------------------------------------------------------

    async def _run(self) -> None:
        while self._queue or await self._wait():
            await self._pace()
            if isinstance(self._queue[0], _Solo):
                await self._settle_solo(self._queue.popleft())  # type: ignore[arg-type]
            else:
                await self._settle(self._take())

    async def _wait(self) -> bool:
        """Sleep until there is work; False when stopping. A chained transaction is ended when idle."""
        while not self._queue:
            if self._stopping:
                return False
            self._wake.clear()
            try:
                async with asyncio.timeout(_IDLE_S):
                    await self._wake.wait()
            except TimeoutError:
                await self._rest()
        return True

    async def _rest(self) -> None:
        if self._session is not None and self._session.in_transaction:
            try:
                await self._session.rollback()
            except (*GONE, Known) as error:
                self._lose(error)

    async def _pace(self) -> None:
        """Commits start at least the gap apart; the first after a pause goes at once."""
        due = self._last_commit + self._gap_s - time.monotonic()
        if due > 0:
            await asyncio.sleep(due)

    def _take(self) -> list[_Waiting]:
        """Everything waiting, at most one command a hold, up to the next solo.

        A command whose caller gave up is dropped; an end whose caller was cancelled still counts (Law 2).
        """
        taken: list[_Waiting] = []
        touched: set[str] = set()
        while self._queue and len(taken) < BATCH_LIMIT:
            waiting = self._queue[0]
            if isinstance(waiting, _Solo) or hold_of(waiting.command) in touched:
                break
            self._queue.popleft()
            if not waiting.future.done() or (waiting.future.cancelled() and not isinstance(waiting.command, Admit)):
                touched.add(hold_of(waiting.command))
                taken.append(waiting)
        return taken

    # Settling -------------------------------------------------------------------------------

    async def _settle(self, batch: list[_Waiting]) -> None:
        alone = batch
        try:
            while not await self._settle_together(batch):
                pass
            alone = [waiting for waiting in batch if not self._resolve(waiting)]
        except (*GONE, LedgerUnavailable) as error:
            self._lose(error)
        except Exception as error:
            # Also a broken law or a mistake of ours: alone, only the culprit's caller hears of it.
            await self._undo(error)
        for waiting in alone:
            await self._settle_patiently(waiting)

    async def _settle_together(self, batch: list[_Waiting]) -> bool:
        """One locking read, one write, one commit. False: the catalogue is newer than thought, do it again."""
        session = await self._connected()
        started = time.monotonic()
        await session.begin()
        accounts, keys = await session.lock({account_and_key_of(waiting.command) for waiting in batch})
        desk = Batch(accounts, keys, self._rules(), catalogue_version=self.catalogue_seen)
        for waiting in batch:
            waiting.decided = desk.decide(waiting.command)
        if self._is_news(await session.write(desk)):
            await session.rollback()
            return False
        self._last_commit = time.monotonic()
        await session.commit()
        self._note_clock(accounts)
        self._observer.batch_committed(len(batch), time.monotonic() - started)
        return True

    def _is_news(self, version: int) -> bool:
        """The write saw a catalogue newer than any before: requests worked out on older ones look again."""
        news = version > self.catalogue_seen
        self.catalogue_seen = max(version, self.catalogue_seen)
        return news

    def _note_clock(self, accounts: dict[AccountId, AccountState]) -> None:
        for state in accounts.values():
            self._clock_offset_us = state.now_us - time.time_ns() // 1000
            return

    async def _settle_patiently(self, waiting: _Waiting) -> None:
        """Alone, again and again until it is decided or its caller's patience ends."""
        while time.monotonic() < waiting.deadline:
            try:
                await self._settle_alone(waiting)
            except (ChangedMeanwhile, *CONTENDED) as error:
                await self._undo(error)
            except (*GONE, LedgerUnavailable) as error:
                self._lose(error)
            except Exception as error:
                await self._undo(error)
                _reject(waiting.future, error)
                return
            else:
                return
            await asyncio.sleep(_RETRY_S)
        _give_up(waiting.future)

    async def _settle_alone(self, waiting: _Waiting) -> None:
        waiting.decided, version = await settle_alone(
            await self._connected(), waiting.command, self._rules(), waiting.decided
        )
        self._is_news(version)
        self._last_commit = time.monotonic()
        self._resolve(waiting)

    async def _settle_solo(self, solo: _Solo) -> None:
        deadline = time.monotonic() + SOLO_PATIENCE_S
        while time.monotonic() < deadline:
            try:
                result = await run_under_lock(await self._connected(), solo.account_id, solo.work)
            except (*GONE, LedgerUnavailable) as error:
                self._lose(error)
            except (ChangedMeanwhile, *CONTENDED) as error:
                await self._undo(error)
            except Exception as error:
                await self._undo(error)
                _reject(solo.future, error)
                return
            else:
                if not solo.future.done():
                    solo.future.set_result(result)
                return
            await asyncio.sleep(_RETRY_S)
        _give_up(solo.future)

    def _resolve(self, waiting: _Waiting) -> bool:
        """Tell the caller; False when the command must still be decided alone."""
        answer = waiting.decided
        if answer is None or isinstance(answer, NeedsLots):
            return False
        if not waiting.future.done():
            waiting.future.set_result(answer)
        elif isinstance(answer, Opened):
            self._void_unwanted(answer)
        return True

    def _void_unwanted(self, opened: Opened) -> None:
        """The caller left while its hold was being committed: give the hold back (Law 2)."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_look_away)
        self._queue.append(_Waiting(Void(opened.open, "abandoned", "{}"), future, time.monotonic() + SOLO_PATIENCE_S))

    # The connection -------------------------------------------------------------------------

    async def _connected(self) -> LedgerSession:
        if self._session is None:
            self._session = await LedgerSession.open(self._dsn, self._boot_id)
        return self._session

    def _lose(self, error: BaseException) -> None:
        self._observer.ledger_failed(type(error).__name__)
        if self._session is not None:
            self._session.abandon()
            self._session = None

    async def _undo(self, error: BaseException) -> None:
        self._observer.ledger_failed(type(error).__name__)
        try:
            if self._session is not None:
                await self._session.rollback()
        except (*GONE, Known) as lost:
            self._lose(lost)


def _reject(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _give_up(future: asyncio.Future[Any]) -> None:
    _reject(future, LedgerUnavailable("the ledger did not answer in time"))


def _look_away(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
