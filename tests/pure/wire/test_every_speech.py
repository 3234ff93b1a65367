"""Each chat dialect there and back: what its table says it expresses survives being written and read.

A dialect registered in `SPEECHES` is tested here without a line of its own.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.pure.wire.answers import (
    Answer,
    answers,
    call_for,
    comparable,
    events_of_stream,
    fit_for,
    native_usage,
    shown,
    stream_of,
)
from tests.pure.wire.conversations import call_of, compared, dialect_of, requests

from farebox.wire.call import Malformed
from farebox.wire.chat.features import Feature, Treatment, features_of
from farebox.wire.chat.speech import Speech
from farebox.wire.speeches import SPEECHES

EACH = pytest.mark.parametrize("speech", SPEECHES.values(), ids=SPEECHES)
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@EACH
@FEW
@given(st.data())
def test_what_a_request_says_survives_there_and_back(speech: Speech, data: st.DataObject) -> None:
    request = data.draw(requests(speech.table, speech.name))
    read = speech.read_request(call_of(speech, request))
    assert not isinstance(read, Malformed), read
    assert compared(read, table=speech.table) == compared(request, table=speech.table)


@EACH
@FEW
@given(st.data())
def test_a_request_asks_for_nothing_its_own_table_objects_to(speech: Speech, data: st.DataObject) -> None:
    """What is written in a dialect says only what the dialect can say: nothing appears on the way."""
    request = data.draw(requests(speech.table, speech.name))
    read = speech.read_request(call_of(speech, request))
    assert not isinstance(read, Malformed)
    assert set(features_of(read)) <= set(features_of(request)) | {Feature.IMAGE_DETAIL}


@EACH
@FEW
@given(st.data())
def test_the_call_keeps_the_bounds_of_what_was_asked(speech: Speech, data: st.DataObject) -> None:
    request = data.draw(requests(speech.table, speech.name))
    call = call_of(speech, request)
    assert (call.output_limit, call.stream, call.choices) == (request.output_limit, request.stream, 1)
    assert call.has_stop == bool(request.stop)


@EACH
def test_every_row_says_why(speech: Speech) -> None:
    for feature, row in speech.table.items():
        assert isinstance(feature, Feature)
        assert isinstance(row.treatment, Treatment)
        assert row.how
        assert not row.how.endswith(".")
        assert row.how[0].islower() or not row.how[0].isalpha() or row.how.split()[0].isupper()


@EACH
@FEW
@given(data=st.data())
def test_an_answer_survives_there_and_back(speech: Speech, data: st.DataObject) -> None:
    answer = fit_for(data.draw(answers()), speech)
    body = speech.write_whole(call_for(speech), answer.whole, answer.usage)
    read = speech.read_whole(body)
    assert read is not None
    assert comparable(read.events, read.ended) == comparable(answer.whole.events, answer.whole.ended)


@EACH
@FEW
@given(data=st.data())
def test_a_streamed_answer_survives_there_and_back(speech: Speech, data: st.DataObject) -> None:
    answer = fit_for(data.draw(answers()), speech)
    read = events_of_stream(speech, stream_of(speech, answer))
    assert comparable(read.events, read.ended) == comparable(answer.whole.events, answer.whole.ended)
    assert read.complete


@EACH
@FEW
@given(data=st.data())
def test_d26_the_usage_it_writes_is_the_usage_it_reads(speech: Speech, data: st.DataObject) -> None:
    """Our writer's figures, read by the dialect's own convention: whole, in a stream, and by its native meter."""
    answer = fit_for(data.draw(answers()), speech)
    call = call_for(speech, stream=True)
    body = speech.write_whole(call_for(speech), answer.whole, answer.usage)
    whole = speech.read_whole(body)
    assert whole is not None
    stream = stream_of(speech, answer)
    meter = dialect_of(speech, stream=True).meter(call)
    meter.feed(stream)
    meter.end()
    expected = shown(answer.usage, speech)
    assert native_usage(whole.usage, speech) == expected
    assert native_usage(events_of_stream(speech, stream).usage, speech) == expected
    assert native_usage(meter.usage, speech) == expected
    assert meter.finished


@EACH
@FEW
@given(data=st.data())
def test_the_native_meter_takes_what_the_writer_writes(speech: Speech, data: st.DataObject) -> None:
    """A buffered answer of ours is an answer of the dialect, with the same reason and text to count."""
    answer = fit_for(data.draw(answers()), speech)
    call = call_for(speech)
    read = dialect_of(speech).read_answer(speech.write_whole(call, answer.whole, answer.usage), call)
    assert read is not None
    assert read.output.seen == answer.produced
    assert native_usage(read.usage, speech) == shown(answer.usage, speech)


@EACH
@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"{}", b'{"choices":[', b"[]", b"null", b'{"type":1}'])))
def test_reading_never_raises_for_what_a_provider_sends(speech: Speech, payloads: list[bytes]) -> None:
    reader = speech.reader()
    for payload in payloads:
        reader.read(payload, None)
        reader.read(payload, b"message_start")
        speech.read_whole(payload)


ODD: list[Any] = [1, "text", None, [], {}, True, {"type": 7}, [None], [[]], {"error": None}]


@EACH
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_a_field_of_a_wrong_type_is_read_around(speech: Speech, odd: object) -> None:

    answer = Answer.of_text("hello")
    whole = json.loads(speech.write_whole(call_for(speech), answer.whole, answer.usage))
    for name in whole:
        speech.read_whole(json.dumps(whole | {name: odd}).encode())
    for payload in _payloads(stream_of(speech, answer)):
        for name in payload:
            speech.reader().read(json.dumps(payload | {name: odd}).encode(), None)


def _payloads(stream: bytes) -> list[dict[str, Any]]:

    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]
