"""A client that knows exactly what it received: each byte of an answer, and whether its end came.

One connection for each request, so that what broke belongs to one request alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httptools
import msgspec

from farebox.money import Nano, parse_credits

PATIENCE_S = 60.0
_HOST = "127.0.0.1"


class NotReached(Exception):
    """Nobody listens there: nothing was sent."""


class Heard:
    """What came back of one request. Filled by the parser while it comes."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.whole = False
        """The HTTP answer came to its end."""
        self.left = False
        """This client hung up before that."""

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole = True

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    # What it means.

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id")

    @property
    def replayed(self) -> bool:
        return self.headers.get("idempotent-replayed") == "true"

    @property
    def streamed(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def complete(self) -> bool:
        """The customer has its answer: the whole body, or of a stream the event that ends it."""
        if self.status != 200:
            return False
        return self.ended_by_event if self.streamed else self.whole

    @property
    def ended_by_event(self) -> bool:
        return any(choice.get("finish_reason") for event in self.events for choice in event.get("choices", ()))

    @property
    def events(self) -> list[dict[str, Any]]:
        """The payloads of a stream's whole events; `[DONE]` reads `{"done": true}`."""
        *whole, _ = self.body.split(b"\n\n")
        found: list[dict[str, Any]] = []
        for block in whole:
            if block.startswith(b"data: "):
                payload = block.removeprefix(b"data: ")
                found.append({"done": True} if payload == b"[DONE]" else msgspec.json.decode(payload))
        return found

    @property
    def charged(self) -> Nano | None:
        """What this answer says it cost; None where it says nothing."""
        if not self.streamed:
            text = self.headers.get("x-credits-charged")
            return None if text is None else parse_credits(text)
        for event in self.events:
            usage = event.get("usage") or {}
            if "cost" in usage:
                return parse_credits(usage["cost"])
        return None

    @property
    def code(self) -> str:
        """Of an error, in the body or in the stream; empty when there is none."""
        if self.streamed:
            return next((event["error"]["code"] for event in self.events if "error" in event), "")
        if self.status == 200 or not self.whole:
            return ""
        return str(msgspec.json.decode(self.body)["error"]["code"])


async def exchange(
    port: int,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    leave_s: float | None = None,
    within_s: float = PATIENCE_S,
) -> Heard:
    """Ask once and listen to the end, to the break, or until this client leaves. Raises `NotReached`."""
    heard = Heard()
    heard.begin()
    try:
        reader, writer = await asyncio.open_connection(_HOST, port)
    except OSError:
        raise NotReached(str(port)) from None
    try:
        async with asyncio.timeout(within_s if leave_s is None else leave_s):
            writer.write(_request(method, path, body, headers or {}))
            while not heard.whole and (data := await reader.read(65536)):
                heard.feed(data)
    except TimeoutError:
        assert leave_s is not None, f"no end of an answer within {within_s} s"
        heard.left = True
    except OSError:
        pass  # broken: what came, came
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
    return heard


def _request(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: gateway", "connection: close", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
