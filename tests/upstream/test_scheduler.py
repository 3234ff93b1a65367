"""The scheduler: who gets the next slot, and that no slot is ever lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farebox.upstream.channel import Channel, UpstreamKey
from farebox.upstream.channels import Busy, ChannelPool, Lease, NoneAvailable
from farebox.upstream.scheduler import Granted, QueueTimeout, Scheduler

PLACE = ("a",)


class Slots:
    """A counted resource to wait for, standing in for a channel."""

    def __init__(self, count: int, *, ageing_s: float = 1000.0) -> None:
        self.count = count
        self.free = count
        self.order: list[str] = []
        self.scheduler: Scheduler[str] = Scheduler(self.give_back, ageing_s=ageing_s)

    def claim(self, name: str) -> Callable[[], str | Busy]:
        def attempt() -> str | Busy:
            if not self.free:
                return Busy()
            self.free -= 1
            self.order.append(name)
            return name

        return attempt

    def give_back(self, _: str) -> None:
        self.free += 1
        assert self.free <= self.count
        self.scheduler.freed("a")

    async def ask(self, name: str, priority: int = 2, timeout_s: float = 5.0) -> Granted[str] | QueueTimeout:
        return await self.scheduler.slot(self.claim(name), places=PLACE, priority=priority, timeout_s=timeout_s)

    def line_up(self, *requests: tuple[str, int]) -> list[asyncio.Task[Granted[str] | QueueTimeout]]:
        return [asyncio.create_task(self.ask(name, priority)) for name, priority in requests]

    async def drain(self, tasks: list[asyncio.Task[Granted[str] | QueueTimeout]]) -> list[str]:
        """Free one slot after another until everyone was served; the order they were."""
        self.order.clear()
        for _ in tasks:
            self.give_back("")
            await turn()
        await asyncio.gather(*tasks)
        return self.order


async def turn(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a_free_slot_is_had_at_once_without_a_task_switch() -> None:
    slots = Slots(1)
    coroutine = slots.ask("x")
    with pytest.raises(StopIteration) as finished:
        coroutine.send(None)
    assert finished.value.value == Granted("x", 0)


async def test_higher_priority_goes_first_and_equals_in_order_of_arrival() -> None:
    slots = Slots(1)
    await slots.ask("running")
    arrivals = [("low 1", 1), ("high 1", 3), ("normal", 2), ("critical", 4), ("high 2", 3), ("low 2", 1)]
    tasks = slots.line_up(*arrivals)
    await turn()
    assert await slots.drain(tasks) == ["critical", "high 1", "high 2", "normal", "low 1", "low 2"]


async def test_who_waited_long_enough_goes_before_a_newer_higher_priority() -> None:
    slots = Slots(1, ageing_s=0.02)
    await slots.ask("running")
    tasks = slots.line_up(("old low", 1))
    await asyncio.sleep(0.07)
    tasks += slots.line_up(("new critical", 4), ("new low", 1))
    await turn()
    assert await slots.drain(tasks) == ["old low", "new critical", "new low"]


async def test_before_it_has_aged_a_lower_priority_still_waits() -> None:
    slots = Slots(1, ageing_s=0.2)
    await slots.ask("running")
    tasks = slots.line_up(("older low", 1))
    await asyncio.sleep(0.05)
    tasks += slots.line_up(("newer critical", 4))
    await turn()
    assert await slots.drain(tasks) == ["newer critical", "older low"]


async def test_nobody_starves_under_an_endless_stream_of_higher_priority() -> None:
    slots = Slots(1, ageing_s=0.01)
    await slots.ask("running")
    (low,) = slots.line_up(("low", 1))
    others: list[asyncio.Task[Granted[str] | QueueTimeout]] = []
    for number in range(200):
        others += slots.line_up((f"critical {number}", 4), (f"critical {number} too", 4))
        await asyncio.sleep(0.001)
        slots.give_back("")
        if low.done():
            break
    assert low.done()
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def test_a_newcomer_does_not_overtake_who_already_waits() -> None:
    slots = Slots(1)
    await slots.ask("running")
    tasks = slots.line_up(("first", 2))
    await turn()
    slots.free += 1  # came free by the passing of time: nobody said so
    tasks += slots.line_up(("newcomer", 2))
    await turn()
    assert slots.order[-1] == "first"
    await slots.drain(tasks)


async def test_a_slot_that_came_free_by_time_alone_is_noticed() -> None:
    slots = Slots(1)
    await slots.ask("running")
    (task,) = slots.line_up(("waiting", 2))
    await turn()
    slots.free += 1
    assert isinstance(await asyncio.wait_for(task, 2), Granted)


async def test_the_wait_is_told_in_milliseconds() -> None:
    slots = Slots(1)
    await slots.ask("running")
    (task,) = slots.line_up(("waiting", 2))
    await asyncio.sleep(0.05)
    slots.give_back("")
    granted = await task
    assert isinstance(granted, Granted)
    assert 45 <= granted.wait_ms < 1000


async def test_who_waits_too_long_gets_a_timeout_and_no_slot() -> None:
    slots = Slots(1)
    await slots.ask("running")
    answer = await slots.ask("late", timeout_s=0.02)
    assert isinstance(answer, QueueTimeout)
    assert answer.wait_ms >= 19
    slots.give_back("")
    assert slots.free == 1
    assert slots.scheduler.waiting("a") == 0


async def test_a_cancelled_waiter_leaves_its_turn_to_the_next() -> None:
    slots = Slots(1)
    await slots.ask("running")
    first, second = slots.line_up(("first", 2), ("second", 2))
    await turn()
    first.cancel()
    await turn()
    slots.give_back("")
    assert await second == Granted("second", (await second).wait_ms)


async def test_a_waiter_cancelled_in_the_moment_it_was_served_gives_the_slot_on() -> None:
    slots = Slots(1)
    await slots.ask("running")
    first, second = slots.line_up(("first", 2), ("second", 2))
    await turn()
    slots.give_back("")  # "first" is served, and has not woken up yet
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert isinstance(await second, Granted)
    assert slots.order == ["running", "first", "second"]


async def test_a_claim_that_fails_is_its_own_requests_trouble() -> None:
    slots = Slots(1)
    await slots.ask("running")
    broken = True

    def claim() -> str | Busy:
        if slots.free and broken:
            raise ZeroDivisionError
        return Busy()

    task = asyncio.create_task(slots.scheduler.slot(claim, places=PLACE, priority=4, timeout_s=5))
    (other,) = slots.line_up(("other", 1))
    await turn()
    slots.give_back("")
    with pytest.raises(ZeroDivisionError):
        await task
    assert isinstance(await other, Granted)


async def test_who_cannot_use_a_slot_does_not_keep_it_from_the_next() -> None:
    slots = Slots(1)
    await slots.ask("running")
    stuck = asyncio.create_task(slots.scheduler.slot(lambda: Busy(), places=PLACE, priority=4, timeout_s=0.2))
    (other,) = slots.line_up(("other", 1))
    await turn()
    slots.give_back("")
    assert isinstance(await other, Granted)
    assert isinstance(await stuck, QueueTimeout)


async def test_queues_are_empty_when_everyone_has_gone() -> None:
    slots = Slots(1)
    await slots.ask("running")
    tasks = slots.line_up(*((str(i), i % 4 + 1) for i in range(50)))
    await turn()
    assert slots.scheduler.waiting("a") == 50
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert slots.scheduler.waiting("a") == 0
    assert not slots.scheduler._queues


Step = tuple[str, int]


@settings(max_examples=60)
@given(st.integers(1, 3), st.lists(st.tuples(st.sampled_from(["ask", "end", "cancel", "turn"]), st.integers(1, 4))))
def test_no_history_of_asking_ending_and_cancelling_loses_a_slot(count: int, steps: list[Step]) -> None:
    asyncio.run(_play(Slots(count), steps))


async def _play(slots: Slots, steps: list[Step]) -> None:
    tasks: list[asyncio.Task[Granted[str] | QueueTimeout]] = []
    for number, (step, priority) in enumerate(steps):
        match step:
            case "ask":
                tasks += slots.line_up((str(number), priority))
            case "cancel" if tasks:
                tasks[number % len(tasks)].cancel()
            case "end" if any(task.done() and not task.cancelled() for task in tasks):
                tasks.remove(next(task for task in tasks if task.done() and not task.cancelled()))
                slots.give_back("")
            case _:
                await asyncio.sleep(0)
    await turn()
    for task in [task for task in tasks if not task.done()]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    held = sum(not task.cancelled() for task in tasks)
    assert slots.free + held == slots.count


async def test_a_full_channel_pool_hands_its_slot_to_the_next_in_line() -> None:
    pool = ChannelPool()
    pool.configure(
        [
            Channel(
                id="a",
                name="a",
                dialect="openai",
                base_url="http://u",
                keys=(UpstreamKey("k", "s"),),
                models={},
                concurrency=1,
            )
        ]
    )
    scheduler: Scheduler[Lease | NoneAvailable] = Scheduler(pool.release)
    pool.freed = scheduler.freed

    def claim() -> Lease | Busy | NoneAvailable:
        return pool.pick(PLACE, sticky=b"s", now=0.0)

    first = await scheduler.slot(claim, places=PLACE, priority=1, timeout_s=1)
    assert isinstance(first, Granted)
    waiting = asyncio.create_task(scheduler.slot(claim, places=PLACE, priority=1, timeout_s=1))
    await turn()
    assert not waiting.done()
    pool.release(first.slot)
    second = await waiting
    assert isinstance(second, Granted)
    assert isinstance(second.slot, Lease)
    for _ in range(3):
        pool.failed(second.slot, now=0.0)
    pool.release(second.slot)
    ejected = await scheduler.slot(claim, places=PLACE, priority=1, timeout_s=1)
    assert isinstance(ejected, Granted)
    assert isinstance(ejected.slot, NoneAvailable)
