"""An outbound HTTP proxy: its address, its credentials, and the CONNECT that opens a tunnel through it.

Only proxies spoken to in plain HTTP are supported, which is what `HTTPS_PROXY=http://...` means everywhere. The
operator names the proxy, so its own address is not judged; names behind it are resolved by the proxy, whose
rules then decide what may be reached (numeric upstream addresses are still judged here).
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote, urlsplit

from farebox.faults import SetupFault
from farebox.upstream.trouble import ConnectFailed

_REPLY_LIMIT_BYTES = 16 * 1024
_PROXY_URL = "an outbound proxy is written http://[user:password@]host[:port]"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where the proxy listens and what it wants to see (`Proxy-Authorization`, or empty)."""

    host: str
    port: int
    authorization: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Read `http://[user:password@]host[:port]`; the port defaults to 3128. Raises `SetupFault`."""
        try:
            parts = urlsplit(url)
            port = parts.port or 3128
        except ValueError:
            raise SetupFault(_PROXY_URL) from None  # its text would repeat a part of the URL
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise SetupFault(_PROXY_URL)
        authorization = b""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = b"Basic " + base64.b64encode(pair.encode())
        return cls(parts.hostname, port, authorization)

    @property
    def header_line(self) -> bytes:
        return b"proxy-authorization: " + self.authorization + b"\r\n" if self.authorization else b""


class Tunnel(asyncio.Protocol):
    """The short life of a connection to a proxy before it becomes a connection to the upstream."""

    def __init__(self) -> None:
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reply = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    async def open(self, proxy: Proxy, authority: bytes) -> None:
        """Ask the proxy for a tunnel to `host:port`. Raises `ConnectFailed` if it will not give one."""
        head = b"CONNECT " + authority + b" HTTP/1.1\r\nhost: " + authority + b"\r\n" + proxy.header_line + b"\r\n"
        self.transport.write(head)
        await self._opened

    def data_received(self, data: bytes) -> None:
        self._reply += data
        if b"\r\n\r\n" in self._reply:
            self._judge()
        elif len(self._reply) > _REPLY_LIMIT_BYTES:
            self._refuse("the outbound proxy's answer is too long")

    def connection_lost(self, exc: Exception | None) -> None:
        self._refuse("the outbound proxy closed the connection")

    def _judge(self) -> None:
        head, _, rest = self._reply.partition(b"\r\n\r\n")
        words = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            self._refuse("the outbound proxy's answer is not HTTP")
        elif not 200 <= int(words[1]) <= 299:
            self._refuse(f"the outbound proxy refused the tunnel with status {int(words[1])}")
        elif rest:  # an upstream that speaks before TLS does is not one we could trust
            self._refuse("the outbound proxy sent more than its answer")
        elif not self._opened.done():
            self._opened.set_result(None)

    def _refuse(self, what: str) -> None:
        if not self._opened.done():
            self._opened.set_exception(ConnectFailed(what))
