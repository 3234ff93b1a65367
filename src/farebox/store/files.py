"""Files of accounts: uploaded, listed, read, deleted. Rows here, bytes in the store of files (`blobs`).

**A row before the bytes.** A row is written before the first byte (arriving) and goes after the last one (leaving);
only what is kept in between can be seen and counts. So a crash at any moment leaves a row that says what to clear
away, no byte is without one, and nothing is ever removed that this database does not know: a store may be shared.

What an account may keep is taken in the transaction that keeps a file, from one counter: exact, however many uploads
end at once. Every look-up is by account: another's id is one that does not exist (d55). What is read is held against
the checksum it was stored with, before its last block is given out. Everything raises `LedgerUnavailable` when the
database does not answer, `BlobsUnavailable` when the store of files does not.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

import asyncpg
import msgspec

from farebox.admission.state import Tier
from farebox.faults import Fault, LedgerUnavailable
from farebox.store import statements
from farebox.store.blobs import BLOCK_BYTES, BlobMissing, Blobs, BlobsUnavailable, Draft
from farebox.store.id_source import new_id
from farebox.store.postgres import GONE, Pool

MOST_FILES = 100_000
"""An account keeps no more than this, whatever their size: a file is a name in a folder, too."""
UPLOADS_AT_ONCE = 8
"""Of one account, in one process."""
MOST_TROUBLES = 5
"""How many files a sweep fails to clear away before it takes the store for out of reach."""


class FileRefusal(StrEnum):
    """Why a file is not kept."""

    TOO_LARGE = "too_large"
    STORAGE_FULL = "storage_full"


class FileDamaged(Fault):
    """What was stored is not what is there."""


class StoredFile(msgspec.Struct, frozen=True):
    """A file that is kept. Times in microseconds since 1970."""

    account_id: str
    id: str
    filename: str
    purpose: str
    size: int
    """In bytes."""
    sha256: bytes
    created_us: int
    expires_us: int | None


class NewFile(msgspec.Struct, frozen=True):
    """What its owner says of a file."""

    filename: str
    purpose: str
    expires_after_s: int | None = None
    """From the beginning of the upload; None: it stays until it is deleted."""


class Page(msgspec.Struct, frozen=True):
    """Which files to list: `limit` of them after (in their order) the file `after`, of one purpose or all."""

    after: str | None = None
    limit: int = 100
    newest_first: bool = True
    purpose: str | None = None


class Room(msgspec.Struct, frozen=True):
    """What an account may still upload. None is unlimited."""

    file_bytes: int | None
    storage_bytes: int | None
    """All that its files may take, those it has included."""
    left: int | None
    """Of that, when the upload began."""

    def refusal(self, size: int) -> FileRefusal | None:
        """Whether a file of at least this size would be refused."""
        if self.file_bytes is not None and size > self.file_bytes:
            return FileRefusal.TOO_LARGE
        return FileRefusal.STORAGE_FULL if self.left is not None and size > self.left else None


class Receiver(Protocol):
    """The running program, by its lease; what it was receiving is cleared away once it is dead."""

    boot: int


class Place(NamedTuple):
    """Whose file, and which."""

    account_id: str
    file_id: str

    @property
    def blob(self) -> str:
        """The name of its bytes."""
        return f"{self.account_id}/{self.file_id}"


class Files:
    """See the module."""

    def __init__(self, pool: Pool, blobs: Blobs, receiver: Receiver) -> None:
        self._pool = pool
        self._blobs = blobs
        self._receiver = receiver
        self._sql = statements.load("files")
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._given_up: dict[Place, Draft | None] = {}
        """Uploads that came to nothing and are not cleared away yet."""

    async def prepare(self) -> None:
        """Make the store of files ready. Raises `SetupFault` when it cannot be used."""
        await self._blobs.prepare()

    # Uploads --------------------------------------------------------------------------------

    @asynccontextmanager
    async def receive(self, account_id: str, tier: Tier) -> AsyncGenerator[Upload, None]:
        """A file on its way in; what is not kept when the context ends is cleared away.

        Of one account so many arrive at once in this process, the others wait in line: what may lie on the disk
        and not count yet has a bound.
        """
        turns = self._turns.setdefault(account_id, asyncio.Semaphore(UPLOADS_AT_ONCE))
        async with turns:
            room = await self._room(account_id, tier)
            place = Place(account_id, "file-" + new_id("file").removeprefix("file_"))
            upload = Upload(room, await self._begun(place), lambda new: self._keep(place, upload, new))
            try:
                yield upload
            finally:
                if not upload.kept:
                    await self._give_up(place, upload.draft)

    async def _begun(self, place: Place) -> Draft:
        """The row and the draft of an upload. Who is cancelled meanwhile still waits, to know what to clear away."""
        beginning = asyncio.ensure_future(self._begin(place))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            with suppress(LedgerUnavailable, BlobsUnavailable):
                await self._give_up(place, await beginning)
            raise

    async def _begin(self, place: Place) -> Draft:
        try:
            await self._run("begin_file", *place, self._receiver.boot)
            return await self._blobs.draft(place.blob)
        except (LedgerUnavailable, BlobsUnavailable):
            await self._give_up(place, None)
            raise

    async def _room(self, account_id: str, tier: Tier) -> Room:
        await self._run("expire_files", account_id)
        row = await self._row("storage", account_id)
        used, count = (row["bytes"], row["files"]) if row else (0, 0)
        most = tier.max_storage_bytes
        left = None if most is None else max(most - used, 0)
        return Room(tier.max_file_bytes, most, 0 if count >= MOST_FILES else left)

    async def _keep(self, place: Place, upload: Upload, new: NewFile) -> StoredFile | FileRefusal:
        """Make what has arrived a file, if there is room for it, in one transaction."""
        described = (new.filename, new.purpose, upload.size, upload.sha256, new.expires_after_s)
        limits = (upload.room.storage_bytes, MOST_FILES)
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                row = await connection.fetchrow(self._sql["keep_file"], *place, *described)
                if row is None:
                    raise LedgerUnavailable("this process was taken for dead while a file arrived")
                await connection.execute(self._sql["expire_files"], place.account_id)
                if await connection.fetchval(self._sql["take_storage"], place.account_id, upload.size, *limits) is None:
                    raise _NoRoom
        except _NoRoom:
            return FileRefusal.STORAGE_FULL
        except (*GONE, asyncpg.PostgresError) as error:
            raise LedgerUnavailable("the database does not answer") from error
        return _file(row)

    async def _give_up(self, place: Place, draft: Draft | None) -> None:
        """Clear away what is not to be kept; what cannot be done now, the sweep does."""
        self._given_up[place] = draft
        with suppress(LedgerUnavailable, BlobsUnavailable):
            await self._clear_draft(place, draft)

    async def _clear_draft(self, place: Place, draft: Draft | None) -> None:
        if await self._row("abandon_file", *place) is not None or await self.get(*place) is None:
            if draft is not None:
                await draft.discard()
            await self._run("forget_file", *place)
        # Otherwise it was kept: the commit was done and not heard of.
        self._given_up.pop(place, None)

    # Files ----------------------------------------------------------------------------------

    async def get(self, account_id: str, file_id: str) -> StoredFile | None:
        """One file; None if the account has none of this id."""
        row = await self._row("file", account_id, file_id)
        return None if row is None else _file(row)

    async def page(self, account_id: str, page: Page) -> Sequence[StoredFile]:
        """Files in the order they were uploaded, or the other way round."""
        statement = "newest_files" if page.newest_first else "oldest_files"
        return [_file(row) for row in await self._rows(statement, account_id, page.purpose, page.after, page.limit)]

    async def used(self, account_id: str) -> tuple[int, int]:
        """How many files the account keeps, and what they take together in bytes."""
        row = await self._row("storage", account_id)
        return (row["files"], row["bytes"]) if row else (0, 0)

    async def read_file(self, account_id: str, file_id: str) -> Reading | None:
        """A file to be read; None if the account has none of this id."""
        file = await self.get(account_id, file_id)
        return None if file is None else Reading(file, self._blobs)

    async def delete(self, account_id: str, file_id: str) -> bool:
        """Delete a file: gone for everybody at once, its bytes after it. False if the account has no such file."""
        place = Place(account_id, file_id)
        if await self._row("let_go", *place) is None:
            return False
        with suppress(LedgerUnavailable, BlobsUnavailable):  # then the sweep does it
            await self._clear(place, half=False)
        return True

    async def sweep(self) -> int:
        """Clear away what expired, what was deleted, what came to nothing, what the dead were receiving.

        Returns how many it cleared. Several processes may do this at once. One that cannot be cleared keeps no other
        from it; what was wrong with it is raised last.
        """
        await self._run("expire_files", None)
        await self._run("abandon_orphans")
        work = [partial(self._clear_draft, place, draft) for place, draft in self._given_up.items()]
        for row in await self._rows("leaving_files"):
            work.append(partial(self._clear, Place(row["account_id"], row["id"]), half=row["half"]))
        troubles: list[BlobsUnavailable] = []
        for clear in work:
            try:
                await clear()
            except BlobsUnavailable as error:
                troubles.append(error)
                if len(troubles) == MOST_TROUBLES:
                    break
        if troubles:
            raise troubles[-1]
        return len(work)

    async def _clear(self, place: Place, *, half: bool) -> None:
        await self._blobs.remove(place.blob, half=half)
        await self._run("forget_file", *place)

    # The database ---------------------------------------------------------------------------

    async def _row(self, name: str, *arguments: Any) -> asyncpg.Record | None:
        rows = await self._rows(name, *arguments)
        return rows[0] if rows else None

    async def _run(self, name: str, *arguments: Any) -> None:
        await self._rows(name, *arguments)

    async def _rows(self, name: str, *arguments: Any) -> Sequence[asyncpg.Record]:
        try:
            return await self._pool.fetch(self._sql[name], *arguments)
        except (*GONE, asyncpg.PostgresError) as error:
            raise LedgerUnavailable("the database does not answer") from error


class Upload:
    """A file that is arriving. Made by `Files.receive`."""

    def __init__(
        self, room: Room, draft: Draft, keep: Callable[[NewFile], Awaitable[StoredFile | FileRefusal]]
    ) -> None:
        self.room = room
        self.draft = draft
        self.size = 0
        self.kept = False
        self._keep = keep
        self._digest = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_size = 0

    @property
    def sha256(self) -> bytes:
        """Of all that was written down."""
        return self._digest.digest()

    async def write(self, piece: bytes) -> FileRefusal | None:
        """Take the next piece, of any size; returns when there is room for more. A refusal is final."""
        self.size += len(piece)
        refusal = self.room.refusal(self.size)
        if refusal is not None:
            return refusal
        self._waiting.append(piece)
        self._waiting_size += len(piece)
        if self._waiting_size >= BLOCK_BYTES:
            await self._write_down()
        return None

    async def keep(self, new: NewFile) -> StoredFile | FileRefusal:
        """All has arrived: keep it under what its owner says of it."""
        await self._write_down()
        await self.draft.finish()
        stored = await self._keep(new)
        self.kept = isinstance(stored, StoredFile)
        return stored

    async def _write_down(self) -> None:
        block, self._waiting, self._waiting_size = b"".join(self._waiting), [], 0
        if block:
            await asyncio.gather(asyncio.to_thread(self._digest.update, block), self.draft.write(block))


class Reading:
    """A file and its content."""

    def __init__(self, file: StoredFile, blobs: Blobs) -> None:
        self.file = file
        self._blobs = blobs

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """The content; close the generator. Raises `FileDamaged` in place of the last block, never after it."""
        file, digest, size, held = self.file, hashlib.sha256(), 0, b""
        async with aclosing(self._blobs.read(Place(file.account_id, file.id).blob)) as blocks:
            try:
                async for block in blocks:
                    if held:
                        yield held
                    await asyncio.to_thread(digest.update, block)
                    size, held = size + len(block), block
            except BlobMissing as error:
                raise FileDamaged(f"the bytes of {file.id} are gone") from error
        if size != file.size or digest.digest() != file.sha256:
            raise FileDamaged(f"the bytes of {file.id} are not those that were uploaded")
        yield held


class _NoRoom(Exception):
    """Rolls back what would have kept a file."""


def _file(row: asyncpg.Record) -> StoredFile:
    return msgspec.convert(dict(row), StoredFile)
