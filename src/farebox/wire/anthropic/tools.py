"""The tools of a Messages request: who runs each, and what it can cost.

A tool of the caller's own is text. Tools whose schema the model knows (bash, text editor, computer,
browser, memory) are run by the caller too; the provider writes their description into the prompt.
Web search and web fetch run at the provider: each use is one more reading of the whole context, a
search has a price beside, and `max_uses` bounds both. Everything else runs at the provider under
prices, or in loops, that nothing bounds, and is refused (Law 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec

from farebox.wire.call import TOOL_TEMPLATE_TOKENS, Malformed, MalformedCode
from farebox.wire.media import CacheMark

MAX_USES = 100

OWN_TOOLS = frozenset({None, "custom"})
"""Described in the request itself."""
KNOWN_TOOLS: tuple[tuple[str, int], ...] = (
    ("bash_", 512),
    ("text_editor_", 1_024),
    ("computer_toolset_", 16_384),
    ("computer_", 2_048),
    ("browser_toolset_", 16_384),
    ("memory_", 2_048),
)
"""By the beginning of their type: what describing them takes, in tokens at most."""
SEARCH, FETCH = "web_search_", "web_fetch_"
_PLAIN = frozenset({"web_search_20250305", "web_fetch_20250910"})
"""Later versions run code beside the search unless only the model itself may call them."""
_DIRECT = ["direct"]


class Tool(msgspec.Struct, frozen=True, gc=False):
    """A tool as written, only what bounds it."""

    type: str | None = None
    max_uses: Annotated[int, msgspec.Meta(ge=1, le=MAX_USES)] | None = None
    allowed_callers: list[str] | None = None
    cache_control: CacheMark | None = None


class ToolBounds(NamedTuple):
    """What the tools of a request can cause at most."""

    template_tokens: int = 0
    searches: int = 0
    uses: int = 0
    """Of tools at the provider: each makes the model read the context once more."""


def refuse_tools(tools: Sequence[Tool]) -> Malformed | None:
    """The refusal for the first tool that cannot be had here, or None."""
    for tool in tools:
        kind = tool.type or ""
        if tool.type in OWN_TOOLS or kind.startswith(tuple([prefix for prefix, _ in KNOWN_TOOLS])):
            continue
        if not kind.startswith((SEARCH, FETCH)):
            return _invalid("Only tools you run yourself, web search and web fetch are available here.")
        if kind not in _PLAIN and tool.allowed_callers != _DIRECT:
            return _invalid(
                "This version of the tool runs code at the provider; set 'allowed_callers' to [\"direct\"]."
            )
        if tool.max_uses is None:
            return _invalid("Web search and web fetch need 'max_uses': it bounds what they can cost.")
    return None


def bounds_of(tools: Sequence[Tool]) -> ToolBounds:
    """What tools that are not refused can cause."""
    if not tools:
        return ToolBounds()
    served = [tool for tool in tools if (tool.type or "").startswith((SEARCH, FETCH))]
    return ToolBounds(
        TOOL_TEMPLATE_TOKENS + sum([template_tokens(tool.type or "") for tool in tools]),
        sum([tool.max_uses or 0 for tool in served if (tool.type or "").startswith(SEARCH)]),
        sum([tool.max_uses or 0 for tool in served]),
    )


def template_tokens(kind: str) -> int:
    """What describing a tool of this type takes beside the request's own text, in tokens at most."""
    if kind.startswith((SEARCH, FETCH)):
        return 4 * TOOL_TEMPLATE_TOKENS
    return next((most for prefix, most in KNOWN_TOOLS if kind.startswith(prefix)), 0)


def _invalid(message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, "tools")
