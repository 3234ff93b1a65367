"""Which headers of an upstream's answer reach the client: a short list, and nothing else."""

from __future__ import annotations

from farebox.relay.ask import Headers

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


def headers_to_pass(headers: Headers) -> Headers:
    """The allowed ones, in their order."""
    return [pair for pair in headers if pair[0] in PASSED]
