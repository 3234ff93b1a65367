"""Which connection serves which request, what ends one, and the one case in which a request is sent twice."""

from __future__ import annotations

import asyncio

import pytest
from tests.upstream_client.reading import ask, fetch
from tests.upstream_client.scripted import CHUNKED, Peer, Scripted, chunk, plain

from farebox.upstream.client import HttpClient
from farebox.upstream.pool import PoolLimits
from farebox.upstream.timeouts import Stage, Timeouts
from farebox.upstream.trouble import AnswerCut, ClosedBeforeAnswer, ConnectFailed, TimedOut


async def answer_for_ever(peer: Peer) -> None:
    while True:
        await peer.answer()


async def test_a_connection_is_used_again(client: HttpClient) -> None:
    async with Scripted(answer_for_ever) as server:
        for _ in range(5):
            assert await fetch(client, server.url) == b"ok"
        assert server.connections == 1
        assert client.idle_connections() == client.open_connections() == 1


async def test_the_connection_that_came_back_last_goes_out_first(client: HttpClient) -> None:
    served: dict[bytes, int] = {}

    async def script(peer: Peer) -> None:
        while True:
            seen = await peer.request()
            served[seen.body] = peer.number
            await asyncio.sleep(float(seen.body))
            await peer.send(plain())

    async with Scripted(script) as server:
        await asyncio.gather(*(fetch(client, server.url, body=delay) for delay in (b"0.02", b"0.2", b"0.11")))
        assert await fetch(client, server.url, body=b"0") == b"ok"
        assert server.connections == 3
        assert served[b"0"] == served[b"0.2"]


