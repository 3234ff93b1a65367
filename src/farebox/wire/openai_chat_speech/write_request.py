"""A request of the neutral form, written as the body of a chat completion for one channel.

Enters: what is asked, under which name, and how the channel wants it. What the hold stands on
(model, stream, usage, output limit, one choice) is written last, so that no override undoes it (Law 1).
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ChannelBody
from farebox.wire.chat.request import ChatRequest, Format, Reasoning, Tool, ToolChoice
from farebox.wire.openai_chat_speech.wishes import effort_of, set_by_operator, tools_asked
from farebox.wire.openai_chat_speech.write_messages import Written, write_messages

_HELD = frozenset({"model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens"})
"""Fields an override may not set where this body is written: hold and charge stand on them."""
_encode = msgspec.json.Encoder().encode


def write_request(request: ChatRequest, *, upstream_model: str, channel: ChannelBody) -> bytes:
    """The body. `request.output_limit` is what the hold covers, in tokens, reasoning included."""
    messages = write_messages(request.messages, signed="gemini" in upstream_model)
    body: Written = {"model": upstream_model, "messages": messages}
    body |= tools_asked(request, tool=_tool, choice=_choice) | _sampling(request) | _wishes(request)
    body |= set_by_operator(channel, _HELD)
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
    effort = None if reasoning is None else effort_of(reasoning)
    return "xhigh" if effort == "max" else effort


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
