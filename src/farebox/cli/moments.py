"""Moments as an operator writes them: `30d`, `12h`, `2026-12-31`, `2026-12-31T18:00:00Z`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from farebox.cli.output import CommandFailed, ExitCode

SPANS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN = re.compile(r"([0-9]{1,6})([mhdw])", re.ASCII)


def read_past_us(text: str) -> int:
    """The same for a moment that has been: `30d` is thirty days ago."""
    moment_us = read_moment_us(text)
    return 2 * (time.time_ns() // 1000) - moment_us if _SPAN.fullmatch(text) else moment_us


def read_moment_us(text: str) -> int:
    """Microseconds since 1970 of a date, a time, or a span from now. Times without a zone are UTC."""
    span = _SPAN.fullmatch(text)
    if span is not None:
        return time.time_ns() // 1000 + int(span.group(1)) * SPANS_S[span.group(2)] * 1_000_000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(
            f"{text!r} is no moment.", code=ExitCode.USAGE, next_step="Write 30d, 12h, 2026-12-31 or 2026-12-31T18:00Z."
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000
