"""Embeddings between OpenAI's dialect and Gemini's."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from tests.pure.wire.bodies import embeddings_call, written
from tests.pure.wire.gemini.calls import at

from farebox.tariff.meters import Meter, Usage
from farebox.wire.call import Call, ChannelBody, Malformed, raw
from farebox.wire.dialect import OPENAI_EMBEDDINGS
from farebox.wire.gemini.embeddings_passage import GeminiOnOpenAI, OpenAIOnGemini
from farebox.wire.passage import objection_to, passage_between

USAGE = Usage({Meter.INPUT: 7})
TO_GOOGLE, TO_OPENAI = OpenAIOnGemini(), GeminiOnOpenAI()
VECTORS = written({"embeddings": [{"values": [0.25, -0.5]}, {"values": [1, 2]}]})
ROWS = written(
    {"data": [{"index": 1, "embedding": [1, 2]}, {"index": 0, "embedding": [0.25, -0.5]}], "model": "up"}
    | {"usage": {"prompt_tokens": 7, "total_tokens": 7}}
)


def google_call(body: Any, action: str = "batchEmbedContents") -> Call:
    made = at(action).parse(written(body))
    assert isinstance(made, Call), made
    return made


def text(*parts: str) -> dict[str, Any]:
    return {"content": {"parts": [{"text": part} for part in parts]}}


def shown(passage: OpenAIOnGemini | GeminiOnOpenAI, body: bytes, made: Call) -> Any:
    read = passage.read_answer(body, made)
    assert read is not None
    assert read.render is not None
    return json.loads(read.render(USAGE))


def test_openais_inputs_are_googles_requests() -> None:
    made = embeddings_call(input=["a", "b"], dimensions=256)
    assert TO_GOOGLE.upstream_path(made, "up") == "/models/up:batchEmbedContents"
    one = {"model": "models/up", "outputDimensionality": 256}
    assert json.loads(TO_GOOGLE.forward(made, upstream_model="up")) == {"requests": [one | text("a"), one | text("b")]}


def test_token_numbers_do_not_travel() -> None:
    problem = objection_to(OPENAI_EMBEDDINGS, embeddings_call(input=[1, 2, 3]), frozenset({"gemini"}))
    assert isinstance(problem, Malformed)
    assert TO_GOOGLE.objection(embeddings_call(input="a")) is None


def test_googles_vectors_are_openais_rows() -> None:
    body = shown(TO_GOOGLE, VECTORS, embeddings_call(input=["a", "b"]))
    assert [(row["index"], row["embedding"]) for row in body["data"]] == [(0, [0.25, -0.5]), (1, [1, 2])]
    assert (body["model"], body["usage"]) == ("e", {"prompt_tokens": 7, "total_tokens": 7})


def test_who_asks_for_base64_gets_it() -> None:
    body = shown(TO_GOOGLE, VECTORS, embeddings_call(input=["a", "b"], encoding_format="base64"))
    packed = base64.b64decode(body["data"][0]["embedding"])
    assert struct.unpack("<2f", packed) == (0.25, -0.5)


def test_googles_contents_are_openais_inputs() -> None:
    made = google_call({"requests": [text("a", "b"), text("c")]})
    channel = ChannelBody(overrides={"user": raw("x")})
    body = json.loads(TO_OPENAI.forward(made, upstream_model="up", channel=channel))
    assert body == {"model": "up", "encoding_format": "float", "input": ["a\nb", "c"], "user": "x"}
    single = google_call(text("a") | {"outputDimensionality": 64}, "embedContent")
    assert json.loads(TO_OPENAI.forward(single, upstream_model="up"))["dimensions"] == 64


def test_openais_rows_are_googles_vectors_in_their_order() -> None:
    made = google_call({"requests": [text("a"), text("b")]})
    body = shown(TO_OPENAI, ROWS, made)
    assert body == json.loads(VECTORS) | {"usageMetadata": {"promptTokenCount": 7}}
    single = google_call(text("a"), "embedContent")
    assert shown(TO_OPENAI, ROWS, single)["embedding"] == {"values": [0.25, -0.5]}


@pytest.mark.parametrize(
    "body",
    [
        {"requests": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}]}}]},
        {"requests": [text("a") | {"outputDimensionality": 64}, text("b")]},
    ],
)
def test_what_openai_cannot_embed_is_refused(body: Any) -> None:
    assert isinstance(TO_OPENAI.objection(google_call(body)), Malformed)


@pytest.mark.parametrize(
    "body", [b"{}", b"[", b'{"error":{"code":500}}', b'{"embeddings":[{"values":"x"}]}', b'{"data":[1]}']
)
def test_what_is_no_answer_is_none(body: bytes) -> None:
    made = embeddings_call(input="a", encoding_format="base64")
    assert TO_GOOGLE.read_answer(body, made) is None
    assert TO_OPENAI.read_answer(body, google_call(text("a"), "embedContent")) is None


def test_the_ways_are_known() -> None:
    assert isinstance(passage_between(OPENAI_EMBEDDINGS, "gemini"), OpenAIOnGemini)
    assert isinstance(passage_between(at("embedContent"), "openai"), GeminiOnOpenAI)
    assert passage_between(OPENAI_EMBEDDINGS, "anthropic") is None
