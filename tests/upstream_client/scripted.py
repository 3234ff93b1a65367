"""A server that does exactly what a script says, byte by byte, and remembers what it saw.

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\\r\\n", b"content-length: 0\\r\\n\\r\\n")   # two arrivals

The script runs once per connection; when it returns the connection is closed, when the client leaves it is cancelled.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType

Script = Callable[["Peer"], Awaitable[None]]


@dataclass(frozen=True)
class Seen:
    """A request as the server read it."""

    line: bytes
    headers: dict[bytes, bytes]
    body: bytes


class Peer:
    """One client's connection, as the script sees it. `number` counts connections from 1."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer

    async def head(self) -> tuple[bytes, dict[bytes, bytes]]:
        line, *lines = (await self.reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        pairs = [text.split(b": ", 1) for text in lines]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), "a header was sent twice"
        return line, headers

    async def request(self) -> Seen:
        line, headers = await self.head()
        return Seen(line, headers, await self.reader.readexactly(int(headers.get(b"content-length", b"0"))))

    async def send(self, *pieces: bytes, pause_s: float = 0) -> None:
        """Send pieces so that each arrives by itself (as far as one machine can promise that)."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause_s)
            await asyncio.sleep(0)

    async def answer(self, body: bytes = b"ok") -> Seen:
        """Read a request, answer it plainly."""
        seen = await self.request()
        await self.send(plain(body))
        return seen

    async def gone(self) -> None:
        """Wait until the client has left."""
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        """End with a RST instead of a FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


def plain(body: bytes = b"ok", *, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    """A whole answer with a content length."""
    return b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status, extra, len(body), body)


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


class Scripted:
    """The server: `async with Scripted(script) as server: ... server.url`."""

    def __init__(
        self, script: Script, *, tls: ssl.SSLContext | None = None, unix: str | None = None, family: str = "127.0.0.1"
    ) -> None:
        self._script = script
        self._tls = tls
        self._unix = unix
        self._address = family
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.open_connections = 0
        self.errors: list[BaseException] = []

    async def __aenter__(self) -> Scripted:
        if self._unix:
            self._server = await asyncio.start_unix_server(self._accept, self._unix)
        else:
            self._server = await asyncio.start_server(self._accept, self._address, 0, ssl=self._tls, limit=1 << 20)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None and self.errors:
            raise self.errors[0]

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{'localhost' if self._tls else '127.0.0.1'}:{self.port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        peer = Peer(self.connections, reader, writer)
        task = asyncio.ensure_future(self._run(peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, peer: Peer) -> None:
        self.open_connections += 1
        try:
            await self._script(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:
            self.errors.append(error)
        finally:
            self.open_connections -= 1
            peer.writer.close()
