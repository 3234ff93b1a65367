"""A provider that does exactly what a test tells it to: a real HTTP server, in a thread or a process of its own.

    with ScriptedUpstream() as upstream:
        upstream.play(failure(500), chat_stream(text="Hi").cut(300))   # the next two requests, in order
        upstream.when(lambda seen: seen.api_key == "sk-b", failure(401)) # every request that matches
        …                                                                # everything else: a good answer
        assert upstream.seen[0].json()["model"] == "gpt"
        await upstream.closed(upstream.seen[1])                          # the peer has hung up

As a process (`python -m tests.support.scripted_upstream --port 9000`) it is told by `POST /_play` and
`POST /_always` (a list of `Script`s, or one, as JSON) and asked by `GET /_seen`; `DELETE /_seen` forgets all.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

import msgspec
from tests.support.openai_answers import suited_to
from tests.support.script import Script, answer
from tests.support.upstream_connection import Seen, UpstreamConnection

Answer = Script | Callable[[Seen], Script]


class Playbook:
    """Which answer each request gets, and what was seen. Used from the server's thread and from the test's."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._next: deque[Answer] = deque()
        self._rules: list[tuple[Callable[[Seen], bool], Answer]] = []
        self._always: Answer | None = None

    def play(self, *answers: Answer) -> None:
        """Answer the next requests with these, one each, in order; they go before rules."""
        self._next.extend(answers)

    def when(self, matches: Callable[[Seen], bool], then: Answer) -> None:
        """Answer every request that matches with this; the rule added last is asked first."""
        self._rules.insert(0, (matches, then))

    def always(self, then: Answer | None) -> None:
        """Answer everything else with this; `None` brings the good answer back."""
        self._always = then

    def forget(self) -> None:
        """Forget what was seen and what was to be played."""
        self.seen.clear()
        self._next.clear()
        self._rules.clear()
        self._always = None

    def script_for(self, seen: Seen) -> Script:
        if seen.path.startswith("/_"):
            return self._control(seen)
        self.seen.append(seen)
        chosen = self._next.popleft() if self._next else self._rule_for(seen)
        if chosen is None:
            return suited_to(seen.path, seen.body)
        return chosen(seen) if callable(chosen) else chosen

    def _rule_for(self, seen: Seen) -> Answer | None:
        for matches, then in self._rules:
            if matches(seen):
                return then
        return self._always

    def _control(self, seen: Seen) -> Script:
        match seen.method, seen.path:
            case "GET", "/_seen":
                return answer(msgspec.json.encode(self.seen))
            case "DELETE", "/_seen":
                self.forget()
            case "POST", "/_play":
                self.play(*msgspec.json.decode(seen.body, type=list[Script]))
            case "POST", "/_always":
                self.always(msgspec.json.decode(seen.body, type=Script | None))
            case _:
                return answer(status=404)
        return answer(status=204)


class ScriptedUpstream(Playbook):
    """The server in a thread with a loop of its own, so that neither side's loop can hold the other up."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        super().__init__()
        self.port = port
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._connections: set[UpstreamConnection] = set()
        self._accepted = 0

    @property
    def base_url(self) -> str:
        """Without a path: `http://127.0.0.1:40001`."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    @property
    def accepted_connections(self) -> int:
        return self._accepted

    def __enter__(self) -> ScriptedUpstream:
        listening = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(listening,), daemon=True)
        self._thread.start()
        if not listening.wait(10):
            raise RuntimeError("the scripted upstream could not listen")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def arrived(self, count: int, *, within_s: float = 5.0) -> list[Seen]:
        """Wait until so many requests have been seen."""
        await _until(lambda: len(self.seen) >= count, within_s, lambda: f"{len(self.seen)} of {count} requests came")
        return self.seen[:count]

    async def closed(self, seen: Seen, *, within_s: float = 5.0) -> float:
        """Wait until the peer has closed that request's connection; when it did, in monotonic seconds."""
        await _until(lambda: seen.peer_closed_at is not None, within_s, lambda: "the peer kept its connection")
        assert seen.peer_closed_at is not None
        return seen.peer_closed_at

    async def answered(self, seen: Seen, *, within_s: float = 5.0) -> float:
        """Wait until the last byte of that answer was written; when it was, in monotonic seconds."""
        await _until(lambda: seen.answered_at is not None, within_s, lambda: f"{seen.bytes_sent} bytes were sent")
        assert seen.answered_at is not None
        return seen.answered_at

    def drop_connections(self) -> None:
        """Close every connection now, idle ones too, as a provider does between two requests."""
        self._loop.call_soon_threadsafe(lambda: [one.drop() for one in list(self._connections)])

    def _serve(self, listening: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(self._connection, "127.0.0.1", self.port, ssl=self._tls)
        )
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._shut(server))
        self._loop.close()

    async def _shut(self, server: asyncio.Server) -> None:
        server.close()
        serving = [connection.serving for connection in list(self._connections)]
        for connection in list(self._connections):
            connection.drop()
        await asyncio.gather(*filter(None, serving), return_exceptions=True)
        await asyncio.sleep(0)

    def _connection(self) -> UpstreamConnection:
        self._accepted += 1
        return UpstreamConnection(self._accepted, self.script_for, self._connections)


async def _until(true: Callable[[], bool], within_s: float, otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {within_s} s: {otherwise()}")
        await asyncio.sleep(0.002)


def main() -> None:
    parser = argparse.ArgumentParser(description="A scripted provider; see the module's own text.")
    parser.add_argument("--port", type=int, default=0)
    with ScriptedUpstream(port=parser.parse_args().port) as upstream:
        print(upstream.base_url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
