"""Metering a Messages stream: what passes, what waits for the charge, and how it ends."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.anthropic.messages import (
    BEFORE,
    ENDING,
    ERROR,
    OKAY,
    PING,
    START,
    STOP,
    STREAM,
    TEXT_START,
    TEXT_STOP,
    call_for,
    payloads,
)

from farebox.tariff.meters import Meter, Usage
from farebox.wire.anthropic.stream import StreamMeter
from farebox.wire.anthropic.usage import ANTHROPIC
from farebox.wire.passing import MAX_WITHHELD_BYTES, EndlessEnding
from farebox.wire.usage import ReportedUsage, read_usage

UPSTREAM = "claude-sonnet-4-5-20250929"


def meter(model: str = UPSTREAM) -> StreamMeter:
    return StreamMeter(call_for(model=model, stream=True))


def usage_of(stream: StreamMeter) -> Usage:
    assert stream.usage is not None
    read = read_usage(stream.usage, ANTHROPIC)
    assert isinstance(read, ReportedUsage)
    return read.meters


def test_what_needs_no_change_passes_as_the_same_object() -> None:
    stream = meter()
    assert stream.feed(START) == START
    assert stream.feed(TEXT_START) == TEXT_START
    assert stream.feed(OKAY) is OKAY
    assert stream.feed(PING) is PING
    assert stream.feed(b": comment\n\n") == b": comment\n\n"


def test_law_3_the_end_waits_for_the_charge() -> None:
    stream = meter()
    assert stream.feed(STREAM) == BEFORE
    assert (stream.finished, stream.finish_reasons, stream.service_tier) == (True, {0: "tool_calls"}, "standard")
    ending, stop = payloads(stream.finish("0.0000125"))
    assert ending["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert (ending["usage"]["output_tokens"], ending["usage"]["cost"]) == (89, "0.0000125")
    assert stop == {"type": "message_stop"}


def test_d24_start_and_end_of_a_stream_are_one_usage() -> None:
    stream = meter()
    stream.feed(STREAM)
    read = {meter: count for meter, count in usage_of(stream).items() if count}
    assert read == {Meter.INPUT: 472, Meter.CACHED_INPUT: 96, Meter.OUTPUT: 89}


def test_text_and_arguments_are_counted_and_names() -> None:
    stream = meter()
    stream.feed(STREAM)
    assert stream.output.drain() == ('Okay, 你好get_weather{"location": "San Francisco"}', "")


def test_thinking_is_counted_apart_and_sealed_thinking_as_produced() -> None:
    stream = meter()
    for block, delta in (
        ({"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": "Let me see"}),
        ({"type": "redacted_thinking", "data": "EmwKAhgB"}, None),
    ):
        stream.feed(named({"type": "content_block_start", "index": 0, "content_block": block}))
        if delta:
            stream.feed(named({"type": "content_block_delta", "index": 0, "delta": delta}))
    assert stream.output.drain() == ("", "Let me see")
    assert stream.output.media_characters == 8


def named(payload: dict[str, Any]) -> bytes:
    return b"event: " + payload["type"].encode() + b"\ndata: " + json.dumps(payload).encode() + b"\n\n"


def cut_anywhere(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


CUTS = st.lists(st.integers(0, 5000), max_size=25)


@given(cuts=CUTS, model=st.sampled_from([UPSTREAM, "my-alias"]), crlf=st.booleans())
def test_d39_any_cut_gives_the_same_bytes_and_usage(cuts: list[int], model: str, crlf: bool) -> None:
    stream = STREAM.replace(b"\n", b"\r\n") if crlf else STREAM
    whole, pieces = meter(model), meter(model)
    expected = whole.feed(stream) + whole.end() + whole.finish("1")
    got = b"".join(pieces.feed(piece) for piece in cut_anywhere(stream, cuts)) + pieces.end() + pieces.finish("1")
    assert got == expected
    assert usage_of(pieces) == usage_of(whole)
    assert pieces.output.drain() == whole.output.drain()


@pytest.mark.parametrize("by", ["event", "byte"])
def test_d39_one_event_or_one_byte_at_a_time_is_the_same(by: str) -> None:
    whole, pieces = meter("my-alias"), meter("my-alias")
    parts = [event + b"\n\n" for event in STREAM.split(b"\n\n")[:-1]]
    if by == "byte":
        parts = [bytes([byte]) for byte in STREAM]
    assert b"".join(pieces.feed(part) for part in parts) == whole.feed(STREAM)
    assert pieces.finish("1") == whole.finish("1")


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"event: ", b"data: ", b"\n\n", b"{}", b'{"type":"', b'"}'])))
def test_garbage_never_raises(pieces: list[bytes]) -> None:
    stream = meter()
    for piece in pieces:
        stream.feed(piece)
    stream.end()
    stream.cut_short("1")


ODD: list[Any] = [1, "text", None, [], {}, True, {"type": 7}, [None], {"usage": 1}]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_a_field_of_a_wrong_type_is_read_around(odd: Any) -> None:
    for payload in payloads(STREAM):
        for name in payload:
            stream = meter("my-alias")
            stream.feed(START + TEXT_START)
            kind = payload["type"]
            stream.feed(b"event: " + kind.encode() + b"\ndata: " + json.dumps(payload | {name: odd}).encode() + b"\n\n")
            stream.feed(OKAY + TEXT_STOP + ENDING + STOP)
            assert stream.output.drain()[0].endswith("Okay") or stream.upstream_error is not None


def test_the_name_asked_for_is_shown_and_nothing_else_changed() -> None:
    (shown,) = payloads(meter("my-alias").feed(START))
    (sent,) = payloads(START)
    assert shown["message"].pop("model") == "my-alias"
    assert sent["message"].pop("model") == UPSTREAM
    assert shown == sent


def test_a_server_that_gives_no_id_is_renamed_and_metered_all_the_same() -> None:
    stream = meter("my-alias")
    passed = stream.feed(STREAM.replace(b'"id":"msg_014p7gG3wDgGV9EUtLvnow3U"', b'"id":null'))
    assert UPSTREAM.encode() not in passed
    assert usage_of(stream)[Meter.INPUT] == 472


def test_d22_an_error_is_no_output_and_is_not_passed_on() -> None:
    stream = meter()
    passed = stream.feed(START + TEXT_START + ERROR + OKAY)
    assert passed == START + TEXT_START
    assert stream.upstream_error is not None
    assert b"Overloaded" in stream.upstream_error
    assert (stream.finished, stream.saw_output) == (False, False)


def test_what_is_complete_stays_complete() -> None:
    stream = meter()
    stream.feed(STREAM + ERROR)
    assert (stream.finished, stream.upstream_error) == (True, None)


def test_only_message_stop_completes() -> None:
    stream = meter()
    assert stream.feed(BEFORE + ENDING) == BEFORE
    assert not stream.finished
    assert payloads(stream.cut_short("1"))[-1] == {"type": "message_stop"}


def test_a_stop_without_a_word_on_usage_still_ends_with_the_charge() -> None:
    stream = meter()
    stream.feed(BEFORE + STOP)
    ending, stop = payloads(stream.finish("0.5"))
    assert (ending["delta"]["stop_reason"], ending["usage"]["cost"], stop["type"]) == (
        "end_turn",
        "0.5",
        "message_stop",
    )


@pytest.mark.parametrize(
    ("sent", "ends"),
    [
        (b"", ["message_start", "message_delta", "message_stop"]),
        (START, ["message_delta", "message_stop"]),
        (START + TEXT_START + OKAY, ["content_block_stop", "message_delta", "message_stop"]),
        (START + TEXT_START + OKAY + TEXT_STOP, ["message_delta", "message_stop"]),
    ],
)
def test_an_answer_we_cut_ends_well_formed(sent: bytes, ends: list[str]) -> None:
    stream = meter()
    stream.feed(sent)
    counted = Usage({Meter.INPUT: 5, Meter.OUTPUT: 2, Meter.REASONING: 3})
    events = payloads(stream.cut_short("0.25", counted=counted))
    assert [event["type"] for event in events] == ends
    assert events[-2]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    details = {"thinking_tokens": 3}
    assert events[-2]["usage"] == {
        "input_tokens": 5, "output_tokens": 5, "output_tokens_details": details, "cost": "0.25",
    }  # fmt: skip


def test_usage_we_counted_replaces_what_was_stated() -> None:
    stream = meter()
    stream.feed(STREAM)
    ending, _ = payloads(stream.finish("1", counted=Usage({Meter.INPUT: 7, Meter.OUTPUT: 3})))
    assert ending["usage"] == {"input_tokens": 7, "output_tokens": 3, "cost": "1"}


def test_the_providers_own_bill_is_not_shown() -> None:
    stream = meter()
    stream.feed(STREAM.replace(b'"output_tokens":89', b'"output_tokens":89,"cost":0.7,"cost_details":{}'))
    ending, _ = payloads(stream.finish("1"))
    assert ending["usage"]["cost"] == "1"
    assert "cost_details" not in ending["usage"]


def test_an_error_of_ours_has_their_shape() -> None:
    (event,) = payloads(meter().error_event("upstream_error", "It broke off."))
    assert event["error"]["type"] == "api_error"
    assert (event["error"]["code"], event["error"]["message"]) == ("upstream_error", "It broke off.")


def test_an_upstream_that_never_stops_is_at_fault() -> None:
    stream = meter()
    stream.feed(STREAM)
    more = PING * (MAX_WITHHELD_BYTES // len(PING) // 2)
    stream.feed(more)
    with pytest.raises(EndlessEnding):
        stream.feed(more + more)
