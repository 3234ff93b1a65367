"""Answers of Google's into the neutral form and out of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.pure.wire.gemini.calls import HELLO, call, payloads
from tests.support.gemini_answers import Told, chunks, gemini_answer, usage
from tests.support.gemini_answers import written as as_google

from farebox.tariff.meters import Meter, Usage
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    ImageMade,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSigned,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.request import ChatRequest, Text, Thinking
from farebox.wire.chat.speech import Whole
from farebox.wire.gemini.signatures import read_thought
from farebox.wire.gemini.speech import GEMINI_SPEECH
from farebox.wire.gemini.usage import GEMINI
from farebox.wire.usage import ReportedUsage, read_usage

ID = "rHdJaQ2UEOqKz7IPmZ3Q2A0"
CALLS = (
    {"functionCall": {"name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": "c2lnbmVk"},
    {"functionCall": {"id": "fc-1", "name": "clock"}},
)


def read(**shape: Any) -> tuple[list[ChatEvent], Any]:
    reader = GEMINI_SPEECH.reader()
    events = [event for chunk in chunks(Told(**shape)) for event in reader.read(as_google(chunk), None)]
    return events, reader


def test_text_and_thoughts_are_told_apart() -> None:
    events, reader = read(text="one two", thoughts="hm", usage=usage(5, 2, thoughts=3))
    assert events == [
        Started(ID),
        ThinkingDelta("hm"),
        TextDelta("one "),
        TextDelta("two"),
        Ended(StopReason.STOP),
    ]
    assert reader.complete
    assert json.loads(bytes(reader.usage)) == usage(5, 2, thoughts=3)


def test_calls_come_whole_with_their_signature_and_an_id() -> None:
    events, _ = read(parts=CALLS)
    assert events[1:] == [
        ToolStart(f"call_{ID}_0", "weather", signature="c2lnbmVk"),
        ToolArguments('{"city": "Paris"}'),
        ToolStart("fc-1", "clock"),
        ToolArguments("{}"),
        Ended(StopReason.TOOL_CALLS),
    ]


def test_a_signed_thought_and_an_image() -> None:
    parts = (
        {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"executableCode": {"code": "1"}},
    )
    events, _ = read(parts=parts)
    assert events[1:-1] == [ThinkingDelta("hm"), ThinkingSigned("gemini", "c2ln"), ImageMade("image/png", "AAAA")]


REASONS = [
    ("STOP", StopReason.STOP),
    ("MAX_TOKENS", StopReason.LENGTH),
    ("SAFETY", StopReason.CONTENT_FILTER),
    ("RECITATION", StopReason.CONTENT_FILTER),
    ("A_REASON_OF_NEXT_YEAR", StopReason.CONTENT_FILTER),
    ("MALFORMED_FUNCTION_CALL", StopReason.STOP),
]


@pytest.mark.parametrize(("said", "reason"), REASONS)
def test_why_it_ended(said: str, reason: StopReason) -> None:
    events, _ = read(finish=said)
    assert events[-1] == Ended(reason)


def test_a_declined_prompt_is_an_answer_without_words() -> None:
    blocked = as_google({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage(4, 0)})
    whole = GEMINI_SPEECH.read_whole(blocked)
    assert whole is not None
    assert (whole.events, whole.ended) == ([Started("")], Ended(StopReason.CONTENT_FILTER))
    reader = GEMINI_SPEECH.reader()
    assert reader.read(blocked, None)[-1] == Ended(StopReason.CONTENT_FILTER)


def test_a_whole_answer_is_what_its_stream_is() -> None:
    whole = GEMINI_SPEECH.read_whole(gemini_answer(text="one two", thoughts="hm", parts=()).body)
    events, reader = read(text="one two", thoughts="hm")
    assert whole is not None
    assert _joined([*whole.events, whole.ended]) == _joined(events)
    assert whole.usage is not None
    assert json.loads(bytes(whole.usage)) == json.loads(bytes(reader.usage))


def _joined(events: list[ChatEvent]) -> list[tuple[str, str]]:
    joined: list[tuple[str, str]] = []
    for event in events:
        kind, text = type(event).__name__, getattr(event, "text", str(event))
        if joined and joined[-1][0] == kind:
            text = joined.pop()[1] + text
        joined.append((kind, text))
    return joined


def test_an_error_event_ends_the_reading() -> None:
    reader = GEMINI_SPEECH.reader()
    assert reader.read(b'{"error":{"code":503,"status":"UNAVAILABLE"}}', None) == []
    assert reader.error is not None


# Out of the neutral form ----------------------------------------------------------------------------

EVENTS: list[ChatEvent] = [
    Started("abc"),
    ThinkingDelta("hm"),
    TextDelta("one "),
    TextDelta("two"),
    ToolStart("a", "weather", signature="c2ln"),
    ToolArguments('{"city":'),
    ToolArguments('"Paris"}'),
    ToolStart("b", "clock"),
    ImageMade("image/png", "AAAA"),
]
USAGE = Usage({Meter.INPUT: 5, Meter.CACHED_INPUT: 3, Meter.OUTPUT: 2, Meter.REASONING: 4})
PARTS: list[Any] = [
    {"text": "hm", "thought": True},
    {"text": "one two"},
    {"functionCall": {"id": "a", "name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": "c2ln"},
    {"functionCall": {"id": "b", "name": "clock", "args": {}}},
    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
]
COUNTS = {
    "promptTokenCount": 8,
    "candidatesTokenCount": 2,
    "totalTokenCount": 14,
    "cachedContentTokenCount": 3,
    "thoughtsTokenCount": 4,
}


def test_a_whole_answer_in_googles_words() -> None:
    whole = Whole(EVENTS, Ended(StopReason.TOOL_CALLS), None, "priority")
    assert json.loads(GEMINI_SPEECH.write_whole(call(), whole, USAGE)) == {
        "candidates": [{"content": {"parts": PARTS, "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": COUNTS | {"serviceTier": "priority"},
        "modelVersion": "gemini-2.5-flash",
        "responseId": "abc",
    }


def test_a_streamed_answer_in_googles_words() -> None:
    writer = GEMINI_SPEECH.writer(call("streamGenerateContent"))
    stream = b"".join(writer.write(event) for event in EVENTS)
    *sent, end = payloads(stream + writer.finish(Ended(StopReason.LENGTH), USAGE, "0.5"))
    parts = [chunk["candidates"][0]["content"]["parts"][0] for chunk in sent]
    assert parts == [PARTS[0], {"text": "one "}, {"text": "two"}, *PARTS[2:]]
    assert {(chunk["modelVersion"], chunk["responseId"]) for chunk in (*sent, end)} == {("gemini-2.5-flash", "abc")}
    assert end["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert end["usageMetadata"] == COUNTS | {"cost": "0.5"}


def test_a_call_that_is_open_at_the_end_is_written() -> None:
    writer = GEMINI_SPEECH.writer(call("streamGenerateContent"))
    assert writer.write(ToolStart("a", "f")) == b""
    called, _ = payloads(writer.finish(Ended(StopReason.TOOL_CALLS), USAGE, None))
    assert called["candidates"][0]["content"]["parts"] == [{"functionCall": {"id": "a", "name": "f", "args": {}}}]


def test_usage_by_media_is_read_as_what_it_was() -> None:
    made = Usage(
        {
            Meter.INPUT: 5,
            Meter.CACHED_INPUT: 3,
            Meter.INPUT_IMAGE: 258,
            Meter.CACHED_IMAGE: 100,
            Meter.INPUT_AUDIO: 32,
            Meter.CACHED_AUDIO: 64,
            Meter.INPUT_VIDEO: 7,
            Meter.OUTPUT: 2,
            Meter.OUTPUT_IMAGE: 1290,
            Meter.REASONING: 4,
        }
    )
    whole = json.loads(GEMINI_SPEECH.write_whole(call(), Whole(EVENTS, Ended(StopReason.STOP), None), made))
    again = read_usage(json.dumps(whole["usageMetadata"]).encode(), GEMINI)
    assert isinstance(again, ReportedUsage)
    assert again.meters == made


# Reasoning of others -----------------------------------------------------------------------------------

SIGNED = [
    ThinkingSigned("gemini", signature="c2ln"),
    ThinkingSigned("anthropic", signature="EqQB+/=="),
    ThinkingSigned("anthropic", sealed="redacted"),
    ThinkingSigned("openai_responses", sealed="gAAAA"),
]


@pytest.mark.parametrize("signed", SIGNED, ids=str)
@pytest.mark.parametrize("stream", [False, True])
def test_what_a_provider_needs_back_with_its_thoughts_comes_back(signed: ThinkingSigned, stream: bool) -> None:
    """An answer is shown, the client sends it back as it came, and it is what it was."""
    events: list[ChatEvent] = [ThinkingDelta("h"), ThinkingDelta("m"), signed, TextDelta("so")]
    if stream:
        writer = GEMINI_SPEECH.writer(call("streamGenerateContent"))
        sent = payloads(b"".join(writer.write(event) for event in events))
    else:
        sent = [json.loads(GEMINI_SPEECH.write_whole(call(), Whole(events, Ended(StopReason.STOP), None), USAGE))]
    parts = [part for chunk in sent for part in chunk["candidates"][0]["content"]["parts"]]
    for part in parts:
        base64.b64decode(part.get("thoughtSignature", ""), validate=True)
    made = call(contents=[*HELLO, {"role": "model", "parts": parts}, *HELLO])
    request = GEMINI_SPEECH.read_request(made)
    assert isinstance(request, ChatRequest)
    thought, text = request.messages[1].blocks
    assert thought == Thinking(signed.origin, "hm", signed.signature, signed.sealed)
    assert text == Text("so")
    assert made.sealed is (signed.origin != "gemini")


def test_a_signature_that_only_looks_like_an_envelope_is_googles() -> None:
    assert read_thought("x", "ZmFyZWJveC0xLm5vbmU=") == Thinking("gemini", "x", "ZmFyZWJveC0xLm5vbmU=")
