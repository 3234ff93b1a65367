"""Buffered answers: usage, text and the name asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import chat_call, embeddings_call, written

from farebox.wire.openai_answer import read_chat, read_embeddings

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def answer(message: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message or {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "model": "gpt-4o", "choices": [choice], "usage": USAGE} | top


def test_an_answer_that_need_not_change_is_the_same_object() -> None:
    body = written(answer())
    read = read_chat(body, chat_call())
    assert read is not None
    assert read.body is body
    assert (read.finish_reasons, read.output.drain()) == ({0: "stop"}, ("hi", ""))
    assert read.usage is not None
    assert json.loads(bytes(read.usage)) == USAGE


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("content", ["hi", 'the "model":"up-1" and "model": "up-1"'])
def test_only_the_name_changes(separators: tuple[str, str], content: str) -> None:
    stated = answer({"role": "assistant", "content": content}, model="up-1", x={"y": 1.50})
    read = read_chat(json.dumps(stated, separators=separators).encode(), chat_call())
    assert read is not None
    assert json.loads(read.body) == stated | {"model": "gpt-4o"}


def test_a_nested_name_is_left_alone() -> None:
    stated = answer(model="up-1", moderation={"model": "up-1"})
    read = read_chat(written(stated), chat_call())
    assert read is not None
    assert json.loads(read.body) == stated | {"model": "gpt-4o"}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", written({"error": {"message": "x"}}), written({"choices": []}), b'{"choices":3}'],
)
def test_what_is_no_answer_is_none(body: bytes) -> None:
    assert read_chat(body, chat_call()) is None


def test_odd_content_is_counted_all_the_same() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "hi"}]
    read = read_chat(written(answer({"role": "assistant", "content": parts})), chat_call())
    assert read is not None
    assert len(read.output.drain()[0]) == 4
    assert read.usage is not None


def test_missing_usage_is_none() -> None:
    for stated in (answer(usage=None), {name: value for name, value in answer().items() if name != "usage"}):
        read = read_chat(written(stated), chat_call())
        assert read is not None
        assert read.usage is None


@given(st.binary(max_size=100))
def test_any_bytes_are_an_answer_or_none(body: bytes) -> None:
    read_chat(body, chat_call())
    read_embeddings(body, embeddings_call())


def test_embeddings_are_renamed_and_their_usage_read() -> None:
    stated = {"object": "list", "data": [{"embedding": [0.1] * 50, "index": 0}], "model": "up", "usage": USAGE}
    read = read_embeddings(written(stated), embeddings_call())
    assert read is not None
    assert json.loads(read.body) == stated | {"model": "e"}
    assert read.usage is not None


@pytest.mark.parametrize("data", [None, []])
def test_embeddings_without_vectors_are_no_answer(data: Any) -> None:
    assert read_embeddings(written({"data": data, "model": "e", "usage": USAGE}), embeddings_call()) is None
