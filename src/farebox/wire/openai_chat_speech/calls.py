"""Puts the pieces of parallel tool calls in order: the arguments of a call directly after its start.

Servers usually finish one call before the next, some mix them. The call whose turn it is passes
at once; others wait until its arguments are whole JSON, or until the answer ends. Nothing is lost.
"""

from __future__ import annotations

import msgspec

from farebox.faults import Fault
from farebox.wire.chat.events import ChatEvent, ToolArguments, ToolStart
from farebox.wire.openai_chat_speech.chunks import ToolPiece, arguments_of

MAX_ARGUMENT_CHARACTERS = 16 * 1024 * 1024


class EndlessArguments(Fault):
    """An upstream wrote more than `MAX_ARGUMENT_CHARACTERS` of arguments in one answer."""


class _Pending(msgspec.Struct, gc=False):
    """A call as far as it came."""

    index: int
    id: str | None
    name: str
    custom: bool
    signature: str | None
    arguments: list[str]
    unsent: int = 0
    """How many of its pieces were passed on."""


class ToolCalls:
    """The tool calls of one answer."""

    __slots__ = ("_aside", "_calls", "_size", "_turn", "_whose")

    def __init__(self) -> None:
        self._calls: list[_Pending] = []
        self._turn = 0
        """The place of the call that passes at once; those before it are done."""
        self._whose: _Pending | None = None
        """The call whose start has been passed on and that is not done."""
        self._aside: list[ChatEvent] = []
        self._size = 0

    @property
    def any(self) -> bool:
        return bool(self._calls)

    def add(self, piece: ToolPiece, stream_id: str) -> list[ChatEvent]:
        """A piece of some call; the events whose turn it is now. Raises `EndlessArguments`."""
        call = self._find(piece) or self._new(piece)
        named = piece.named
        call.name = call.name or named.name or ""
        call.id = call.id or piece.id or None
        call.signature = call.signature or piece.signature
        text = arguments_of(named)
        if text:
            call.arguments.append(text)
            self._size += len(text)
            if self._size > MAX_ARGUMENT_CHARACTERS:
                raise EndlessArguments("the arguments of a call do not end")
        return self._pass(stream_id, ending=False)

    def beside(self, event: ChatEvent) -> list[ChatEvent]:
        """Something else the model said: passed on, unless it would stand inside a call's arguments."""
        if self._whose is not None and not _is_whole(self._whose):
            self._aside.append(event)
            return []
        return [event]

    def end(self, stream_id: str) -> list[ChatEvent]:
        """Everything that waited."""
        events = self._pass(stream_id, ending=True) + self._aside
        self._aside = []
        return events

    def _find(self, piece: ToolPiece) -> _Pending | None:
        """By its id, else by its place, else the last one; None if it begins a call."""
        for call in reversed(self._calls):
            if piece.id and piece.id == call.id:
                return call
            if piece.index is None or piece.index == call.index:
                return None if _begins(piece, call) else call
        return None

    def _new(self, piece: ToolPiece) -> _Pending:
        index = len(self._calls) if piece.index is None else piece.index
        call = _Pending(index, None, "", piece.custom is not None, None, [])
        self._calls.append(call)
        return call

    def _pass(self, stream_id: str, *, ending: bool) -> list[ChatEvent]:
        events: list[ChatEvent] = []
        while self._turn < len(self._calls):
            call = self._calls[self._turn]
            if self._whose is None:
                if not call.name and not ending:
                    break
                self._whose = call
                events.append(self._start(call, stream_id))
            events += [ToolArguments(text) for text in call.arguments[call.unsent :]]
            call.unsent = len(call.arguments)
            if not ending and (self._turn == len(self._calls) - 1 or not _is_whole(call)):
                break
            self._turn += 1
            self._whose = None
        return events

    def _start(self, call: _Pending, stream_id: str) -> ToolStart:
        identifier = call.id or f"call_{_plain(stream_id)}{self._turn}"
        return ToolStart(identifier, call.name, custom=call.custom, signature=call.signature)


def _begins(piece: ToolPiece, last: _Pending) -> bool:
    """A name where there is one already: servers that count badly give another id, or no place and no id."""
    if not piece.named.name or not last.name:
        return False
    return piece.id != last.id if piece.id and last.id else piece.index is None


def _is_whole(call: _Pending) -> bool:
    """Its arguments are complete JSON. Free text and empty arguments may always go on."""
    if call.custom or not call.arguments or not call.arguments[-1].rstrip().endswith("}"):
        return False
    try:
        msgspec.json.decode("".join(call.arguments).encode(errors="replace"), type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _plain(stream_id: str) -> str:
    """Letters and digits of the stream's id, so that made-up ids differ from answer to answer."""
    letters = "".join([letter for letter in stream_id if letter.isalnum() and letter.isascii()])
    return f"{letters[-32:]}_" if letters else ""
