"""Making a connection: name, address, proxy, TLS.

The only place that resolves names. Every address is judged by `addresses` before it is used, and the connection is
made to that very address, while TLS still asks for and checks the name. Raises only `ConnectFailed` (nothing was
sent); how long it may take is the caller's to say.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from farebox.faults import SetupFault
from farebox.upstream.addresses import Resolver, is_literal, permitted, resolve
from farebox.upstream.connection import Connection
from farebox.upstream.proxy import Proxy, Tunnel
from farebox.upstream.target import Target
from farebox.upstream.trouble import ConnectFailed

Make = Callable[[], Connection]


def client_tls(ca_file: str | None = None) -> ssl.SSLContext:
    """Verifying TLS for upstreams: the system's authorities, or exactly those in `ca_file` (PEM)."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SetupFault("the file of certificate authorities for upstreams cannot be read") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Opens connections under one set of rules."""

    def __init__(self, *, tls: ssl.SSLContext, allow_private: bool, resolver: Resolver = resolve) -> None:
        self._tls = tls
        self._allow_private = allow_private
        self._resolve = resolver

    async def dial(self, target: Target, make: Make) -> Connection:
        """A connection to the target, ready for its first request. Raises `ConnectFailed`."""
        try:
            if target.unix_path is not None:
                return await _unix(target.unix_path, make)
            if target.proxy is not None:
                return await self._through(target.proxy, target, make)
            return await self._direct(target, make)
        except ssl.SSLCertVerificationError as error:
            raise _failed("the upstream's certificate is not trusted", target, error) from error
        except ssl.SSLError as error:
            raise _failed("the upstream does not speak TLS as we do", target, error) from error
        except OSError as error:
            raise _failed("the upstream cannot be reached", target, error) from error

    async def _direct(self, target: Target, make: Make) -> Connection:
        found = [target.host] if is_literal(target.host) else await self._resolve(target.host, target.port)
        addresses = permitted(found, allow_private=self._allow_private, host=target.host)
        for address in addresses[:-1]:
            try:
                # A silent address may not use up the time of the next one.
                async with asyncio.timeout(2.0):
                    return await self._to_address(address, target, make)
            except OSError:
                continue
        return await self._to_address(addresses[-1], target, make)

    async def _to_address(self, address: str, target: Target, make: Make) -> Connection:
        loop = asyncio.get_running_loop()
        tls = self._tls if target.secure else None
        name = (target.server_name or target.host) if target.secure else None
        _, connection = await loop.create_connection(make, address, target.port, ssl=tls, server_hostname=name)
        return connection

    async def _through(self, proxy: Proxy, target: Target, make: Make) -> Connection:
        if is_literal(target.host):
            permitted([target.host], allow_private=self._allow_private, host=target.host)
        loop = asyncio.get_running_loop()
        if not target.secure:
            _, connection = await loop.create_connection(make, proxy.host, proxy.port)
            return connection
        _, tunnel = await loop.create_connection(Tunnel, proxy.host, proxy.port)
        try:
            await tunnel.open(proxy, target.authority)
            return await self._secure(tunnel, target, make)
        except BaseException:
            tunnel.transport.abort()
            raise

    async def _secure(self, tunnel: Tunnel, target: Target, make: Make) -> Connection:
        connection = make()
        name = target.server_name or target.host
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(tunnel.transport, connection, self._tls, server_hostname=name)
        if transport is None:
            raise ConnectFailed("the outbound proxy closed the connection", host=target.host)
        connection.connection_made(transport)
        return connection


async def _unix(path: str, make: Make) -> Connection:
    _, connection = await asyncio.get_running_loop().create_unix_connection(make, path)
    return connection


def _failed(what: str, target: Target, error: OSError) -> ConnectFailed:
    return ConnectFailed(what, host=target.host, detail=f"{type(error).__name__}: {error}")
