"""Every pair of chat dialects: an answer of one, shown in the other.

Twelve ordered pairs when all four dialects are registered. Streamed and whole must say the same;
no cut of the bytes may change anything (d39); tokens inside and outside each other mean the same
money (d26); the end waits for the charge (Law 3); an error is no output (d22).
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.pure.wire.answers import (
    Answer,
    Read,
    answers,
    call_for,
    comparable,
    cut_anywhere,
    events_of_stream,
    fit_for,
    native_usage,
    shown,
    stream_of,
)
from tests.pure.wire.conversations import MODEL, call_of, compared, dialect_of, requests

from farebox.tariff.meters import Meter, Usage
from farebox.wire.call import Call, Malformed
from farebox.wire.chat.features import Feature, Row, Table, Treatment, features_of, objection
from farebox.wire.chat.speech import Speech
from farebox.wire.chat.translated import TranslatedMeter
from farebox.wire.passage import Translation
from farebox.wire.speeches import SPEECHES
from farebox.wire.usage import ReportedUsage, read_usage

PAIRS = [
    pytest.param(ours, theirs, id=f"{ours.name} served by {theirs.name}")
    for ours in SPEECHES.values()
    for theirs in SPEECHES.values()
    if ours is not theirs
]
EACH = pytest.mark.parametrize(("ours", "theirs"), PAIRS)
FEW = settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
CUTS = st.lists(st.integers(0, 20_000), max_size=20)
CHARGE = "0.0000125"


class Passed:
    """One stream of a provider that speaks `theirs`, as a client that speaks `ours` gets it."""

    def __init__(self, pieces: list[bytes], ours: Speech, theirs: Speech) -> None:
        self.meter = TranslatedMeter(call_for(ours, stream=True), ours=ours, theirs=theirs)
        self.before = b"".join([self.meter.feed(piece) for piece in pieces]) + self.meter.end()
        self.tail = self.meter.finish(CHARGE)
        self.read: Read = events_of_stream(ours, self.before + self.tail)


def meters_of(meter: TranslatedMeter, theirs: Speech) -> Usage:
    assert meter.usage is not None
    read = read_usage(meter.usage, theirs.convention)
    assert isinstance(read, ReportedUsage)
    return read.meters


@EACH
@FEW
@given(data=st.data())
def test_a_stream_says_in_ours_what_it_said_in_theirs(ours: Speech, theirs: Speech, data: st.DataObject) -> None:
    answer = fit_for(data.draw(answers()), theirs)
    passed = Passed([stream_of(theirs, answer)], ours, theirs)
    assert comparable(passed.read.events, passed.read.ended) == comparable(answer.whole.events, answer.whole.ended)
    assert (passed.meter.finished, passed.meter.upstream_error, passed.read.complete) == (True, None, True)


@EACH
@FEW
@given(data=st.data())
def test_whole_and_streamed_say_the_same(ours: Speech, theirs: Speech, data: st.DataObject) -> None:
    answer = fit_for(data.draw(answers()), ours, theirs)
    passed = Passed([stream_of(theirs, answer)], ours, theirs)
    upstream = theirs.write_whole(call_for(theirs), answer.whole, answer.usage)
    read = Translation(ours, theirs).read_answer(upstream, call_for(ours))
    assert read is not None
    assert read.render is not None
    shown_whole = ours.read_whole(read.render(answer.usage))
    assert shown_whole is not None
    assert comparable(shown_whole.events, shown_whole.ended) == comparable(passed.read.events, passed.read.ended)
    assert native_usage(shown_whole.usage, ours) == native_usage(passed.read.usage, ours)
    assert read.output.bytes_so_far == passed.meter.output.bytes_so_far
    assert read.finish_reasons == passed.meter.finish_reasons


@EACH
@FEW
@given(data=st.data(), cuts=CUTS, crlf=st.booleans())
def test_d39_any_cut_gives_the_same(
    ours: Speech, theirs: Speech, data: st.DataObject, cuts: list[int], crlf: bool
) -> None:
    stream = stream_of(theirs, data.draw(answers()))
    stream = stream.replace(b"\n", b"\r\n") if crlf else stream
    whole, pieces = Passed([stream], ours, theirs), Passed(cut_anywhere(stream, cuts), ours, theirs)
    assert pieces.before + pieces.tail == whole.before + whole.tail
    assert meters_of(pieces.meter, theirs) == meters_of(whole.meter, theirs)
    assert pieces.meter.output.drain() == whole.meter.output.drain()
    assert pieces.meter.finish_reasons == whole.meter.finish_reasons


@EACH
@FEW
@given(data=st.data())
def test_d26_usage_is_the_same_money_in_both(ours: Speech, theirs: Speech, data: st.DataObject) -> None:
    """What is charged is what the provider's convention says; what the client is shown adds up to it."""
    answer = fit_for(data.draw(answers()), theirs)
    passed = Passed([stream_of(theirs, answer)], ours, theirs)
    charged = Usage({meter: count for meter, count in meters_of(passed.meter, theirs).items() if count})
    assert charged == answer.usage
    assert native_usage(passed.read.usage, ours) == shown(charged, ours)


