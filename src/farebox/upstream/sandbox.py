"""The built-in sandbox provider: answers any model, deterministically, and fails on demand.

A plain ASGI application without a framework, served inside the gateway on a private socket. It
speaks the chat and embedding endpoints of every dialect Farebox speaks; what it answers follows
from a hash of the request, and its usage is consistent with its text (o200k tokens).
It stops producing as soon as its client leaves, and counts that: `GET /sandbox/stats`.

What goes wrong is asked for in the request header `X-Sandbox`, directives separated by commas:

    status=500        answer with this HTTP status (400 to 599) and an error body
    retry_after=3     with `status`: the `Retry-After` header, in seconds
    delay_ms=200      wait before the first byte
    tokens=400        produce this many visible output tokens (before any output limit)
    reasoning=200     hidden reasoning tokens, produced first and inside the output limit
    thoughts=20       reasoning tokens the caller can read, after the hidden ones
    tool_calls=2      call the tools that the request offers, in turn, after the text
    chunks=50         spread a streamed answer over this many content chunks
    pace_ms=5         wait between chunks
    cut=3             break the connection after this many content chunks (buffered: within the body)
    error_event=2     send an error event after this many content chunks, and nothing more
    usage=none        leave usage out; `wrong`: absurd; `negative`; `zero`: zeros for an answer with text
    empty             produce nothing: no text, zero output tokens

Example: `X-Sandbox: tokens=400, pace_ms=5, usage=none`. An unknown or ill-formed directive is
answered with 400 that names it. It is no provider of quality: its text is words in a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any

import msgspec

from farebox.upstream import sandbox_audio, sandbox_chat, sandbox_embeddings, sandbox_images
from farebox.upstream.sandbox_script import Script, read_script
from farebox.upstream.sandbox_small import Completions, moderation, ranking
from farebox.upstream.sandbox_speech import Spoken
from farebox.wire.call import Call, Malformed
from farebox.wire.chat.request import Tool
from farebox.wire.dialect import OPENAI_CHAT, Dialect, dialect_at
from farebox.wire.form import FormDialect
from farebox.wire.speeches import SPEECHES

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


class Stats(msgspec.Struct):
    """What happened since the start, for tests and for the curious."""

    requests: int = 0
    open: int = 0
    finished: int = 0
    failed: int = 0
    """Ended by a directive: an error status, a cut, an error event."""
    client_left: int = 0
    """The client went away before the end; production stopped there."""
    chunks: int = 0
    """Events of streams sent, all requests together."""


class Failure(msgspec.Struct, frozen=True):
    """An error answer."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after: int | None = None


class Task:
    """What one request is answered with."""

    def __init__(self, dialect: Dialect, call: Call, script: Script) -> None:
        self.call = call
        self.script = script
        self._dialect = dialect

    def answer(self) -> bytes:
        """The body of a buffered answer."""
        whole = _WHOLE.get(self._dialect.name)
        if whole is not None:
            return whole(self._dialect, self.call, self.script)
        if self._dialect.name == OPENAI_CHAT.name:
            return sandbox_chat.answer(self.call, self.script, self._tools())
        if self._dialect.name in SPEECHES:
            return self._spoken().answer(self._tools())
        return Completions(self._dialect, self.call, self.script).answer()

    def events(self) -> Iterator[bytes]:
        """The events of a stream."""
        if self._dialect.name == OPENAI_CHAT.name:
            return sandbox_chat.events(self.call, self.script, self._tools())
        if self._dialect.name in SPEECHES:
            return self._spoken().events(self._tools())
        if self._dialect.resource == "audio":
            return sandbox_audio.events(self._dialect, self.call, self.script)
        if self._dialect.resource == "images":
            return sandbox_images.events(self._dialect, self.call, self.script)
        return Completions(self._dialect, self.call, self.script).events()

    def _spoken(self) -> Spoken:
        return Spoken(self._dialect, SPEECHES[self._dialect.name], self.call, self.script)

    def _tools(self) -> tuple[Tool, ...]:
        """The tools offered, read only where some are to be called."""
        if not self.script.tool_calls:
            return ()
        request = SPEECHES[self._dialect.name].read_request(self.call)
        return () if isinstance(request, Malformed) else request.tools


def _vectors(_: Dialect, call: Call, script: Script) -> bytes:
    return sandbox_embeddings.answer(call, script)


_WHOLE: Mapping[str, Callable[[Dialect, Call, Script], bytes]] = {
    "openai_embeddings": _vectors,
    "gemini_embeddings": _vectors,
    "openai_moderations": moderation,
    "rerank": ranking,
    "audio_transcriptions": sandbox_audio.answer,
    "audio_translations": sandbox_audio.answer,
    "image_generations": sandbox_images.answer,
    "image_edits": sandbox_images.answer,
    "image_variations": sandbox_images.answer,
}
"""What answers dialects that have no words to stream, by name."""


