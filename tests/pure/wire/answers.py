"""Random answers in the neutral form, written and read by each chat dialect, and how two are compared.

Comparing forgets what no dialect promises to keep: where pieces are cut, how JSON is spaced, whether
words of refusal stand apart, and the finer shades of why an answer ended.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st
from tests.pure.wire.conversations import ARGUMENTS, MODEL, NAMES, call_of

from farebox.tariff.meters import Meter, Usage
from farebox.wire.call import Call
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    RefusalDelta,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.request import ChatRequest, Message, Role, Text, Tool
from farebox.wire.chat.speech import Speech, Whole
from farebox.wire.sse import SseSplitter
from farebox.wire.usage import ReportedUsage, read_usage

PIECES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12), max_size=4)
COUNTS = st.integers(0, 5_000)
_CLASSES = {StopReason.STOP_SEQUENCE: "stop", StopReason.PAUSE: "stop", StopReason.REFUSAL: "content_filter"}
_PARENTS = {Meter.CACHE_WRITE_5M: Meter.INPUT, Meter.CACHED_INPUT: Meter.INPUT, Meter.REASONING: Meter.OUTPUT}


class Answer(NamedTuple):
    """What a model produced, and its usage by disjoint meters."""

    whole: Whole
    usage: Usage

    @classmethod
    def of_text(cls, text: str) -> Answer:
        whole = Whole([Started("1"), TextDelta(text)], Ended(StopReason.STOP), None)
        return cls(whole, Usage({Meter.INPUT: 5, Meter.OUTPUT: 2}))

    @property
    def produced(self) -> bool:
        return len(self.whole.events) > 1


class Read(NamedTuple):
    """A stream as a reader understood it."""

    events: list[ChatEvent]
    ended: Ended
    usage: msgspec.Raw | None
    complete: bool


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Thoughts, then words, then tool calls; any of them may be missing, not all."""
    thoughts: list[ChatEvent] = [ThinkingDelta(piece) for piece in draw(PIECES)]
    words: list[ChatEvent] = [TextDelta(piece) for piece in draw(PIECES)]
    calls = draw(_calls())
    events: list[ChatEvent] = [Started("abc123"), *thoughts, *words, *calls]
    if len(events) == 1:
        events.append(TextDelta("a"))
    reasons = [StopReason.TOOL_CALLS] if calls else [StopReason.STOP, StopReason.LENGTH, StopReason.CONTENT_FILTER]
    usage = {Meter.INPUT: draw(COUNTS), Meter.OUTPUT: draw(st.integers(1, 5_000))}
    for meter in (Meter.CACHED_INPUT, Meter.CACHE_WRITE_5M, Meter.REASONING):
        if draw(st.booleans()):
            usage[meter] = draw(COUNTS)
    return Answer(Whole(events, Ended(draw(st.sampled_from(reasons))), None), Usage(usage))


@st.composite
def _calls(draw: st.DrawFn) -> list[ChatEvent]:
    events: list[ChatEvent] = []
    for place in range(draw(st.integers(0, 3))):
        written = json.dumps(draw(ARGUMENTS), ensure_ascii=draw(st.booleans()))
        edges = [0, *sorted(draw(st.lists(st.integers(0, len(written)), max_size=2))), len(written)]
        events.append(ToolStart(f"call_{place}", draw(NAMES)))
        events += [ToolArguments(written[start:end]) for start, end in pairwise(edges) if start < end]
    return events


def fit_for(answer: Answer, *speeches: Speech) -> Answer:
    """The answer without what one of the dialects has no figure for."""
    usage = dict(answer.usage)
    for speech in speeches:
        usage = dict(shown(Usage(usage), speech))
    return answer._replace(usage=Usage(usage))


def shown(usage: Usage, speech: Speech) -> Usage:
    """Usage as far as a dialect can state it: the rest stands in the whole it belongs to. Without zeros."""
    known = {meter for meter, _ in speech.convention.wholes} | {part.meter for part in speech.convention.parts}
    stated: dict[Meter, int] = {}
    for meter, count in usage.items():
        into = meter if meter in known else _PARENTS[meter]
        stated[into] = stated.get(into, 0) + count
    return Usage({meter: count for meter, count in stated.items() if count})


def native_usage(stated: msgspec.Raw | None, speech: Speech) -> Usage:
    """The meters a dialect reads out of its own usage object. Without zeros."""
    assert stated is not None
    read = read_usage(stated, speech.convention)
    assert isinstance(read, ReportedUsage), (read, bytes(stated))
    return Usage({meter: count for meter, count in read.meters.items() if count})


_ASKED = ChatRequest(
    messages=(Message(Role.USER, (Text("hello"),)),),
    tools=(Tool("get_weather"), Tool("search"), Tool("run_shell")),
    output_limit=1_000,
)


def call_for(speech: Speech, *, stream: bool = False) -> Call:
    """A call in a dialect that wants to know its usage."""
    call = call_of(speech, msgspec.structs.replace(_ASKED, stream=stream))
    assert call.model == MODEL
    return msgspec.structs.replace(call, wants_usage=True)


def stream_of(speech: Speech, answer: Answer, *, charge: str | None = None) -> bytes:
    """The answer as a server of the dialect would stream it."""
    writer = speech.writer(call_for(speech, stream=True))
    events = b"".join(writer.write(event) for event in answer.whole.events)
    return events + writer.finish(answer.whole.ended, answer.usage, charge)


def events_of_stream(speech: Speech, stream: bytes) -> Read:
    """What the dialect's reader makes of a stream."""
    reader, splitter = speech.reader(), SseSplitter()
    events: list[ChatEvent] = []
    for event in [*splitter.feed(stream), *splitter.end()]:
        if event.payload is not None:
            events += reader.read(event.payload, event.name)
    assert reader.error is None, reader.error
    ended = [event for event in events if isinstance(event, Ended)]
    assert len(ended) == 1, events
    rest = [event for event in events if not isinstance(event, Ended)]
    return Read(rest, ended[0], reader.usage, reader.complete)


def comparable(events: list[ChatEvent], ended: Ended) -> dict[str, Any]:
    """What of an answer must be the same on every way."""
    calls: list[dict[str, Any]] = []
    for event in events:
        if isinstance(event, ToolStart):
            calls.append({"id": event.id, "name": event.name, "custom": event.custom, "arguments": ""})
        elif isinstance(event, ToolArguments):
            calls[-1]["arguments"] += event.text
    for call in calls:
        call["arguments"] = json.loads(call["arguments"] or "{}")
    return {
        "text": "".join(event.text for event in events if isinstance(event, TextDelta | RefusalDelta)),
        "thinking": "".join(event.text for event in events if isinstance(event, ThinkingDelta)),
        "calls": calls,
        "reason": _CLASSES.get(ended.reason, ended.reason.value),
    }


def cut_anywhere(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes of a stream in pieces."""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]
