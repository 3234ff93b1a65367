"""Every store of files keeps a blob whole or not at all; the bucket's own troubles are its clients' to bear."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.support import small_s3
from tests.support.small_s3 import SmallS3

from farebox.books import file_store
from farebox.config import load_settings
from farebox.faults import SetupFault
from farebox.store.blobs import BlobMissing, Blobs, BlobsUnavailable, Folder
from farebox.store.s3 import PART_BYTES, S3
from farebox.upstream import s3_client
from farebox.upstream.client import HttpClient
from farebox.upstream.s3_client import Bucket, S3Client
from farebox.upstream.s3_signature import Credentials

NAME = "acct_1/file-1"
SIZES = [1, 300_000, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 500_000]


def bucket(s3: SmallS3, **changes: str) -> Bucket:
    credentials = Credentials(small_s3.ACCESS_KEY, changes.get("secret", small_s3.SECRET_KEY), small_s3.REGION)
    return Bucket(s3.endpoint, changes.get("name", small_s3.BUCKET), credentials)


@pytest.fixture
def s3() -> Iterator[SmallS3]:
    with small_s3.small_s3() as s3:
        yield s3


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient(allow_private_upstreams=True)
    yield client
    client.close()


@pytest.fixture
def in_bucket(s3: SmallS3, client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> S3:
    monkeypatch.setattr(s3_client, "PAUSE_S", 0.01)
    return S3(S3Client(bucket(s3), client))


@pytest.fixture(params=["folder", "bucket"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, in_bucket: S3) -> Blobs:
    return in_bucket if request.param == "bucket" else Folder(tmp_path / "files")


async def put(blobs: Blobs, content: bytes, name: str = NAME) -> None:
    draft = await blobs.draft(name)
    for start in range(0, len(content), 262_144):
        await draft.write(content[start : start + 262_144])
    await draft.finish()


async def got(blobs: Blobs, name: str = NAME) -> bytes:
    async with aclosing(blobs.read(name)) as blocks:
        return b"".join([block async for block in blocks])


@pytest.mark.parametrize("size", SIZES)
async def test_a_blob_comes_back_as_it_went_in(blobs: Blobs, size: int) -> None:
    content = os.urandom(size)
    await put(blobs, content)
    assert await got(blobs) == content


@pytest.mark.parametrize("size", SIZES)
async def test_a_draft_is_no_blob_and_leaves_nothing_when_discarded(blobs: Blobs, s3: SmallS3, size: int) -> None:
    draft = await blobs.draft(NAME)
    await draft.write(b"x" * size)
    with pytest.raises(BlobMissing):
        await got(blobs)
    await draft.discard()
    with pytest.raises(BlobMissing):
        await got(blobs)
    assert s3.uploads == s3.blobs == {}


async def test_a_finished_draft_can_still_be_discarded(blobs: Blobs, s3: SmallS3) -> None:
    draft = await blobs.draft(NAME)
    await draft.write(b"x")
    await draft.finish()
    await draft.discard()
    with pytest.raises(BlobMissing):
        await got(blobs)


@pytest.mark.parametrize("half", [True, False])
async def test_removing_leaves_nothing_and_may_be_repeated(blobs: Blobs, half: bool) -> None:
    await put(blobs, b"here")
    await put(blobs, b"there", NAME + "1")
    for _ in range(2):
        await blobs.remove(NAME, half=half)
    with pytest.raises(BlobMissing):
        await got(blobs)
    assert await got(blobs, NAME + "1") == b"there"


async def test_what_a_dead_process_left_half_done_is_removed_and_no_neighbour_of_it(blobs: Blobs, s3: SmallS3) -> None:
    for name in (NAME, NAME + "1"):
        draft = await blobs.draft(name)
        await draft.write(b"x" * (PART_BYTES + 5))
    await blobs.remove(NAME, half=True)
    assert {name for name, _ in s3.uploads.values()} <= {NAME + "1"}


async def test_a_reader_may_leave_in_the_middle(blobs: Blobs) -> None:
    await put(blobs, os.urandom(2_000_000))
    async with aclosing(blobs.read(NAME)) as blocks:
        assert await anext(blocks)
    assert len(await got(blobs)) == 2_000_000


# A bucket's own troubles --------------------------------------------------------------------------


async def test_a_wrong_secret_is_refused_and_said(s3: SmallS3, client: HttpClient) -> None:
    blobs = S3(S3Client(bucket(s3, secret="another"), client))
    with pytest.raises(BlobsUnavailable, match="403"):
        await put(blobs, b"x")
    assert s3.refused_signatures == 1, "it is not asked again"


@pytest.mark.parametrize("status", [0, 500, 503])
@pytest.mark.parametrize("words", ["PUT", "GET", "DELETE", "partNumber=2"])
async def test_a_passing_trouble_passes_unnoticed(s3: SmallS3, in_bucket: S3, words: str, status: int) -> None:
    s3.failing = [(words, status), (words, status)]
    content = os.urandom(PART_BYTES + 1 if "part" in words else 10)
    await put(in_bucket, content)
    assert await got(in_bucket) == content
    await in_bucket.remove(NAME, half=False)
    assert (s3.failing, s3.blobs) == ([], {})


UPLOAD = "POST /farebox-files/acct_1/file-1?up"
TROUBLES = [
    ("PUT", 403), ("PUT", 404), ("partNumber=2", 400), ("?uploads", 500), (UPLOAD, 0), (f"{UPLOAD}loadId", 200),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status"), TROUBLES)
async def test_what_the_store_refuses_is_no_blob_and_can_be_discarded(
    s3: SmallS3, in_bucket: S3, words: str, status: int
) -> None:
    s3.failing = [(words, status)]
    draft = await in_bucket.draft(NAME)

    async def write() -> None:
        for _ in range(40):
            await draft.write(b"x" * 262_144)
        await draft.finish()

    with pytest.raises(BlobsUnavailable):
        await write()
    await draft.discard()
    assert s3.blobs == s3.uploads == {}


async def test_a_store_that_does_not_answer_is_said(s3: SmallS3, in_bucket: S3) -> None:
    s3.stop()
    for ask in (put(in_bucket, b"x"), got(in_bucket), in_bucket.remove(NAME, half=True)):
        with pytest.raises(BlobsUnavailable):
            await ask


@pytest.mark.parametrize("left_out", ["bucket", "access_key", "secret_key"])
async def test_a_bucket_takes_all_its_settings(left_out: str) -> None:
    given = {"endpoint": "https://s3.example.com", "bucket": "our-files", "access_key": "a", "secret_key": "s"}
    flags = {f"files_s3_{name}": value for name, value in given.items() if name != left_out}
    with pytest.raises(SetupFault, match=f"files_s3_{left_out}"), file_store(load_settings(flags, environment={})):
        pass


async def test_a_folder_is_used_where_no_bucket_is_named(tmp_path: Path) -> None:
    with file_store(load_settings({"data_dir": str(tmp_path)}, environment={})) as blobs:
        await put(blobs, b"here")
    assert (tmp_path / "files" / NAME).read_bytes() == b"here"


@pytest.mark.parametrize("name", ["", "a", "a/b", "a b", "../x"])
def test_a_bucket_that_cannot_be_is_refused_at_the_start(name: str, s3: SmallS3) -> None:
    with pytest.raises(SetupFault):
        S3Client(bucket(s3, name=name), None)  # type: ignore[arg-type]


async def test_a_folder_that_cannot_be_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SetupFault):
        await Folder(tmp_path / "file" / "files").prepare()


async def test_whatever_store_it_is_can_be_made_ready_twice(blobs: Blobs) -> None:
    for _ in range(2):
        await blobs.prepare()
