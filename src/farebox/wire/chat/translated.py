"""Meters a stream in one chat dialect while it is written anew in another, and holds back its end.

Bytes of the upstream enter `feed`, bytes for the client leave; from the event that ends the answer
on everything waits for `finish`, which is called when the charge is committed (Law 3). An answer is
complete with the provider's own terminal event only. Any cut of the stream gives the same result (d39).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from farebox.tariff.meters import NO_USAGE, Usage
from farebox.wire.call import Call
from farebox.wire.chat.events import (
    ChatEvent,
    Ended,
    ImageMade,
    RefusalDelta,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSigned,
    ToolArguments,
    ToolStart,
)
from farebox.wire.chat.speech import Speech
from farebox.wire.output import OutputText
from farebox.wire.sse import SseSplitter
from farebox.wire.usage import ReportedUsage, read_usage

_STOPPED = Ended(StopReason.STOP)


class TranslatedMeter:
    """One stream of a provider that speaks `theirs`, for a client that speaks `ours`."""

    __slots__ = (
        "_call", "_convention", "_ended", "_reader", "_sse", "_writer", "finish_reasons", "finished", "output",
    )  # fmt: skip

    def __init__(self, call: Call, *, ours: Speech, theirs: Speech) -> None:
        self._call = call
        self._sse = SseSplitter()
        self._reader = theirs.reader()
        self._writer = ours.writer(call)
        self._convention = theirs.convention
        self._ended: Ended | None = None
        self.output = OutputText()
        self.finish_reasons: dict[int, str] = {}
        self.finished = False

    @property
    def usage(self) -> msgspec.Raw | None:
        return self._reader.usage

    @property
    def service_tier(self) -> str | None:
        return self._reader.service_tier

    @property
    def upstream_error(self) -> bytes | None:
        return None if self.finished else self._reader.error

    @property
    def saw_output(self) -> bool:
        return self.output.seen

    def feed(self, data: bytes) -> bytes:
        """Bytes that may go to the client now. Raises a `Fault` if the stream breaks its bounds."""
        payload = self._sse.whole(data)
        if payload is not None:
            return self._pass(payload, None)
        named = self._sse.whole_named(data)
        if named is not None:
            return self._pass(named[1], named[0])
        return b"".join([self._pass(event.payload, event.name) for event in self._sse.feed(data)])

    def end(self) -> bytes:
        """The upstream closed: take what came without its last blank line."""
        return b"".join([self._pass(event.payload, event.name) for event in self._sse.end()])

    def _pass(self, payload: bytes | None, name: bytes | None) -> bytes:
        reader = self._reader
        if payload is None or reader.error is not None:
            return b""
        written = [self._write(event) for event in reader.read(payload, name)]
        self.finished = reader.complete
        return written[0] if len(written) == 1 else b"".join(written)

    def _write(self, event: ChatEvent) -> bytes:
        if type(event) is Ended:
            self._ended = event
            self.finish_reasons[0] = event.reason.value
            return b""
        if self._ended is not None:
            return b""
        count(event, self.output)
        return self._writer.write(event)

    def finish(self, charge: str | None, *, counted: Usage | None = None) -> bytes:
        """The end of a complete answer, to be sent after the commit. `charge` is in credits, as a decimal string."""
        return self._writer.finish(self._ended or _STOPPED, self._usage(counted), charge)

    def cut_short(self, charge: str | None, *, counted: Usage | None = None, reason: str = "length") -> bytes:
        """A well-formed end for an answer we cut."""
        ended = self._ended or Ended(StopReason(reason))
        return self._writer.finish(ended, self._usage(counted), charge)

    def error_event(self, code: str, message: str) -> bytes:
        """A failure in the middle of a stream."""
        return self._writer.error_event(code, message)

    def _usage(self, counted: Usage | None) -> Usage:
        if counted is not None or self.usage is None:
            return counted or NO_USAGE
        read = read_usage(self.usage, self._convention, cache_write_meter=self._call.cache_write_meter)
        return read.meters if isinstance(read, ReportedUsage) else NO_USAGE


def count(event: ChatEvent, output: OutputText) -> None:
    """Add what an event shows to the output that is counted where usage is missing."""
    match event:
        case TextDelta(text=text) | RefusalDelta(text=text) | ToolArguments(text=text):
            output.add(text)
        case ThinkingDelta(text=text):
            output.add_reasoning(text)
        case ThinkingSigned(sealed=str() as sealed):
            output.add_sealed(len(sealed))
        case ToolStart(name=name):
            output.add(name)
        case ImageMade(base64=base64):
            output.add_sealed(len(base64))
        case _:
            return


def counted_output(events: Iterable[ChatEvent]) -> OutputText:
    """The output of a buffered answer."""
    output = OutputText()
    for event in events:
        count(event, output)
    return output
