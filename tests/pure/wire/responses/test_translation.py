"""Answers of this dialect in the neutral form and back, on streams as the provider and as our writer send them."""

from __future__ import annotations

import json
from typing import Any

from tests.pure.wire.responses.bodies import call_of, in_turn
from tests.support.responses_answers import response_answer, response_stream
from tests.support.script import Script
from tests.support.sse import read_events

from farebox.tariff.meters import Meter, Usage
from farebox.wire.call import Call
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    ImageMade,
    RefusalDelta,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSigned,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.speech import Whole
from farebox.wire.responses.envelope import Envelope, unwrap
from farebox.wire.responses.reader import EventReader, read_whole
from farebox.wire.responses.writer import EventWriter, write_whole

USAGE = Usage({Meter.INPUT: 5, Meter.CACHED_INPUT: 3, Meter.OUTPUT: 2, Meter.REASONING: 4})


def read(script: Script) -> tuple[list[ChatEvent], EventReader]:
    reader = EventReader()
    events = [
        made for event in read_events(script.body) for made in reader.read(event.data.encode(), event.name.encode())
    ]
    return events, reader


def written(*events: ChatEvent, call: Call | None = None, ended: Ended | None = None) -> list[Any]:
    writer = EventWriter(call or call_of(stream=True))
    stream = b"".join(writer.write(event) for event in events)
    stream += writer.finish(ended or Ended(StopReason.STOP), USAGE, "0.5")
    return [event.json() for event in read_events(stream)]


