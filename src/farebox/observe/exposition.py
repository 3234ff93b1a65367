"""A snapshot of what was counted, as the text that Prometheus reads.

Times become seconds and credits become Prometheus' floats here: good for graphs and for nothing else, the books are in
the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from farebox.money import NANO_PER_CREDIT
from farebox.observe.metrics import Histogram, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(counted: Snapshot) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(counted))
    return generate_latest(registry)


class _Reading(Collector):
    """Turns a snapshot into Prometheus' types."""

    def __init__(self, counted: Snapshot) -> None:
        self._counted = counted

    def collect(self) -> Iterator[Metric]:
        counted = self._counted
        yield _counter("requests", "Requests by route and code.", ("route", "code"), counted.requests.items())
        yield _times("stage_seconds", "Where the time of requests goes.", counted.stages)
        yield _times("ledger_commit_seconds", "Lock to commit of the ledger's batches.", {"": counted.commit_us})
        yield _sizes("ledger_batch_size", "Commands settled by one commit.", counted.batch_sizes)
        failures = (((why,), number) for why, number in counted.ledger_failures.items())
        yield _counter("ledger_failures", "Batches that failed, by cause.", ("why",), failures)
        answers = counted.upstream_answers.items()
        yield _counter("upstream_answers", "Attempts by channel and outcome.", ("channel", "outcome"), answers)
        credits_short = counted.shortfall / NANO_PER_CREDIT
        yield CounterMetricFamily("farebox_shortfall_credits", "Charged beyond what customers had.", credits_short)
        yield CounterMetricFamily("farebox_log_lines_dropped", "Log lines nobody read.", counted.lines_dropped)
        yield GaugeMetricFamily("farebox_holds_open", "Requests under a hold.", counted.holds_open)
        yield GaugeMetricFamily("farebox_streams_open", "Streams under way.", counted.streams_open)
        health = GaugeMetricFamily("farebox_upstream_healthy", "1 where the channel is in use.", labels=["channel"])
        for channel, healthy in counted.upstream_health.items():
            health.add_metric([channel], healthy)
        yield health


def _counter(
    name: str, text: str, labels: tuple[str, ...], numbers: Iterable[tuple[tuple[str, ...], int]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"farebox_{name}", text, labels=labels)
    for label_values, number in numbers:
        family.add_metric(label_values, number)
    return family


def _times(name: str, text: str, by_stage: dict[str, Histogram]) -> HistogramMetricFamily:
    labels = ["stage"] if len(by_stage) > 1 else []
    family = HistogramMetricFamily(f"farebox_{name}", text, labels=labels)
    for stage, counted in by_stage.items():
        family.add_metric([stage] if labels else [], _buckets(counted, 1_000_000), counted.total / 1_000_000)
    return family


def _sizes(name: str, text: str, counted: Histogram) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"farebox_{name}", text)
    family.add_metric([], _buckets(counted, 1), counted.total)
    return family


def _buckets(counted: Histogram, unit: int) -> list[tuple[str, float]]:
    """Prometheus counts cumulatively: at most each bound, and all of them at most infinity."""
    so_far = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*counted.bounds, None), counted.counts, strict=True):
        so_far += count
        buckets.append(("+Inf" if bound is None else f"{bound / unit:g}", so_far))
    return buckets
