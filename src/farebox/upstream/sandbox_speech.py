"""Composes the sandbox's chat answers in every dialect but OpenAI's, through the writers of that dialect.

A `Call`, the dialect it came in and a `Script` enter; the body of an answer or the events of a
stream leave. Usage is true, absurd, negative or zero as the script asks; these dialects always state some.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from farebox.tariff.meters import Meter, Usage
from farebox.upstream.sandbox_script import Script, UsageShape
from farebox.upstream.sandbox_words import Produced, count_tokens, pieces, produce
from farebox.wire.call import Call
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    Started,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.request import Tool
from farebox.wire.chat.speech import Speech, Whole
from farebox.wire.dialect import Dialect


class Spoken:
    """One answer in one dialect."""

    def __init__(self, dialect: Dialect, speech: Speech, call: Call, script: Script) -> None:
        self._speech = speech
        self._call = call
        self._script = script
        text = dialect.text_of(call)
        self._prompt = count_tokens(text) + dialect.tokens_beside_text(call)
        self._seed = hashlib.sha256(text.encode(errors="replace") + call.model.encode(errors="replace")).digest()

    def answer(self, tools: tuple[Tool, ...]) -> bytes:
        """The body of a buffered answer."""
        produced = self._produced(tools)
        whole = Whole(list(self._events(produced)), _ended(produced), None)
        return self._speech.write_whole(self._call, whole, self._usage(produced))

    def events(self, tools: tuple[Tool, ...]) -> Iterator[bytes]:
        """The events of a stream, up to a cut or an error event if the script has one."""
        produced, script = self._produced(tools), self._script
        writer = self._speech.writer(self._call)
        stop = script.cut if script.cut is not None else script.error_event
        for number, event in enumerate(self._events(produced)):
            if number and number - 1 == stop:  # the first only starts the answer
                break
            yield writer.write(event)
        if script.cut is not None:
            return
        if script.error_event is not None:
            yield writer.error_event("server_error", "The sandbox fails as it was asked to.")
            return
        yield writer.finish(_ended(produced), self._usage(produced), None)

    def _produced(self, tools: tuple[Tool, ...]) -> Produced:
        return produce(self._seed, self._call.output_limit, self._script, tools)

    def _events(self, produced: Produced) -> Iterator[ChatEvent]:
        yield Started(hashlib.sha256(self._call.body).hexdigest()[:24])
        for thought in pieces(produced.thoughts, self._script.chunks):
            yield ThinkingDelta(thought)
        for text in pieces(produced.words, self._script.chunks):
            yield TextDelta(text)
        for called in produced.calls:
            yield ToolStart(called.id, called.name)
            yield ToolArguments(called.arguments)

    def _usage(self, produced: Produced) -> Usage:
        prompt, reasoning = self._prompt, produced.reasoning_tokens
        output = produced.output_tokens - reasoning
        match self._script.usage:
            case UsageShape.WRONG:
                prompt, output = prompt * 1000 + 10_000_000, output * 1000 + 10_000_000
            case UsageShape.NEGATIVE:
                output = -5
            case UsageShape.ZERO | UsageShape.NONE:
                prompt, output, reasoning = 0, 0, 0
            case UsageShape.TRUE:
                pass
        usage = {Meter.INPUT: prompt, Meter.OUTPUT: output}
        return Usage(usage | {Meter.REASONING: reasoning} if reasoning else usage)


def _ended(produced: Produced) -> Ended:
    return Ended(StopReason(produced.finish_reason))