@EACH
@FEW
@given(data=st.data())
def test_law_3_nothing_that_ends_an_answer_goes_before_its_charge(
    ours: Speech, theirs: Speech, data: st.DataObject
) -> None:
    """Read by the native meter of the client's dialect, what went before the end is no complete answer."""
    passed = Passed([stream_of(theirs, data.draw(answers()))], ours, theirs)
    client = dialect_of(ours, stream=True).meter(call_for(ours, stream=True))
    client.feed(passed.before)
    client.end()
    assert not client.finished
    client.feed(passed.tail)
    client.end()
    assert client.finished
    assert client.upstream_error is None


@EACH
def test_the_charge_stands_in_the_usage_of_the_stream(ours: Speech, theirs: Speech) -> None:
    tail = Passed([stream_of(theirs, Answer.of_text("hello"))], ours, theirs).tail
    assert f'"cost":"{CHARGE}"'.encode() in tail.replace(b": ", b":")


@EACH
def test_usage_we_counted_is_what_the_client_is_shown(ours: Speech, theirs: Speech) -> None:
    meter = TranslatedMeter(call_for(ours, stream=True), ours=ours, theirs=theirs)
    passed = meter.feed(stream_of(theirs, Answer.of_text("hello")))
    counted = Usage({Meter.INPUT: 11, Meter.OUTPUT: 3})
    read = events_of_stream(ours, passed + meter.finish(CHARGE, counted=counted))
    assert native_usage(read.usage, ours) == counted


@EACH
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_d23_a_stream_that_breaks_off_can_be_ended_well(ours: Speech, theirs: Speech, share: float) -> None:
    stream = stream_of(theirs, Answer.of_text("hello " * 50))
    meter = TranslatedMeter(call_for(ours, stream=True), ours=ours, theirs=theirs)
    passed = meter.feed(stream[: int(len(stream) * share)])
    assert not meter.finished
    read = events_of_stream(ours, passed + meter.cut_short(CHARGE, counted=Usage({Meter.INPUT: 1, Meter.OUTPUT: 1})))
    assert read.ended.reason.value == "length"
    assert read.complete


@EACH
def test_d22_a_providers_error_event_is_no_output_and_is_not_passed_on(ours: Speech, theirs: Speech) -> None:
    started = theirs.writer(call_for(theirs, stream=True))
    answer = Answer.of_text("hello")
    stream = b"".join(started.write(event) for event in answer.whole.events)
    meter = TranslatedMeter(call_for(ours, stream=True), ours=ours, theirs=theirs)
    passed = meter.feed(stream + started.error_event("upstream_error", "secret of theirs"))
    assert not meter.finished
    assert meter.upstream_error is not None
    assert b"secret" not in passed
    assert meter.output.drain() == ("hello", "")
    assert meter.feed(stream) == b""
    client = dialect_of(ours, stream=True).meter(call_for(ours, stream=True))
    client.feed(passed + meter.error_event("upstream_error", "It broke off."))
    client.end()
    assert client.upstream_error is not None
    assert b"It broke off." in client.upstream_error
    assert not client.finished


@EACH
def test_the_answer_is_shown_under_the_name_asked_for(ours: Speech, theirs: Speech) -> None:
    call = named(call_for(ours), "my-alias")
    upstream = theirs.write_whole(named(call_for(theirs), "upstream-name"), Answer.of_text("x").whole, USAGE)
    read = Translation(ours, theirs).read_answer(upstream, call)
    assert read is not None
    assert read.render is not None
    body = read.render(USAGE)
    assert b"my-alias" in body
    assert b"upstream-name" not in body


