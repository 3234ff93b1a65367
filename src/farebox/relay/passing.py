"""Which headers of an upstream's answer reach the client: a short list, and nothing else."""

from __future__ import annotations

from farebox.relay.ask import Headers
from farebox.wire.call import Call

PASSED = frozenset(
    {
        b"openai-processing-ms",
        b"openai-version",
        b"x-model-version",
        b"x-should-retry",
        b"retry-after",
    }
)
"""What a client can use and names no account, key or place of ours. Rate limits are never the upstream's."""

EVENTS = b"text/event-stream; charset=utf-8"
JSON = b"application/json"


def headers_to_pass(headers: Headers) -> Headers:
    """The allowed ones, in their order."""
    return [pair for pair in headers if pair[0] in PASSED]


def content_type_of(call: Call, headers: Headers) -> bytes:
    """What an answer is for its client: what was asked for, as closely as the provider says it."""
    usual = call.answer_type
    if not usual:
        return EVENTS if call.stream else JSON
    said = next((value for name, value in headers if name == b"content-type"), b"")
    return said if said.lower().startswith(usual.partition(b"/")[0] + b"/") else usual