class ClientLeft(Exception):
    """Unwinds a request whose client is gone; never leaves this module."""


class Exchange:
    """One request's connection: what can be sent, and whether anybody still listens."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._gone = asyncio.Event()

    async def body(self) -> bytes:
        """The whole request body. Raises `ClientLeft` if it never ends."""
        pieces: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(pieces)

    async def watch(self) -> None:
        """Wait until the client leaves: a server tells that to `receive` and to nobody else."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def pause(self, milliseconds: int) -> None:
        """Wait, but not for a client that has left: then raise `ClientLeft`."""
        await asyncio.sleep(0)  # without a pace too, the watcher must get its turn
        try:
            await asyncio.wait_for(self._gone.wait(), milliseconds / 1000)
        except TimeoutError:
            return
        raise ClientLeft

    async def start(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, piece: bytes, *, more: bool) -> None:
        if self._gone.is_set():
            raise ClientLeft
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    async def answer(self, status: int, body: bytes, *headers: tuple[bytes, bytes], kind: bytes = b"") -> None:
        """A whole buffered answer, JSON unless it is of another `kind`."""
        content_type = (b"content-type", kind) if kind else _JSON
        await self.start(status, content_type, (b"content-length", str(len(body)).encode()), *headers)
        await self.write(body, more=False)


class Sandbox:
    """The ASGI application; one instance counts for itself."""

    def __init__(self) -> None:
        self.stats = Stats()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(receive, send)
        if (scope["method"], scope["path"]) == ("GET", "/sandbox/stats"):
            await exchange.answer(200, msgspec.json.encode(self.stats))
            return
        self.stats.requests += 1
        self.stats.open += 1
        try:
            await self._serve(scope, exchange)
        except ClientLeft:
            self.stats.client_left += 1
        finally:
            self.stats.open -= 1

    async def _serve(self, scope: Message, exchange: Exchange) -> None:
        dialect = dialect_at(scope["path"])
        body = await exchange.body()
        if dialect is None or scope["method"] != "POST":
            await self._fail(exchange, Failure(404, "unknown_url", "The sandbox has no such endpoint."))
            return
        script = read_script(_header(scope, b"x-sandbox"))
        if isinstance(script, str):
            await self._fail(exchange, Failure(400, "invalid_sandbox_header", script))
            return
        if isinstance(dialect, FormDialect):
            dialect = dialect.reading([value for name, value in scope["headers"] if name == b"content-type"])
        call = dialect.parse(body)
        if isinstance(call, Malformed):
            await self._fail(exchange, Failure(400, call.code, call.message, call.param))
            return
        watcher = asyncio.create_task(exchange.watch())
        try:
            await self._play(Task(dialect, call, script), exchange)
        finally:
            watcher.cancel()

    async def _play(self, task: Task, exchange: Exchange) -> None:
        script = task.script
        await exchange.pause(script.delay_ms)
        if script.status is not None:
            message = "The sandbox fails as it was asked to."
            failure = Failure(script.status, "sandbox_failure", message, retry_after=script.retry_after)
            await self._fail(exchange, failure)
        elif task.call.stream:
            await self._stream(task, exchange)
        else:
            await self._send_whole(exchange, task, script)

    async def _stream(self, task: Task, exchange: Exchange) -> None:
        """Send the events one by one; a cut simply stops, and the server breaks the connection."""
        script = task.script
        kind = (b"content-type", task.call.answer_type) if task.call.answer_type else _EVENTS
        await exchange.start(200, kind, (b"cache-control", b"no-cache"))
        for number, event in enumerate(task.events()):
            if number:
                await exchange.pause(script.pace_ms)
            await exchange.write(event, more=True)
            self.stats.chunks += 1
        if script.cut is not None:
            self.stats.failed += 1
            return
        await exchange.write(b"", more=False)
        if script.error_event is not None:
            self.stats.failed += 1
        else:
            self.stats.finished += 1

    async def _send_whole(self, exchange: Exchange, task: Task, script: Script) -> None:
        body = task.answer()
        if script.cut is None:
            await exchange.answer(200, body, kind=task.call.answer_type)
            self.stats.finished += 1
            return
        self.stats.failed += 1
        await exchange.start(200, _JSON, (b"content-length", str(len(body)).encode()))
        await exchange.write(body[: len(body) // 2], more=True)

    async def _fail(self, exchange: Exchange, failure: Failure) -> None:
        self.stats.failed += 1
        kind = "invalid_request_error" if failure.status < 500 else "server_error"
        error = {"message": failure.message, "type": kind, "param": failure.param, "code": failure.code}
        after = failure.retry_after
        headers = () if after is None else ((b"retry-after", str(after).encode()),)
        await exchange.answer(failure.status, msgspec.json.encode({"error": error}), *headers)


def _header(scope: Message, name: bytes) -> str:
    values = [value for key, value in scope["headers"] if key == name]
    return b",".join(values).decode("latin-1")


sandbox_app = Sandbox()
