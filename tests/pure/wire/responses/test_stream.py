"""Metering a stream of response events: what passes, what waits, what is hidden, and how it ends."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.responses.bodies import call_of, in_turn
from tests.support.responses_answers import response_answer, response_stream
from tests.support.sse import Event, read_events

from farebox.tariff.meters import Meter, Usage
from farebox.wire.call import Call
from farebox.wire.responses.answer import read_answer
from farebox.wire.responses.stream import ResponsesMeter
from farebox.wire.responses.usage import RESPONSES
from farebox.wire.usage import ReportedUsage, read_usage

PLAIN = response_stream(text="hello 你好", reasoning="let me see", model="gpt-5-2026").body
TOOLS = response_stream(tool_calls=(("look", '{"at":"the moon"}'), ("say", "{}")), sealed="gAAAAsecret").body


def meter(call: Call | None = None) -> ResponsesMeter:
    return ResponsesMeter(call or call_of())


def passed(stream: ResponsesMeter, body: bytes, *, charge: str = "0.5") -> list[Event]:
    return read_events(stream.feed(body) + stream.end() + stream.finish(charge))


def usage_of(stream: ResponsesMeter) -> Usage:
    assert stream.usage is not None
    read = read_usage(stream.usage, RESPONSES)
    assert isinstance(read, ReportedUsage)
    return read.meters


def test_law_3_the_end_waits_for_the_charge() -> None:
    stream = meter()
    shown = read_events(stream.feed(PLAIN))
    assert shown[-1].name == "response.output_item.done"
    assert (stream.finished, stream.finish_reasons) == (True, {0: "stop"})
    (last,) = read_events(stream.finish("0.0000125"))
    assert last.name == "response.completed"
    assert last.json()["response"]["usage"]["cost"] == "0.0000125"


def test_events_pass_as_they_came_but_for_those_that_name_the_response() -> None:
    events = passed(meter(), PLAIN)
    for sent, got in zip(read_events(PLAIN), events, strict=True):
        if "response" in got.json():
            assert got.json()["response"]["model"] == "gpt-5"
        else:
            assert got == sent


def test_a_kept_answer_has_our_id_and_says_what_it_goes_on_from() -> None:
    call = in_turn(call_of(), previous="resp_before")
    assert call.turn is not None
    shown = [event.json()["response"] for event in passed(meter(call), PLAIN) if "response" in event.json()]
    assert {(one["id"], one["previous_response_id"], one["store"]) for one in shown} == {
        (call.turn.id, "resp_before", True)
    }
    whole = read_answer(response_answer().body, call)
    assert whole is not None
    assert json.loads(whole.body)["id"] == call.turn.id


def test_sealed_reasoning_is_hidden_from_who_did_not_ask() -> None:
    quiet, asked = in_turn(call_of(), keeps_reasoning=True), call_of(include=["reasoning.encrypted_content"])
    stream = meter(quiet)
    assert not any("gAAAAsecret" in event.data for event in passed(stream, TOOLS))
    assert stream.whole is not None
    assert b"gAAAAsecret" in bytes(stream.whole)
    assert any("gAAAAsecret" in event.data for event in passed(meter(in_turn(asked, keeps_reasoning=True)), TOOLS))
    answer = read_answer(response_answer(sealed="gAAAAsecret").body, quiet)
    assert answer is not None
    assert answer.whole is not None
    assert (b"gAAAAsecret" in answer.whole, b"gAAAAsecret" in answer.body) == (True, False)


def cut_anywhere(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


CUTS = st.lists(st.integers(0, 20_000), max_size=25)


@given(cuts=CUTS, crlf=st.booleans(), body=st.sampled_from([PLAIN, TOOLS]))
def test_d39_any_cut_gives_the_same_bytes_and_usage(cuts: list[int], crlf: bool, body: bytes) -> None:
    body = body.replace(b"\n", b"\r\n") if crlf else body
    whole, pieces = meter(), meter()
    expected = whole.feed(body) + whole.end() + whole.finish("1")
    got = b"".join(pieces.feed(piece) for piece in cut_anywhere(body, cuts)) + pieces.end() + pieces.finish("1")
    assert got == expected
    assert usage_of(pieces) == usage_of(whole)
    assert pieces.output.drain() == whole.output.drain()


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"event: x\n", b"data: ", b"\n\n", b"{}", b'{"type":"response.completed","response":5}', b'{"type":"response.output_item.added","item":{"type":"message","id":4}}'])))  # fmt: skip # noqa: E501
def test_garbage_never_raises(pieces: list[bytes]) -> None:
    stream = meter()
    for piece in pieces:
        stream.feed(piece)
    stream.end()
    stream.cut_short("1")
    stream.error_event("x", "y")


def test_text_reasoning_and_arguments_are_counted_where_usage_is_missing() -> None:
    stream = meter()
    stream.feed(PLAIN)
    assert stream.output.drain() == ("hello 你好", "let me see")
    stream = meter()
    stream.feed(TOOLS)
    assert stream.output.drain()[0] == 'look{"at":"the moon"}say{}'


@pytest.mark.parametrize("at", range(3, 14))
@pytest.mark.parametrize("kind", ["text", "tools", "reasoning", "refusal"])
def test_a_cut_stream_ends_well_formed_wherever_it_is(kind: str, at: int) -> None:
    shapes: dict[str, Any] = {
        "text": {"text": "one two three four five six"},
        "tools": {"tool_calls": (("look", '{"at":"the moon and stars"}'), ("say", '{"words":"hello"}'))},
        "reasoning": {"reasoning": "one two three four", "text": "five six"},
        "refusal": {"refusal": "I will not do that now"},
    }
    pieces = response_stream(**shapes[kind]).pieces[:at]
    stream = meter()
    shown = b"".join(stream.feed(piece.data) for piece in pieces)
    events = [event.json() for event in read_events(shown + stream.cut_short("0.5", counted=Usage({Meter.OUTPUT: 3})))]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    last = events[-1]
    assert last["type"] == "response.incomplete"
    response = last["response"]
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert response["usage"]["cost"] == "0.5"
    added = [event for event in events if event["type"] == "response.output_item.added"]
    done = [event for event in events if event["type"] == "response.output_item.done"]
    assert [event["output_index"] for event in added] == [event["output_index"] for event in done]
    assert response["output"] == [event["item"] for event in done]


def test_what_was_streamed_is_what_a_cut_answer_holds() -> None:
    pieces = response_stream(text="one two three four").pieces[:7]
    stream = meter()
    shown = b"".join(stream.feed(piece.data) for piece in pieces)
    events = [event.json() for event in read_events(shown + stream.cut_short("1"))]
    streamed = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    (item,) = events[-1]["response"]["output"]
    assert streamed
    assert item["content"][0]["text"] == streamed


def test_a_failure_is_told_in_every_way_clients_look_for() -> None:
    stream = meter()
    shown = stream.feed(response_stream(failed_after=6).body)
    assert stream.upstream_error is not None
    assert not stream.finished
    failed, error = (event.json() for event in read_events(stream.error_event("upstream_error", "It broke.")))
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"]["message"] == "It broke."
    assert (error["code"], error["error"]["code"]) == ("upstream_error", "upstream_error")
    assert error["sequence_number"] == len(read_events(shown)) + 1


def test_an_error_after_the_end_changes_nothing() -> None:
    stream = meter()
    stream.feed(PLAIN + response_stream(error_after=0).body)
    assert (stream.finished, stream.upstream_error) == (True, None)


def test_searches_are_counted_in_the_answer() -> None:
    stream = meter()
    stream.feed(response_stream(searches=3).body)
    assert usage_of(stream)[Meter.SEARCHES] == 3
    stated = meter()
    stated.feed(response_stream(searches=3, extra={"tool_usage": {"web_search": {"num_requests": 2}}}).body)
    assert usage_of(stated)[Meter.SEARCHES] == 2
    none = meter()
    none.feed(PLAIN)
    assert Meter.SEARCHES not in usage_of(none)


def test_what_a_server_says_only_item_by_item_is_kept_all_the_same() -> None:
    stream = meter()
    stream.feed(response_stream(text="one", searches=1, extra={"output": []}).body)
    assert usage_of(stream)[Meter.SEARCHES] == 1
    assert stream.whole is not None
    assert [item["type"] for item in json.loads(bytes(stream.whole))["output"]] == ["web_search_call", "message"]


def test_an_end_mark_of_other_servers_is_dropped() -> None:
    stream = meter()
    assert b"DONE" not in stream.feed(PLAIN + b"data: [DONE]\n\n") + stream.finish("1")
