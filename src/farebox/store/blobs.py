"""Where the bytes of files lie: one small interface, and a folder of this machine behind it.

Enters: blocks of bytes under a name. Leaves: the same blocks, or nothing: a blob is there whole or not at all,
whenever the machine stops. It knows no account, no limit and no row; who may see what is `files`' to say.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from farebox.faults import Fault, SetupFault

BLOCK_BYTES = 256 * 1024
"""Of reading, and what writing is gathered to: large enough for a thread's while, small enough for many at once."""


class BlobsUnavailable(Fault):
    """The store of files does not answer, or refuses us; what was asked may or may not have happened."""

    retry_is_safe = True


class BlobMissing(Fault):
    """There is no blob of this name, though somebody said so."""


class Draft(Protocol):
    """A blob that is being written, by one writer. It is finished or discarded, whatever happens."""

    async def write(self, block: bytes) -> None: ...

    async def finish(self) -> None:
        """Make it a blob under its name, to stay through a crash."""
        ...

    async def discard(self) -> None:
        """Leave nothing of it, whole or half."""
        ...


class Blobs(Protocol):
    """A store of files. Everything raises `BlobsUnavailable` when it does not answer."""

    async def prepare(self) -> None:
        """Make it ready at the start. Raises `SetupFault` when it cannot be used."""
        ...

    async def draft(self, name: str) -> Draft:
        """Begin a blob. Names are ours: letters, digits, `_`, `-`, and one `/`."""
        ...

    def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """The blocks of a blob; the reader closes the generator. Raises `BlobMissing` before the first."""
        ...

    async def remove(self, name: str, *, half: bool) -> None:
        """Leave nothing under this name; that there was nothing is no trouble. `half`: it may never have been whole."""
        ...


class Folder:
    """Blobs as files below a folder, which only the operator's account can read.

    A draft is written to `<name>.part`, made durable, and only then given its name.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    async def prepare(self) -> None:
        root = self._root
        try:
            _make_folders(root)
        except OSError as trouble:
            raise SetupFault(f"The folder of files {root} cannot be made ({trouble.strerror}).") from trouble
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
            raise SetupFault(f"The folder of files {root} cannot be written to. Run Farebox as its owner.")

    async def draft(self, name: str) -> FolderDraft:
        return await asyncio.to_thread(self._begin, name)

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        file = await asyncio.to_thread(self._open, name)
        try:
            while block := await asyncio.to_thread(_read, file):
                yield block
        finally:
            file.close()

    async def remove(self, name: str, *, half: bool) -> None:
        await asyncio.to_thread(self._remove, name)

    def _begin(self, name: str) -> FolderDraft:
        path = self._root / name
        try:
            _make_folders(path.parent)
            return FolderDraft(path, open(_part_of(path), "xb", buffering=0, opener=_for_owner))
        except OSError as error:
            raise BlobsUnavailable(f"a file cannot be stored: {error.strerror}") from error

    def _open(self, name: str) -> BinaryIO:
        try:
            return open(self._root / name, "rb", buffering=0)
        except FileNotFoundError as error:
            raise BlobMissing("the bytes of a file are not where they were stored") from error
        except OSError as error:
            raise BlobsUnavailable(f"a file cannot be read: {error.strerror}") from error

    def _remove(self, name: str) -> None:
        _unlink(self._root / name)


class FolderDraft:
    """See `Draft`. A writer that was cancelled leaves its thread writing: whoever comes next waits for it."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._one_at_a_time = threading.Lock()

    async def write(self, block: bytes) -> None:
        await asyncio.to_thread(self._do, lambda: self._write(block))

    async def finish(self) -> None:
        await asyncio.to_thread(self._do, self._finish)

    async def discard(self) -> None:
        await asyncio.to_thread(self._do, self._discard)

    def _do(self, act: Callable[[], None]) -> None:
        with self._one_at_a_time:
            try:
                act()
            except OSError as error:  # the disk is full, most of all
                raise BlobsUnavailable(f"a file cannot be stored: {error.strerror}") from error

    def _write(self, block: bytes) -> None:
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _finish(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        os.rename(_part_of(self._path), self._path)
        _make_durable(self._path.parent)

    def _discard(self) -> None:
        self._file.close()
        _unlink(self._path)


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _unlink(path: Path) -> None:
    try:
        _part_of(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise BlobsUnavailable(f"a file cannot be removed: {error.strerror}") from error


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _read(file: BinaryIO) -> bytes:
    try:
        return file.read(BLOCK_BYTES)
    except OSError as error:
        raise BlobsUnavailable(f"a file cannot be read: {error.strerror}") from error


def _make_folders(folder: Path) -> None:
    """The folder and those above it, each of which stays through a crash."""
    if folder.exists():
        return
    _make_folders(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _make_durable(folder.parent)


def _make_durable(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
