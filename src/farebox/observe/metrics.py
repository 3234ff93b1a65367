"""What a process counts: requests and refusals, where the time goes, the ledger's batches, upstream health.

Counting is a dictionary or list entry in this process (about 0.2 µs); Prometheus' own types are built only when
somebody reads (see `exposition`). Snapshots of several workers add up (see `share`). Times are microseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from enum import StrEnum
from typing import NamedTuple, TypeVar

import msgspec

_Label = TypeVar("_Label")

TIME_BOUNDS_US = (
    *(100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000),
    *(1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000, 300_000_000),
)
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Stage(StrEnum):
    """A part of a request's time."""

    ADMIT = "admit"
    """From the body's last byte to the committed hold."""
    QUEUE = "queue"
    FIRST_BYTE = "first_byte"
    UPSTREAM = "upstream"
    SETTLE = "settle"
    TOTAL = "total"


class StageTimes(NamedTuple):
    """Microseconds of each stage of one request, in the order of `Stage`; None for those it did not come to."""

    admit: int | None = None
    queue: int | None = None
    first_byte: int | None = None
    upstream: int | None = None
    settle: int | None = None
    total: int | None = None


class Histogram(msgspec.Struct):
    """How often a value was at most each bound, and the sum of all."""

    bounds: tuple[int, ...]
    counts: list[int]
    total: int = 0

    def observe(self, value: int) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Histogram) -> None:
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


def histogram(bounds: tuple[int, ...]) -> Histogram:
    return Histogram(bounds, [0] * (len(bounds) + 1))


class Snapshot(msgspec.Struct):
    """All a process has counted. Counters only grow; the gauges say how things stand now."""

    requests: dict[tuple[str, str], int] = msgspec.field(default_factory=lambda: defaultdict[tuple[str, str], int](int))
    """By route and code (`ok`, or the code of the refusal)."""
    stages: dict[str, Histogram] = msgspec.field(
        default_factory=lambda: {stage.value: histogram(TIME_BOUNDS_US) for stage in Stage}
    )
    batch_sizes: Histogram = msgspec.field(default_factory=lambda: histogram(BATCH_BOUNDS))
    commit_us: Histogram = msgspec.field(default_factory=lambda: histogram(TIME_BOUNDS_US))
    ledger_failures: dict[str, int] = msgspec.field(default_factory=lambda: defaultdict[str, int](int))
    upstream_answers: dict[tuple[str, str], int] = msgspec.field(
        default_factory=lambda: defaultdict[tuple[str, str], int](int)
    )
    """By channel and outcome."""
    shortfall: int = 0
    """Nanocredits charged beyond hold and available."""
    lines_dropped: int = 0
    holds_open: int = 0
    streams_open: int = 0
    upstream_health: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """1 healthy, 0 not, by channel."""

    def add_counters(self, other: Snapshot) -> None:
        """Add what another process has counted since it began."""
        _add(self.requests, other.requests)
        _add(self.upstream_answers, other.upstream_answers)
        _add(self.ledger_failures, other.ledger_failures)
        for stage, theirs in other.stages.items():
            self.stages[stage].add(theirs)
        self.batch_sizes.add(other.batch_sizes)
        self.commit_us.add(other.commit_us)
        self.shortfall += other.shortfall
        self.lines_dropped += other.lines_dropped

    def add_gauges(self, other: Snapshot) -> None:
        """Add how things stand in another process that is alive; a channel is healthy if every process thinks so."""
        self.holds_open += other.holds_open
        self.streams_open += other.streams_open
        for channel, healthy in other.upstream_health.items():
            self.upstream_health[channel] = min(healthy, self.upstream_health.get(channel, 1))


class Metrics:
    """The counters of this process. Every method costs less than a microsecond."""

    def __init__(self) -> None:
        self.counted = Snapshot()
        self._stages = [self.counted.stages[stage] for stage in Stage]

    def request_ended(self, route: str, code: str) -> None:
        self.counted.requests[route, code] += 1

    def stages_took(self, times: StageTimes) -> None:
        for counted, duration_us in zip(self._stages, times, strict=True):
            if duration_us is not None:
                counted.counts[bisect_left(TIME_BOUNDS_US, duration_us)] += 1
                counted.total += duration_us

    def hold_opened(self) -> None:
        self.counted.holds_open += 1

    def hold_ended(self) -> None:
        self.counted.holds_open -= 1

    def stream_opened(self) -> None:
        self.counted.streams_open += 1

    def stream_ended(self) -> None:
        self.counted.streams_open -= 1

    def batch_committed(self, size: int, seconds: float) -> None:
        """The ledger writer committed a batch; `seconds` from its lock to its commit."""
        self.counted.batch_sizes.observe(size)
        self.counted.commit_us.observe(int(seconds * 1_000_000))

    def ledger_failed(self, why: str) -> None:
        self.counted.ledger_failures[why] += 1

    def upstream_answered(self, channel: str, outcome: str) -> None:
        self.counted.upstream_answers[channel, outcome] += 1

    def upstream_healthy(self, channel: str, *, healthy: bool) -> None:
        self.counted.upstream_health[channel] = int(healthy)

    def charged_beyond_available(self, amount: int) -> None:
        """`amount` nanocredits of a charge went to shortfall (Law 4)."""
        self.counted.shortfall += amount


def _add(mine: dict[_Label, int], theirs: dict[_Label, int]) -> None:
    for label, number in theirs.items():
        mine[label] = mine.get(label, 0) + number
