"""What the kernel says of processes: CPU time, memory, who belongs to whom. Linux only, `/proc` only.

CPU time is `utime + stime` of every living process of a tree, plus what its dead and awaited children used
(`cutime + cstime`), so nothing is lost when a worker ends. The kernel counts in ticks of 10 ms: measure for seconds.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STAT_AFTER_NAME = 2
"""`/proc/PID/stat` is split after the name in brackets; the first field there is the third of the manual page."""


class Tree(msgspec.Struct, frozen=True):
    """The processes `roots` and all below them, without the trees of `but_not`."""

    roots: tuple[int, ...]
    but_not: tuple[int, ...] = ()

    def pids(self) -> set[int]:
        children = _children()
        return _below(self.roots, children, self.but_not)

    def cpu_us(self) -> int:
        """Microseconds of CPU, user and kernel, since the processes began."""
        return sum(_cpu_us(pid) for pid in self.pids())

    def rss_bytes(self) -> int:
        """Resident memory, added up; pages that processes share count once for each."""
        return sum(_rss_bytes(pid) for pid in self.pids())

    def __bool__(self) -> bool:
        return bool(self.roots)


def _below(roots: Iterable[int], children: dict[int, list[int]], but_not: Collection[int]) -> set[int]:
    found: set[int] = set()
    to_visit = [root for root in roots if root not in but_not]
    while to_visit:
        pid = to_visit.pop()
        found.add(pid)
        to_visit += [child for child in children.get(pid, ()) if child not in found and child not in but_not]
    return found


def _children() -> dict[int, list[int]]:
    by_parent: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (fields := _stat(int(folder.name))):
            by_parent.setdefault(int(fields[4 - 1 - _STAT_AFTER_NAME]), []).append(int(folder.name))
    return by_parent


def _cpu_us(pid: int) -> int:
    fields = _stat(pid)
    used = fields[14 - 1 - _STAT_AFTER_NAME : 17 - _STAT_AFTER_NAME]  # utime, stime, cutime, cstime
    return sum(map(int, used)) * _TICK_US


def _rss_bytes(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[24 - 1 - _STAT_AFTER_NAME]) * _PAGE_BYTES if fields else 0


def _stat(pid: int) -> list[str]:
    """The fields after the name; none if the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
