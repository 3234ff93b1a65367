"""Files and a real gateway: memory flat whatever their size, and nothing left of an upload that kill -9 ended."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import random
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.faults.node import Node, until
from tests.support.forms import CONTENT_TYPE, pieces
from tests.support.small_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, SmallS3, small_s3

from farebox.config import load_settings
from farebox.main import open_books
from farebox.store.api_keys import NewKey

MB = 1_000_000
LARGE = 200 * MB
PIECE = random.Random(7).randbytes(MB)
MOST_GROWTH_MB = 40
"""A few blocks, or the parts of a bucket, and what the allocator keeps; a file kept whole would be five times that."""
SWEPT_S = 40.0
"""A lease is found free in seconds; the sweep comes every ten."""


class Site:
    """A node, a customer, and what lies where."""

    def __init__(self, node: Node, owner: asyncpg.Connection, secret: str) -> None:
        self.node = node
        self.owner = owner
        self.secret = secret

    def ask(self, method: str, path: str, body: Iterator[bytes] | None = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=120)
        headers = {"authorization": f"Bearer {self.secret}", "content-type": CONTENT_TYPE}
        connection.request(method, path, body, headers, encode_chunked=body is not None)
        return connection.getresponse()

    def upload(self, size: int) -> dict[str, Any]:
        content = (PIECE for _ in range(size // MB))
        response = self.ask("POST", "/v1/files", iter(pieces(content, "large.txt", {"purpose": "user_data"})))
        answer: dict[str, Any] = json.loads(response.read())
        assert response.status == 200, answer
        return answer

    def upload_until(self, stop: threading.Event) -> None:
        """An upload that has no end of its own."""

        def content() -> Iterator[bytes]:
            while not stop.is_set():
                yield PIECE

        with suppress(OSError, http.client.HTTPException):
            self.ask("POST", "/v1/files", iter(pieces(content(), "half.txt", {"purpose": "user_data"})))

    def digest(self, file_id: str) -> str:
        response, digest = self.ask("GET", f"/v1/files/{file_id}/content"), hashlib.sha256()
        while block := response.read(1 << 16):
            digest.update(block)
        return digest.hexdigest()

    def on_disk(self) -> list[Path]:
        return [path for path in (self.node.folder / "files").rglob("*") if path.is_file()]

    async def states(self) -> list[str]:
        return [row["state"] for row in await self.owner.fetch("SELECT state FROM files ORDER BY id")]

    async def counted(self) -> int:
        return await self.owner.fetchval("SELECT coalesce(sum(bytes), 0)::bigint FROM storage")


@asynccontextmanager
async def a_site(database: str, folder: Path, **settings: object) -> AsyncGenerator[Site, None]:
    given = {"database_url": database, "data_dir": str(folder)}
    async with open_books(load_settings(given, environment={}), database) as books:
        account = await books.accounts.create("one", tier="enterprise")
        key = await books.api_keys.create(account.id, "key")
        assert isinstance(key, NewKey)
    node, owner = Node(folder, settings={"database_url": database, **settings}), await asyncpg.connect(database)
    try:
        await node.run()
        yield Site(node, owner, key.secret)
    finally:
        node.end()
        await owner.close()


@pytest.fixture
async def site(database: str, folder: Path) -> AsyncIterator[Site]:
    async with a_site(database, folder) as site:
        yield site


def place_of(s3: SmallS3) -> dict[str, str]:
    """Settings by which files go there."""
    return {
        "files_s3_endpoint": s3.endpoint, "files_s3_bucket": BUCKET, "files_s3_region": REGION,
        "files_s3_access_key": ACCESS_KEY, "files_s3_secret_key": SECRET_KEY,
    }  # fmt: skip


def memory_mb(node: Node, field: str) -> float:
    """`VmRSS`: what the gateway takes now; `VmHWM`: the most it took since the peak was forgotten."""
    lines = [line for pid in (node.pid, *node.workers) for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1000


def forget_the_peak(node: Node) -> None:
    for pid in (node.pid, *node.workers):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


async def check_memory(site: Site) -> None:
    """200 MB in and out, after a small file that warms everything up."""
    expected = hashlib.sha256(PIECE * (LARGE // MB)).hexdigest()
    small = await asyncio.to_thread(site.upload, 10 * MB)
    await asyncio.to_thread(site.digest, small["id"])
    before = memory_mb(site.node, "VmRSS")
    forget_the_peak(site.node)
    file = await asyncio.to_thread(site.upload, LARGE)
    uploading = memory_mb(site.node, "VmHWM") - before
    assert file["bytes"] == LARGE
    forget_the_peak(site.node)
    assert await asyncio.to_thread(site.digest, file["id"]) == expected
    downloading = memory_mb(site.node, "VmHWM") - before
    print(f"grown by {uploading:.1f} MB uploading and {downloading:.1f} MB downloading")
    assert max(uploading, downloading) < MOST_GROWTH_MB


async def test_200_mb_in_and_out_of_a_folder_leave_memory_flat(site: Site) -> None:
    await check_memory(site)


async def test_200_mb_in_and_out_of_a_bucket_leave_memory_flat(database: str, folder: Path) -> None:
    with small_s3() as s3:
        async with a_site(database, folder, **place_of(s3)) as site:
            await check_memory(site)


async def test_a_client_that_does_not_read_costs_no_memory(site: Site) -> None:
    file = await asyncio.to_thread(site.upload, LARGE)
    before = memory_mb(site.node, "VmRSS")
    idle = await asyncio.gather(
        *(asyncio.to_thread(site.ask, "GET", f"/v1/files/{file['id']}/content") for _ in range(5))
    )
    await asyncio.sleep(1)
    assert memory_mb(site.node, "VmRSS") - before < MOST_GROWTH_MB
    for response in idle:
        response.close()


async def test_kill_9_in_an_upload_leaves_no_file_and_takes_no_room(site: Site) -> None:
    kept = await asyncio.to_thread(site.upload, 2 * MB)
    stop = threading.Event()

    uploads = [asyncio.create_task(asyncio.to_thread(site.upload_until, stop)) for _ in range(3)]
    await until(
        lambda: len(site.on_disk()) == 4 and all(path.stat().st_size for path in site.on_disk()), 20, "no upload"
    )
    site.node.kill()
    stop.set()
    await asyncio.gather(*uploads)
    assert await site.states() == ["kept", "arriving", "arriving", "arriving"]
    assert await site.counted() == 2 * MB, "an upload takes no room before it is kept"
    await site.node.run()
    await asyncio.to_thread(site.upload, MB)
    await until(lambda: len(site.on_disk()) == 2, SWEPT_S, "the bytes of the dead are still there")
    await until(lambda: _is(site.states(), ["kept", "kept"]), 5, "their rows are still there")
    assert await site.counted() == 3 * MB
    assert await asyncio.to_thread(site.digest, kept["id"]) == hashlib.sha256(PIECE * 2).hexdigest()


async def test_kill_9_in_an_upload_to_a_bucket_leaves_no_parts(database: str, folder: Path) -> None:
    with small_s3() as s3:
        async with a_site(database, folder, **place_of(s3)) as site:
            stop = threading.Event()

            uploading = asyncio.create_task(asyncio.to_thread(site.upload_until, stop))
            await until(lambda: any(len(parts) > 1 for _, parts in s3.uploads.values()), 20, "no parts")
            site.node.kill()
            stop.set()
            await uploading
            await site.node.run()
            await until(lambda: not s3.uploads, SWEPT_S, "the parts of the dead are still there")
            await until(lambda: _is(site.states(), []), 5, "its row is still there")
            assert s3.blobs == {}


async def test_kill_9_at_any_moment_leaves_whole_files_and_a_true_count(site: Site) -> None:
    """Uploads and deletions without end, killed five times: what is kept is whole, and nothing else is there."""
    dice, over = random.Random(3), threading.Event()

    def come_and_go(seed: int) -> None:
        own = random.Random(seed)
        while not over.is_set():
            with suppress(OSError, http.client.HTTPException, ValueError):
                file = site.upload(own.choice([MB, 2 * MB]))
                if own.random() < 0.5:
                    site.ask("DELETE", f"/v1/files/{file['id']}").read()

    customers = [asyncio.create_task(asyncio.to_thread(come_and_go, seed)) for seed in range(4)]
    for _ in range(5):
        await asyncio.sleep(dice.uniform(0.2, 0.8))
        site.node.kill()
        await site.node.run()
    over.set()
    await asyncio.gather(*customers, return_exceptions=True)
    print("settled after", await until(lambda: _settled(site), SWEPT_S, "something is left over"))
    rows = await site.owner.fetch("SELECT account_id, id, bytes, sha256 FROM files")
    assert len(rows) > 3
    assert await site.counted() == sum(row["bytes"] for row in rows)
    assert await site.owner.fetchval("SELECT files FROM storage") == len(rows)
    for row in rows:
        content = (site.node.folder / "files" / row["account_id"] / row["id"]).read_bytes()
        assert hashlib.sha256(content).digest() == row["sha256"]


async def _settled(site: Site) -> bool:
    states = await site.states()
    return set(states) == {"kept"} and len(site.on_disk()) == len(states)


async def _is(states: Any, expected: list[str]) -> bool:
    return await states == expected
