"""`POST /v1/messages/count_tokens`: what is counted, and how the count is shown.

No provider is asked and nothing is charged: the count is ours, by the nearest vocabulary there is,
and an estimate for models whose vocabulary is their maker's secret.
"""

from __future__ import annotations

import msgspec

from farebox.wire.anthropic.parse import parse_input
from farebox.wire.call import Call, Malformed
from farebox.wire.media import IMAGE_TOKENS_MOST

IMAGE_TOKENS = 1_600
"""What the provider counts for an image of the usual size, at most; a hold allows for the dearest provider's."""

PATH = "/v1/messages/count_tokens"


def read(body: bytes) -> Call | Malformed:
    """The call whose input is to be counted: a Messages request that needs no `max_tokens`."""
    call = parse_input(body)
    if isinstance(call, Malformed):
        return call
    return msgspec.structs.replace(call, media_tokens=call.media_tokens // IMAGE_TOKENS_MOST * IMAGE_TOKENS)


def shown(input_tokens: int) -> dict[str, int]:
    """The answer, in this dialect's shape."""
    return {"input_tokens": input_tokens}
