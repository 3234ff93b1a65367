"""Closed-loop load by wrk: so many connections, each asking again as soon as it was answered."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

SCRIPT = Path(__file__).with_name("chat.lua")


class Load(msgspec.Struct, frozen=True):
    """What wrk saw. Latencies are of answered requests, in whole microseconds."""

    requests: int
    duration_us: int
    bytes: int
    refused: int
    """Answers with a status of 400 or more."""
    failed: int
    """Connections that broke or timed out."""
    p50_us: int
    p99_us: int

    @property
    def per_second(self) -> float:
        return self.requests * 1_000_000 / self.duration_us


class LoadFailed(Exception):
    """The figures would be worthless: requests were refused or connections broke."""


def drive(port: int, *, connections: int, seconds: float, keys: Path, body: Path) -> Load:
    """Load one server on this machine with one thread of wrk. Raises `LoadFailed` unless every answer was good."""
    url = f"http://127.0.0.1:{port}"
    shape = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "--latency"]
    command = ["wrk", *shape, "-s", str(SCRIPT), url, "--", str(keys), str(body)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    if run.returncode:
        raise LoadFailed(f"wrk: {run.stderr.strip() or run.stdout.strip()}")
    load = msgspec.json.decode(run.stdout.rstrip().rpartition("\n")[2], type=Load)
    if load.refused or load.failed or not load.requests:
        raise LoadFailed(
            f"{url}: {load.requests} answers, {load.refused} of them refusals, {load.failed} broken connections"
        )
    return load
