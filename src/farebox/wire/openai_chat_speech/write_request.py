"""A request of the neutral form, written as the body of a chat completion for one channel.

Enters: what is asked, under which name, and how the channel wants it. What the hold stands on
(model, stream, usage, output limit, one choice) is written last, so that no override undoes it (Law 1).
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ChannelBody
from farebox.wire.chat.request import ChatRequest, Format, Reasoning, Tool, ToolChoice
from farebox.wire.openai_chat_speech.write_messages import Written, write_messages

LOW_BUDGET, MEDIUM_BUDGET = 2_048, 8_192
"""In tokens: a reasoning budget up to these is low or medium effort."""

_HELD = frozenset({"model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens"})
"""Fields an override may not set where this body is written: hold and charge stand on them."""
_encode = msgspec.json.Encoder().encode


def write_request(request: ChatRequest, *, upstream_model: str, channel: ChannelBody) -> bytes:
    """The body. `request.output_limit` is what the hold covers, in tokens, reasoning included."""
    messages = write_messages(request.messages, signed="gemini" in upstream_model)
    body: Written = {"model": upstream_model, "messages": messages}
    body |= _tools(request) | _sampling(request) | _wishes(request)
    body |= {name: value for name, value in channel.overrides.items() if name not in _HELD}
    if channel.safety_identifier is not None:
        body["safety_identifier"] = channel.safety_identifier
    if request.output_limit is not None:
        body[channel.limit_field] = request.output_limit
    if request.stream:
        body["stream"] = True
        if channel.stream_usage:
            body["stream_options"] = {"include_usage": True}
    return _encode(body)


def _sampling(request: ChatRequest) -> Written:
    numbers = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
    }
    written: Written = {name: value for name, value in numbers.items() if bytes(value)}
    if request.seed is not None:
        written["seed"] = request.seed
    if request.stop:
        written["stop"] = list(request.stop)
    return written


def _wishes(request: ChatRequest) -> Written:
    named = {
        "response_format": _format(request.format),
        "reasoning_effort": _effort(request.reasoning),
        "verbosity": request.verbosity,
        "user": request.end_user,
        "prompt_cache_key": request.cache_key,
        "service_tier": request.service_tier,
    }
    return {name: value for name, value in named.items() if value is not None}


def _effort(reasoning: Reasoning | None) -> str | None:
    """An effort as it is; a budget by its size. No budget and none at all leave it to the model."""
    if reasoning is None:
        return None
    if reasoning.effort is not None:
        return "xhigh" if reasoning.effort == "max" else reasoning.effort
    budget = reasoning.budget or 0
    if budget <= 0:
        return None
    return "low" if budget <= LOW_BUDGET else "medium" if budget <= MEDIUM_BUDGET else "high"


def _format(form: Format | None) -> Written | None:
    if form is None:
        return None
    if form.kind == "json_object":
        return {"type": "json_object"}
    schema: Written = {"name": form.name or "answer", "schema": form.schema}
    if form.description is not None:
        schema["description"] = form.description
    if form.strict is not None:
        schema["strict"] = form.strict
    return {"type": "json_schema", "json_schema": schema}


def _tools(request: ChatRequest) -> Written:
    """Tools and what is said of them; without tools there is nothing to choose."""
    if not request.tools:
        return {}
    written: Written = {"tools": [_tool(tool) for tool in request.tools]}
    choice = request.tool_choice
    if choice is not None:
        custom = frozenset([tool.name for tool in request.tools if tool.custom])
        if choice.mode != "auto":
            written["tool_choice"] = _choice(choice, custom)
        if choice.parallel is not None:
            written["parallel_tool_calls"] = choice.parallel
    return written


def _tool(tool: Tool) -> Written:
    described: Written = {"name": tool.name}
    if tool.description is not None:
        described["description"] = tool.description
    if tool.custom:
        return {"type": "custom", "custom": described}
    described["parameters"] = tool.schema
    if tool.strict is not None:
        described["strict"] = tool.strict
    return {"type": "function", "function": described}


def _choice(choice: ToolChoice, custom: frozenset[str]) -> str | Written:
    named = [_reference(name, name in custom) for name in choice.names]
    if not named:
        return "required" if choice.mode == "named" else choice.mode
    if len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": named}}


def _reference(name: str, is_custom: bool) -> Written:
    kind = "custom" if is_custom else "function"
    return {"type": kind, kind: {"name": name}}
