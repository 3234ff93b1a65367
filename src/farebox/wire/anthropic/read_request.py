"""A Messages call, read into the neutral form.

The `Call` was read before and keeps all bounds; here only what it says is put into words every
dialect shares. Tools the provider runs stand in `others`, so that a table can object to them.
"""

from __future__ import annotations

import msgspec

from farebox.wire.anthropic.read_blocks import cache_ttl, read_content, read_messages
from farebox.wire.anthropic.said import SaidBlock, SaidMessage
from farebox.wire.anthropic.tools import FETCH, OWN_TOOLS, SEARCH
from farebox.wire.call import ABSENT, Call, Malformed, MalformedCode, is_present
from farebox.wire.chat.features import Feature
from farebox.wire.chat.request import ChatRequest, Format, Message, Reasoning, Role, Tool, ToolChoice
from farebox.wire.json_object import read_as
from farebox.wire.media import CacheMark


class OfferedTool(msgspec.Struct, frozen=True, gc=False):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = ABSENT
    strict: bool | None = None
    cache_control: CacheMark | None = None


class Choice(msgspec.Struct, frozen=True, gc=False):
    type: str = "auto"
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingWish(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    budget_tokens: int | None = None
    display: str | None = None


class AnswerFormat(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    schema: msgspec.Raw = ABSENT


class OutputConfig(msgspec.Struct, frozen=True, gc=False):
    effort: str | None = None
    format: AnswerFormat | None = None


class Body(msgspec.Struct, frozen=True, gc=False):
    """What is said of the answer. Limits, tier and the stream are in the `Call`."""

    messages: list[SaidMessage]
    system: str | list[SaidBlock] | None = None
    tools: list[OfferedTool] | None = None
    tool_choice: Choice | None = None
    temperature: msgspec.Raw = ABSENT
    top_p: msgspec.Raw = ABSENT
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    thinking: ThinkingWish | None = None
    output_config: OutputConfig | None = None
    output_format: AnswerFormat | None = None
    """Where the form stood while it was a beta."""


_body = msgspec.json.Decoder(Body)
_MODES = {"any": "required", "tool": "named", "none": "none"}


def read_request(call: Call) -> ChatRequest | Malformed:
    """The call in the neutral form. Refuses blocks and tools that no other dialect could be asked for."""
    body = read_as(call.body, _body)
    if isinstance(body, Malformed):
        return body
    system = read_content(body.system or "", "system", {})
    if isinstance(system, Malformed):
        return system
    turns = read_messages(body.messages)
    if isinstance(turns, Malformed):
        return turns
    tools = _tools(body.tools or [])
    if isinstance(tools, Malformed):
        return tools
    return ChatRequest(
        messages=(*([Message(Role.SYSTEM, tuple(system))] if system else []), *turns),
        tools=tuple(tools),
        tool_choice=_choice(body.tool_choice),
        output_limit=call.output_limit,
        temperature=_number(body.temperature),
        top_p=_number(body.top_p),
        top_k=body.top_k,
        stop=tuple(body.stop_sequences or ()),
        format=_format(body),
        reasoning=_reasoning(body),
        end_user=call.end_user,
        service_tier="default" if call.service_tier == "standard" else None,
        stream=call.stream,
        others=_others(body),
    )


def _number(value: msgspec.Raw) -> msgspec.Raw:
    return value if is_present(value) else msgspec.Raw()


def _tools(offered: list[OfferedTool]) -> list[Tool] | Malformed:
    tools: list[Tool] = []
    for place, tool in enumerate(offered):
        if tool.type in OWN_TOOLS:
            tools.append(_tool(tool))
        elif not (tool.type or "").startswith((SEARCH, FETCH)):
            param = f"tools[{place}]"
            message = f"'{param}' is known to Anthropic's own models only; describe it with an 'input_schema'."
            return Malformed(MalformedCode.INVALID_PARAMETER, message, param)
    return tools


def _tool(offered: OfferedTool) -> Tool:
    ttl = cache_ttl(offered.cache_control)
    tool = Tool(offered.name, offered.description, strict=offered.strict, cache_ttl=ttl)
    return msgspec.structs.replace(tool, schema=offered.input_schema) if is_present(offered.input_schema) else tool


def _choice(choice: Choice | None) -> ToolChoice | None:
    if choice is None:
        return None
    parallel = None if choice.disable_parallel_tool_use is None else not choice.disable_parallel_tool_use
    names = (choice.name,) if choice.type == "tool" and choice.name else ()
    return ToolChoice(_MODES.get(choice.type, "auto"), names, parallel)


def _format(body: Body) -> Format | None:
    form = (body.output_config and body.output_config.format) or body.output_format
    if form is None or not is_present(form.schema):
        return None
    return Format("json_schema", schema=form.schema)


def _reasoning(body: Body) -> Reasoning | None:
    """Thinking that is on is shown unless the caller wants it omitted."""
    effort = body.output_config.effort if body.output_config is not None else None
    thinking = body.thinking
    if thinking is None:
        return None if effort is None else Reasoning(effort)
    shown = thinking.display != "omitted"
    match thinking.type:
        case "enabled":
            return Reasoning(effort, thinking.budget_tokens, shown)
        case "disabled":
            return Reasoning(budget=0)
        case _:
            return Reasoning(effort, None if effort is not None else -1, shown)


def _others(body: Body) -> frozenset[str]:
    served = any((tool.type or "").startswith((SEARCH, FETCH)) for tool in body.tools or ())
    return frozenset({Feature.WEB_SEARCH.value}) if served else frozenset()
