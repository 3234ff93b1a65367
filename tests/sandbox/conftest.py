"""A sandbox behind a real server on a unix socket, and a client to it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn

from farebox.upstream.sandbox import Sandbox

CHAT = "/v1/chat/completions"


class SandboxClient:
    """Speaks to a sandbox as a gateway would."""

    def __init__(self, session: aiohttp.ClientSession, sandbox: Sandbox, socket: str) -> None:
        self.session = session
        self.sandbox = sandbox
        self.socket = socket

    def post(self, path: str, body: Any, script: str = "") -> Any:
        return self.session.post(f"http://sandbox{path}", json=body, headers={"X-Sandbox": script})

    async def ask(self, body: Any, script: str = "", *, path: str = CHAT) -> tuple[int, Any]:
        async with self.post(path, body, script) as answer:
            return answer.status, json.loads(await answer.read())

    async def events(self, body: Any, script: str = "") -> list[Any]:
        """The JSON of every event, `[DONE]` as text."""
        async with self.post(CHAT, body | {"stream": True}, script) as answer:
            blocks = (await answer.read()).split(b"\n\n")
        assert blocks[-1] == b""
        return [json.loads(block[6:]) if block != b"data: [DONE]" else "[DONE]" for block in blocks[:-1]]


@pytest.fixture
async def client() -> AsyncIterator[SandboxClient]:
    sandbox = Sandbox()
    with tempfile.TemporaryDirectory(prefix="farebox-sandbox-") as folder:
        socket = str(Path(folder) / "s")
        server = uvicorn.Server(uvicorn.Config(sandbox, uds=socket, log_level="critical", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  (the server offers no event to wait for)
            await asyncio.sleep(0.005)
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as session:
            yield SandboxClient(session, sandbox, socket)
        server.should_exit = True
        await serving
