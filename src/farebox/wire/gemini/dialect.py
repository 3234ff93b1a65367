"""Gemini's endpoints as the relay knows them (see `wire.dialect`).

One object for each address asked for, since model and action stand there: cheap to make, without state.
"""

from __future__ import annotations

from collections.abc import Mapping

from farebox.wire import openai_errors
from farebox.wire.call import Call, Malformed
from farebox.wire.gemini import answer, embeddings, errors, forward, parse, price_fields, text, usage
from farebox.wire.gemini.address import COUNT, EMBED, EMBED_MANY, GENERATE, STREAM, Address, read_address
from farebox.wire.gemini.stream import GeminiMeter
from farebox.wire.openai_errors import UpstreamError
from farebox.wire.price_fields import PriceField
from farebox.wire.usage import Convention

_ANY = "{model}"


class _Bound:
    """What both endpoints share: an address, its errors, its blank line after a long silence.

    Google's clients fail on comments; blank lines between events mean nothing to any of them.
    """

    __slots__ = ("_address", "at", "path")

    ping = b"\n\n"
    render_error = staticmethod(errors.render)
    forward = staticmethod(forward.forward)
    text_of = staticmethod(text.text_of)
    tokens_beside_text = staticmethod(text.tokens_beside_text)

    def __init__(self, address: Address) -> None:
        self._address = address
        self.at = f"{address.model}:{address.action}"
        self.path = f"/v1beta/models/{_ANY}:{address.action}"

    def meter(self, call: Call) -> GeminiMeter:
        return GeminiMeter(call)

    def read_upstream_error(self, body: bytes, *, names: Mapping[str, str] | None = None) -> UpstreamError:
        """Errors of every dialect are read by the same reader."""
        return openai_errors.read_upstream_error(body, names=names)


class Gemini(_Bound):
    """`generateContent` and `streamGenerateContent` of one model."""

    __slots__ = ()

    name: str = "gemini"
    resource: str = "chat"
    convention: Convention = usage.GEMINI
    price_fields: tuple[PriceField, ...] = price_fields.GEMINI
    read_answer = staticmethod(answer.read_answer)

    def parse(self, body: bytes) -> Call | Malformed:
        model, action = self._address
        if action == COUNT:
            return parse.parse_count(body, model=model)
        return parse.parse(body, model=model, stream=action == STREAM)

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        return forward.chat_path(upstream_model, stream=call.stream)


class GeminiEmbeddings(_Bound):
    """`embedContent` and `batchEmbedContents` of one model."""

    __slots__ = ()

    name: str = "gemini_embeddings"
    resource: str = "embeddings"
    convention: Convention = usage.GEMINI_EMBEDDINGS
    price_fields: tuple[PriceField, ...] = price_fields.GEMINI_EMBEDDINGS
    read_answer = staticmethod(answer.read_vectors)

    def parse(self, body: bytes) -> Call | Malformed:
        return embeddings.parse(body, at=self._address)

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        return forward.embed_path(call, upstream_model)


_OF_ACTION = {GENERATE: Gemini, STREAM: Gemini, EMBED: GeminiEmbeddings, EMBED_MANY: GeminiEmbeddings}

ROUTES = tuple(made(Address(_ANY, action)) for action, made in _OF_ACTION.items())
"""Every endpoint that reaches a provider, of no model in particular."""


def dialect_at(path: str) -> Gemini | GeminiEmbeddings | None:
    """The dialect bound to an address that reaches a provider; None for any other path."""
    address = read_address(path)
    made = None if address is None else _OF_ACTION.get(address.action)
    return None if address is None or made is None else made(address)


def counted_at(path: str) -> Gemini | None:
    """The dialect of a `countTokens`, which we answer ourselves."""
    address = read_address(path)
    return Gemini(address) if address is not None and address.action == COUNT else None
