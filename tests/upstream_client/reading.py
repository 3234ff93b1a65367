"""What a client made of an answer, in a form in which two clients can be compared."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from farebox.upstream.client import HttpClient, Outgoing
from farebox.upstream.response import Response
from farebox.upstream.target import Headers, Target
from farebox.upstream.timeouts import Timeouts
from farebox.upstream.trouble import UpstreamFault

QUICK = Timeouts(connect=2.0, first_byte=5.0, idle=5.0, total=20.0)


@dataclass(frozen=True)
class Reading:
    """`whole` is false when the body ended in a fault; `status` is 0 when there was no answer at all."""

    status: int
    body: bytes
    whole: bool


FAILED = Reading(0, b"", False)


async def ask(
    client: HttpClient,
    url: str,
    *,
    method: bytes = b"POST",
    path: bytes = b"/v1/x",
    headers: Headers = (),
    body: bytes = b"{}",
    timeouts: Timeouts = QUICK,
) -> Response:
    """`send` with the defaults of these tests."""
    return await client.send(Target.parse(url), Outgoing(method, path, headers, body), timeouts)


async def fetch(client: HttpClient, url: str, **how: object) -> bytes:
    """The body of a whole answer."""
    response = await ask(client, url, **how)  # type: ignore[arg-type]
    try:
        return await response.read(1 << 26)
    finally:
        response.close()


async def by_us(client: HttpClient, url: str, method: bytes = b"POST") -> Reading:
    """Read an answer with our client."""
    body = b"" if method == b"HEAD" else b"{}"
    try:
        response = await ask(client, url, method=method, body=body)
    except UpstreamFault:
        return FAILED
    pieces: list[bytes] = []
    try:
        async for piece in response:
            assert piece, "an empty chunk"
            pieces.append(piece)
    except UpstreamFault:
        return Reading(response.status, b"".join(pieces), False)
    finally:
        response.close()
    return Reading(response.status, b"".join(pieces), True)


async def by_aiohttp(url: str, method: bytes = b"POST") -> Reading:
    """Read an answer with the oracle."""
    body = None if method == b"HEAD" else b"{}"
    pieces: list[bytes] = []
    status = 0
    async with aiohttp.ClientSession() as session:
        try:
            async with session.request(method.decode(), f"{url}/v1/x", data=body, allow_redirects=False) as response:
                status = response.status
                async for piece in response.content.iter_any():
                    pieces.append(piece)
        except (aiohttp.ClientError, ConnectionError):
            return Reading(status, b"".join(pieces), False)
    return Reading(status, b"".join(pieces), True)
