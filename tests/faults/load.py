"""Customers under way: many clients at once, each remembering exactly what it asked and what it received.

Enters: ports, customers, a seed. Leaves: a list of `Attempt`s. Each client has an API key of its own and asks one
thing at a time, so a charge whose request nobody heard of can still be told from its key and its time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
from tests.faults.wire import Heard, NotReached, exchange
from tests.support.gateway import Customer

CHAT, EMBED = "gpt-4o", "text-embedding-3-small"
LONG = "tokens=3000, chunks=80, pace_ms=5"
"""Longer than what is held for it at first, and than a poor account can pay."""
BREATH_S = 0.05
REPEAT_S = 20.0
"""How long after the end of the load a keyed request may take to settle."""
THRIFT_S = 0.4
"""How long a client without credits waits before it tries again."""
FAILURES = (", cut=3", ", error_event=2")
BROKE = frozenset({"insufficient_credits", "key_limit_reached"})
SETTLED = BROKE | {"idempotency_completed"}
"""Refusals after which repeating a keyed request is of no use."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request is."""

    path: str
    body: bytes
    headers: dict[str, str]
    stream: bool
    idempotency_key: str | None
    leave_s: float | None


@dataclass(slots=True)
class Attempt:
    """One request on one connection. Times are microseconds since 1970; `port` says which gateway it went to."""

    customer: Customer
    port: int
    ask: Ask
    began_us: int
    ended_us: int = 0
    heard: Heard = field(default_factory=Heard)

    @property
    def broken(self) -> bool:
        """The connection ended before the answer did, and not because this client wished so."""
        return not self.heard.whole and not self.heard.left


class Load:
    """Clients at work until `stop`; then each ends what it is at, and keyed requests are repeated until they settle."""

    def __init__(
        self, ports: Sequence[int], customers: Sequence[Customer], *, seed: int, pause_s: float = 0.02
    ) -> None:
        self.attempts: list[Attempt] = []
        self._ports = ports
        self._pause_s = pause_s
        self._stop_by = float("inf")
        self._under_way: set[int] = set()
        self._tasks = [
            asyncio.create_task(self._client(customer, random.Random(f"{seed} {number}")))
            for number, customer in enumerate(customers)
        ]

    @property
    def in_flight(self) -> int:
        return len(self._under_way)

    def stop_asking(self) -> None:
        """No client begins anything new."""
        self._stop_by = min(self._stop_by, time.monotonic())

    async def stop(self) -> None:
        """Wait for every client. Whatever a client raised is raised here."""
        self.stop_asking()
        await asyncio.gather(*self._tasks)

    async def _client(self, customer: Customer, dice: random.Random) -> None:
        number = 0
        while time.monotonic() < self._stop_by:
            number += 1
            await self._see_through(customer, _ask(dice, f"{customer.key_id}-{number}"), dice)
            await asyncio.sleep(dice.uniform(0, 2 * self._pause_s))

    async def _see_through(self, customer: Customer, ask: Ask, dice: random.Random) -> None:
        """Ask; with an idempotency key again, and then to the end, until there is nothing more to come of it."""
        while True:
            heard = await self._attempt(customer, ask, dice.choice(self._ports))
            ask = replace(ask, leave_s=None)
            if ask.idempotency_key is None or heard.complete or heard.code in SETTLED:
                return
            assert time.monotonic() < self._stop_by + REPEAT_S, f"{ask.idempotency_key} does not settle: {heard.body!r}"
            await asyncio.sleep(BREATH_S)

    async def _attempt(self, customer: Customer, ask: Ask, port: int) -> Heard:
        attempt = Attempt(customer, port, ask, _now_us())
        headers = {"authorization": f"Bearer {customer.secret}", "content-type": "application/json", **ask.headers}
        self._under_way.add(id(attempt))
        try:
            attempt.heard = await exchange(port, "POST", ask.path, ask.body, headers, leave_s=ask.leave_s)
        except NotReached:
            await asyncio.sleep(BREATH_S)
            return attempt.heard
        finally:
            self._under_way.discard(id(attempt))
        attempt.ended_us = _now_us()
        self.attempts.append(attempt)
        if attempt.heard.status != 200:
            await asyncio.sleep(THRIFT_S if attempt.heard.code in BROKE else BREATH_S)
        return attempt.heard


def _ask(dice: random.Random, name: str) -> Ask:
    """One of the mix: streamed or whole, with a key or without, to be listened to or to be left."""
    if dice.random() < 0.1:
        return _to_send(dice, EMBED, name, {"input": f"Embed {name}."}, "delay_ms=5")
    stream = dice.random() < 0.55
    fields: dict[str, object] = {"messages": [{"role": "user", "content": f"Say something about {name}."}]}
    if dice.random() < 0.7:
        fields["max_tokens"] = dice.choice([20, 100, 4000])
    if stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    return _to_send(dice, CHAT, name, fields, LONG if stream and dice.random() < 0.04 else _script(dice))


def _script(dice: random.Random) -> str:
    """How the sandbox answers: mostly well, sometimes slowly, now and then badly."""
    shape = f"tokens={dice.randint(1, 120)}, delay_ms={dice.choice([0, 0, 5, 60])}, pace_ms={dice.choice([0, 1, 3])}"
    extra = dice.choices(["", ", usage=none", ", usage=wrong", *FAILURES], [92, 4, 2, 1, 1])[0]
    return shape + extra


def _to_send(dice: random.Random, model: str, name: str, fields: dict[str, object], script: str) -> Ask:
    fails = any(how in script for how in FAILURES)
    keyed = dice.random() < 0.25 and not fails  # repeated until it succeeds
    leave_s = dice.uniform(0.005, 0.2) if dice.random() < 0.12 else None
    headers = {"x-sandbox": script} | ({"idempotency-key": f"once {name}"} if keyed else {})
    path = "/v1/embeddings" if model == EMBED else "/v1/chat/completions"
    key = headers.get("idempotency-key")
    return Ask(path, msgspec.json.encode({"model": model, **fields}), headers, "stream" in fields, key, leave_s)


def _now_us() -> int:
    return time.time_ns() // 1000
