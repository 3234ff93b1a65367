"""Files: kept whole or not at all, counted exactly, private, and cleared away whatever breaks off where."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path

import msgspec
import pytest
from tests.support.cut_wire import Cut, CutWire, Moment
from tests.support.ledger_desk import Customer, LedgerDesk

from farebox.admission.state import Tier
from farebox.faults import LedgerUnavailable
from farebox.store import files as files_room
from farebox.store.blobs import BlobsUnavailable, Folder
from farebox.store.files import FileDamaged, FileRefusal, Files, NewFile, Page, StoredFile
from farebox.store.ledger_writer import LedgerWriter
from farebox.store.postgres import open_pool

TIER = Tier("roomy", 0, 1, max_file_bytes=1_000_000, max_storage_bytes=2_000_000)
NOTES = NewFile("notes.txt", "user_data")


class Shelf:
    """A database, a folder, and the files of processes over both; its books are checked at the end."""

    def __init__(self, desk: LedgerDesk, root: Path) -> None:
        self.desk = desk
        self.root = root
        self.blobs = Folder(root)

    async def process(self, writer: LedgerWriter | None = None) -> Files:
        return Files(self.desk.pool, self.blobs, writer or await self.desk.node())

    async def customer(self) -> Customer:
        return await self.desk.customer()

    def on_disk(self) -> set[str]:
        return {path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()}

    async def rows(self) -> list[tuple[str, str]]:
        rows = await self.desk.owner.fetch("SELECT account_id || '/' || id AS name, state FROM files ORDER BY id")
        return [(row["name"], row["state"]) for row in rows]

    async def counted(self, customer: Customer) -> tuple[int, int]:
        row = await self.desk.owner.fetchrow(
            "SELECT files, bytes FROM storage WHERE account_id = $1", customer.account_id
        )
        return (row["files"], row["bytes"]) if row else (0, 0)

    async def check(self) -> None:
        """What is counted is what is kept, what is kept is there, whole, and nothing is without a row."""
        wrong = await self.desk.owner.fetch(
            "SELECT account_id FROM storage s WHERE (files, bytes) <>"
            " (SELECT count(*), coalesce(sum(f.bytes), 0) FROM files f"
            "  WHERE f.account_id = s.account_id AND state = 'kept')"
        )
        assert wrong == []
        rows = await self.rows()
        kept = {name for name, state in rows if state == "kept"}
        assert kept <= self.on_disk() <= {name for name, _ in rows} | {f"{name}.part" for name, _ in rows}
        for row in await self.desk.owner.fetch("SELECT account_id, id, sha256 FROM files WHERE state = 'kept'"):
            content = (self.root / row["account_id"] / row["id"]).read_bytes()
            assert hashlib.sha256(content).digest() == row["sha256"]


@pytest.fixture
async def shelf(desk: LedgerDesk, tmp_path: Path) -> AsyncIterator[Shelf]:
    shelf = Shelf(desk, tmp_path / "files")
    yield shelf
    await shelf.check()


async def upload(
    files: Files, who: Customer, content: bytes, new: NewFile = NOTES, *, tier: Tier = TIER, piece: int = 100_000
) -> StoredFile | FileRefusal:
    async with files.receive(who.account_id, tier) as arriving:
        for start in range(0, len(content), piece):
            refusal = await arriving.write(content[start : start + piece])
            if refusal is not None:
                return refusal
        return await arriving.keep(new)


async def stored(files: Files, who: Customer, content: bytes, new: NewFile = NOTES) -> StoredFile:
    file = await upload(files, who, content, new)
    assert isinstance(file, StoredFile)
    return file


async def read(files: Files, who: Customer, file_id: str) -> bytes | None:
    reading = await files.read_file(who.account_id, file_id)
    if reading is None:
        return None
    async with aclosing(reading.blocks()) as blocks:
        return b"".join([block async for block in blocks])


# Kept and given back ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 900_000])
async def test_a_file_comes_back_as_it_was_sent(shelf: Shelf, size: int) -> None:
    files, who = await shelf.process(), await shelf.customer()
    content = os.urandom(size)
    file = await stored(files, who, content)
    assert (file.size, file.sha256) == (size, hashlib.sha256(content).digest())
    assert file.id.startswith("file-")
    assert (file.filename, file.purpose, file.expires_us) == ("notes.txt", "user_data", None)
    assert await read(files, who, file.id) == content
    assert await files.get(who.account_id, file.id) == file
    assert await shelf.counted(who) == await files.used(who.account_id) == (1, size)


async def test_only_the_operators_account_can_read_what_lies_there(shelf: Shelf) -> None:
    files, who = await shelf.process(), await shelf.customer()
    await stored(files, who, b"secret")
    assert {oct(path.stat().st_mode & 0o077) for path in [shelf.root, *shelf.root.rglob("*")]} == {"0o0"}


async def test_d55_another_accounts_file_does_not_exist(shelf: Shelf) -> None:
    files, owner, other = await shelf.process(), await shelf.customer(), await shelf.customer()
    file = await stored(files, owner, b"mine")
    assert await files.get(other.account_id, file.id) is None
    assert await files.read_file(other.account_id, file.id) is None
    assert await files.delete(other.account_id, file.id) is False
    assert await files.page(other.account_id, Page()) == []
    assert await files.page(other.account_id, Page(after=file.id, newest_first=False)) == []
    assert await read(files, owner, file.id) == b"mine"


async def test_a_deleted_file_is_gone_and_counts_no_more(shelf: Shelf) -> None:
    files, who = await shelf.process(), await shelf.customer()
    file = await stored(files, who, b"x" * 500)
    assert await asyncio.gather(*(files.delete(who.account_id, file.id) for _ in range(5))) != [False] * 5
    assert await files.delete(who.account_id, file.id) is False
    assert await files.get(who.account_id, file.id) is None
    assert await shelf.counted(who) == (0, 0)
    assert (shelf.on_disk(), await shelf.rows()) == (set(), [])


async def test_who_reads_a_file_while_it_is_deleted_reads_it_to_its_end(shelf: Shelf) -> None:
    files, who = await shelf.process(), await shelf.customer()
    content = os.urandom(900_000)
    file = await stored(files, who, content)
    reading = await files.read_file(who.account_id, file.id)
    assert reading is not None
    async with aclosing(reading.blocks()) as blocks:
        got = await anext(blocks)
        await files.delete(who.account_id, file.id)
        assert got + b"".join([block async for block in blocks]) == content


@pytest.mark.parametrize("damage", ["changed", "shorter", "longer", "gone"])
async def test_damage_is_noticed_before_the_last_block_is_given_out(shelf: Shelf, damage: str) -> None:
    files, who = await shelf.process(), await shelf.customer()
    content = os.urandom(600_000)
    file = await stored(files, who, content)
    path = shelf.root / who.account_id / file.id
    spoiled = {"changed": b"\0" + content[1:], "shorter": content[:-1], "longer": content + b"x"}.get(damage)
    if spoiled is None:
        path.unlink()
    else:
        path.write_bytes(spoiled)
    reading = await files.read_file(who.account_id, file.id)
    assert reading is not None
    got = b""
    try:
        async for block in reading.blocks():
            got += block
    except FileDamaged:
        assert len(got) < 600_000
    else:
        pytest.fail("nobody noticed")
    finally:
        path.write_bytes(content)


# Listed -------------------------------------------------------------------------------------------


async def test_files_are_listed_page_by_page_in_both_orders_and_by_purpose(shelf: Shelf) -> None:
    files, who = await shelf.process(), await shelf.customer()
    ids: list[str] = []
    for number in range(7):
        purpose = "batch" if number % 3 == 0 else "vision"
        ids.append((await stored(files, who, b"x", NewFile("a", purpose))).id)
        await asyncio.sleep(0.002)  # ids of one millisecond have no order

    async def listed(page: Page) -> list[int]:
        numbers: list[int] = []
        while found := await files.page(who.account_id, page):
            numbers += [ids.index(file.id) for file in found]
            page = msgspec.structs.replace(page, after=found[-1].id)
        return numbers

    assert await listed(Page(limit=3)) == [6, 5, 4, 3, 2, 1, 0]
    assert await listed(Page(limit=2, newest_first=False)) == [0, 1, 2, 3, 4, 5, 6]
    assert await listed(Page(limit=2, purpose="batch")) == [6, 3, 0]
    await files.delete(who.account_id, ids[3])
    assert await listed(Page(after=ids[3])) == [2, 1, 0], "a page may follow a file that is gone"


# Room ---------------------------------------------------------------------------------------------


async def test_limits_are_met_to_the_byte(shelf: Shelf) -> None:
    files, who = await shelf.process(), await shelf.customer()
    tier = Tier("small", 0, 1, max_file_bytes=600, max_storage_bytes=1000)
    assert await upload(files, who, b"x" * 601, tier=tier) is FileRefusal.TOO_LARGE
    assert isinstance(await upload(files, who, b"x" * 600, tier=tier), StoredFile)
    assert await upload(files, who, b"x" * 401, tier=tier) is FileRefusal.STORAGE_FULL
    assert isinstance(await upload(files, who, b"x" * 400, tier=tier), StoredFile)
    assert await upload(files, who, b"x", tier=tier) is FileRefusal.STORAGE_FULL
    assert isinstance(await upload(files, who, b"x", tier=Tier("no limits", 0, 1)), StoredFile)
    assert await shelf.counted(who) == (3, 1001)
    assert len(shelf.on_disk()) == 3


async def test_the_number_of_files_has_a_bound(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_room, "MOST_FILES", 2)
    files, who = await shelf.process(), await shelf.customer()
    ended = await asyncio.gather(*(upload(files, who, b"x") for _ in range(5)))
    assert sum(isinstance(one, StoredFile) for one in ended) == 2
    assert await upload(files, who, b"x") is FileRefusal.STORAGE_FULL


async def test_storage_is_exact_with_twenty_uploads_at_once_in_two_processes(shelf: Shelf) -> None:
    """All begin while there is room for each; only seven fit together."""
    processes, who = [await shelf.process(), await shelf.process()], await shelf.customer()
    tier = Tier("tight", 0, 1, max_storage_bytes=7 * 300_000 + 299_999)
    ended = await asyncio.gather(*(upload(processes[n % 2], who, os.urandom(300_000), tier=tier) for n in range(20)))
    assert sum(isinstance(one, StoredFile) for one in ended) == 7
    assert {one for one in ended if not isinstance(one, StoredFile)} == {FileRefusal.STORAGE_FULL}
    assert await shelf.counted(who) == (7, 2_100_000)
    assert len(shelf.on_disk()) == len(await shelf.rows()) == 7


async def test_the_same_room_is_not_taken_twice(shelf: Shelf) -> None:
    """Two have arrived whole before either is kept."""
    files, who = await shelf.process(), await shelf.customer()
    tier = Tier("one", 0, 1, max_storage_bytes=1000)
    async with files.receive(who.account_id, tier) as one, files.receive(who.account_id, tier) as other:
        assert [await one.write(b"x" * 501), await other.write(b"x" * 501)] == [None, None]
        ended = await asyncio.gather(one.keep(NOTES), other.keep(NOTES))
    assert [isinstance(each, StoredFile) for each in ended].count(True) == 1
    assert FileRefusal.STORAGE_FULL in ended
    assert await shelf.counted(who) == (1, 501)


async def test_uploads_and_deletions_at_once_leave_the_count_right(shelf: Shelf) -> None:
    files, who = await shelf.process(), await shelf.customer()

    async def come_and_go(size: int) -> None:
        file = await upload(files, who, b"x" * size)
        assert isinstance(file, StoredFile)
        if size % 2:
            await files.delete(who.account_id, file.id)

    await asyncio.gather(*(come_and_go(size) for size in range(1, 25)))
    assert await shelf.counted(who) == (12, sum(range(2, 25, 2)))


# Time ---------------------------------------------------------------------------------------------


async def age(shelf: Shelf, file: StoredFile, seconds: int) -> None:
    await shelf.desk.owner.execute(
        "UPDATE files SET created_us = created_us - $2 * 1000000::bigint,"
        " expires_us = expires_us - $2 * 1000000::bigint WHERE id = $1",
        file.id,
        seconds,
    )


async def test_a_file_expires_when_it_was_told_to(shelf: Shelf) -> None:
    files, who = await shelf.process(), await shelf.customer()
    file = await stored(files, who, b"x" * 900_000, NewFile("a", "batch", expires_after_s=3600))
    assert file.expires_us == file.created_us + 3600 * 1_000_000
    await age(shelf, file, 3590)
    assert await files.get(who.account_id, file.id) is not None
    await age(shelf, file, 10)
    assert await files.get(who.account_id, file.id) is None
    assert await files.page(who.account_id, Page()) == []
    assert await files.delete(who.account_id, file.id) is False
    assert await files.sweep() == 1
    assert (shelf.on_disk(), await shelf.rows(), await shelf.counted(who)) == (set(), [], (0, 0))


async def test_what_has_expired_takes_no_room_even_before_it_is_swept(shelf: Shelf) -> None:
    files, who = await shelf.process(), await shelf.customer()
    tier = msgspec.structs.replace(TIER, max_storage_bytes=1000)
    file = await stored(files, who, b"x" * 900, NewFile("a", "batch", expires_after_s=3600))
    async with files.receive(who.account_id, msgspec.structs.replace(tier, max_storage_bytes=1900)) as under_way:
        await under_way.write(b"x" * 901)
        await age(shelf, file, 3600)
        assert isinstance(await under_way.keep(NOTES), StoredFile)
    assert await shelf.counted(who) == (1, 901)


# Breaking off -------------------------------------------------------------------------------------


async def test_what_is_not_kept_leaves_nothing(shelf: Shelf) -> None:
    files, who = await shelf.process(), await shelf.customer()
    with suppress(ZeroDivisionError):
        async with files.receive(who.account_id, TIER) as arriving:
            await arriving.write(os.urandom(700_000))
            assert len(shelf.on_disk()) == 1
            assert await files.page(who.account_id, Page()) == [], "half a file is no file"
            assert await shelf.counted(who) == (0, 0)
            raise ZeroDivisionError
    assert (shelf.on_disk(), await shelf.rows()) == (set(), [])


async def test_an_upload_cancelled_at_any_moment_is_kept_whole_or_leaves_nothing(shelf: Shelf) -> None:
    """A cancelled commit may have been done: then the file is there, though nobody was told."""
    files, who = await shelf.process(), await shelf.customer()
    for number in range(40):
        task = asyncio.create_task(upload(files, who, os.urandom(600_000), piece=50_000))
        await asyncio.sleep(number * 0.0005)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await files.sweep()
    await shelf.check()
    for file in await files.page(who.account_id, Page()):
        assert len(await read(files, who, file.id) or b"") == 600_000
        await files.delete(who.account_id, file.id)
    assert (shelf.on_disk(), await shelf.rows(), await shelf.counted(who)) == (set(), [], (0, 0))


async def test_what_a_dead_process_was_receiving_is_swept_and_what_a_living_one_receives_is_not(shelf: Shelf) -> None:
    doomed, who = await shelf.desk.node(), await shelf.customer()
    dying, living = await shelf.process(doomed), await shelf.process()
    context = dying.receive(who.account_id, TIER)
    arriving = await context.__aenter__()
    await arriving.write(os.urandom(500_000))
    assert await living.sweep() == 0
    await doomed.stop()  # its lease is given back, as by whoever finds it dead
    assert await living.sweep() == 1
    assert (shelf.on_disk(), await shelf.rows()) == (set(), [])
    with pytest.raises((LedgerUnavailable, BlobsUnavailable)):
        await arriving.keep(NOTES)
    await context.__aexit__(None, None, None)
    assert (shelf.on_disk(), await shelf.rows(), await shelf.counted(who)) == (set(), [], (0, 0))


STEPS = [
    "'arriving', $3",
    "state = 'kept', boot",
    "INTO storage",
    "COMMIT",
    "SET state = 'leaving'",
    "DELETE FROM files",
]


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("words", STEPS)
@pytest.mark.parametrize("ends_well", [True, False])
async def test_wherever_the_database_goes_away_the_files_and_the_count_agree(
    shelf: Shelf, wire: CutWire, words: str, moment: Moment, ends_well: bool
) -> None:
    who, writer = await shelf.customer(), await shelf.desk.node()
    async with open_pool(wire.dsn, size=1) as pool:
        files = Files(pool, shelf.blobs, writer)
        await files.used(who.account_id)
        wire.cuts.append(Cut(words, moment))
        with suppress(LedgerUnavailable, ZeroDivisionError):
            async with files.receive(who.account_id, TIER) as arriving:
                await arriving.write(b"x" * 400_000)
                if not ends_well:
                    raise ZeroDivisionError
                file = await arriving.keep(NOTES)
                assert isinstance(file, StoredFile)
                await files.delete(who.account_id, file.id)
        wire.cuts.clear()
        await shelf.check()
        await files.sweep()
        await shelf.check()
    kept = [name for name, state in await shelf.rows() if state == "kept"]
    assert shelf.on_disk() == set(kept)
    assert {state for _, state in await shelf.rows()} <= {"kept", "arriving"}
    await writer.stop()
    await (await shelf.process()).sweep()
    assert await shelf.counted(who) == (len(kept), 400_000 * len(kept))
    assert {name for name, _ in await shelf.rows()} == shelf.on_disk() == set(kept)


class FullDisk(Folder):
    """A folder that fails at one step."""

    failing: str = ""

    def fail(self, step: str) -> None:
        if step == self.failing:
            raise BlobsUnavailable("a file cannot be stored: No space left on device")

    async def remove(self, name: str, *, half: bool) -> None:
        self.fail("remove")
        await super().remove(name, half=half)


async def test_bytes_that_cannot_be_removed_now_are_removed_later(shelf: Shelf) -> None:
    shelf.root.mkdir(exist_ok=True)
    blobs, who = FullDisk(shelf.root), await shelf.customer()
    files = Files(shelf.desk.pool, blobs, await shelf.desk.node())
    file = await stored(files, who, b"x" * 100)
    blobs.failing = "remove"
    assert await files.delete(who.account_id, file.id) is True
    assert await shelf.counted(who) == (0, 0)
    assert await files.get(who.account_id, file.id) is None
    blobs.failing = ""
    assert await files.sweep() == 1
    assert (shelf.on_disk(), await shelf.rows()) == (set(), [])


async def test_a_file_that_cannot_be_removed_keeps_no_other_from_it(shelf: Shelf) -> None:
    files, who = await shelf.process(), await shelf.customer()
    kept = [await stored(files, who, b"x" * 100, NewFile("a", "batch", expires_after_s=3600)) for _ in range(6)]
    stuck = shelf.root / who.account_id / kept[0].id
    stuck.unlink()
    stuck.mkdir()  # what no unlink removes
    for file in kept:
        await age(shelf, file, 3600)
    with pytest.raises(BlobsUnavailable):
        await files.sweep()
    assert await shelf.rows() == [(f"{who.account_id}/{kept[0].id}", "leaving")]
    assert (shelf.on_disk(), await shelf.counted(who)) == (set(), (0, 0))
    stuck.rmdir()
    assert await files.sweep() == 1


async def test_a_folder_that_is_gone_is_said_and_nothing_is_left_over(shelf: Shelf) -> None:
    files, who = await shelf.process(), await shelf.customer()
    shelf.root.write_text("not a folder")
    with pytest.raises(BlobsUnavailable):
        await upload(files, who, b"x")
    shelf.root.unlink()
    await files.sweep()
    assert await shelf.rows() == []
