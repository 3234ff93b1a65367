"""Metering a Gemini stream: what passes, what waits for the charge, and how it ends."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.gemini.calls import call, payloads
from tests.support.gemini_answers import Told, chunks, error_body, event_of, usage

from farebox.tariff.meters import Meter, Usage
from farebox.wire.gemini.stream import GeminiMeter
from farebox.wire.gemini.usage import GEMINI
from farebox.wire.usage import ReportedUsage, read_usage

SEARCH: list[Any] = [{"googleSearch": {}}]


def meter(**fields: Any) -> GeminiMeter:
    return GeminiMeter(call("streamGenerateContent", **fields))


def stream(**shape: Any) -> list[bytes]:
    return [event_of(chunk) for chunk in chunks(Told(**shape))]


def usage_of(read: GeminiMeter) -> Usage:
    assert read.usage is not None
    found = read_usage(read.usage, GEMINI)
    assert isinstance(found, ReportedUsage), found
    return found.meters


def test_what_needs_no_change_passes_as_the_same_object() -> None:
    event = stream(text="hi you", extra={"modelVersion": "gemini-2.5-flash"})[0].replace(b"\r\n", b"\n")
    assert meter().feed(event) is event


def test_the_name_asked_for_is_shown() -> None:
    first, *_ = stream(text="hi you")
    assert meter().feed(first) == first.replace(b"upstream-model", b"gemini-2.5-flash")


def test_law_3_the_end_waits_for_the_charge() -> None:
    read = meter()
    hi, there = stream(text="hi there", usage=usage(5, 2, thoughts=3))
    assert payloads(read.feed(hi + there)) == payloads(hi.replace(b"upstream-model", b"gemini-2.5-flash"))
    assert (read.finished, read.finish_reasons) == (True, {0: "stop"})
    assert usage_of(read) == {Meter.INPUT: 5, Meter.OUTPUT: 2, Meter.REASONING: 3}
    (end,) = payloads(read.finish("0.0000125"))
    assert end["candidates"][0] == {
        "content": {"parts": [{"text": "there"}], "role": "model"},
        "finishReason": "STOP",
        "index": 0,
    }
    assert end["usageMetadata"] == usage(5, 2, thoughts=3) | {"cost": "0.0000125"}
    assert (end["modelVersion"], end["responseId"]) == ("gemini-2.5-flash", "rHdJaQ2UEOqKz7IPmZ3Q2A0")


def test_usage_we_counted_stands_in_place_of_what_was_not_believed() -> None:
    read = meter()
    read.feed(b"".join(stream(usage={"promptTokenCount": -1})))
    (end,) = payloads(read.finish("1", counted=Usage({Meter.INPUT: 3, Meter.OUTPUT: 4, Meter.REASONING: 2})))
    assert end["usageMetadata"] == {
        "promptTokenCount": 3,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 2,
        "totalTokenCount": 9,
        "cost": "1",
    }


def test_d24_usage_in_every_chunk_counts_once() -> None:
    read = meter()
    growing = stream(text="a b c d", usage=usage(7, 4))
    read.feed(b"".join(growing) + growing[-1])
    assert usage_of(read) == {Meter.INPUT: 7, Meter.OUTPUT: 4}
    assert len(payloads(read.finish("1"))) == 2


def test_usage_that_comes_after_the_end_counts() -> None:
    read = meter()
    read.feed(b"".join(stream(usage=None)))
    read.feed(event_of({"usageMetadata": usage(7, 4), "modelVersion": "x"}))
    assert usage_of(read) == {Meter.INPUT: 7, Meter.OUTPUT: 4}
    last, end = payloads(read.finish("1"))
    assert "usageMetadata" not in last
    assert end["usageMetadata"]["cost"] == "1"


def test_every_candidate_must_have_ended() -> None:
    read = meter(generationConfig={"candidateCount": 2})
    first = {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}
    second = {"content": {"parts": [{"text": "b"}]}, "index": 1}
    assert read.feed(event_of({"candidates": [first]})) == b""
    assert not read.finished
    assert len(payloads(read.feed(event_of({"candidates": [second]})))) == 2
    assert read.feed(event_of({"candidates": [second | {"finishReason": "MAX_TOKENS"}]})) == b""
    assert (read.finished, read.finish_reasons) == (True, {0: "stop", 1: "length"})


def test_a_server_that_ignores_the_number_of_candidates_is_complete_at_its_end() -> None:
    read = meter(generationConfig={"candidateCount": 2})
    read.feed(b"".join(stream()))
    assert not read.finished
    read.end()
    assert read.finished


def test_a_blocked_prompt_is_a_complete_answer_without_output() -> None:
    read = meter()
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage(4, 0)}
    assert read.feed(event_of(blocked)) == b""
    assert (read.finished, read.finish_reasons, read.saw_output) == (True, {0: "content_filter"}, False)
    assert usage_of(read) == {Meter.INPUT: 4, Meter.OUTPUT: 0}
    (end,) = payloads(read.finish("0"))
    assert end["promptFeedback"] == blocked["promptFeedback"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("MALFORMED_FUNCTION_CALL", "stop")],
)
def test_reasons_have_openais_names(said: str, reason: str) -> None:
    read = meter()
    read.feed(b"".join(stream(finish=said)))
    assert read.finish_reasons == {0: reason}


def test_an_unspecified_reason_is_none() -> None:
    read = meter()
    assert read.feed(b"".join(stream(text="a", finish="FINISH_REASON_UNSPECIFIED"))) != b""
    assert not read.finished


def test_d22_an_error_event_is_not_output_and_does_not_pass() -> None:
    read = meter()
    error = event_of(error_body(503, "UNAVAILABLE", "upstream broke"))
    assert read.feed(error + stream()[0]) == b""
    assert (read.upstream_error is not None, read.saw_output, read.finished) == (True, False, False)


def test_what_is_complete_stays_complete() -> None:
    read = meter()
    read.feed(b"".join(stream()) + event_of(error_body(500, "INTERNAL", "late")))
    assert (read.finished, read.upstream_error) == (True, None)


def test_a_cut_answer_has_a_well_formed_end() -> None:
    read = meter(generationConfig={"candidateCount": 2})
    read.feed(stream(text="hi you")[0])
    (end,) = payloads(read.cut_short("0.5", counted=Usage({Meter.INPUT: 5, Meter.OUTPUT: 2})))
    assert [(one["index"], one["finishReason"]) for one in end["candidates"]] == [(0, "MAX_TOKENS"), (1, "MAX_TOKENS")]
    assert end["usageMetadata"]["cost"] == "0.5"
    assert end["modelVersion"] == "gemini-2.5-flash"


def test_our_error_event_has_googles_shape() -> None:
    (event,) = payloads(meter().error_event("upstream_error", "It broke off."))
    assert (event["error"]["message"], event["error"]["status"]) == ("It broke off.", "UNAVAILABLE")
    assert event["error"]["details"][0]["reason"] == "upstream_error"


def test_d37_searches_are_counted_from_the_grounding_distinct_and_not_empty() -> None:
    read = meter(tools=SEARCH)
    read.feed(b"".join(stream(grounding={"webSearchQueries": ["", "a", "b"], "imageSearchQueries": ["a"]})))
    assert usage_of(read)[Meter.SEARCHES] == 2
    (*_, end) = payloads(read.finish("1"))
    assert "searches" not in end["usageMetadata"]


def test_searches_beyond_what_was_held_are_not_charged() -> None:
    read = meter(tools=SEARCH)
    read.feed(b"".join(stream(grounding={"webSearchQueries": [f"q{number}" for number in range(99)]})))
    assert usage_of(read)[Meter.SEARCHES] == 16


def test_no_search_is_a_stated_zero() -> None:
    read = meter(tools=SEARCH)
    read.feed(b"".join(stream()))
    assert usage_of(read)[Meter.SEARCHES] == 0


def test_the_tier_served_is_the_one_in_the_usage() -> None:
    read = meter(serviceTier="priority")
    read.feed(b"".join(stream(usage=usage() | {"serviceTier": "priority"})))
    assert read.service_tier == "priority"
    downgraded = meter(serviceTier="priority")
    downgraded.feed(b"".join(stream(usage=usage() | {"serviceTier": "standard"})))
    assert downgraded.service_tier is None


def test_output_is_text_thoughts_calls_and_images() -> None:
    read = meter()
    parts = (
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2VhbGVk"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
    )
    read.feed(b"".join(stream(thoughts="hmm", parts=parts)))
    assert read.output.media_characters == 4
    assert read.output.drain() == ('f{"a": 1}1+1', "hmm")


CUTS = st.lists(st.integers(0, 5000), max_size=25)
SHAPES = st.sampled_from(
    [
        {"text": "hello 你好"},
        {"text": "a b", "thoughts": "hm", "usage": usage(5, 2, thoughts=3)},
        {"parts": ({"functionCall": {"name": "f", "args": {"city": "Köln\u2028"}}},), "usage": None},
        {"finish": "SAFETY", "text": ""},
        {"finish": None},
    ]
)


@given(cuts=CUTS, shape=SHAPES, crlf=st.booleans())
def test_d39_any_cut_gives_the_same_bytes_and_usage(cuts: list[int], shape: dict[str, Any], crlf: bool) -> None:
    sent = b"".join(stream(**shape))
    sent = sent if crlf else sent.replace(b"\r\n", b"\n")
    whole, pieces = meter(), meter()
    expected = whole.feed(sent) + whole.end() + whole.finish("1")
    edges = [0, *sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]
    got = b"".join(pieces.feed(sent[a:b]) for a, b in pairwise(edges)) + pieces.end() + pieces.finish("1")
    assert payloads(got) == payloads(expected)
    assert (pieces.usage and bytes(pieces.usage)) == (whole.usage and bytes(whole.usage))
    assert pieces.output.drain() == whole.output.drain()
    assert pieces.finished == whole.finished


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([b"data: ", b"\n\n", b"{}", b'{"candidates":[', b"]}", b"[{}]"]))
)
def test_garbage_never_raises(pieces: list[bytes]) -> None:
    read = meter()
    passed = b"".join(read.feed(piece) for piece in pieces) + read.end()
    assert isinstance(passed, bytes)
    read.cut_short("1")


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["candidates", "content", "parts", "text", "usageMetadata", "error"]), inner)
    ),
)


@given(ODD)
def test_json_of_any_shape_never_raises(value: Any) -> None:
    read = meter(tools=SEARCH)
    read.feed(b"data: " + json.dumps(value).encode() + b"\n\n")
    read.finish("1") if read.finished else read.cut_short("1")
