"""The measurements. Each sets its own stage, takes turns between the servers, and ends in tables with targets.

Targets are ratios between servers of one run: absolute figures belong to a machine, ratios hardly do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.report import Cell, Check, Table
from benchmarks.samples import MEGABYTE, Sample, at_steady_rate, memory_course, under_wrk, with_streams
from benchmarks.servers import NotReady
from benchmarks.stage import CHAT, Ask, Settings, stage

CONNECTIONS = (1, 8, 32)
STEADY_PER_SECOND = 2000
CHUNK_STREAMS = 32
OPEN_STREAMS = 2000
HOT_AGAINST = 1000
MEMORY_REQUESTS = 200_000
MEMORY_LIMIT_S = 600.0

GATEWAY_TIMES_NGINX, GATEWAY_AIM = 10.0, 6.0
DATABASE_TIMES_NGINX = 7.0
CHUNK_TIMES_NGINX = 1.8
TRANSLATED = 2.0
"""Times what a chunk costs that is passed on."""
HOT_TIMES_SPREAD = 1.05
"""Not slower, within what two runs of the same differ by."""
OPEN_STREAMS_MB = 200.0
GROWTH_MB = 5.0

LOAD_COLUMNS = (
    *("server", "requests/s", "CPU µs", "PostgreSQL µs"),
    *("p50 µs", "p99 µs", "added p50", "added p99", "RSS MB"),
)


def requests(settings: Settings) -> list[Table]:
    """CPU, latency and throughput of plain requests at 1, 8 and 32 connections."""
    tables: list[Table] = []
    with stage(settings) as subjects:
        for connections in CONNECTIONS:
            samples = [under_wrk(one, connections=connections, seconds=settings.seconds) for one in subjects]
            tables.append(_load_table(f"Plain requests, {connections} at a time", samples))
    return tables


def steady(settings: Settings) -> list[Table]:
    """The same at a steady 2,000 requests/s: what customers feel, not what the machine can."""
    with stage(settings) as subjects:
        samples = [at_steady_rate(one, per_second=STEADY_PER_SECOND, seconds=settings.seconds) for one in subjects]
    return [_load_table(f"Plain requests, steady {STEADY_PER_SECOND:,}/s", samples)]


def chunks(settings: Settings) -> list[Table]:
    """CPU for each chunk of a stream, chunks arriving one by one; beginning and billing the streams included."""
    with stage(settings) as subjects:
        samples = [with_streams(one, count=CHUNK_STREAMS, seconds=settings.seconds) for one in subjects]
    rows: list[tuple[Cell, ...]] = [
        (one.name, one.per_second, one.cpu_us, one.database_us, one.rss_mb) for one in samples
    ]
    checks = [
        Check("CPU per chunk, farebox ÷ nginx", _ratio(ours.cpu_us, proxy.cpu_us), CHUNK_TIMES_NGINX)
        for ours, proxy in _ours_and_nginx(samples)
    ]
    columns = ("server", "chunks/s", "CPU µs/chunk", "PostgreSQL µs/chunk", "RSS MB")
    return [Table(f"Streams, {CHUNK_STREAMS} at a time", columns, rows, checks)]


def translated(settings: Settings) -> list[Table]:
    """CPU for each chunk of an Anthropic stream, for a caller of the same dialect and for one of OpenAI's."""
    rows: list[tuple[Cell, ...]] = []
    with stage(settings) as subjects:
        if subjects[-1].name == "farebox":
            for path in ("/v1/messages", CHAT):
                ask = Ask.to_anthropic(path)
                one = with_streams(subjects[-1], count=CHUNK_STREAMS, seconds=settings.seconds, ask=ask)
                rows.append((path, one.per_second, one.cpu_us, one.database_us, one.rss_mb))
    checks = [
        Check(
            "CPU per chunk, translated ÷ passed on", _ratio(float(rows[1][2] or 0), float(rows[0][2] or 0)), TRANSLATED
        )
        for _ in rows[1:]
    ]
    columns = ("asked for at", "chunks/s", "CPU µs/chunk", "PostgreSQL µs/chunk", "RSS MB")
    return [Table(f"Streams of an Anthropic channel, {CHUNK_STREAMS} at a time", columns, rows, checks)]