def text_of(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


# Read -----------------------------------------------------------------------------------------------


def test_a_stream_is_read_event_by_event() -> None:
    events, reader = read(response_stream(text="one two", reasoning="let me see", sealed="gAAAA"))
    assert events[0] == Started("resp_upstream0001")
    assert ThinkingSigned("openai_responses", sealed="gAAAA", id="rs_upstream") in events
    assert text_of(events) == "one two"
    assert "".join(event.text for event in events if isinstance(event, ThinkingDelta)) == "let me see"
    assert events[-1] == Ended(StopReason.STOP)
    assert reader.complete
    assert reader.service_tier == "default"


def test_tool_calls_are_read_with_the_ids_results_must_name() -> None:
    events, _ = read(response_stream(tool_calls=(("look", '{"at":"the moon"}'), ("say", "{}"))))
    starts = [event for event in events if isinstance(event, ToolStart)]
    assert starts == [ToolStart("call_0", "look"), ToolStart("call_1", "say")]
    assert "".join(event.text for event in events if isinstance(event, ToolArguments)) == '{"at":"the moon"}{}'
    assert events[-1] == Ended(StopReason.TOOL_CALLS)


def test_refusals_and_limits_are_read() -> None:
    events, _ = read(response_stream(refusal="I will not", incomplete="content_filter"))
    assert "".join(event.text for event in events if isinstance(event, RefusalDelta)) == "I will not"
    assert events[-1] == Ended(StopReason.CONTENT_FILTER)
    assert read(response_stream(incomplete="max_output_tokens"))[0][-1] == Ended(StopReason.LENGTH)


def test_what_was_not_streamed_is_taken_from_the_item_once() -> None:
    kinds = (b".delta", b".done", b".added")
    whole = response_stream(text="one two", tool_calls=())
    events = [
        event
        for event in read_events(whole.body)
        if not (b"content_part" in event.name.encode() or event.name.encode().endswith(kinds[0]))
    ]
    reader = EventReader()
    made = [one for event in events for one in reader.read(event.data.encode(), None)]
    assert text_of(made) == "one two"


def test_a_failure_is_an_error_and_nothing_follows_it() -> None:
    for how in ({"failed_after": 7}, {"error_after": 7}):
        events, reader = read(response_stream(text="one two three", **how))
        assert reader.error is not None
        assert not reader.complete
        assert not any(isinstance(event, Ended) for event in events)
        assert reader.read(b'{"type":"response.output_text.delta","delta":"x"}', None) == []


def test_a_whole_answer_reads_as_its_stream_does() -> None:
    shape: dict[str, Any] = {"reasoning": "hm", "sealed": "g", "tool_calls": (("look", "{}"),), "searches": 1}
    whole = read_whole(response_answer(**shape).body)
    streamed, reader = read(response_stream(**shape))
    assert whole is not None
    assert [type(event) for event in whole.events] == [type(event) for event in streamed[:-1]]
    assert (whole.ended, whole.usage) == (streamed[-1], reader.usage)


def test_errors_and_unfinished_answers_are_none() -> None:
    for status in ("failed", "in_progress", "queued", "cancelled"):
        assert read_whole(response_answer(extra={"status": status}).body) is None
    assert read_whole(b'{"error":{"message":"no"}}') is None
    assert read_whole(b"<html>") is None


# Written --------------------------------------------------------------------------------------------


def test_the_sequence_is_the_one_accumulators_wait_for() -> None:
    events = written(Started("1"), ThinkingDelta("hm"), TextDelta("one "), TextDelta("two"), ToolStart("c1", "look"))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created", "in_progress",
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    items = {event["item"]["id"] for event in events if "item" in event}
    assert {event["item_id"] for event in events if "item_id" in event} == items
    assert len(items) == 3


def test_the_end_holds_everything_and_what_it_cost() -> None:
    *_, last = written(Started("1"), TextDelta("one two"), ended=Ended(StopReason.LENGTH))
    response = last["response"]
    assert last["type"] == "response.incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["content"][0]["text"] == "one two"
    assert response["usage"] == {
        "input_tokens": 8,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 14,
        "cost": "0.5",
    }


def test_the_answer_repeats_what_was_asked_for() -> None:
    tool: dict[str, Any] = {"type": "function", "name": "f", "parameters": {}}
    call = in_turn(call_of(tools=[tool], temperature=0.5, instructions="be kind"), previous="resp_before")
    response = written(Started("1"), TextDelta("x"), call=call)[-1]["response"]
    assert (response["tools"], response["temperature"], response["instructions"]) == ([tool], 0.5, "be kind")
    assert call.turn is not None
    assert (response["id"], response["previous_response_id"], response["store"]) == (call.turn.id, "resp_before", True)
    assert response["created_at"] > 1_700_000_000


def test_reasoning_of_another_provider_travels_in_an_envelope() -> None:
    signed = ThinkingSigned("anthropic", signature="sig")
    include = call_of(include=["reasoning.encrypted_content"])
    item = written(ThinkingDelta("hm"), signed, TextDelta("x"), call=include)[-1]["response"]["output"][0]
    assert unwrap(item["encrypted_content"]) == Envelope("anthropic", signature="sig")
    assert item["summary"] == [{"type": "summary_text", "text": "hm"}]
    quiet = written(ThinkingDelta("hm"), signed, TextDelta("x"))[-1]["response"]["output"][0]
    assert "encrypted_content" not in quiet


def test_images_and_free_text_tools_are_items() -> None:
    output = written(
        ImageMade("image/png", "AAAA"), ToolStart("c", "sh", custom=True), ToolArguments("ls"), TextDelta("x")
    )[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["image_generation_call", "custom_tool_call", "message"]
    assert (output[0]["result"], output[1]["input"]) == ("AAAA", "ls")


def test_a_whole_answer_is_what_its_stream_ends_with() -> None:
    call = call_of()
    events: list[ChatEvent] = [Started("1"), TextDelta("one"), ToolStart("c", "f"), ToolArguments("{}")]
    body = json.loads(write_whole(call, Whole(events, Ended(StopReason.TOOL_CALLS), None, "flex"), USAGE))
    streamed = written(*events, ended=Ended(StopReason.TOOL_CALLS))[-1]["response"]
    del streamed["usage"]["cost"]
    assert body == streamed | {"service_tier": "flex"}
