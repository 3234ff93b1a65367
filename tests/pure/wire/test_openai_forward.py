"""Bodies that go upstream: byte for byte, but for what must change."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.pure.wire.bodies import chat_call, embeddings_call

from farebox.wire.call import ChannelBody
from farebox.wire.openai_forward import forward


def sent(call: Any, **kwargs: Any) -> dict[str, Any]:
    return json.loads(forward(call, **({"upstream_model": call.model} | kwargs)))


def test_a_body_that_need_not_change_is_the_same_object() -> None:
    for call in (chat_call(max_tokens=5), chat_call(stream=True, stream_options={"include_usage": True})):
        assert forward(call, upstream_model="gpt-4o", output_limit=5 if call.output_limit else None) is call.body


def test_every_other_field_keeps_its_bytes() -> None:
    odd = {"temperature": 0.1, "seed": 2**60, "logit_bias": {"50256": -100}, "x": "\u00e9\U0001f600"}
    call = chat_call(**odd)
    body = forward(call, upstream_model="other")
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    for name, value in call.fields.items():
        assert fields[name] == (msgspec.Raw(b'"other"') if name == "model" else value)


LIMITS = [
    # asked for                                            held   sent
    ({}, 50, {"max_completion_tokens": 50}),
    ({"max_tokens": 100}, 50, {"max_tokens": 50}),
    ({"max_tokens": 30}, 50, {"max_tokens": 30}),
    ({"max_completion_tokens": 100}, 50, {"max_completion_tokens": 50}),
    ({"max_tokens": 20, "max_completion_tokens": 100}, 50, {"max_tokens": 20, "max_completion_tokens": 50}),
    ({"max_tokens": 100}, None, {"max_tokens": 100}),
]


@pytest.mark.parametrize(("asked", "held", "expected"), LIMITS)
def test_the_limit_goes_into_the_field_the_caller_used(asked: Any, held: int | None, expected: Any) -> None:
    body = sent(chat_call(**asked), output_limit=held)
    assert {name: body[name] for name in body if name.startswith("max_")} == expected


def test_an_older_server_gets_the_limit_it_knows() -> None:
    assert sent(chat_call(), output_limit=9, channel=ChannelBody(limit_field="max_tokens"))["max_tokens"] == 9


def test_no_override_undoes_the_limit() -> None:
    channel = ChannelBody(overrides={"max_tokens": msgspec.Raw(b"99999"), "top_p": msgspec.Raw(b"0.5")})
    body = sent(chat_call(max_tokens=100), output_limit=50, channel=channel)
    assert (body["max_tokens"], body["top_p"]) == (50, 0.5)
    assert sent(chat_call(max_tokens=10), output_limit=50, channel=channel)["max_tokens"] == 10


@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {"include_obfuscation": False}}])
def test_usage_of_a_stream_is_always_asked_for(options: Any) -> None:
    asked = sent(chat_call(stream=True, **options))["stream_options"]
    assert asked == ((options.get("stream_options") or {}) | {"include_usage": True})


def test_nothing_is_asked_of_a_buffered_call_or_an_unwilling_channel() -> None:
    assert "stream_options" not in sent(chat_call())
    assert "stream_options" not in sent(chat_call(stream=True), channel=ChannelBody(stream_usage=False))


def test_the_customers_hash_replaces_the_callers_identifier() -> None:
    body = sent(chat_call(safety_identifier="mine"), channel=ChannelBody(safety_identifier="h4sh"))
    assert body["safety_identifier"] == "h4sh"


def test_embeddings_get_no_output_limit() -> None:
    call = embeddings_call()
    assert forward(call, upstream_model="e", output_limit=5) is call.body