def hot(settings: Settings) -> list[Table]:
    """One account with all the load, against 1,000 accounts that share it; the best of three rounds each."""
    found: dict[int, list[Sample]] = {1: [], HOT_AGAINST: []}
    with stage(settings, accounts=HOT_AGAINST) as subjects:
        name, keys = subjects[-1].name, len(subjects[-1].keys)
        if name == "farebox" and keys < HOT_AGAINST:
            raise NotReady(f"This needs the keys of {HOT_AGAINST:,} accounts; {keys} came with --keys.")
        for accounts in (1, HOT_AGAINST, HOT_AGAINST, 1, 1, HOT_AGAINST):
            sample = under_wrk(subjects[-1], connections=32, seconds=settings.seconds, accounts=accounts)
            found[accounts].append(sample)
    rows: list[tuple[Cell, ...]] = [
        (f"{name}, accounts: {accounts:,}", one.per_second, one.cpu_us, one.database_us, one.p99_us)
        for accounts, samples in found.items()
        for one in samples
    ]
    alone, shared = (max(one.per_second for one in found[accounts]) for accounts in (1, HOT_AGAINST))
    check = Check("time per request, one account ÷ 1,000", _ratio(shared, alone), HOT_TIMES_SPREAD)
    checks = [check] if name == "farebox" else []
    columns = ("load", "requests/s", "CPU µs", "PostgreSQL µs", "p99 µs")
    return [Table("Hot account, 32 requests at a time", columns, rows, checks)]


def streams(settings: Settings) -> list[Table]:
    """Memory with 2,000 streams open at once, each with a chunk a second."""
    rows: list[tuple[Cell, ...]] = []
    with stage(settings, chunks=120, pace_ms=1000) as subjects:
        for subject in subjects[1:]:
            before_mb = subject.tree.rss_bytes() / MEGABYTE
            full = with_streams(subject, count=OPEN_STREAMS, seconds=settings.seconds)
            each_kb = (full.rss_mb - before_mb) * 1024 / OPEN_STREAMS
            rows.append((full.name, before_mb, full.rss_mb, each_kb, full.per_second, full.cpu_us))
    checks = [Check("RSS in MB", float(row[2] or 0), OPEN_STREAMS_MB) for row in rows if row[0] == "farebox"]
    columns = ("server", "RSS MB before", "RSS MB open", "KB/stream", "chunks/s", "CPU µs/chunk")
    return [Table(f"{OPEN_STREAMS:,} streams open", columns, rows, checks)]


def memory(settings: Settings) -> list[Table]:
    """Memory over 200,000 requests, once the first tenth has filled caches and pools."""
    with stage(settings) as subjects:
        name = subjects[-1].name
        course = list(memory_course(subjects[-1], requests=MEMORY_REQUESTS, limit_s=MEMORY_LIMIT_S))
    done, last_mb = course[-1]
    warm_mb = next(mb for requests_done, mb in course if requests_done >= min(done, MEMORY_REQUESTS / 10))
    checks = [
        Check(f"growth of {name} in MB", last_mb - warm_mb, GROWTH_MB),
        Check("requests missing in the time allowed", max(0, MEMORY_REQUESTS - done), 0),
    ]
    return [Table(f"Memory of {name}", ("requests", "RSS MB"), [(f"{at:,}", mb) for at, mb in course], checks)]


MEASURES: dict[str, Callable[[Settings], list[Table]]] = {
    measure.__name__: measure for measure in (requests, steady, chunks, translated, hot, streams, memory)
}


def _load_table(title: str, samples: Sequence[Sample]) -> Table:
    checks: list[Check] = []
    for ours, proxy in _ours_and_nginx(samples):
        gateway = _ratio(ours.cpu_us, proxy.cpu_us)
        checks.append(Check("gateway CPU, farebox ÷ nginx", gateway, GATEWAY_TIMES_NGINX, GATEWAY_AIM))
        if ours.database_us is not None:
            database = _ratio(ours.database_us, proxy.cpu_us)
            checks.append(Check("PostgreSQL CPU ÷ nginx", database, DATABASE_TIMES_NGINX))
    return Table(title, LOAD_COLUMNS, [sample.row(samples[0]) for sample in samples], checks)


def _ours_and_nginx(samples: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """The pair to compare, if Farebox is among them."""
    by_name = {sample.name: sample for sample in samples}
    return [(by_name["farebox"], by_name["nginx"])] if "farebox" in by_name else []


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else float("inf")
