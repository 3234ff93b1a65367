"""Private and local addresses are reached only when the operator allows it, whatever a name resolves to."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.upstream_client.reading import fetch
from tests.upstream_client.scripted import Peer, Scripted

from farebox.upstream.addresses import Reach, permitted, reach
from farebox.upstream.client import HttpClient
from farebox.upstream.trouble import AddressForbidden, ConnectFailed

TABLE = {
    Reach.PUBLIC: """
        1.1.1.1 8.8.8.8 172.32.0.1 100.128.0.1 2606:4700::1111 64:ff9b::808:808 ::ffff:8.8.8.8 2002:808:808::
    """,
    Reach.PRIVATE: """
        127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 169.254.1.1 192.0.2.1
        198.18.0.1 240.0.0.1 0.1.2.3 ::1 fe80::1 fe80::1%eth0 fc00::1 fd12::1 fec0::1 2001:db8::1
        ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1:: ::127.0.0.1 ::10.0.0.1
    """,
    Reach.NEVER: """
        0.0.0.0 255.255.255.255 224.0.0.1 239.255.255.255 169.254.169.254 169.254.170.2 168.63.129.16
        100.100.100.200 fd00:ec2::254 :: ff02::1 ff0e::1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe
        2002:a9fe:a9fe:: ::ffff:0.0.0.0
    """,
}


@pytest.mark.parametrize(("address", "expected"), [(a, kind) for kind, row in TABLE.items() for a in row.split()])
def test_how_far_an_address_reaches(address: str, expected: Reach) -> None:
    assert reach(address) is expected


@given(st.ip_addresses(v=4))
def test_ipv4_inside_ipv6_is_judged_as_ipv4(address: ipaddress.IPv4Address) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        wrapped = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(address))
        assert reach(str(wrapped)) is reach(str(address))


@given(st.ip_addresses())
def test_nothing_that_python_calls_private_is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        wrapped = isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.teredo)
        assert wrapped or reach(str(address)) is not Reach.PUBLIC


def test_of_several_addresses_only_the_permitted_are_left() -> None:
    found = ["10.0.0.1", "1.1.1.1", "169.254.169.254", "8.8.8.8"]
    assert permitted(found, allow_private=False) == ["1.1.1.1", "8.8.8.8"]
    assert permitted(found, allow_private=True) == ["10.0.0.1", "1.1.1.1", "8.8.8.8"]


def test_a_metadata_service_is_forbidden_even_where_private_upstreams_are_allowed() -> None:
    with pytest.raises(AddressForbidden):
        permitted(["169.254.169.254"], allow_private=True)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f.1", "0.0.0.0"]
)
async def test_no_spelling_of_loopback_gets_through(host: str) -> None:
    client = HttpClient()

    async def script(peer: Peer) -> None:
        raise AssertionError("a connection was made")

    async with Scripted(script) as server:
        with pytest.raises(ConnectFailed) as caught:
            await fetch(client, f"http://{host}:{server.port}")
        assert isinstance(caught.value, AddressForbidden)
        if host != "0.0.0.0":
            assert "allow_private_upstreams" in str(caught.value)
            assert caught.value.retry_is_safe
        assert server.connections == client.open_connections() == 0
    client.close()


async def test_a_name_is_resolved_once_per_connection_and_every_time_judged() -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers.pop(0)

    async def script(peer: Peer) -> None:
        await peer.answer()

    client = HttpClient(allow_private_upstreams=True, resolver=rebinding)
    async with Scripted(script) as server:
        url = f"http://rebind.invalid:{server.port}"
        assert await fetch(client, url) == b"ok"
        assert asked == ["rebind.invalid"]
        await asyncio.sleep(0.05)
        with pytest.raises(AddressForbidden):
            await fetch(client, url)
        assert len(asked) == 2
        assert server.connections == 1
    client.close()


async def test_the_next_address_is_tried_when_the_first_does_not_answer() -> None:
    async def two(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.77", "127.0.0.1"]

    async def script(peer: Peer) -> None:
        await peer.answer()

    client = HttpClient(allow_private_upstreams=True, resolver=two)
    async with Scripted(script) as server:
        assert await fetch(client, f"http://upstream.example:{server.port}") == b"ok"
    client.close()


async def test_a_name_without_any_address_is_a_connect_failure() -> None:
    async def none(host: str, port: int) -> Sequence[str]:
        return []

    client = HttpClient(resolver=none)
    with pytest.raises(ConnectFailed):
        await fetch(client, "http://upstream.example")
    client.close()
