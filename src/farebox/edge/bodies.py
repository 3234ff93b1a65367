"""Reading a request's body: whole, within the limit, as it is, or not at all.

Enters: ASGI messages. Leaves: the bytes, a refusal, or word that the client left in the middle;
half a body is never taken for a whole one. Keeps no more than the limit in memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.headers import Wishes

Receive = Callable[[], Awaitable[dict[str, Any]]]

_GONE = "http.disconnect"


class ClientGone(Exception):
    """The client left before its request was whole: there is nobody to answer and nothing to do."""


async def read_body(receive: Receive, wishes: Wishes, limit: int) -> bytes | Refusal:
    """The whole body; refused as soon as it is known to be too large. Raises `ClientGone`."""
    if wishes.content_length > limit:
        return _too_large(limit)
    message = await receive()
    if message["type"] == _GONE:
        raise ClientGone
    if not message.get("more_body"):
        body = message.get("body", b"")
        return body if len(body) <= limit else _too_large(limit)
    return await _read_on(receive, message["body"], limit)


async def _read_on(receive: Receive, first: bytes, limit: int) -> bytes | Refusal:
    parts, size, more = [first], len(first), True
    while more:
        if size > limit:
            return _too_large(limit)
        message = await receive()
        if message["type"] == _GONE:
            raise ClientGone
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        more = message.get("more_body", False)
    return b"".join(parts) if size <= limit else _too_large(limit)


def _too_large(limit: int) -> Refusal:
    return Refusal(
        RefusalCode.BODY_TOO_LARGE, f"The body is larger than {limit} bytes, the most that is accepted here."
    )
