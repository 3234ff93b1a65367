"""Every chat dialect served by channels of every other, end to end: the same work is the same money (d26)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.pure.wire.answers import call_for, comparable, events_of_stream, native_usage, shown
from tests.pure.wire.conversations import MODEL
from tests.pure.wire.test_every_provider import EXPECTED_CALLS, TEXT, THOUGHT, TOOLS, USAGE, WORDS
from tests.support import anthropic_answers, gemini_answers, openai_answers, responses_answers
from tests.support.gateway import Answer, Customer, Gateway, running_gateway
from tests.support.script import Script
from tests.support.scripted_upstream import ScriptedUpstream

from farebox.money import parse_credits
from farebox.wire.chat.speech import Speech
from farebox.wire.speeches import SPEECHES

CHANNELS = {
    "openai_chat": "openai",
    "openai_responses": "openai_responses",
    "anthropic": "anthropic",
    "gemini": "gemini",
}
CHARGE = parse_credits("0.000024")
"""GPT-4o mini: 60 in at $0.15, 40 from a cache at $0.075, 20 out at $0.60 a million."""
FAILURES: dict[str, Script] = {
    "openai_chat": openai_answers.failure(400, "prompt is too long", code="context_length_exceeded"),
    "openai_responses": openai_answers.failure(400, "prompt is too long", code="context_length_exceeded"),
    "anthropic": anthropic_answers.failure(400, "prompt is too long: 200001 tokens > 200000 maximum"),
    "gemini": gemini_answers.failure(400, "INVALID_ARGUMENT", "prompt is too long"),
}
BROKEN: dict[str, Script] = {
    "openai_chat": openai_answers.chat_stream(error_after=4),
    "openai_responses": responses_answers.response_stream(error_after=6),
    "anthropic": anthropic_answers.message_stream(error_after=5),
    "gemini": gemini_answers.gemini_stream(error_after=2),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        yield gateway


@pytest.fixture(params=CHANNELS)
def theirs(request: pytest.FixtureRequest, gateway: Gateway, upstream: ScriptedUpstream) -> Iterator[Speech]:
    """A chat dialect, and the one channel there is, which speaks it; new for each test, since failures eject."""
    channel = gateway.channel(upstream.base_url, models={MODEL: "up"}, dialect=CHANNELS[request.param])
    yield SPEECHES[request.param]
    gateway.call(gateway.books.changes.remove_channel(channel))
    gateway.call(gateway.books.catalogue.verify())


@pytest.fixture(autouse=True)
def _forget(upstream: ScriptedUpstream) -> None:
    upstream.forget()


EACH = pytest.mark.parametrize("ours", SPEECHES.values(), ids=SPEECHES)


def ask(gateway: Gateway, who: Customer, ours: Speech, *, stream: bool) -> Answer:
    """The call of `call_for`, made by a client of `ours` that wants to see usage."""
    body: dict[str, Any] = json.loads(call_for(ours, stream=stream).body)
    if ours.name == "openai_chat" and stream:
        body["stream_options"] = {"include_usage": True}
    return gateway.post("/v1" + ours.path(MODEL, stream=stream), who, body)


def understood(ours: Speech, body: bytes, *, stream: bool) -> tuple[dict[str, Any], Any]:
    """What a client of `ours` makes of an answer, and the usage it sees."""
    read = events_of_stream(ours, body) if stream else ours.read_whole(body)
    assert read is not None, body
    return comparable(read.events, read.ended), native_usage(read.usage, ours)


@EACH
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ["words", "tools"])
def test_d26_the_same_answer_and_the_same_charge_whoever_asks_and_whoever_serves(
    gateway: Gateway, upstream: ScriptedUpstream, theirs: Speech, ours: Speech, stream: bool, kind: str
) -> None:
    recordings = WORDS if kind == "words" else TOOLS
    upstream.play(recordings[theirs.name](stream))
    who = gateway.customer(credits="1")
    answer = ask(gateway, who, ours, stream=stream)
    assert answer.status == 200, answer.body
    said, usage = understood(ours, answer.body, stream=stream)
    assert (said["text"], said["thinking"]) == (TEXT if kind == "words" else "", THOUGHT)
    assert [call["arguments"] for call in said["calls"]] == (EXPECTED_CALLS if kind == "tools" else [])
    assert usage == shown(USAGE, ours)
    receipt = gateway.receipt(who, answer.headers["x-request-id"])
    assert (parse_credits(receipt["charged"]), receipt["reason"]) == (CHARGE, "provider"), receipt
    assert parse_credits("1") - gateway.available(who) == CHARGE
    assert {meter: count for meter, count in receipt["usage"].items() if count} == {
        meter.value: count for meter, count in shown(USAGE, theirs).items()
    }
    if stream:
        assert receipt["charged"].encode() in answer.body


@EACH
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_says_when_it_was_asked_for_where_its_dialect_does(
    gateway: Gateway, upstream: ScriptedUpstream, theirs: Speech, ours: Speech, stream: bool
) -> None:
    upstream.play(WORDS[theirs.name](stream))
    answer = ask(gateway, gateway.customer(), ours, stream=stream)
    for moment in re.findall(rb'"created(?:_at)?": ?(\d+)', answer.body):
        assert ours is theirs or abs(int(moment) - time.time()) < 60


@EACH
def test_what_goes_upstream_is_of_the_channels_dialect(
    gateway: Gateway, upstream: ScriptedUpstream, theirs: Speech, ours: Speech
) -> None:
    ask(gateway, gateway.customer(), ours, stream=False)
    (seen,) = upstream.seen
    assert seen.path == theirs.path("up", stream=False)
    assert {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}.get(theirs.name, "authorization") in seen.headers
    assert ("anthropic-version" in seen.headers) == (theirs.name == "anthropic")


@EACH
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_d56_a_providers_400_stays_400_in_the_callers_words(
    gateway: Gateway, upstream: ScriptedUpstream, theirs: Speech, ours: Speech, stream: bool
) -> None:
    upstream.play(FAILURES[theirs.name])
    who = gateway.customer(credits="1")
    answer = ask(gateway, who, ours, stream=stream)
    assert answer.status == 400
    assert "prompt is too long" in answer.json["error"]["message"]
    assert len(upstream.seen) == 1
    assert gateway.available(who) == parse_credits("1")


@EACH
def test_d22_a_stream_that_fails_ends_in_the_callers_own_error_and_is_free(
    gateway: Gateway, upstream: ScriptedUpstream, theirs: Speech, ours: Speech
) -> None:
    upstream.play(BROKEN[theirs.name])
    who = gateway.customer(credits="1")
    answer = ask(gateway, who, ours, stream=True)
    assert answer.status == 200
    assert b"upstream_error" in answer.body
    assert b"upstream broke" not in answer.body
    assert gateway.available(who) == parse_credits("1")


@EACH
@pytest.mark.parametrize("share", [0.6, 0.8])
def test_a_stream_cut_off_anywhere_is_never_complete_and_is_free(
    gateway: Gateway, upstream: ScriptedUpstream, theirs: Speech, ours: Speech, share: float
) -> None:
    script = WORDS[theirs.name](True)
    upstream.play(script.cut(int(len(script.body) * share)))
    who = gateway.customer(credits="1")
    answer = ask(gateway, who, ours, stream=True)
    assert b"upstream_error" in answer.body
    assert gateway.available(who) == parse_credits("1")
