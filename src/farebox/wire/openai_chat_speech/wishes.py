"""What both of OpenAI's chat dialects ask for in the same words: tools, effort, and what an operator sets.

Enters: a request of the neutral form, or a channel's wishes. Leaves: fields of a body.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from farebox.wire.call import ChannelBody
from farebox.wire.chat.request import ChatRequest, Reasoning, Tool, ToolChoice
from farebox.wire.openai_chat_speech.write_messages import Written

LOW_BUDGET, MEDIUM_BUDGET = 2_048, 8_192
"""In tokens: a reasoning budget up to these is low or medium effort."""


def tools_asked(
    request: ChatRequest,
    *,
    tool: Callable[[Tool], Written],
    choice: Callable[[ToolChoice, frozenset[str]], str | Written],
) -> Written:
    """Tools and what is said of them, each in the dialect's shape; without tools there is nothing to choose.

    `choice` is told which tools take free text.
    """
    if not request.tools:
        return {}
    written: Written = {"tools": [tool(offered) for offered in request.tools]}
    chosen = request.tool_choice
    if chosen is not None:
        if chosen.mode != "auto":
            written["tool_choice"] = choice(chosen, frozenset([tool.name for tool in request.tools if tool.custom]))
        if chosen.parallel is not None:
            written["parallel_tool_calls"] = chosen.parallel
    return written


def effort_of(wish: Reasoning) -> str | None:
    """An effort as it is; a budget by its size. No budget and none at all leave it to the model."""
    if wish.effort is not None:
        return wish.effort
    budget = wish.budget or 0
    if budget <= 0:
        return None
    return "low" if budget <= LOW_BUDGET else "medium" if budget <= MEDIUM_BUDGET else "high"


def set_by_operator(channel: ChannelBody, held: Collection[str]) -> Written:
    """The channel's overrides but for the fields `held`, on which hold and charge stand; who asks, as a hash."""
    written: Written = {name: value for name, value in channel.overrides.items() if name not in held}
    if channel.safety_identifier is not None:
        written["safety_identifier"] = channel.safety_identifier
    return written
