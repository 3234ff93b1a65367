"""Where log lines go: a queue that a thread writes out, so that a full pipe or a slow disk never delays a request.

In come whole lines as bytes; out they go in order, at most half a second later, and at the end of the process. When
the reader has stopped reading, lines beyond a limit are dropped and counted; requests go on.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections import deque
from typing import BinaryIO

FLUSH_S = 0.5
CLOSE_S = 2
MOST_WAITING = 100_000


class LineWriter:
    """Writes lines to a binary file from a thread of its own. One per process: start it after any fork."""

    def __init__(self, out: BinaryIO | None = None) -> None:
        self._out = out or sys.stdout.buffer
        self._waiting: deque[bytes] = deque()
        self._wake = threading.Event()
        self._writing = threading.Lock()
        self._closed = False
        self.dropped = 0
        """Lines lost because nobody read what was written."""
        self._thread = threading.Thread(target=self._write_on, name="farebox-log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, line: bytes) -> None:
        """Queue a line, given without its line end. Never blocks."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(line)
        else:
            self.dropped += 1

    def hurry(self) -> None:
        """Write what waits soon, not within half a second: for warnings and errors."""
        self._wake.set()

    def flush(self) -> None:
        """Write what waits now, in this thread."""
        with self._writing:
            self._write_waiting()

    def _write_waiting(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not lines:
            return
        try:
            self._out.write(b"\n".join(lines) + b"\n")
            self._out.flush()
        except (OSError, ValueError):  # the reader has gone, or the stream was closed: no reason to stop serving
            self.dropped += len(lines)

    def close(self) -> None:
        """Write the rest and end the thread; give up on a reader that does not read for `CLOSE_S`."""
        self._closed = True
        self._wake.set()
        if self._writing.acquire(timeout=CLOSE_S):
            self._write_waiting()
            self._writing.release()
        atexit.unregister(self.close)

    def _write_on(self) -> None:
        while not self._closed:
            self._wake.wait(FLUSH_S)
            self._wake.clear()
            self.flush()
