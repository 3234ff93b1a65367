"""A kept connection that nobody uses is ended, and one that is used is not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator

import pytest
import uvicorn

from farebox.edge.exchange import Exchange
from farebox.edge.protocol import EdgeProtocol, sweep
from farebox.main import QuietServer

IDLE_S = 3
REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"


async def _ok(exchange: Exchange) -> None:
    await exchange.respond(200, b"", await exchange.body(0) or b"ok")


@pytest.fixture
async def port() -> AsyncGenerator[int, None]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        _ok,  # type: ignore[arg-type]
        interface="asgi3",
        http=EdgeProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=IDLE_S,
    )
    server = QuietServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    sweeping = asyncio.create_task(sweep(lambda: server.server_state.connections))
    yield listener.getsockname()[1]
    server.should_exit = True
    await serving
    sweeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sweeping


async def test_a_connection_in_use_outlives_the_time_an_idle_one_has(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(5):
        writer.write(REQUEST)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(IDLE_S / 4)
    writer.close()


async def test_an_idle_connection_is_ended(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST + REQUEST)
    await reader.readuntil(b"ok")
    await reader.readuntil(b"ok")
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()
