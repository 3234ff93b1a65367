"""What waits for the ledger writer: commands of requests, and work that wants an account to itself.

Enters: a command or work, and how long its caller waits. Leaves: its caller's answer, once. Talks to
no database. Times are those of the event loop, in seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from farebox.admission.commands import Admit, Answer, Command, NeedsLots, Opened, Void
from farebox.faults import LedgerUnavailable
from farebox.ids import AccountId
from farebox.store.ledger_alone import LockedAccount

ABANDONED = "abandoned"
"""The stamp of a hold whose process died or whose caller left before it had begun."""
_FOR_EVER = float("inf")


class Waiting:
    """A command, its caller's future, and what was last decided for it.

    `decided` outlives a failed attempt: the attempt's commit may have been done and not been heard of.
    """

    __slots__ = ("alone", "command", "deadline", "decided", "future")

    def __init__(self, command: Command, future: asyncio.Future[Answer], deadline: float) -> None:
        self.command = command
        self.future = future
        self.deadline = deadline
        self.decided: Answer | None = None
        self.alone = False
        """Not with others: an attempt has failed."""

    def is_wanted(self, now: float) -> bool:
        """Whether to settle it: its caller waits, or was cancelled while it ended a hold (Law 2)."""
        if not self.future.done():
            return True
        return self.future.cancelled() and now < self.deadline and not isinstance(self.command, Admit)

    def answer(self) -> bool:
        """Tell the caller what was decided and committed. False: it must still be decided, alone."""
        if self.decided is None or isinstance(self.decided, NeedsLots):
            return False
        if not self.future.done():
            self.future.set_result(self.decided)
        return True

    def left_open(self) -> Waiting | None:
        """The end of a hold that this admission has, or may have, opened for a caller who left (Law 2)."""
        if not isinstance(self.command, Admit) or not isinstance(self.decided, Opened):
            return None
        void = Void(self.decided.open, ABANDONED, self.command.described, keyed=self.command.claim is not None)
        future: asyncio.Future[Answer] = self.future.get_loop().create_future()
        future.add_done_callback(_look_away)
        end = Waiting(void, future, _FOR_EVER)
        end.alone, end.decided = True, self.decided
        return end


class Solo:
    """Work that takes an account's lock for itself."""

    __slots__ = ("account_id", "deadline", "future", "work")
    alone = True

    def __init__(
        self,
        account_id: AccountId,
        work: Callable[[LockedAccount], Awaitable[object]],
        future: asyncio.Future[Any],
        deadline: float,
    ) -> None:
        self.account_id = account_id
        self.work = work
        self.future = future
        self.deadline = deadline

    def is_wanted(self, now: float) -> bool:
        return not self.future.done()

    def left_open(self) -> None:
        """Nothing: what it did or did not do, it did whole."""


def reject(item: Waiting | Solo, error: Exception) -> None:
    """Tell the caller that it failed, if it still waits."""
    if not item.future.done():
        item.future.set_exception(error)


def give_up(item: Waiting | Solo, trouble: str) -> None:
    """The caller's patience has ended; `trouble` is what the writer met last."""
    reject(item, LedgerUnavailable(f"the ledger did not answer in time; last trouble: {trouble}"))


def _look_away(future: asyncio.Future[Answer]) -> None:
    """Nobody waits for this answer; a law broken on the way to it was told to the observer."""
    if not future.cancelled():
        future.exception()
