"""Every test here runs on uvloop, as in production, and on asyncio's own loop; and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from farebox.upstream.client import HttpClient


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that may reach loopback; afterwards no task and no connection of it is left."""
    client = HttpClient(allow_private_upstreams=True, sweep_s=0.02)
    yield client
    client.close()
    assert client.open_connections() == 0
    assert asyncio.all_tasks() - {asyncio.current_task()} == set()
