"""Requests to an S3-compatible store: signed, repeated where that does no harm, answered or a fault.

Enters: a method, the name of an object, a query, a body. Leaves: the answer if it is a success, None if there is no
such object. Addresses are path-style (`endpoint/bucket/name`), which every such store knows. The store's own words go
nowhere but to whom they are for. It keeps nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from farebox.faults import SetupFault
from farebox.upstream.client import Outgoing
from farebox.upstream.response import Response
from farebox.upstream.s3_signature import Credentials, Request, signed_headers
from farebox.upstream.target import Target
from farebox.upstream.timeouts import Timeouts
from farebox.upstream.trouble import UpstreamFault

TRIES = 3
PAUSE_S = 0.2
MOST_TOLD_BYTES = 1024 * 1024
"""Of an answer that is no object."""
_TIMEOUTS = Timeouts(connect=10, first_byte=60, idle=60, total=24 * 3600)
_SMALL_BYTES = 64 * 1024
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


class StoreRefused(UpstreamFault):
    """The store answered, and it was no success; the text says with which status."""


class Sender(Protocol):
    """What sends requests and keeps connections."""

    async def send(self, target: Target, request: Outgoing, timeouts: Timeouts) -> Response: ...


class Bucket(NamedTuple):
    """Where the objects lie, and who may put them there."""

    endpoint: str
    """`https://host[:port][/path]`."""
    name: str
    credentials: Credentials


class S3Client:
    """One bucket. Raises `SetupFault` for one that cannot be; everything else raises `UpstreamFault`."""

    def __init__(self, bucket: Bucket, sender: Sender) -> None:
        if not _BUCKET.fullmatch(bucket.name):
            raise SetupFault("The name of the bucket for files cannot be that of a bucket.")
        parts = urlsplit(bucket.endpoint)
        self._target = Target.parse(f"{parts.scheme}://{parts.netloc}")
        usual = ":443" if self._target.secure else ":80"
        self._host = self._target.authority.decode().removesuffix(usual)
        self._root = f"{parts.path.rstrip('/')}/{bucket.name}"
        self._credentials = bucket.credentials
        self._sender = sender

    async def told(self, method: str, name: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> str:
        """What the store says, as text; empty for an object that is not there."""
        response = await self.ask(method, name, query, body)
        return "" if response is None else (await response.read(MOST_TOLD_BYTES)).decode("utf-8", errors="replace")

    async def ask(
        self, method: str, name: str, query: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Response | None:
        """One request, its answer to be read to its end or closed. A POST is sent once, all else may be repeated."""
        small = len(body) < _SMALL_BYTES
        digest = hashlib.sha256(body) if small else await asyncio.to_thread(hashlib.sha256, body)
        path = f"{self._root}/{name}" if name else self._root
        request = Request(method, self._host, path, query or {}, digest.hexdigest())
        for _ in range(0 if method == "POST" else TRIES - 1):
            try:
                response = await self._send(request, body)
            except UpstreamFault:
                response = None
            if response is not None and response.status < 500:
                return _success(response, method)
            if response is not None:
                response.close()
            await asyncio.sleep(PAUSE_S)
        return _success(await self._send(request, body), method)

    async def _send(self, request: Request, body: bytes) -> Response:
        headers = signed_headers(request, self._credentials, datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"))
        lines = [(name.encode(), value.encode()) for name, value in headers.items()]
        outgoing = Outgoing(request.method.encode(), request.address.encode(), lines, body)
        return await self._sender.send(self._target, outgoing, _TIMEOUTS)


def _success(response: Response, method: str) -> Response | None:
    if response.status < 300:
        return response
    response.close()
    if response.status == 404 and method in ("GET", "DELETE"):
        return None
    raise StoreRefused(f"the store of files refuses with {response.status}")
