"""TLS: verified, by name, over uvloop and over asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from tests.upstream_client.reading import QUICK, ask, fetch
from tests.upstream_client.scripted import CHUNKED, Peer, Scripted, chunk

from farebox.faults import SetupFault
from farebox.upstream.client import HttpClient, Outgoing
from farebox.upstream.dial import client_tls
from farebox.upstream.response import BUFFER_BYTES
from farebox.upstream.target import Target
from farebox.upstream.trouble import ConnectFailed

AUTHORITY = trustme.CA()


def server_tls(*names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
async def trusting(tmp_path: Path) -> AsyncIterator[HttpClient]:
    """A client that trusts the tests' authority and nobody else."""
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = HttpClient(allow_private_upstreams=True, tls=client_tls(str(tmp_path / "ca.pem")))
    yield client
    client.close()
    assert client.open_connections() == 0


async def answer_for_ever(peer: Peer) -> None:
    while True:
        await peer.answer()


async def test_a_trusted_upstream_answers_and_its_connection_is_used_again(trusting: HttpClient) -> None:
    async with Scripted(answer_for_ever, tls=server_tls("localhost")) as server:
        assert await fetch(trusting, server.url) == b"ok"
        assert await fetch(trusting, server.url) == b"ok"
        assert server.connections == 1


async def test_a_certificate_of_an_unknown_authority_is_refused(client: HttpClient) -> None:
    async with Scripted(answer_for_ever, tls=server_tls("localhost")) as server:
        with pytest.raises(ConnectFailed, match="certificate"):
            await fetch(client, server.url)
        assert client.open_connections() == 0


async def test_a_certificate_for_another_name_is_refused(trusting: HttpClient) -> None:
    async with Scripted(answer_for_ever, tls=server_tls("api.example")) as server:
        with pytest.raises(ConnectFailed, match="certificate"):
            await fetch(trusting, server.url)


async def test_the_name_to_check_can_be_given(trusting: HttpClient) -> None:
    async with Scripted(answer_for_ever, tls=server_tls("api.example")) as server:
        target = Target.parse(f"https://127.0.0.1:{server.port}", server_name="api.example")
        response = await trusting.send(target, Outgoing(b"POST", b"/", (), b""), QUICK)
        assert await response.read(10) == b"ok"


async def test_an_upstream_that_does_not_speak_tls_is_a_connect_failure(trusting: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with Scripted(script) as server:
        with pytest.raises(ConnectFailed):
            await fetch(trusting, f"https://localhost:{server.port}")


async def test_twenty_megabytes_each_way_through_tls(trusting: HttpClient) -> None:
    body = b"0123456789" * 2_000_000

    async def script(peer: Peer) -> None:
        while True:
            assert (await peer.request()).body == body
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body))
            await peer.send(body)

    async with Scripted(script, tls=server_tls("localhost")) as server:
        for _ in range(2):
            assert await fetch(trusting, server.url, body=body) == body
        assert server.connections == 1


async def test_a_reader_that_never_reads_stops_the_upstream_through_tls(trusting: HttpClient) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send(chunk(b"x" * 100_000))
            sent += 1

    async with Scripted(script, tls=server_tls("localhost")) as server:
        response = await ask(trusting, server.url)
        await asyncio.sleep(0.5)
        before = sent
        await asyncio.sleep(0.2)
        assert sent == before
        assert response.buffered <= BUFFER_BYTES
        response.close()
        await asyncio.sleep(0.1)
        assert server.open_connections == 0


async def test_a_missing_file_of_authorities_is_told_to_the_operator() -> None:
    with pytest.raises(SetupFault):
        client_tls("/nowhere/ca.pem")
