"""Which network addresses an upstream may have.

A base URL is typed by an operator, sometimes on behalf of a customer; a name in it may lead, now or later, into
the operator's own network or to a cloud's metadata service. So every address is judged after the name was
resolved and before the connection is made, and the connection goes to the judged address itself: a second
resolution, which could answer differently, never happens.

Pure but for `resolve`, which asks the system's resolver.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from farebox.upstream.trouble import AddressForbidden, ConnectFailed

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

SETTING = "allow_private_upstreams"

_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, GCP, Azure, OpenStack, DigitalOcean
        "169.254.170.2",  # AWS ECS credentials
        "168.63.129.16",  # Azure's wire server: looks public, is not
        "100.100.100.200",  # Alibaba Cloud
        "fd00:ec2::254",  # AWS over IPv6
    )
)
# IPv6 ranges that carry an IPv4 address in their last 32 bits; judged by that address.
_CARRIES_IPV4 = (ip_network("64:ff9b::/96"), ip_network("::/96"))


class Reach(Enum):
    """How far an address reaches, as far as an upstream is concerned."""

    PUBLIC = "public"
    PRIVATE = "private"
    NEVER = "never"


def reach(address: str) -> Reach:
    """Judge one numeric address (an IPv6 scope is ignored).

    `NEVER` are metadata services, multicast, broadcast and the unspecified address: no upstream lives there.
    `PRIVATE` is all else that is not routed on the internet: loopback, RFC 1918, carrier-grade NAT, link-local,
    unique local, documentation and reserved ranges. IPv4 inside IPv6 (mapped, NAT64, 6to4, Teredo) counts as
    the IPv4 address.
    """
    ip = _innermost(ip_address(address.partition("%")[0]))
    if ip in _METADATA or ip.is_multicast or ip.is_unspecified or str(ip) == "255.255.255.255":
        return Reach.NEVER
    if not ip.is_global or (isinstance(ip, IPv6Address) and ip.is_site_local):
        return Reach.PRIVATE
    return Reach.PUBLIC


def permitted(addresses: Sequence[str], *, allow_private: bool, host: str = "") -> list[str]:
    """Those of a name's addresses that may be connected to, in order.

    Raises `AddressForbidden` if there were some and none may be used, `ConnectFailed` if there were none.
    """
    if not addresses:
        raise ConnectFailed("the upstream's name has no address", host=host)
    wanted = (Reach.PUBLIC, Reach.PRIVATE) if allow_private else (Reach.PUBLIC,)
    allowed = [address for address in addresses if reach(address) in wanted]
    if not allowed:
        raise AddressForbidden(_why(addresses, allow_private), host=host, detail=", ".join(addresses))
    return allowed


def is_literal(host: str) -> bool:
    """Whether a host is written as a number rather than as a name."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, in the system's order of preference. Raises `OSError` as the resolver does."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def _why(addresses: Sequence[str], allow_private: bool) -> str:
    if allow_private or all(reach(address) is Reach.NEVER for address in addresses):
        return "the upstream's address can never be an upstream"
    return f"the upstream is in a private network; set {SETTING} to allow that"


def _innermost(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(ip, IPv4Address):
        return ip
    carried = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
    if carried:
        return carried
    if int(ip) > 1 and any(isinstance(net, IPv6Network) and ip in net for net in _CARRIES_IPV4):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip
