"""Whatever callers and providers send is read or refused, and never raises: every dialect, natively and translated."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.pure.wire.mutations import ANSWERS, BODIES, cut, mutated, mutated_stream

from farebox.faults import Fault
from farebox.tariff.meters import Meter, Usage
from farebox.wire.call import Call, ChannelBody, Malformed, raw
from farebox.wire.dialect import Dialect, dialect_at
from farebox.wire.openai_errors import read_upstream_error
from farebox.wire.passage import CHANNEL_DIALECTS, Passage, objection_to, passage_between
from farebox.wire.usage import ReportedUsage, read_usage

SOME = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
RANDOM = st.randoms(use_true_random=False)
CHANNEL = ChannelBody(overrides={"top_p": raw(0.5)}, safety_identifier="s", api_version="2023-06-01")
CALLERS = [path for path in BODIES if path.startswith(("/v1/chat", "/v1/messages", "/v1/responses"))]
CALLERS.append("/v1beta/models/m:streamGenerateContent")
COUNTED = Usage({Meter.INPUT: 5, Meter.OUTPUT: 2, Meter.REASONING: 1})


def dialect_of(path: str) -> Dialect:
    dialect = dialect_at(path)
    assert dialect is not None
    return dialect


def read_and_sent(dialect: Dialect, body: bytes) -> None:
    """A body is refused, or can be counted and sent to every channel that has words for it."""
    call = dialect.parse(body)
    if isinstance(call, Malformed):
        assert json.loads(dialect.render_error("invalid_request_error", call.code, call.message, param=call.param))
        return
    assert min(call.input_bytes, call.media_tokens) >= 0
    dialect.text_of(call).encode(errors="replace")
    assert dialect.tokens_beside_text(call) >= 0
    for channel in CHANNEL_DIALECTS:
        passage = passage_between(dialect, channel)
        if passage is None or objection_to(dialect, call, frozenset({channel})) is not None:
            continue
        assert passage.upstream_path(call, "upstream")
        passage.forward(call, upstream_model="upstream")
        passage.forward(call, upstream_model="gemini-3", output_limit=7, channel=CHANNEL)


def call_for(path: str, *, stream: bool) -> Call:
    body: dict[str, Any] = {
        "/v1/chat/completions": {
            "messages": [{"role": "user", "content": "hi"}],
            "stream_options": {"include_usage": True},
        },
        "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 50},
        "/v1/responses": {"input": "hi"},
    }.get(path, {"contents": [{"parts": [{"text": "hi"}]}]})
    if "contents" not in body:
        body |= {"model": "m", "stream": stream}
    call = dialect_of(path).parse(json.dumps(body).encode())
    assert isinstance(call, Call)
    return call


def streamed(passage: Passage, call: Call, pieces: list[bytes], rng: random.Random) -> None:
    """A stream is passed on to its end, whatever that is; only a fault may end it."""
    meter = passage.meter(call)
    with contextlib.suppress(Fault):
        for piece in pieces:
            meter.feed(piece)
        meter.end()
    if meter.usage is not None:
        usage_read(passage, meter.usage)
    assert meter.output.bytes_so_far >= 0
    charge, counted = rng.choice([("0.5", None), (None, None), ("0", COUNTED)])
    if meter.upstream_error is not None:
        read_upstream_error(meter.upstream_error, names={"upstream-model": "m"})
        assert meter.error_event("upstream_error", "broke off")
    elif meter.finished:
        assert meter.finish(charge, counted=counted)
    else:
        assert meter.cut_short(charge, counted=counted)


def answered(passage: Passage, call: Call, body: bytes) -> None:
    answer = passage.read_answer(body, call)
    if answer is None:
        read_upstream_error(body)
        return
    usage = COUNTED if answer.usage is None else usage_read(passage, answer.usage)
    assert answer.output.bytes_so_far >= 0
    if answer.render is not None:
        assert answer.render(usage)


def usage_read(passage: Passage, stated: msgspec.Raw) -> Usage:
    read = read_usage(stated, passage.convention)
    if not isinstance(read, ReportedUsage):
        return COUNTED
    assert all(count >= 0 for count in read.meters.values())
    return read.meters


@pytest.mark.parametrize("path", BODIES)
@SOME
@given(rng=RANDOM)
def test_every_body_is_read_or_refused(path: str, rng: random.Random) -> None:
    read_and_sent(dialect_of(path), mutated(rng.choice(BODIES[path]), rng))


@pytest.mark.parametrize("path", BODIES)
def test_good_bodies_are_read(path: str) -> None:
    for body in BODIES[path]:
        assert isinstance(dialect_of(path).parse(json.dumps(body).encode()), Call), body
        read_and_sent(dialect_of(path), json.dumps(body).encode())


@pytest.mark.parametrize("path", CALLERS)
@pytest.mark.parametrize("channel", ANSWERS)
@settings(SOME, max_examples=25)
@given(rng=RANDOM)
def test_every_answer_is_read_or_is_none(path: str, channel: str, rng: random.Random) -> None:
    one_answer(path, channel, rng)


def one_answer(path: str, channel: str, rng: random.Random) -> None:
    passage = passage_between(dialect_of(path), channel)
    assert passage is not None
    data, is_stream = rng.choice(ANSWERS[channel])
    if is_stream:
        streamed(passage, call_for(path, stream=True), cut(mutated_stream(data, rng), rng), rng)
    else:
        address = path.replace("streamGenerate", "generate")
        answered(passage, call_for(address, stream=False), mutated(json.loads(data), rng))
