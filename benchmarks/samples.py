"""One server under one load, measured: CPU from process times, latency from the load, memory at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec
import uvloop

from benchmarks.open_loop import Streams, steady
from benchmarks.report import Cell
from benchmarks.stage import Ask, Subject
from benchmarks.wrk import LoadFailed, drive

WARM_UP_S = 1.0
MEGABYTE = 1024 * 1024


class Sample(msgspec.Struct, frozen=True):
    """CPU is microseconds for each request or chunk; `database_us` is `None` where there is no database."""

    name: str
    per_second: float
    cpu_us: float
    database_us: float | None
    rss_mb: float
    p50_us: int = 0
    p99_us: int = 0

    def row(self, direct: Sample) -> tuple[Cell, ...]:
        """A line of a table; added latency is over the mock asked directly in the same way."""
        measured = (self.per_second, self.cpu_us, self.database_us, self.p50_us, self.p99_us)
        if self is direct:
            return (self.name, *measured, None, None, self.rss_mb)
        return (self.name, *measured, self.p50_us - direct.p50_us, self.p99_us - direct.p99_us, self.rss_mb)


class Answered(msgspec.Struct, frozen=True):
    """How many requests a load got answered, how fast."""

    count: int
    per_second: float
    p50_us: int
    p99_us: int


def under_wrk(subject: Subject, *, connections: int, seconds: float, accounts: int | None = None) -> Sample:
    """As many requests as so many connections get answered; with the keys of `accounts` accounts in turn."""
    keys, body = subject.keys_file(accounts), subject.body_file(stream=False)

    def load(span_s: float) -> Answered:
        seen = drive(subject.port, connections=connections, seconds=span_s, keys=keys, body=body)
        return Answered(seen.requests, seen.per_second, seen.p50_us, seen.p99_us)

    return _measured(subject, load, seconds)


def at_steady_rate(subject: Subject, *, per_second: int, seconds: float) -> Sample:
    """A fixed number of requests a second, whatever the answers do. Raises `LoadFailed` unless all were good."""
    asked = subject.requests(stream=False)

    def load(span_s: float) -> Answered:
        seen = uvloop.run(steady(subject.port, asked, per_second=per_second, seconds=span_s))
        if seen.refused or seen.answered < seen.sent:
            raise LoadFailed(f"{subject.name}: {seen.sent} sent, {seen.answered} answered, {seen.refused} refused")
        return Answered(seen.sent, seen.sent / seen.took_s, seen.p50_us, seen.p99_us)

    return _measured(subject, load, seconds)


def with_streams(subject: Subject, *, count: int, seconds: float, ask: Ask | None = None) -> Sample:
    """So many streams open at once for a while; figures are for each chunk, memory is with all of them open."""
    return uvloop.run(_with_streams(subject, subject.requests(stream=True, ask=ask), count, seconds))


def memory_course(subject: Subject, *, requests: int, limit_s: float) -> Iterator[tuple[int, float]]:
    """Requests done and RSS in MB, again and again, until so many are done or time is up."""
    keys, body = subject.keys_file(1), subject.body_file(stream=False)
    done, deadline = 0, time.monotonic() + limit_s
    while done < requests and time.monotonic() < deadline:
        done += drive(subject.port, connections=32, seconds=2, keys=keys, body=body).requests
        yield done, subject.tree.rss_bytes() / MEGABYTE


def _measured(subject: Subject, load: Callable[[float], Answered], seconds: float) -> Sample:
    load(WARM_UP_S)
    cpu_us, database_us = _used(subject)
    answered = load(seconds)
    cpu_us, database_us = _used_since(subject, cpu_us, database_us, answered.count)
    rss_mb = subject.tree.rss_bytes() / MEGABYTE
    return Sample(subject.name, answered.per_second, cpu_us, database_us, rss_mb, answered.p50_us, answered.p99_us)


async def _with_streams(subject: Subject, requests: list[bytes], count: int, seconds: float) -> Sample:
    streams = Streams(subject.port, requests)
    try:
        await streams.open(count)
        cpu_us, database_us = _used(subject)
        chunks = await streams.chunks_in(seconds)
        each_us, each_database_us = _used_since(subject, cpu_us, database_us, chunks)
        rss_mb = subject.tree.rss_bytes() / MEGABYTE
        return Sample(subject.name, chunks / seconds, each_us, each_database_us, rss_mb)
    finally:
        streams.close()


def _used(subject: Subject) -> tuple[int, int]:
    return subject.tree.cpu_us(), subject.database.cpu_us()


def _used_since(subject: Subject, cpu_us: int, database_us: int, count: int) -> tuple[float, float | None]:
    cpu_now_us, database_now_us = _used(subject)
    database_each_us = (database_now_us - database_us) / count if subject.database else None
    return (cpu_now_us - cpu_us) / count, database_each_us
