"""What the sandbox says: words, hidden and visible reasoning, and tool calls, by a hash of the request.

A seed, the output limit and a `Script` enter, a `Produced` leaves. Every word is one o200k token, so
what is produced, limited and reported agrees to the token. In no dialect: others write it down.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import import_module
from typing import Any, cast

import msgspec

from farebox.upstream.sandbox_script import Script
from farebox.wire.chat.request import Tool

_TEXT = """
the of and to in is that for it was on with as be at this have from or had by not but what all were when we there can
an your which their said if do will each about how up out them then she many some so these would other into has more
her two like him see time could no make than first been its who now people my made over did down only way find use may
water long little very after words called just where most know
"""
WORDS = tuple(_TEXT.split())
"""Each is one o200k token, with a blank before it."""

SMALLEST_ANSWER, SPREAD = 12, 60


class Called(msgspec.Struct, frozen=True):
    """A tool call: arguments as JSON that fits the tool's required fields."""

    id: str
    name: str
    arguments: str

    @property
    def tokens(self) -> int:
        return count_tokens(self.name) + count_tokens(self.arguments)


class Produced(msgspec.Struct, frozen=True):
    """One answer: its words, reasoning hidden (in tokens) and visible, tool calls, and why it ended."""

    words: list[str]
    reasoning: int
    finish_reason: str
    thoughts: list[str] = []
    calls: list[Called] = []

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def reasoning_tokens(self) -> int:
        return self.reasoning + len(self.thoughts)

    @property
    def output_tokens(self) -> int:
        """All of it, reasoning included."""
        return self.reasoning_tokens + len(self.words) + sum([call.tokens for call in self.calls])


def produce(seed: bytes, output_limit: int | None, script: Script, tools: tuple[Tool, ...] = ()) -> Produced:
    """Reasoning first, then words, both inside the output limit, as providers do it; tool calls at the end."""
    if script.empty:
        return Produced([], 0, "stop")
    calls = [_called(seed, number, tools) for number in range(script.tool_calls)] if tools else []
    wanted = SMALLEST_ANSWER + seed[0] % SPREAD if script.tokens is None else script.tokens
    thinking = script.reasoning + script.thoughts
    room = output_limit if output_limit is not None else thinking + wanted + sum([call.tokens for call in calls])
    hidden = min(script.reasoning, room)
    shown = min(script.thoughts, room - hidden)
    visible = min(wanted, room - hidden - shown)
    left = room - hidden - shown - visible
    if hidden + shown + visible < thinking + wanted or left < sum([call.tokens for call in calls]):
        return Produced(_words(seed, visible), hidden, "length", _words(seed[::-1], shown))
    reason = "tool_calls" if calls else "stop"
    return Produced(_words(seed, visible), hidden, reason, _words(seed[::-1], shown), calls)


def pieces(words: list[str], chunks: int | None) -> list[str]:
    """The text in `chunks` pieces as even as can be, or word by word."""
    count = len(words)
    parts = min(chunks or count, count)
    return ["".join(words[part * count // parts : (part + 1) * count // parts]) for part in range(parts)]


def count_tokens(text: str) -> int:
    """How many o200k tokens the text has."""
    return int(_vocabulary().count(text))


def _words(seed: bytes, count: int) -> list[str]:
    picks = hashlib.shake_256(seed).digest(count)
    return [" " + WORDS[pick % len(WORDS)] for pick in picks]


def _called(seed: bytes, number: int, tools: tuple[Tool, ...]) -> Called:
    tool = tools[number % len(tools)]
    mark = hashlib.sha256(seed + bytes([number % 256])).hexdigest()[:24]
    arguments = "the water" if tool.custom else msgspec.json.encode(_example(tool.schema)).decode()
    return Called(f"call_{mark}", tool.name, arguments)


_EXAMPLES: dict[str, Any] = {"string": "water", "integer": 1, "number": 1, "boolean": True, "array": [], "null": None}


def _example(schema: msgspec.Raw) -> Any:
    """The smallest value a schema of ordinary kind allows: the required fields, nothing else."""
    return _example_of(cast("dict[str, Any]", msgspec.json.decode(schema)))


def _example_of(schema: dict[str, Any]) -> Any:
    if schema.get("enum"):
        return schema["enum"][0]
    stated: Any = schema.get("type", "object")
    kind = str(next(iter(cast("list[Any]", stated)), "object") if isinstance(stated, list) else stated).lower()
    if kind != "object":
        return _EXAMPLES.get(kind)
    properties = cast("dict[str, dict[str, Any]]", schema.get("properties", {}))
    return {name: _example_of(properties.get(name, {"type": "string"})) for name in schema.get("required", ())}


@cache
def _vocabulary() -> Any:
    return import_module("rs_bpe.bpe").openai.o200k_base()
