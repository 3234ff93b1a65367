"""CPU per request and per streamed chunk: our upstream client against aiohttp, in one run, as ratios.

    python benchmarks/upstream_client.py [--requests 20000] [--rounds 3]

A mock upstream in a process of its own answers POSTs with a chat answer of 700 bytes, or with an event stream whose
chunks leave one by one. Only this process' CPU time is counted, so the mock's share is not in the figures. Both
clients are given the headers that never change beforehand, and take turns, so that a busy machine hurts both; the
best round of each counts.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection as Pipe
from typing import cast

import aiohttp
import uvloop

from farebox.upstream.client import HttpClient, Outgoing
from farebox.upstream.target import Target
from farebox.upstream.timeouts import Timeouts

ANSWER = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"message":{"content":"' + b"x" * 570 + b'"}}]}'
REQUEST = b'{"model":"m","messages":[{"role":"user","content":"' + b"y" * 400 + b'"}]}'
HEADERS = (
    (b"authorization", b"Bearer sk-0123456789abcdef0123456789abcdef"),
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"user-agent", b"farebox-benchmark"),
)
PLAIN = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: mock\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    b"x-request-id: req_1\r\nx-ratelimit-remaining-requests: 9999\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
) + ANSWER
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"delta":{"content":" word"}}]}\n\n'
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
CHUNKS = 200
TIMEOUTS = Timeouts()

Call = Callable[[], Awaitable[int]]


class Mock(asyncio.Protocol):
    """Answers whatever arrives in one piece; a path with `stream` gets a stream."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"POST /stream"):
            self.transport.write(STREAM)
            asyncio.get_running_loop().call_later(0.004, self.stream_on, CHUNKS)
        elif b"\r\n\r\n" in data:
            self.transport.write(PLAIN)

    def stream_on(self, left: int) -> None:
        if left:
            self.transport.write(CHUNK)
            asyncio.get_running_loop().call_later(0.004, self.stream_on, left - 1)
        else:
            self.transport.write(b"0\r\n\r\n")


def serve(pipe: Pipe) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


async def cpu_us_per_unit(call: Call, *, calls: int, width: int) -> float:
    """CPU microseconds per unit of work; `call` returns how many units it did."""
    units = 0

    async def worker(count: int) -> None:
        nonlocal units
        for _ in range(count):
            done = await call()
            units += done

    await asyncio.gather(*(worker(1) for _ in range(width)))
    units = 0
    began = time.process_time_ns()
    await asyncio.gather(*(worker(calls // width) for _ in range(width)))
    return (time.process_time_ns() - began) / units / 1000


def ours(client: HttpClient, target: Target) -> tuple[Call, Call]:
    async def plain() -> int:
        response = await client.send(target, Outgoing(b"POST", b"/v1/chat/completions", (), REQUEST), TIMEOUTS)
        body = await response.read(1 << 20)
        response.close()
        assert len(body) == len(ANSWER)
        return 1

    async def stream() -> int:
        response = await client.send(target, Outgoing(b"POST", b"/stream", (), REQUEST), TIMEOUTS)
        while await response.next_chunk() is not None:
            pass
        response.close()
        return CHUNKS

    return plain, stream


def theirs(session: aiohttp.ClientSession, url: str) -> tuple[Call, Call]:
    async def plain() -> int:
        async with session.post(f"{url}/v1/chat/completions", data=REQUEST) as response:
            assert len(await response.read()) == len(ANSWER)
        return 1

    async def stream() -> int:
        async with session.post(f"{url}/stream", data=REQUEST) as response:
            async for _ in response.content.iter_any():
                pass
        return CHUNKS

    return plain, stream


async def measure(port: int, *, requests: int, rounds: int) -> None:
    url = f"http://127.0.0.1:{port}"
    client = HttpClient(allow_private_upstreams=True)
    connector = aiohttp.TCPConnector(limit=0)
    headers = {name.decode(): value.decode() for name, value in HEADERS}
    no_limit = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=no_limit, headers=headers) as session:
        pairs = list(zip(ours(client, Target.parse(url, headers=HEADERS)), theirs(session, url), strict=True))
        print(f"{'CPU us per':<24}{'ours':>8}{'aiohttp':>10}{'ratio':>8}")
        for name, (mine, other), calls, width in (
            ("request, 1 connection", pairs[0], requests // 4, 1),
            ("request, 32 connections", pairs[0], requests, 32),
            ("chunk, 100 streams", pairs[1], 200, 100),
        ):
            best = [float("inf"), float("inf")]
            for _ in range(rounds):
                for side, call in enumerate((mine, other)):
                    best[side] = min(best[side], await cpu_us_per_unit(call, calls=calls, width=width))
            print(f"{name:<24}{best[0]:>8.1f}{best[1]:>10.1f}{best[0] / best[1]:>8.2f}")
    client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    mock = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    mock.start()
    try:
        uvloop.run(measure(here.recv(), requests=options.requests, rounds=options.rounds))
    finally:
        mock.terminate()
        mock.join()


if __name__ == "__main__":
    main()
