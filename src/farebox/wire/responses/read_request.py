"""A Responses call, read into the neutral form.

The `Call` was read before and keeps all bounds; here only what it says is put into words every
dialect shares. Whatever has no word there stands in `others`, so that a table can object to it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from farebox.wire.call import ABSENT, Call, Malformed, MalformedCode, is_present, text_field
from farebox.wire.chat.features import Feature
from farebox.wire.chat.request import ChatRequest, Format, Message, Reasoning, Role, Text, Tool, ToolChoice
from farebox.wire.json_object import read_as
from farebox.wire.responses.price_fields import row_of
from farebox.wire.responses.read_items import read_input


class _Tool(msgspec.Struct, frozen=True, gc=False):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None
    format: msgspec.Raw = ABSENT
    """Of a custom tool: a grammar for its text."""


class _Choice(msgspec.Struct, frozen=True, gc=False):
    type: str
    name: str | None = None
    mode: str = "auto"
    tools: list[_Tool] | None = None


class _Format(msgspec.Struct, frozen=True, gc=False):
    type: str = "text"
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw = ABSENT
    strict: bool | None = None


class _Text(msgspec.Struct, frozen=True, gc=False):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct, frozen=True, gc=False):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class _Body(msgspec.Struct, frozen=True, gc=False):
    input: msgspec.Raw
    instructions: str | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    temperature: msgspec.Raw = ABSENT
    top_p: msgspec.Raw = ABSENT
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    metadata: dict[str, Any] | None = None


_body = msgspec.json.Decoder(_Body)


def read_request(call: Call) -> ChatRequest | Malformed:
    """The call in the neutral form. Refuses items and tools that no other dialect could be asked for."""
    body = read_as(call.body, _body)
    if isinstance(body, Malformed):
        return body
    messages, tools = read_input(body.input), _tools(body)
    if isinstance(messages, Malformed):
        return messages
    if isinstance(tools, Malformed):
        return tools
    choice = _choice(body) if tools else None
    if choice is not None and choice.mode == "allowed":
        tools, choice = [tool for tool in tools if tool.name in choice.names], _unforced(choice.parallel)
    text = body.text or _Text()
    return ChatRequest(
        messages=(*_instructions(body), *messages),
        tools=tuple(tools),
        tool_choice=choice,
        output_limit=call.output_limit,
        temperature=_number(body.temperature),
        top_p=_number(body.top_p),
        format=_format(text.format),
        reasoning=_reasoning(body.reasoning),
        verbosity=text.verbosity,
        end_user=call.end_user,
        cache_key=text_field(call.fields, "prompt_cache_key"),
        metadata=call.fields["metadata"] if body.metadata else msgspec.Raw(),
        service_tier=call.service_tier,
        stream=call.stream,
        others=_others(body),
    )


def _instructions(body: _Body) -> tuple[Message, ...]:
    return (Message(Role.SYSTEM, (Text(body.instructions),)),) if body.instructions else ()


def _number(value: msgspec.Raw) -> msgspec.Raw:
    return value if is_present(value) else msgspec.Raw()


def _tools(body: _Body) -> list[Tool] | Malformed:
    """The caller's own tools. The provider's are named among `others`, or refused."""
    tools: list[Tool] = []
    for place, offered in enumerate(body.tools or ()):
        if offered.type in ("function", "custom") and offered.name is not None:
            if is_present(offered.format) and b'"grammar"' in bytes(offered.format):
                return _invalid(f"tools[{place}]", "A grammar for a tool's text needs a model served in this dialect.")
            tools.append(_tool(offered, offered.name))
        elif not _is_search(offered.type):
            message = f"Tools of type {offered.type[:64]!r} need a model that is served in the Responses dialect."
            return _invalid(f"tools[{place}]", message)
    return tools


def _tool(offered: _Tool, name: str) -> Tool:
    custom = offered.type == "custom"
    tool = Tool(name, offered.description, strict=offered.strict or None, custom=custom)
    return msgspec.structs.replace(tool, schema=offered.parameters) if is_present(offered.parameters) else tool


def _is_search(type_: str) -> bool:
    row = row_of(type_)
    return row is not None and row.type.startswith("web_search")


def _choice(body: _Body) -> ToolChoice | None:
    """The choice; its mode is `allowed` where it narrows the tools, and forces none."""
    parallel, said = body.parallel_tool_calls, body.tool_choice
    if said is None or said == "auto":
        return _unforced(parallel)
    if isinstance(said, str):
        return ToolChoice(said if said in ("none", "required") else "auto", parallel=parallel)
    if said.type == "allowed_tools":
        names = tuple([tool.name for tool in said.tools or () if tool.name is not None])
        return ToolChoice("named" if said.mode == "required" else "allowed", names, parallel)
    return _unforced(parallel) if said.name is None else ToolChoice("named", (said.name,), parallel)


def _unforced(parallel: bool | None) -> ToolChoice | None:
    return None if parallel is None else ToolChoice(parallel=parallel)


def _format(wanted: _Format | None) -> Format | None:
    if wanted is None or wanted.type == "text":
        return None
    if not is_present(wanted.schema):
        return Format("json_object")
    return Format("json_schema", wanted.name, wanted.schema, wanted.strict, wanted.description)


def _reasoning(wish: _Reasoning | None) -> Reasoning | None:
    if wish is None:
        return None
    shown = wish.summary or wish.generate_summary
    show = None if shown is None else True
    return None if wish.effort is show is None else Reasoning(wish.effort, show=show)


def _others(body: _Body) -> frozenset[str]:
    others: set[str] = set()
    if body.top_logprobs or "message.output_text.logprobs" in (body.include or ()):
        others.add(Feature.LOGPROBS.value)
    if any(_is_search(tool.type) for tool in body.tools or ()):
        others.add(Feature.WEB_SEARCH.value)
    return frozenset(others)


def _invalid(param: str, message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)
