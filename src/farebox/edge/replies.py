"""What the relay replies, as HTTP: status, headers, body. The only place that joins them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple, assert_never

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.errors import NO_RETRY, STATUSES, render_passed_on, render_refusal, retry_lines
from farebox.edge.headers import charge_lines, lines_of, standing_lines
from farebox.relay.ask import Answered, PassedOn, Refused, Reply, Standing, Streamed
from farebox.wire.dialect import Dialect

JSON = b"content-type: application/json\r\n"
GET_ONLY = b"GET, HEAD, OPTIONS"
POST_ONLY = b"POST, OPTIONS"
"""Values of `Allow`."""
REPLAYED = b"idempotent-replayed: true\r\n"


class Response(NamedTuple):
    """A whole answer."""

    status: int
    lines: bytes
    """Of its headers, each with its end."""
    body: bytes


class Download(NamedTuple):
    """An answer of known size that is given as it is read; who sends it closes `blocks`."""

    lines: bytes
    """Of its headers, each with its end."""
    size: int
    first: bytes
    """The first block: what cannot be read at all is known before the answer begins."""
    blocks: AsyncGenerator[bytes, None]
    """The others. One that raises leaves the answer without its end."""


def respond(reply: Reply, dialect: Dialect, *, top_up_url: str) -> Response | None:
    """The answer to send; None when it was streamed already."""
    match reply:
        case Answered():
            return _answered(reply)
        case Refused():
            return refused(reply.refusal, reply.standing, dialect=dialect, top_up_url=top_up_url)
        case PassedOn():
            lines = JSON + standing_lines(reply.standing) + NO_RETRY
            return Response(reply.status, lines, render_passed_on(reply.status, reply.error, dialect))
        case Streamed():
            return None
        case _:
            assert_never(reply)


def refused(
    refusal: Refusal, standing: Standing | None, *, dialect: Dialect | None = None, top_up_url: str = ""
) -> Response:
    """A refusal of ours."""
    known = b"" if standing is None else standing_lines(standing)
    body = render_refusal(refusal, dialect=dialect, top_up_url=top_up_url)
    return Response(STATUSES[refusal.code].status, JSON + known + retry_lines(refusal), body)


def wrong_method(allow: bytes) -> Response:
    """A method the address does not take; `allow` names those it does."""
    method = allow.partition(b",")[0].decode()
    response = refused(Refusal(RefusalCode.METHOD_NOT_ALLOWED, f"This address takes {method} only."), None)
    return response._replace(lines=response.lines + b"allow: %b\r\n" % allow)


def _answered(reply: Answered) -> Response:
    kind = JSON if reply.content_type == b"application/json" else b"content-type: %b\r\n" % reply.content_type
    passed = lines_of(reply.headers) if reply.headers else b""
    charged = b"" if reply.charged is None else charge_lines(reply.charged)
    replayed = REPLAYED if reply.replayed else b""
    return Response(200, b"".join((kind, standing_lines(reply.standing), passed, charged, replayed)), reply.body)
