"""Text completions: what they can cause at most, and their streams."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.answers import cut_anywhere
from tests.pure.wire.bodies import DONE, payloads, written

from farebox.wire.call import Call, ChannelBody, raw
from farebox.wire.openai_completion_answers import CompletionMeter, read_answer, without_echo
from farebox.wire.openai_completions import completion_text, forward, parse, token_numbers


def call(**fields: Any) -> Call:
    read = parse(written({"model": "m", "prompt": "Once"} | fields))
    assert isinstance(read, Call), read
    return read


def event(text: str = "", *, index: int = 0, finish: str | None = None, **top: Any) -> bytes:
    choice = {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "up", "choices": [choice]}
    return b"data: " + written(head | top) + b"\n\n"


USAGE = {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
STREAM = event(" upon") + event(" a tîme") + event(finish="length") + event(choices=[], usage=USAGE) + DONE

PROMPTS: list[tuple[Any, int, int, str]] = [
    # prompt            n  choices  text
    ("Once", 1, 1, "Once"),
    (["Once", "Twice"], 3, 6, "Once\nTwice"),
    ([1, 2, 3], 2, 2, ""),
    ([[1, 2], [3]], 1, 2, ""),
    ("", 1, 1, ""),
]


@pytest.mark.parametrize(("prompt", "n", "choices", "text"), PROMPTS)
def test_every_prompt_is_answered_n_times(prompt: Any, n: int, choices: int, text: str) -> None:
    read = call(prompt=prompt, n=n)
    assert (read.choices, completion_text(read)) == (choices, text)
    assert token_numbers(read) == (3 if not text and prompt else 0)
    assert read.input_bytes > len(written(prompt))


LIMITS = [
    # asked  held  sent
    (None, None, 16),
    (None, 500, 16),
    (None, 5, 5),
    (100, None, 100),
    (100, 500, 100),
    (100, 5, 5),
]


@pytest.mark.parametrize(("asked", "held", "sent"), LIMITS)
def test_law_1_the_limit_that_goes_out_is_the_one_that_is_held(asked: int | None, held: int | None, sent: int) -> None:
    read = call() if asked is None else call(max_tokens=asked)
    body = forward(
        read, upstream_model="m", output_limit=held, channel=ChannelBody(overrides={"max_tokens": raw(9_999)})
    )
    assert written({"max_tokens": sent})[1:-1] in body
    assert b"max_completion_tokens" not in body


def test_a_suffix_is_text_too() -> None:
    assert completion_text(call(suffix="the end")) == "Once\nthe end"


@given(cuts=st.lists(st.integers(0, 2_000), max_size=20), asked=st.booleans())
def test_d39_any_cut_gives_the_same(cuts: list[int], asked: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    whole, pieces = CompletionMeter(call(stream=True, **options)), CompletionMeter(call(stream=True, **options))
    expected = whole.feed(STREAM) + whole.end() + whole.finish("1")
    assert b"".join(map(pieces.feed, cut_anywhere(STREAM, cuts))) + pieces.end() + pieces.finish("1") == expected
    assert pieces.output.drain() == whole.output.drain() == (" upon a tîme", "")
    assert bytes(pieces.usage or b"") == bytes(whole.usage or b"") == written(USAGE)
    assert {payload["model"] for payload in payloads(expected)[:-1]} == {"m"}


def test_a_stream_we_cut_ends_in_its_own_shape() -> None:
    stream = CompletionMeter(call(stream=True, n=2, stream_options={"include_usage": True}))
    stream.feed(event(" upon"))
    ending, usage, done = payloads(stream.cut_short("0.5"))
    piece = {"text": "", "logprobs": None, "finish_reason": "length"}
    assert ending["choices"] == [{"index": 0} | piece, {"index": 1} | piece]
    assert (ending["object"], usage["object"], usage["usage"]["cost"]) == ("text_completion", "text_completion", "0.5")
    assert done == "[DONE]"


def test_a_prompt_shown_again_is_no_output() -> None:
    stream = CompletionMeter(call(stream=True, prompt=["Once", "He"], echo=True))
    for piece, index in (("On", 0), ("ce upon", 0), ("He", 1), (" said", 1), (" a", 0)):
        stream.feed(event(piece, index=index))
    assert stream.output.drain() == (" upon said a", "")
    assert without_echo("known to nobody", 0, [-1]) == ""


def test_a_whole_answer() -> None:
    choice = {"text": "Once upon", "index": 0, "logprobs": None, "finish_reason": "stop"}
    read = read_answer(written({"id": "x", "model": "up", "choices": [choice], "usage": USAGE}), call(echo=True))
    assert read is not None
    assert (read.output.drain(), read.finish_reasons) == ((" upon", ""), {0: "stop"})
    assert b'"model":"m"' in read.body


@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices":[]}', b'{"error":{"message":"x"}}', b"<html>"])
def test_what_is_no_answer_is_none(body: bytes) -> None:
    assert read_answer(body, call()) is None


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"data: ", b"\n\n", b'{"choices":[{"text":1}]}'])))
def test_garbage_never_raises(pieces: list[bytes]) -> None:
    stream = CompletionMeter(call(stream=True))
    for piece in pieces:
        stream.feed(piece)
    stream.end()
    stream.cut_short("1")
