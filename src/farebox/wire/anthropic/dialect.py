"""The Anthropic Messages dialect as the relay knows it (`wire.dialect`)."""

from __future__ import annotations

from collections.abc import Mapping

from farebox.wire.anthropic import answer, errors, forward, parse, text, usage
from farebox.wire.anthropic.events import PING
from farebox.wire.anthropic.price_fields import ANTHROPIC
from farebox.wire.anthropic.stream import StreamMeter
from farebox.wire.call import Call
from farebox.wire.openai_errors import UpstreamError, read_upstream_error


class AnthropicMessages:
    """`POST /v1/messages`."""

    name = "anthropic"
    path = "/v1/messages"
    at = ""
    ping = PING
    resource = "chat"
    convention = usage.ANTHROPIC
    price_fields = ANTHROPIC
    parse = staticmethod(parse.parse)
    forward = staticmethod(forward.forward)
    text_of = staticmethod(text.text_of)
    tokens_beside_text = staticmethod(text.tokens_beside_text)
    read_answer = staticmethod(answer.read_answer)
    render_error = staticmethod(errors.render)

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        """Below a base URL that ends in `/v1`."""
        return "/messages"

    def meter(self, call: Call) -> StreamMeter:
        """For a stream."""
        return StreamMeter(call)

    def read_upstream_error(self, body: bytes, *, names: Mapping[str, str] | None = None) -> UpstreamError:
        """Errors of every dialect are read by the same reader."""
        return read_upstream_error(body, names=names)
