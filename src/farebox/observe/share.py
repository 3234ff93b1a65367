"""Metrics of several workers as one: each writes what it counted to a shared folder, any of them reads all.

A scrape reaches one worker, whichever accepts it, so that worker adds up the files of the others. Files of workers that
ended stay for as long as the gateway runs, because a counter must never fall; only their gauges no longer count. What
the answering worker knows of itself is exact, of the others at most `PUBLISH_S` old.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from farebox.observe.metrics import Snapshot

PUBLISH_S = 1
SILENT_S = 5
"""A worker that has not written for so long is gone."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


class MetricsShare:
    """The shared folder, seen by one worker. The parent makes a fresh one for each run of the gateway."""

    def __init__(self, folder: Path, worker: str) -> None:
        self._folder = folder
        self._own = folder / f"{worker}.metrics"

    def publish(self, counted: Snapshot) -> None:
        """Write what this worker has counted; call about once a `PUBLISH_S` and at the end."""
        fresh = self._own.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(_encode(counted))
        fresh.replace(self._own)

    def together(self, own: Snapshot) -> Snapshot:
        """Everything all workers of this run have counted, with our own as it stands now."""
        total = Snapshot()
        total.add_counters(own)
        total.add_gauges(own)
        for file in self._folder.glob("*.metrics"):
            if file != self._own:
                self._add(total, file)
        return total

    def _add(self, total: Snapshot, file: Path) -> None:
        other = _decode(file.read_bytes())
        total.add_counters(other)
        if time.time() - file.stat().st_mtime < SILENT_S:
            total.add_gauges(other)
