"""Metrics: cheap to count, right when read, and one whole over several workers."""

from __future__ import annotations

import os
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from farebox.observe.exposition import exposition
from farebox.observe.metrics import TIME_BOUNDS_US, Metrics, Snapshot, StageTimes
from farebox.observe.share import SILENT_S, MetricsShare


def samples(counted: Snapshot) -> dict[str, float]:
    """Every sample by its name and labels, as Prometheus would read it."""
    text = exposition(counted).decode()
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def busy() -> Metrics:
    metrics = Metrics()
    metrics.request_ended("chat", "ok")
    metrics.request_ended("chat", "ok")
    metrics.request_ended("chat", "insufficient_credits")
    metrics.stages_took(StageTimes(admit=900))
    metrics.stages_took(StageTimes(admit=1_000))
    metrics.stages_took(StageTimes(admit=999_000_000))
    metrics.batch_committed(3, 0.002)
    metrics.ledger_failed("TimeoutError")
    metrics.upstream_answered("main", "ok")
    metrics.upstream_healthy("main", healthy=True)
    metrics.charged_beyond_available(1_500_000_000)
    metrics.hold_opened()
    metrics.hold_opened()
    metrics.hold_ended()
    metrics.stream_opened()
    return metrics


def test_what_was_counted_is_what_prometheus_reads() -> None:
    read = samples(busy().counted)
    expected = {
        "farebox_requests_total code=ok route=chat": 2,
        "farebox_requests_total code=insufficient_credits route=chat": 1,
        "farebox_stage_seconds_bucket le=0.0005 stage=admit": 0,
        "farebox_stage_seconds_bucket le=0.001 stage=admit": 2,
        "farebox_stage_seconds_bucket le=300 stage=admit": 2,
        "farebox_stage_seconds_bucket le=+Inf stage=admit": 3,
        "farebox_stage_seconds_count stage=admit": 3,
        "farebox_stage_seconds_sum stage=admit": 999.0019,
        "farebox_ledger_batch_size_bucket le=2": 0,
        "farebox_ledger_batch_size_bucket le=4": 1,
        "farebox_ledger_batch_size_sum": 3,
        "farebox_ledger_commit_seconds_sum": 0.002,
        "farebox_ledger_failures_total why=TimeoutError": 1,
        "farebox_upstream_answers_total channel=main outcome=ok": 1,
        "farebox_upstream_healthy channel=main": 1,
        "farebox_shortfall_credits_total": 1.5,
        "farebox_holds_open": 1,
        "farebox_streams_open": 1,
    }
    assert {name: read.get(name) for name in expected} == expected


def test_a_process_that_has_counted_nothing_can_be_read() -> None:
    assert samples(Snapshot())["farebox_holds_open"] == 0


@given(st.lists(st.integers(0, 10 * TIME_BOUNDS_US[-1]), max_size=50))
def test_every_value_is_in_every_bucket_at_or_above_it(values: list[int]) -> None:
    metrics = Metrics()
    for value in values:
        metrics.stages_took(StageTimes(total=value))
    read = samples(metrics.counted)
    for bound in TIME_BOUNDS_US:
        at_most = read[f"farebox_stage_seconds_bucket le={bound / 1_000_000:g} stage=total"]
        assert at_most == sum(1 for value in values if value <= bound)


def test_workers_are_read_as_one_whichever_answers(tmp_path: Path) -> None:
    ours, theirs = busy(), busy()
    theirs.upstream_healthy("main", healthy=False)
    MetricsShare(tmp_path, "2").publish(theirs.counted)
    share = MetricsShare(tmp_path, "1")
    share.publish(ours.counted)
    ours.request_ended("chat", "ok")
    read = samples(share.together(ours.counted))
    assert read["farebox_requests_total code=ok route=chat"] == 5
    assert read["farebox_stage_seconds_count stage=admit"] == 6
    assert read["farebox_holds_open"] == 2
    assert read["farebox_upstream_healthy channel=main"] == 0
    assert read["farebox_shortfall_credits_total"] == 3


def test_what_an_ended_worker_counted_stays_and_what_it_held_does_not(tmp_path: Path) -> None:
    MetricsShare(tmp_path, "2").publish(busy().counted)
    long_ago = time.time() - SILENT_S - 1
    os.utime(tmp_path / "2.metrics", (long_ago, long_ago))
    read = samples(MetricsShare(tmp_path, "1").together(Snapshot()))
    assert read["farebox_requests_total code=ok route=chat"] == 2
    assert read["farebox_holds_open"] == 0
    assert "farebox_upstream_healthy channel=main" not in read


def test_reading_changes_nothing(tmp_path: Path) -> None:
    metrics = busy()
    share = MetricsShare(tmp_path, "1")
    first = share.together(metrics.counted)
    assert share.together(metrics.counted) == first
    assert samples(first) == samples(metrics.counted)
