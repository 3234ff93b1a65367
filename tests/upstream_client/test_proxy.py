"""Calls through an outbound proxy: absolute URLs for http, a tunnel for https."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
from tests.upstream_client.reading import QUICK
from tests.upstream_client.scripted import Peer, Scripted
from tests.upstream_client.test_tls import AUTHORITY, server_tls

from farebox.faults import SetupFault
from farebox.upstream.client import HttpClient, Outgoing
from farebox.upstream.dial import client_tls
from farebox.upstream.proxy import Proxy
from farebox.upstream.target import Target
from farebox.upstream.timeouts import Timeouts
from farebox.upstream.trouble import AddressForbidden, ConnectFailed, TimedOut

CREDENTIALS = b"Basic " + base64.b64encode(b"us er:p@ss")


async def send(client: HttpClient, target: Target, timeouts: Timeouts = QUICK) -> bytes:
    response = await client.send(target, Outgoing(b"POST", b"/v1/x", [(b"x-a", b"b")], b"{}"), timeouts)
    return await response.read(1000)


def tunnel_to(port: int, seen: list[bytes]) -> object:
    """A proxy: reads CONNECT, opens the tunnel to a port of this machine, copies bytes."""

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(65536):
            sink.write(piece)
            await sink.drain()
        sink.close()

    async def script(peer: Peer) -> None:
        line, headers = await peer.head()
        seen.extend((line, headers.get(b"proxy-authorization", b"")))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await peer.send(b"HTTP/1.1 200 Connection ", b"established\r\n\r\n")
        await asyncio.gather(copy(reader, peer.writer), copy(peer.reader, writer), return_exceptions=True)

    return script


async def test_https_goes_through_a_tunnel_and_keeps_it(tmp_path: Path) -> None:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = HttpClient(tls=client_tls(str(tmp_path / "ca.pem")))
    seen: list[bytes] = []

    async def upstream(peer: Peer) -> None:
        while True:
            request = await peer.answer()
            assert b"proxy-authorization" not in request.headers
            assert request.headers[b"host"] == b"api.example"

    async with (
        Scripted(upstream, tls=server_tls("api.example")) as server,
        Scripted(tunnel_to(server.port, seen)) as proxy,  # type: ignore[arg-type]
    ):
        target = Target.parse("https://api.example", proxy=f"http://us%20er:p%40ss@127.0.0.1:{proxy.port}")
        assert await send(client, target) == b"ok"
        assert await send(client, target) == b"ok"
        assert seen == [b"CONNECT api.example:443 HTTP/1.1", CREDENTIALS]
        assert server.connections == proxy.connections == 1
        client.close()


async def test_http_asks_the_proxy_for_the_whole_url(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        seen = await peer.answer()
        assert seen.line == b"POST http://api.example:8080/base/v1/x HTTP/1.1"
        assert seen.headers[b"host"] == b"api.example:8080"
        assert seen.headers[b"proxy-authorization"] == CREDENTIALS
        assert seen.headers[b"x-a"] == b"b"

    async with Scripted(script) as proxy:
        url = f"http://us%20er:p%40ss@127.0.0.1:{proxy.port}"
        assert await send(client, Target.parse("http://api.example:8080/base/", proxy=url)) == b"ok"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "502"),
        (b"SSH-2.0\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\nsurprise", "more than"),
        (b"HTTP/1.1 200 OK\r\nx-a: " + b"b" * 20_000, "too long"),
        (b"HTTP/1.1 200 O", "closed"),
        (b"", "closed"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_a_connect_failure(client: HttpClient, answer: bytes, says: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer)

    async with Scripted(script) as proxy:
        target = Target.parse("https://api.example", proxy=f"http://user:secret@127.0.0.1:{proxy.port}")
        with pytest.raises(ConnectFailed, match=says) as caught:
            await send(client, target)
        assert "secret" not in f"{caught.value!r} {caught.value.host} {caught.value.detail} {target!r}"
        assert client.open_connections() == 0


async def test_a_silent_proxy_times_out_and_is_left(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with Scripted(script) as proxy:
        target = Target.parse("https://api.example", proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(TimedOut):
            await send(client, target, Timeouts(connect=0.1))
        await asyncio.sleep(0.05)
        assert proxy.open_connections == client.open_connections() == 0


async def test_a_forbidden_numeric_address_is_not_asked_of_the_proxy() -> None:
    client = HttpClient()

    async def script(peer: Peer) -> None:
        raise AssertionError("the proxy was asked")

    async with Scripted(script) as proxy:
        target = Target.parse("https://169.254.169.254", proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(AddressForbidden):
            await send(client, target)
    client.close()


async def test_targets_through_different_proxies_share_no_connection() -> None:
    urls = [None, "http://a:1@proxy", "http://b:1@proxy"]
    assert len({Target.parse("https://api.example", proxy=url).origin for url in urls}) == 3


@pytest.mark.parametrize("url", ["https://proxy:1", "socks5://proxy", "proxy:3128", "http://", "http://proxy/path"])
async def test_a_proxy_that_cannot_be_used_is_told_to_the_operator(url: str) -> None:
    with pytest.raises(SetupFault):
        Proxy.parse(url)
