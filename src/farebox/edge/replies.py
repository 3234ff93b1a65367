"""What the relay replies, as HTTP: status, headers, body. The only place that joins them."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.errors import STATUSES, render_passed_on, render_refusal, retry_headers
from farebox.edge.headers import charge_headers, standing_headers
from farebox.relay.ask import Answered, Headers, PassedOn, Refused, Reply, Standing, Streamed
from farebox.wire.dialect import Dialect

JSON = (b"content-type", b"application/json")
GET_ONLY = b"GET, HEAD, OPTIONS"
POST_ONLY = b"POST, OPTIONS"
"""Values of `Allow`."""


class Response(NamedTuple):
    """A whole answer."""

    status: int
    headers: Headers
    body: bytes


def respond(reply: Reply, dialect: Dialect, *, top_up_url: str) -> Response | None:
    """The answer to send; None when it was streamed already."""
    match reply:
        case Answered():
            return _answered(reply)
        case Refused():
            return refused(reply.refusal, reply.standing, dialect=dialect, top_up_url=top_up_url)
        case PassedOn():
            headers = [JSON, *standing_headers(reply.standing), (b"x-should-retry", b"false")]
            return Response(reply.status, headers, render_passed_on(reply.status, reply.error, dialect))
        case Streamed():
            return None
        case _:
            assert_never(reply)


def refused(
    refusal: Refusal, standing: Standing | None, *, dialect: Dialect | None = None, top_up_url: str = ""
) -> Response:
    """A refusal of ours."""
    known = [] if standing is None else standing_headers(standing)
    body = render_refusal(refusal, dialect=dialect, top_up_url=top_up_url)
    return Response(STATUSES[refusal.code].status, [JSON, *known, *retry_headers(refusal)], body)


def wrong_method(allow: bytes) -> Response:
    """A method the address does not take; `allow` names those it does."""
    method = allow.partition(b",")[0].decode()
    response = refused(Refusal(RefusalCode.METHOD_NOT_ALLOWED, f"This address takes {method} only."), None)
    return response._replace(headers=[*response.headers, (b"allow", allow)])


def _answered(reply: Answered) -> Response:
    headers = [(b"content-type", reply.content_type), *standing_headers(reply.standing), *reply.headers]
    if reply.charged is not None:
        headers += charge_headers(reply.charged)
    if reply.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return Response(200, headers, reply.body)
