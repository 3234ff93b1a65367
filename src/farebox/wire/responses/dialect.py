"""The Responses endpoint as the relay knows a dialect."""

from __future__ import annotations

from farebox.wire import openai_errors
from farebox.wire.call import Call
from farebox.wire.responses import answer, forward, parse, price_fields, text, usage
from farebox.wire.responses.stream import ResponsesMeter


class OpenAIResponses:
    """See `wire.dialect.Dialect`."""

    name = "openai_responses"
    path = "/v1/responses"
    at = ""
    ping = b": ping\n\n"
    resource = "chat"
    convention = usage.RESPONSES
    price_fields = price_fields.RESPONSES
    parse = staticmethod(parse.parse)
    forward = staticmethod(forward.forward)
    text_of = staticmethod(text.text_of)
    tokens_beside_text = staticmethod(text.tokens_beside_text)
    read_answer = staticmethod(answer.read_answer)
    render_error = staticmethod(openai_errors.render)
    read_upstream_error = staticmethod(openai_errors.read_upstream_error)

    def meter(self, call: Call) -> ResponsesMeter:
        """For a stream."""
        return ResponsesMeter(call)

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        """Below a base URL that ends in its version."""
        return "/responses"
