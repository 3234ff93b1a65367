"""Reads the `X-Sandbox` header: which failure or shape of answer a request asks the sandbox for.

The header's text enters; a `Script` leaves, or a sentence that says what is wrong with it. The
directives are described in `sandbox`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class UsageShape(StrEnum):
    TRUE = "true"
    NONE = "none"
    WRONG = "wrong"
    NEGATIVE = "negative"
    ZERO = "zero"


class Script(msgspec.Struct, frozen=True):
    """What to do with one request. Counts are whole and not negative."""

    status: int | None = None
    retry_after: int | None = None
    delay_ms: int = 0
    tokens: int | None = None
    reasoning: int = 0
    thoughts: int = 0
    tool_calls: int = 0
    chunks: int | None = None
    pace_ms: int = 0
    cut: int | None = None
    error_event: int | None = None
    usage: UsageShape = UsageShape.TRUE
    empty: bool = False


RANGES: dict[str, tuple[int, int]] = {
    "status": (400, 599),
    "retry_after": (0, 86_400),
    "delay_ms": (0, 600_000),
    "tokens": (0, 100_000),
    "reasoning": (0, 100_000),
    "thoughts": (0, 100_000),
    "tool_calls": (0, 100),
    "chunks": (1, 100_000),
    "pace_ms": (0, 60_000),
    "cut": (0, 100_000),
    "error_event": (0, 100_000),
}
"""Directives that take a number, with the smallest and largest allowed."""


def read_script(header: str) -> Script | str:
    """The script a header asks for; an empty header asks for a plain answer."""
    values: dict[str, int | bool | UsageShape] = {}
    for directive in header.split(","):
        if not directive.strip():
            continue
        name, _, text = [part.strip() for part in directive.partition("=")]
        if name in values:
            return f"X-Sandbox names '{name}' twice."
        value = _value(name, text)
        if isinstance(value, str) and not isinstance(value, UsageShape):
            return value
        values[name] = value
    return msgspec.convert(values, Script)


def _value(name: str, text: str) -> int | bool | UsageShape | str:
    """The directive's value, or what is wrong with it."""
    if name == "empty":
        return True if not text else "X-Sandbox: 'empty' takes no value."
    if name == "usage":
        shapes = [shape.value for shape in UsageShape]
        return UsageShape(text) if text in shapes else f"X-Sandbox: 'usage' must be one of {', '.join(shapes)}."
    if name not in RANGES:
        known = ", ".join([*RANGES, "usage", "empty"])
        return f"X-Sandbox: unknown directive '{name[:40]}'. Known: {known}."
    smallest, largest = RANGES[name]
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and smallest <= int(text) <= largest):
        return f"X-Sandbox: '{name}' must be a whole number from {smallest} to {largest}."
    return int(text)
