"""Signs requests to an S3-compatible store: AWS Signature Version 4, in the Authorization header.

Enters: a request and the time. Leaves: its address as it is sent and the headers that vouch for it, payload included.
No clock, no I/O. Source: AWS, "Authenticating Requests: Using the Authorization Header"; its examples are the tests.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """Who asks, and where."""

    access_key: str
    secret_key: str
    region: str

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r})"


class Request(NamedTuple):
    """What is asked for; nothing in it is encoded yet."""

    method: str
    host: str
    """As the header says it: with its port unless that is the usual one."""
    path: str
    query: Mapping[str, str]
    payload_sha256: str
    """In hexadecimal."""
    headers: Mapping[str, str] = {}
    """More to be signed, names in lower case."""

    @property
    def address(self) -> str:
        """Path and query, as they are sent and signed."""
        query = "&".join(f"{_encoded(name)}={_encoded(self.query[name])}" for name in sorted(self.query))
        return quote(self.path, safe="/-_.~") + (f"?{query}" if query else "")


def signed_headers(request: Request, credentials: Credentials, at: str) -> dict[str, str]:
    """All headers to send but `host`. `at` is UTC as in `20130524T000000Z`."""
    own = {**request.headers, "x-amz-content-sha256": request.payload_sha256, "x-amz-date": at}
    scope = f"{at[:8]}/{credentials.region}/s3/aws4_request"
    names, canonical = _canonical(request, {**own, "host": request.host})
    to_sign = "\n".join((_ALGORITHM, at, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.new(_signing_key(credentials, at[:8]), to_sign.encode(), hashlib.sha256).hexdigest()
    vouched = f"{_ALGORITHM} Credential={credentials.access_key}/{scope},SignedHeaders={names},Signature={signature}"
    return {**own, "authorization": vouched}


def _canonical(request: Request, headers: Mapping[str, str]) -> tuple[str, str]:
    """The names of the signed headers, and the request as it is signed."""
    path, _, query = request.address.partition("?")
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name].strip()}" for name in sorted(headers)]
    return names, "\n".join((request.method, path, query, *lines, "", names, request.payload_sha256))


def _signing_key(credentials: Credentials, day: str) -> bytes:
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (day, credentials.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