async def test_an_answer_left_unread_but_complete_does_not_hold_its_connection(client: HttpClient) -> None:
    async with Scripted(answer_for_ever) as server:
        first = await ask(client, server.url)
        second = await ask(client, server.url)
        assert await first.read(10) == await second.read(10) == b"ok"
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        plain(extra=b"connection: close\r\n"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        plain() + b"x",
        plain() + b"H",
        plain() + plain(b"for someone else"),
        plain() + b"HTTP/1.1 200 OK\r\ncontent-le",
        CHUNKED + chunk(b"ok") + b"0\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nok",
    ],
    ids=["close", "1.0", "byte more", "good byte more", "answer more", "half more", "more after chunks", "after 204"],
)
async def test_a_connection_that_may_not_be_reused_is_not(client: HttpClient, answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.answer(b"WRONG")

    async with Scripted(script) as server:
        for number in (1, 2):
            assert await fetch(client, server.url) in (b"ok", b"")
            assert server.connections == number
            assert client.open_connections() == 0


async def test_bytes_that_come_while_idle_end_the_connection(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer()
        await asyncio.sleep(0.05)
        await peer.send(plain(b"for someone else"))
        await peer.gone()

    async with Scripted(script) as server:
        assert await fetch(client, server.url) == b"ok"
        await asyncio.sleep(0.15)
        assert client.open_connections() == server.open_connections == 0
        assert await fetch(client, server.url) == b"ok"


async def test_http_1_0_with_keep_alive_is_used_again(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok")

    async with Scripted(script) as server:
        await fetch(client, server.url)
        await fetch(client, server.url)
        assert server.connections == 1


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("body", [b"{}", b"x" * 3_000_000], ids=["small", "large"])
async def test_a_request_that_met_a_closing_idle_connection_is_sent_once_more(
    client: HttpClient, reset: bool, body: bytes
) -> None:
    async def script(peer: Peer) -> None:
        if peer.number == 1:
            await peer.answer()
            await peer.head()  # the next request has arrived: too late
            if reset:
                peer.reset()
        else:
            assert (await peer.answer(b"second")).body == body
            await peer.gone()

    async with Scripted(script) as server:
        assert await fetch(client, server.url) == b"ok"
        assert await fetch(client, server.url, body=body) == b"second"
        assert server.connections == 2


async def test_the_second_attempt_is_the_last_and_goes_over_a_new_connection(client: HttpClient) -> None:
    heads = 0

    async def script(peer: Peer) -> None:
        nonlocal heads
        if peer.number <= 2:
            await asyncio.sleep(0.05)
            await peer.answer()
        await peer.head()
        heads += 1

    async with Scripted(script) as server:
        await asyncio.gather(fetch(client, server.url), fetch(client, server.url))
        assert client.idle_connections() == 2
        with pytest.raises(ClosedBeforeAnswer) as caught:
            await fetch(client, server.url)
        assert not caught.value.reused
        assert heads == 2
        assert server.connections == 3


async def test_a_new_connection_that_closes_without_an_answer_is_no_race(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    async with Scripted(script) as server:
        with pytest.raises(ClosedBeforeAnswer) as caught:
            await fetch(client, server.url)
        assert not caught.value.reused
        assert not caught.value.is_keep_alive_race
        assert server.connections == 1


async def test_one_byte_of_an_answer_forbids_a_second_attempt(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        if peer.number == 1:
            await peer.answer()
        await peer.request()
        await peer.send(b"H")

    async with Scripted(script) as server:
        await fetch(client, server.url)
        with pytest.raises(AnswerCut):
            await fetch(client, server.url)
        assert server.connections == 1


async def test_a_provider_that_dies_over_a_request_is_not_asked_again(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        if peer.number == 1:
            await peer.answer()
        await peer.request()
        await asyncio.sleep(1.2)

    async with Scripted(script) as server:
        await fetch(client, server.url)
        with pytest.raises(ClosedBeforeAnswer) as caught:
            await fetch(client, server.url)
        assert caught.value.reused
        assert caught.value.after_s > 1
        assert server.connections == 1


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    client = HttpClient(allow_private_upstreams=True, sweep_s=0.02, pool=PoolLimits(idle_s=0.1))
    async with Scripted(answer_for_ever) as server:
        await fetch(client, server.url)
        assert client.idle_connections() == 1
        await asyncio.sleep(0.25)
        assert client.open_connections() == server.open_connections == 0
        assert await fetch(client, server.url) == b"ok"
        assert server.connections == 2
    client.close()


async def test_no_more_idle_connections_are_kept_than_allowed() -> None:
    client = HttpClient(allow_private_upstreams=True, pool=PoolLimits(max_idle=2))

    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.05)
        await peer.send(plain())
        await peer.gone()

    async with Scripted(script) as server:
        await asyncio.gather(*(fetch(client, server.url) for _ in range(5)))
        assert client.idle_connections() == client.open_connections() == 2
    client.close()


async def test_requests_beyond_the_limit_of_connections_wait_their_turn() -> None:
    client = HttpClient(allow_private_upstreams=True, pool=PoolLimits(max_open=2))
    most = running = 0

    async def script(peer: Peer) -> None:
        nonlocal most, running
        while True:
            await peer.request()
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            closing = b"connection: close\r\n" if peer.number % 2 else b""
            await peer.send(plain(extra=closing))
            if closing:
                return

    async with Scripted(script) as server:
        answers = await asyncio.gather(*(fetch(client, server.url) for _ in range(20)))
        assert answers == [b"ok"] * 20
        assert most == 2
    client.close()


async def test_who_finds_no_free_connection_in_time_has_sent_nothing() -> None:
    client = HttpClient(allow_private_upstreams=True, pool=PoolLimits(max_open=1))
    asked = 0

    async def script(peer: Peer) -> None:
        nonlocal asked
        await peer.request()
        asked += 1
        await asyncio.sleep(0.3)
        await peer.send(plain())
        await answer_for_ever(peer)

    async with Scripted(script) as server:
        first = asyncio.ensure_future(fetch(client, server.url))
        await asyncio.sleep(0.05)
        with pytest.raises(TimedOut) as caught:
            await fetch(client, server.url, timeouts=Timeouts(connect=0.05))
        assert caught.value.stage is Stage.CONNECT
        assert caught.value.retry_is_safe
        assert asked == 1
        assert await first == b"ok"
        assert await fetch(client, server.url) == b"ok"
        assert server.connections == 1
    client.close()


async def test_a_port_where_nobody_listens_is_a_connect_failure(client: HttpClient) -> None:
    async with Scripted(answer_for_ever) as server:
        port = server.port
    with pytest.raises(ConnectFailed) as caught:
        await fetch(client, f"http://127.0.0.1:{port}")
    assert caught.value.retry_is_safe
    assert caught.value.host == "127.0.0.1"
    assert "127.0.0.1" not in str(caught.value)
    assert client.open_connections() == 0


async def test_closing_the_client_ends_what_runs(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"hello"))
        await peer.gone()

    async with Scripted(script) as server:
        response = await ask(client, server.url)
        assert await response.next_chunk() == b"hello"
        client.close()
        with pytest.raises(AnswerCut):
            await response.next_chunk()
        await asyncio.sleep(0.05)
        assert client.open_connections() == server.open_connections == 0


async def test_a_cancelled_request_is_seen_by_the_upstream_at_once(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with Scripted(script) as server:
        task = asyncio.ensure_future(ask(client, server.url))
        await asyncio.sleep(0.05)
        assert server.open_connections == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)
        assert server.open_connections == client.open_connections() == 0


async def test_closing_an_answer_midway_is_seen_by_the_upstream_within_a_second(client: HttpClient) -> None:
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"hello"))
        await peer.gone()
        left.set()

    async with Scripted(script) as server:
        response = await ask(client, server.url)
        assert await response.next_chunk() == b"hello"
        response.close()
        assert client.open_connections() == 0
        await asyncio.wait_for(left.wait(), 1)
        with pytest.raises(AnswerCut):
            await response.next_chunk()
        response.close()


async def test_a_reader_that_waits_is_woken_when_its_answer_is_closed(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await peer.gone()

    async with Scripted(script) as server:
        response = await ask(client, server.url)
        reading = asyncio.ensure_future(response.next_chunk())
        await asyncio.sleep(0.01)
        response.close()
        with pytest.raises(AnswerCut):
            await reading


async def test_a_reader_that_gives_up_waiting_may_come_back(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await asyncio.sleep(0.1)
        await peer.send(chunk(b"late") + b"0\r\n\r\n")

    async with Scripted(script) as server:
        response = await ask(client, server.url)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.next_chunk(), 0.02)
        assert await response.next_chunk() == b"late"
        assert await response.next_chunk() is None


async def test_closing_a_complete_answer_keeps_the_connection(client: HttpClient) -> None:
    async with Scripted(answer_for_ever) as server:
        response = await ask(client, server.url)
        response.close()
        assert client.idle_connections() == 1
        assert await fetch(client, server.url) == b"ok"
        assert server.connections == 1


async def test_many_at_once_each_get_their_own_answer(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        while True:
            seen = await peer.request()
            body = seen.line.split(b" ")[1] + b" " + seen.body
            await peer.send(CHUNKED, chunk(body[:3]), chunk(body[3:]) + b"0\r\n\r\n")

    async def one(number: int) -> bytes:
        return await fetch(client, server.url, path=b"/%d" % number, body=b"body %d" % number)

    async with Scripted(script) as server:
        for _ in range(3):
            answers = await asyncio.gather(*map(one, range(60)))
            assert answers == [b"/%d body %d" % (number, number) for number in range(60)]
        assert server.connections <= 60
