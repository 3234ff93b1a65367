"""Embeddings from one dialect to the other: OpenAI's callers on Gemini's channels, and the reverse.

Only text is carried: token numbers belong to one vocabulary, and OpenAI's endpoint takes no media. Vectors are passed
on as they were written, unless the caller wants them as base64. What Google is told of a task has no word at OpenAI,
and is left out: the vectors differ a little, as they do from model to model.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping

import msgspec

from farebox.tariff.meters import Usage, input_tokens
from farebox.wire import openai_errors, usage
from farebox.wire.call import PLAIN_BODY, Call, ChannelBody, Malformed, MalformedCode, raw, text_field
from farebox.wire.gemini import answer
from farebox.wire.gemini import usage as gemini_usage
from farebox.wire.gemini.address import EMBED_MANY
from farebox.wire.gemini.forward import upstream_path
from farebox.wire.gemini.read_contents import Content
from farebox.wire.gemini.stream import GeminiMeter
from farebox.wire.openai_answer import Answer, read_embeddings
from farebox.wire.openai_errors import UpstreamError
from farebox.wire.usage import Convention


class _One(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    content: Content
    output_dimensionality: int | None = None


class _Vector(msgspec.Struct, gc=False):
    values: msgspec.Raw


class _Vectors(msgspec.Struct, gc=False):
    embeddings: list[_Vector]


class _Row(msgspec.Struct, gc=False):
    embedding: msgspec.Raw
    index: int = 0


class _Rows(msgspec.Struct, gc=False):
    data: list[_Row]


_encode = msgspec.json.Encoder().encode
_read_texts = msgspec.json.Decoder(str | list[str]).decode
_read_many = msgspec.json.Decoder(list[_One]).decode
_read_content = msgspec.json.Decoder(Content).decode
_read_vectors = msgspec.json.Decoder(_Vectors).decode
_read_rows = msgspec.json.Decoder(_Rows).decode
_read_numbers = msgspec.json.Decoder(list[float]).decode
_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, struct.error)


class _Between:
    """What both ways share."""

    def meter(self, call: Call) -> GeminiMeter:
        """Embeddings are never streamed."""
        return GeminiMeter(call)

    def read_upstream_error(self, body: bytes, *, names: Mapping[str, str] | None = None) -> UpstreamError:
        """Errors of every dialect are read by the same reader."""
        return openai_errors.read_upstream_error(body, names=names)


class OpenAIOnGemini(_Between):
    """A caller of OpenAI's embeddings, a channel that speaks Gemini."""

    convention: Convention = gemini_usage.GEMINI_EMBEDDINGS

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        return upstream_path(EMBED_MANY, upstream_model)

    def objection(self, call: Call) -> Malformed | None:
        """Token numbers mean something to the model alone whose vocabulary they are from."""
        return _not_carried("input", "token numbers") if _texts(call) is None else None

    def forward(
        self, call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
    ) -> bytes:
        """One request for each text."""
        named: dict[str, object] = {"model": f"models/{upstream_model}"}
        if call.parameters:
            named["outputDimensionality"] = int(dict(call.parameters)["dimensions"])
        requests = [named | {"content": {"parts": [{"text": text}]}} for text in _texts(call) or ()]
        return _encode({"requests": requests} | dict(channel.overrides))

    def read_answer(self, body: bytes, call: Call) -> Answer | None:
        """The vectors as OpenAI lists them, as numbers or base64."""
        read = answer.read_vectors(body, call)
        try:
            vectors = [vector.values for vector in _read_vectors(body).embeddings]
            if text_field(call.fields, "encoding_format") == "base64":
                vectors = [_as_base64(values) for values in vectors]
        except _ERRORS:
            return None
        rows = [{"object": "embedding", "index": at, "embedding": values} for at, values in enumerate(vectors)]

        def render(charged: Usage) -> bytes:
            tokens = input_tokens(charged)
            told = {"prompt_tokens": tokens, "total_tokens": tokens}
            return _encode({"object": "list", "data": rows, "model": call.model, "usage": told})

        return None if read is None else msgspec.structs.replace(read, render=render)


class GeminiOnOpenAI(_Between):
    """A caller of Gemini's embeddings, a channel that speaks OpenAI's."""

    convention: Convention = usage.OPENAI_EMBEDDINGS

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        return "/embeddings"

    def objection(self, call: Call) -> Malformed | None:
        """Media, and lists whose requests want vectors of several lengths."""
        try:
            wanted = _wanted(call)
        except _ERRORS:
            return Malformed(MalformedCode.INVALID_PARAMETER, "'content' cannot be read.", "content")
        if any(part.text is None for one in wanted for part in one.content.listed):
            return _not_carried("content", "images, sound and files")
        if len({one.output_dimensionality for one in wanted}) > 1:
            return _not_carried("outputDimensionality", "vectors of several lengths")
        return None

    def forward(
        self, call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
    ) -> bytes:
        """One input for each content."""
        wanted = _wanted(call)
        body: dict[str, object] = {"model": upstream_model, "encoding_format": "float"}
        body["input"] = ["\n".join([part.text or "" for part in one.content.listed]) for one in wanted]
        if wanted[0].output_dimensionality is not None:
            body["dimensions"] = wanted[0].output_dimensionality
        return _encode(body | dict(channel.overrides))

    def read_answer(self, body: bytes, call: Call) -> Answer | None:
        """The vectors as Google lists them; one alone where one was asked for."""
        read = read_embeddings(body, call)
        try:
            rows = sorted(_read_rows(body).data, key=lambda row: row.index)
        except _ERRORS:
            return None
        vectors = [{"values": row.embedding} for row in rows]

        def render(charged: Usage) -> bytes:
            made: dict[str, object] = (
                {"embeddings": vectors} if "requests" in call.fields or not vectors else {"embedding": vectors[0]}
            )
            return _encode(made | {"usageMetadata": {"promptTokenCount": input_tokens(charged)}})

        return None if read is None else msgspec.structs.replace(read, render=render)


EMBEDDINGS: Mapping[tuple[str, str], OpenAIOnGemini | GeminiOnOpenAI] = {
    ("openai_embeddings", "gemini"): OpenAIOnGemini(),
    ("gemini_embeddings", "openai"): GeminiOnOpenAI(),
    ("gemini_embeddings", "openai_responses"): GeminiOnOpenAI(),
}
"""By the caller's dialect and the channel's."""


def _texts(call: Call) -> list[str] | None:
    """The inputs of an OpenAI call; None if they are token numbers."""
    try:
        texts = _read_texts(call.fields["input"])
    except msgspec.ValidationError:
        return None
    return [texts] if isinstance(texts, str) else texts


def _wanted(call: Call) -> list[_One]:
    if "requests" in call.fields:
        return _read_many(call.fields["requests"])
    dimensions = dict(call.parameters).get("dimensions")
    return [_One(_read_content(call.fields["content"]), None if dimensions is None else int(dimensions))]


def _as_base64(values: msgspec.Raw) -> msgspec.Raw:
    """Little-endian 32-bit numbers, as OpenAI packs them."""
    numbers = _read_numbers(values)
    return raw(base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode())


def _not_carried(param: str, what: str) -> Malformed:
    message = f"This model is served in another dialect, which cannot take {what}."
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)
