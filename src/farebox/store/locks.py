"""File locks that the kernel gives back when their holder dies, however it dies.

Used by the private PostgreSQL: who may start or stop it, who uses it, who serves from it.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from farebox.faults import SetupFault

POLL_S = 0.02


class FileLock:
    """An advisory lock on a file of its own. Not inherited by programs we start."""

    def __init__(self, path: Path, *, wait_s: int = 60) -> None:
        self._path = path
        self._wait_s = wait_s
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def take(self, *, shared: bool = False, note: str = "") -> bool:
        """Take the lock if it is free now, and leave `note` in the file; False if it is not."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            give_to_folder_owner(descriptor, self._path)
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        if note:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, note.encode())
        self._descriptor = descriptor
        return True

    def note(self) -> str:
        """What the holder wrote."""
        return self._path.read_text()

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        deadline = time.monotonic() + self._wait_s
        while not self.take():
            if time.monotonic() > deadline:
                raise SetupFault(
                    f"Another Farebox command has held {self._path} for {self._wait_s:.0f} s. Is it stuck?"
                )
            time.sleep(POLL_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def give_to_folder_owner(descriptor: int, path: Path) -> None:
    """A file that root made must not lock the folder's owner out."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