USAGE = Usage({Meter.INPUT: 5, Meter.OUTPUT: 2})


def named(call: Call, model: str) -> Call:

    return msgspec.structs.replace(call, model=model)


@EACH
def test_an_error_body_is_no_answer(ours: Speech, theirs: Speech) -> None:
    error = dialect_of(theirs).render_error("invalid_request_error", "invalid_parameter", "no")
    assert Translation(ours, theirs).read_answer(error, call_for(ours)) is None


def both(ours: Speech, theirs: Speech) -> Table:
    """What one of the two cannot say, and reasoning, which is for the provider that signed it."""
    return {Feature.THOUGHTS: Row(Treatment.DROPPED, "signed"), **ours.table, **theirs.table}


@EACH
@FEW
@given(data=st.data())
def test_what_both_can_say_arrives(ours: Speech, theirs: Speech, data: st.DataObject) -> None:
    """A request in ours, forwarded in theirs, read there: it asks for the same."""
    table = both(ours, theirs)
    request = data.draw(requests(table, ours.name))
    call, way = call_of(ours, request), Translation(ours, theirs)
    assert way.objection(call) is None
    body = way.forward(call, upstream_model=MODEL, output_limit=request.output_limit)
    arrived = dialect_of(theirs, stream=request.stream).parse(body)
    assert isinstance(arrived, Call), (arrived, body)
    read = theirs.read_request(arrived)
    assert not isinstance(read, Malformed)
    assert compared(read, table=table) == compared(request, table=table)


@EACH
@FEW
@given(data=st.data())
def test_whatever_ours_can_say_is_refused_with_a_reason_or_can_be_sent(
    ours: Speech, theirs: Speech, data: st.DataObject
) -> None:
    request = data.draw(requests(ours.table, ours.name))
    call, way = call_of(ours, request), Translation(ours, theirs)
    problem = way.objection(call)
    read = ours.read_request(call)
    assert not isinstance(read, Malformed)
    assert (problem is None) == (objection(read, theirs.table, dialect=theirs.name) is None)
    if problem is not None:
        assert problem.param
        return
    body = way.forward(call, upstream_model="upstream-name", output_limit=1_234)
    fields = json.loads(body)
    assert "upstream-name" in json.dumps(fields) + way.upstream_path(call, "upstream-name")
    arrived = dialect_of(theirs, stream=request.stream).parse(body)
    assert isinstance(arrived, Call), (arrived, body)
    assert (arrived.output_limit, arrived.stream) == (1_234, request.stream)
    unsaid = {feature for feature, row in theirs.table.items() if row.treatment is not Treatment.ADAPTED}
    objections = unsaid & set(features_of(_read(theirs, arrived)))
    assert objections <= {Feature.PREFILL}


def _read(speech: Speech, call: Call) -> Any:
    read = speech.read_request(call)
    assert not isinstance(read, Malformed), read
    return read


OPENAI = [name for name in SPEECHES if name.startswith("openai")]


@pytest.mark.parametrize(("ours", "theirs"), [(OPENAI[0], OPENAI[-1]), (OPENAI[-1], OPENAI[0])])
def test_d59_the_key_of_a_prompt_cache_goes_along(ours: str, theirs: str) -> None:
    call = call_for(SPEECHES[ours])
    keyed = dialect_of(SPEECHES[ours]).parse(json.dumps({**json.loads(call.body), "prompt_cache_key": "k"}).encode())
    assert isinstance(keyed, Call)
    body = Translation(SPEECHES[ours], SPEECHES[theirs]).forward(keyed, upstream_model=MODEL)
    assert json.loads(body)["prompt_cache_key"] == "k"


@EACH
@pytest.mark.parametrize("limit", [None, 7, 5_000])
def test_law_1_no_more_output_is_asked_for_than_is_held(ours: Speech, theirs: Speech, limit: int | None) -> None:
    """The caller wrote 1,000: what goes out is that, or less where less is held."""
    call = call_for(ours)
    body = Translation(ours, theirs).forward(call, upstream_model=MODEL, output_limit=limit)
    arrived = dialect_of(theirs).parse(body)
    assert isinstance(arrived, Call)
    assert arrived.output_limit == min(1_000, limit or 1_000)
