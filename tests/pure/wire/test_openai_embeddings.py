"""Reading embeddings requests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import embeddings_call, written

from farebox.tariff.meters import Meter
from farebox.wire import openai_embeddings
from farebox.wire.call import Call, Malformed
from farebox.wire.openai_text import embeddings_text, token_numbers


@pytest.mark.parametrize(
    ("value", "text", "numbers"),
    [
        ("hello", {"hello"}, 0),
        (["a", "b"], {"a", "b"}, 0),
        ([1, 2, 3], set[str](), 3),
        ([[1, 2], [3]], set[str](), 3),
    ],
)
def test_each_form_of_input_is_counted(value: Any, text: set[str], numbers: int) -> None:
    call = embeddings_call(input=value)
    assert set(filter(None, embeddings_text(call).split("\n"))) == text
    assert token_numbers(call) == numbers
    assert call.input_most is not None
    assert call.input_most >= numbers
    assert not call.has_output
    assert call.at_most[Meter.OUTPUT] == 0


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": [1.5]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 1.5}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"background": True}, "background"),
        ({"model": None}, "model"),
    ],
)
def test_what_cannot_be_embedded_is_refused(fields: dict[str, Any], param: str) -> None:
    refusal = openai_embeddings.parse(written({"model": "e", "input": "x"} | fields))
    assert isinstance(refusal, Malformed)
    assert refusal.code == "invalid_parameter"
    assert refusal.param is not None
    assert refusal.param.startswith(param)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_and_never_raise(body: bytes) -> None:
    assert isinstance(openai_embeddings.parse(body), Call | Malformed)
