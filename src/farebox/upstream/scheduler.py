"""Waiting for a slot on a busy channel, by request priority.

Enters: a way to claim a slot, a priority (4 first), how long to wait. Leaves: the claimed slot with
the wait in milliseconds, or `QueueTimeout`. Never: decides which channel, counts slots, keeps one.

The order is strict with ageing, in one number fixed on arrival: a request of priority p queues as if
it had come (4 − p) × `ageing_s` later than it did. So a higher priority goes first unless the lower
one has already waited that much longer, equals go first come first served, and nobody starves: only
a bounded time's worth of later arrivals can ever overtake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from heapq import heappop, heappush
from typing import Generic, TypeVar

import msgspec

from farebox.upstream.channels import Busy

Slot = TypeVar("Slot")

HIGHEST_PRIORITY = 4
MOST_PASSED_OVER = 4
"""How many in line may be unable to use a freed slot (their key is excluded, say) before the search stops."""
RECHECK_S = 0.5
"""Cool-downs and rate windows end without anyone saying so: queues are looked at again this often."""


class Granted(msgspec.Struct, Generic[Slot], frozen=True, gc=False):
    """What the claim answered, and how long that took to get."""

    slot: Slot
    wait_ms: int


class QueueTimeout(msgspec.Struct, frozen=True, gc=False):
    """No slot came free in time; the request holds none."""

    wait_ms: int


class _Waiter(Generic[Slot]):
    __slots__ = ("answer", "claim")

    def __init__(self, claim: Callable[[], Slot | Busy], answer: asyncio.Future[Slot | None]) -> None:
        self.claim = claim
        self.answer = answer

    def serve(self) -> bool:
        """False if it must go on waiting. A claim that raises is the waiter's trouble, not the releaser's."""
        try:
            slot = self.claim()
        except Exception as error:
            self.answer.set_exception(error)
            return True
        if isinstance(slot, Busy):
            return False
        self.answer.set_result(slot)
        return True


_Queue = list[tuple[float, int, _Waiter[Slot]]]


class Scheduler(Generic[Slot]):
    """The queues of this process, one per channel. `give_back` releases a slot nobody came to fetch."""

    def __init__(self, give_back: Callable[[Slot], None], *, ageing_s: float = 5.0) -> None:
        self._give_back = give_back
        self._ageing_s = ageing_s
        self._arrivals = 0
        self._queues: dict[str, _Queue[Slot]] = {}
        self._recheck: asyncio.TimerHandle | None = None

    async def slot(
        self, claim: Callable[[], Slot | Busy], *, places: Collection[str], priority: int, timeout_s: float
    ) -> Granted[Slot] | QueueTimeout:
        """Claim a slot at one of `places`, waiting in line while the claim answers `Busy`.

        `claim` is called again whenever a slot may be free, and must not block. A free slot is had without a
        task switch. The caller owns what it is granted; a caller that is cancelled owns nothing.
        """
        if not self._queues or self._queues.keys().isdisjoint(places):
            found = claim()
            if not isinstance(found, Busy):
                return Granted(found, 0)
        return await self._wait_in_line(claim, places, priority, timeout_s)

    async def _wait_in_line(
        self, claim: Callable[[], Slot | Busy], places: Collection[str], priority: int, timeout_s: float
    ) -> Granted[Slot] | QueueTimeout:
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        waiter = _Waiter(claim, loop.create_future())
        self._enqueue(waiter, places, arrived + (HIGHEST_PRIORITY - priority) * self._ageing_s)
        timer = loop.call_later(timeout_s, _give_up, waiter.answer)
        try:
            slot = await waiter.answer
        except asyncio.CancelledError:
            self._return_unfetched(waiter.answer)
            raise
        finally:
            timer.cancel()
            self._tidy(places)
        wait_ms = int((loop.time() - arrived) * 1000)
        return QueueTimeout(wait_ms) if slot is None else Granted(slot, wait_ms)

    def freed(self, place: str) -> None:
        """A slot at this place may be free: hand it to the first in line who can use it, and so on."""
        queue = self._queues.get(place)
        if not queue:
            return
        passed_over: _Queue[Slot] = []
        while queue and len(passed_over) < MOST_PASSED_OVER:
            entry = heappop(queue)
            if not entry[2].answer.done() and not entry[2].serve():
                passed_over.append(entry)
        for entry in passed_over:
            heappush(queue, entry)

    def waiting(self, place: str) -> int:
        """How many wait for this place now, for metrics."""
        return sum(not waiter.answer.done() for _, _, waiter in self._queues.get(place, ()))

    def _enqueue(self, waiter: _Waiter[Slot], places: Collection[str], turn: float) -> None:
        """Join the lines; who stands before the newcomer is asked first whether a slot came free meanwhile."""
        self._arrivals += 1
        for place in places:
            heappush(self._queues.setdefault(place, []), (turn, self._arrivals, waiter))
        for place in places:
            self.freed(place)
        if not waiter.answer.done():
            waiter.serve()
        if self._recheck is None:
            self._recheck = asyncio.get_running_loop().call_later(RECHECK_S, self._look_again)

    def _look_again(self) -> None:
        self._recheck = None
        for place in list(self._queues):
            self.freed(place)
        if self._queues:
            self._recheck = asyncio.get_running_loop().call_later(RECHECK_S, self._look_again)

    def _return_unfetched(self, answer: asyncio.Future[Slot | None]) -> None:
        """Cancelled in the moment between being served and waking up: the slot was ours, so it goes back."""
        if answer.done() and not answer.cancelled() and answer.exception() is None:
            slot = answer.result()
            if slot is not None:
                self._give_back(slot)

    def _tidy(self, places: Collection[str]) -> None:
        """Drop who is done from the heads of the queues; those further back go when they get there."""
        for place in places:
            queue = self._queues.get(place)
            while queue and queue[0][2].answer.done():
                heappop(queue)
            if queue is not None and not queue:
                del self._queues[place]


def _give_up(answer: asyncio.Future[Slot | None]) -> None:
    if not answer.done():
        answer.set_result(None)
