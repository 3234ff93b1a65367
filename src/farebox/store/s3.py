"""Blobs in a bucket of any S3-compatible store: Amazon's, MinIO, Cloudflare R2, Ceph and others.

Small ones go in one request; larger ones in parts, of which the store shows nothing before it has them all. One part
of each upload is in memory.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from html import escape, unescape

from farebox.store.blobs import BlobMissing, BlobsUnavailable
from farebox.upstream.s3_client import MOST_TOLD_BYTES, S3Client
from farebox.upstream.trouble import UpstreamFault

PART_BYTES = 8 * 1024 * 1024
"""A store takes parts from 5 MB on, and at most 10,000 of them."""
_UPLOAD = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)
_KEY = re.compile(r"<Key>(.*?)</Key>")
_UPLOAD_ID = re.compile(r"<UploadId>(.*?)</UploadId>")


class S3:
    """See the module."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    async def prepare(self) -> None:
        """Nothing: a store that is away at the start may come back."""

    async def draft(self, name: str) -> S3Draft:
        return S3Draft(self._client, name)

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        with _as_ours():
            response = await self._client.ask("GET", name)
        if response is None:
            raise BlobMissing("the bytes of a file are not where they were stored")
        try:
            while chunk := await response.next_chunk():
                yield chunk
        except UpstreamFault as error:
            raise BlobsUnavailable("the store of files broke off") from error
        finally:
            response.close()

    async def remove(self, name: str, *, half: bool) -> None:
        with _as_ours():
            await self._client.told("DELETE", name)
            if half:
                listed = await self._client.told("GET", "", {"uploads": "", "prefix": name})
                for upload_id in _uploads_of(name, listed):
                    await self._client.told("DELETE", name, {"uploadId": upload_id})


class S3Draft:
    """See `blobs.Draft`."""

    def __init__(self, client: S3Client, name: str) -> None:
        self._client = client
        self._name = name
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._upload_id: str | None = None
        self._tags: list[str] = []
        self._finishing = False

    async def write(self, block: bytes) -> None:
        self._waiting.append(block)
        self._waiting_size += len(block)
        if self._waiting_size >= PART_BYTES:
            with _as_ours():
                await self._send_part()

    async def finish(self) -> None:
        self._finishing = True
        with _as_ours():
            if self._upload_id is None:
                await self._client.told("PUT", self._name, body=b"".join(self._waiting))
                return
            if self._waiting:
                await self._send_part()
            told = await self._client.told("POST", self._name, {"uploadId": self._upload_id}, _parts(self._tags))
        if "<CompleteMultipartUploadResult" not in told:  # a failure may come after a head that said otherwise
            raise BlobsUnavailable("the store of files could not put a file together")

    async def discard(self) -> None:
        self._waiting = []
        with _as_ours():
            if self._upload_id is not None:
                await self._client.told("DELETE", self._name, {"uploadId": self._upload_id})
            if self._finishing:
                await self._client.told("DELETE", self._name)

    async def _send_part(self) -> None:
        if self._upload_id is None:
            self._upload_id = await self._begin()
        part, self._waiting, self._waiting_size = b"".join(self._waiting), [], 0
        query = {"partNumber": str(len(self._tags) + 1), "uploadId": self._upload_id}
        response = await self._client.ask("PUT", self._name, query, part)
        tag = None if response is None else dict(response.headers).get(b"etag")
        if response is None or tag is None:
            raise BlobsUnavailable("the store of files took a part and named it not")
        await response.read(MOST_TOLD_BYTES)
        self._tags.append(tag.decode())

    async def _begin(self) -> str:
        found = _UPLOAD_ID.search(await self._client.told("POST", self._name, {"uploads": ""}))
        if found is None:
            raise BlobsUnavailable("the store of files began no upload")
        return unescape(found[1])


def _parts(tags: list[str]) -> bytes:
    parts = (
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>"
        for number, tag in enumerate(tags, start=1)
    )
    return f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()


def _uploads_of(name: str, listed: str) -> list[str]:
    """The uploads under way of exactly this name, in a list of all that begin like it."""
    found: list[str] = []
    for upload in _UPLOAD.findall(listed):
        key, upload_id = _KEY.search(upload), _UPLOAD_ID.search(upload)
        if key is not None and upload_id is not None and unescape(key[1]) == name:
            found.append(unescape(upload_id[1]))
    return found


@contextmanager
def _as_ours() -> Generator[None, None, None]:
    """A store's trouble is the trouble of every store of files."""
    try:
        yield
    except UpstreamFault as error:
        raise BlobsUnavailable(f"files cannot be stored or read: {error}") from error
