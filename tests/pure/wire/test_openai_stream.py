"""Metering a stream: what passes, what waits for the charge, and how it ends."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import DONE, chunk, payloads, usage_event, written

from farebox.tariff.meters import Meter, Usage
from farebox.wire.openai_stream import StreamMeter
from farebox.wire.usage import OPENAI_CHAT, ReportedUsage, read_usage

OPENING = chunk({"role": "assistant", "content": ""})
HELLO = chunk({"content": "hello 你好"})
STOP = chunk(finish="stop")
PLAIN = OPENING + HELLO + STOP + usage_event() + DONE


def meter(**kwargs: Any) -> StreamMeter:
    return StreamMeter(**({"model": "gpt-4o"} | kwargs))


def usage_of(stream: StreamMeter) -> Usage:
    assert stream.usage is not None
    read = read_usage(stream.usage, OPENAI_CHAT)
    assert isinstance(read, ReportedUsage)
    return read.meters


def test_what_needs_no_change_passes_as_the_same_object() -> None:
    stream = meter()
    assert stream.feed(HELLO) is HELLO
    assert stream.feed(b": ping\n\n") == b": ping\n\n"


def test_law_3_the_end_waits_for_the_charge() -> None:
    stream = meter(wants_usage=True)
    assert stream.feed(PLAIN) == OPENING + HELLO
    assert (stream.finished, stream.done, stream.finish_reasons) == (True, True, {0: "stop"})
    finish, usage, done = payloads(stream.finish("0.0000125"))
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "cost": "0.0000125"}
    assert done == "[DONE]"


def test_usage_nobody_asked_for_is_hidden() -> None:
    stream = meter()
    passed = stream.feed(PLAIN) + stream.finish("1")
    assert passed == OPENING + HELLO + STOP + DONE
    assert usage_of(stream) == {Meter.INPUT: 5, Meter.OUTPUT: 2}


def cut_anywhere(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


CUTS = st.lists(st.integers(0, 5000), max_size=25)


@given(cuts=CUTS, asked=st.booleans(), model=st.sampled_from(["gpt-4o", "my-alias"]), crlf=st.booleans())
def test_d39_any_cut_gives_the_same_bytes_and_usage(cuts: list[int], asked: bool, model: str, crlf: bool) -> None:
    data = PLAIN.replace(b"\n", b"\r\n") if crlf else PLAIN
    whole, pieces = meter(wants_usage=asked, model=model), meter(wants_usage=asked, model=model)
    expected = whole.feed(data) + whole.end() + whole.finish("1")
    got = b"".join(pieces.feed(piece) for piece in cut_anywhere(data, cuts)) + pieces.end() + pieces.finish("1")
    assert got == expected
    assert usage_of(pieces) == usage_of(whole) == {Meter.INPUT: 5, Meter.OUTPUT: 2}
    assert pieces.output.drain() == whole.output.drain() == ("hello 你好", "")


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"data: ", b"\n\n", b"{}", b'{"choices":[', b"]}"])))
def test_garbage_never_raises(pieces: list[bytes]) -> None:
    stream = meter()
    for piece in pieces:
        stream.feed(piece)
    stream.end()
    stream.cut_short("1")


@pytest.mark.parametrize(
    "sent",
    ['"model":"gpt-4o-2024-08-06"', '"model": "gpt-4o-2024-08-06"', '"model":"gpt\\u002d4o-2024-08-06"'],
)
def test_the_answer_echoes_the_name_asked_for(sent: str) -> None:
    event = HELLO.replace(b'"model":"gpt-4o"', sent.encode())
    (passed,) = payloads(meter().feed(event))
    assert passed == payloads(HELLO)[0]


def test_json_over_several_lines_becomes_one() -> None:
    lines = json.dumps(payloads(HELLO)[0] | {"model": "up"}, indent=1).encode().replace(b"\n", b"\ndata: ")
    (passed,) = payloads(meter().feed(b"data: " + lines + b"\n\n"))
    assert passed == payloads(HELLO)[0]


def test_a_name_in_the_text_is_not_replaced() -> None:
    text = 'say "model":"up" twice'
    (passed,) = payloads(meter().feed(chunk({"content": text}, model="up", moderation={"model": "up"})))
    assert (passed["model"], passed["choices"][0]["delta"]["content"]) == ("gpt-4o", text)
    assert passed["moderation"] == {"model": "up"}


def test_every_choice_must_end_before_the_answer_is_complete() -> None:
    stream = meter(choices=2)
    first_ends = chunk(finish="stop")
    assert stream.feed(HELLO + first_ends) == HELLO + first_ends
    assert not stream.finished
    assert stream.feed(chunk(finish="length", index=1) + DONE) == b""
    assert (stream.finished, stream.finish_reasons) == (True, {0: "stop", 1: "length"})


def test_the_end_mark_alone_completes_nothing() -> None:
    stream = meter()
    stream.feed(HELLO + DONE)
    assert (stream.done, stream.finished) == (True, False)


def test_a_server_that_ignores_n_can_still_complete() -> None:
    stream = meter(choices=3)
    stream.feed(HELLO + STOP + DONE)
    assert stream.finished


def test_an_empty_finish_reason_is_none() -> None:
    stream = meter()
    stream.feed(chunk({"content": "x"}, finish=""))
    assert not stream.finished


def test_d24_cumulative_usage_on_every_chunk_is_not_added_up() -> None:
    def counting(completion: int) -> dict[str, int]:
        return {"prompt_tokens": 5, "completion_tokens": completion, "total_tokens": 5 + completion}

    stream = meter()
    passed = stream.feed(chunk({"content": "a"}, usage=counting(1)) + chunk({"content": "b"}, usage=counting(2)))
    assert all("usage" not in payload for payload in payloads(passed))
    stream.feed(chunk(finish="stop", usage=counting(2)) + usage_event(5, 2) + usage_event(5, 2) + DONE)
    assert usage_of(stream) == {Meter.INPUT: 5, Meter.OUTPUT: 2}


@pytest.mark.parametrize("asked", [True, False])
def test_d24_usage_inside_the_last_chunk_is_read_and_moved(asked: bool) -> None:
    stream = meter(wants_usage=asked)
    stream.feed(HELLO + chunk(finish="stop", usage=payloads(usage_event())[0]["usage"]) + DONE)
    tail = payloads(stream.finish("1"))
    assert usage_of(stream) == {Meter.INPUT: 5, Meter.OUTPUT: 2}
    assert ["usage" in event for event in tail[:-1]] == ([False, True] if asked else [False])


def test_d23_usage_inside_a_choice_is_read() -> None:
    stream = meter()
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": payloads(usage_event())[0]["usage"]}
    stream.feed(HELLO + chunk(choices=[choice]) + DONE)
    assert usage_of(stream) == {Meter.INPUT: 5, Meter.OUTPUT: 2}


def test_d23_missing_usage_is_none_and_the_text_is_there_to_count() -> None:
    stream = meter(wants_usage=True)
    stream.feed(OPENING + HELLO + chunk({"reasoning_content": "hmm"}) + STOP + DONE)
    assert stream.usage is None
    assert stream.output.drain() == ("hello 你好", "hmm")
    assert stream.output.bytes_so_far == len("hello 你好hmm".encode())
    counted = Usage({Meter.INPUT: 3, Meter.OUTPUT: 4, Meter.REASONING: 1})
    usage = payloads(stream.finish("0.5", counted=counted))[-2]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["cost"]) == (3, 5, "0.5")


PIECES = [
    ({"content": "a"}, ("a", "")),
    ({"refusal": "no"}, ("no", "")),
    ({"reasoning_content": "r"}, ("", "r")),
    ({"reasoning": "r"}, ("", "r")),
    ({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}, ("f{}", "")),
    ({"function_call": {"name": "f", "arguments": "{}"}}, ("f{}", "")),
    ({"audio": {"transcript": "spoken"}}, ("spoken", "")),
    ({"content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": [{"text": "b"}]}]}, None),
    ({"role": "assistant", "content": ""}, ("", "")),
    ({"content": None}, ("", "")),
]


@pytest.mark.parametrize(("delta", "text"), PIECES)
def test_every_kind_of_output_is_counted(delta: dict[str, Any], text: tuple[str, str] | None) -> None:
    stream = meter()
    event = chunk(delta)
    assert stream.feed(event) == event
    drained = stream.output.drain()
    assert drained == text or (text is None and sorted(drained[0]) == ["a", "b"])
    assert stream.saw_output == any(drained)


ERRORS = [
    b'data: {"error":{"message":"key sk-secret","type":"server_error"}}\n\n',
    b'event: error\ndata: {"message":"at https://upstream.example"}\n\n',
    b'data: {"object":"error","message":"x"}\n\n',
    b'data: {"type":"error","error":{"type":"overloaded"}}\n\n',
    chunk({"content": "Internal error"}, finish="error", error={"code": 502}),
    chunk({}, finish="error"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_d22_an_error_event_is_no_output_and_is_not_passed_on(error: bytes) -> None:
    stream = meter()
    stream.feed(HELLO)
    assert stream.feed(error + HELLO + STOP + DONE) == b""
    assert stream.upstream_error is not None
    assert not stream.finished
    assert stream.output.drain() == ("hello 你好", "")


def test_a_failure_ends_with_an_error_event_and_no_end_mark() -> None:
    (event,) = payloads(meter().error_event("upstream_timeout", "The provider fell silent."))
    assert event["error"]["code"] == "upstream_timeout"


@pytest.mark.parametrize("asked", [True, False])
def test_exhausted_credits_end_in_a_well_formed_last_chunk(asked: bool) -> None:
    stream = meter(choices=3, wants_usage=asked)
    stream.feed(OPENING + HELLO + chunk(finish="stop", index=1))
    ending = payloads(stream.cut_short("0.1", counted=Usage({Meter.INPUT: 5, Meter.OUTPUT: 2})))
    assert [(choice["index"], choice["finish_reason"]) for choice in ending[0]["choices"]] == [
        (0, "length"),
        (2, "length"),
    ]
    assert (ending[0]["id"], ending[0]["model"], ending[-1]) == ("chatcmpl-1", "gpt-4o", "[DONE]")
    assert [event["usage"]["cost"] for event in ending[1:-1]] == (["0.1"] if asked else [])


def test_a_complete_answer_is_not_cut_short() -> None:
    stream = meter()
    stream.feed(PLAIN)
    assert stream.cut_short("1") == STOP + DONE


def test_an_answer_cut_before_its_first_chunk_still_ends_well() -> None:
    ending = payloads(meter().cut_short(None))
    assert ending[0]["object"] == "chat.completion.chunk"
    assert ending[-1] == "[DONE]"


def test_chunks_without_choices_pass_and_what_is_no_json_does_not() -> None:
    stream = meter()
    filtered = chunk(choices=[], prompt_filter_results=[])
    assert stream.feed(filtered) == filtered
    assert stream.feed(b"data: {half\n\n") == b""


def test_the_tier_served_is_noted() -> None:
    stream = meter()
    stream.feed(chunk({"content": "a"}, service_tier="flex"))
    assert stream.service_tier == "flex"


def test_text_nobody_drains_is_bounded_and_still_counted() -> None:
    stream = meter()
    event = chunk({"content": "x" * 100_000})
    for _ in range(10):
        stream.feed(event)
    assert stream.output.pending + stream.output.dropped_bytes == stream.output.bytes_so_far == 1_000_000
    assert stream.output.pending <= 512 * 1024


def test_floats_of_the_provider_keep_their_digits() -> None:
    event = written({"choices": [{"index": 0, "delta": {"content": "a"}}], "model": "up", "x": 1})
    event = event.replace(b'"x":1', b'"x":0.10000000000000000001')
    passed = meter().feed(b"data: " + event + b"\n\n")
    assert b"0.10000000000000000001" in passed
    assert json.loads(passed[6:])["model"] == "gpt-4o"
