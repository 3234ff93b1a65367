"""A chat completion call, read into the neutral form.

The `Call` was read before and keeps all bounds; here only what it says is put into words every
dialect shares. Whatever has no word there stands in `others`, so that a table can object to it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from farebox.wire.call import ABSENT, Call, Malformed, MalformedCode, is_present, is_set, text_field
from farebox.wire.chat.features import Feature
from farebox.wire.chat.request import ChatRequest, Format, Reasoning, Tool, ToolChoice
from farebox.wire.json_object import read_as
from farebox.wire.openai_chat_speech.parts import CacheMark, cache_ttl
from farebox.wire.openai_chat_speech.read_messages import Said, read_messages


class Function(msgspec.Struct, frozen=True, gc=False):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None
    format: msgspec.Raw = ABSENT
    """Of a custom tool: a grammar for its text."""


class OfferedTool(msgspec.Struct, frozen=True, gc=False):
    type: str
    function: Function | None = None
    custom: Function | None = None
    cache_control: CacheMark | None = None

    @property
    def named(self) -> Function | None:
        return self.function or self.custom


class AllowedTools(msgspec.Struct, frozen=True, gc=False):
    tools: list[OfferedTool]
    mode: str = "auto"


class Choice(msgspec.Struct, frozen=True, gc=False):
    type: str = "function"
    function: Function | None = None
    custom: Function | None = None
    allowed_tools: AllowedTools | None = None
    name: str | None = None
    """Of the deprecated `function_call`."""


class Schema(msgspec.Struct, frozen=True, gc=False):
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw = ABSENT
    strict: bool | None = None


class AnswerFormat(msgspec.Struct, frozen=True, gc=False):
    type: str
    json_schema: Schema | None = None


class ThinkingWish(msgspec.Struct, frozen=True, gc=False):
    type: str = "enabled"
    budget_tokens: int | None = None


class ReasoningWish(msgspec.Struct, frozen=True, gc=False):
    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None


class Body(msgspec.Struct, frozen=True, gc=False):
    """What is said of the answer. Limits, tier and the stream are in the `Call`."""

    messages: list[Said]
    tools: list[OfferedTool] | None = None
    functions: list[Function] | None = None
    tool_choice: str | Choice | None = None
    function_call: str | Choice | None = None
    parallel_tool_calls: bool | None = None
    temperature: msgspec.Raw = ABSENT
    top_p: msgspec.Raw = ABSENT
    top_k: int | None = None
    frequency_penalty: msgspec.Raw = ABSENT
    presence_penalty: msgspec.Raw = ABSENT
    seed: int | None = None
    stop: str | list[str] | None = None
    response_format: AnswerFormat | None = None
    reasoning_effort: str | None = None
    reasoning: ReasoningWish | None = None
    thinking: ThinkingWish | None = None
    verbosity: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None
    modalities: list[str] | None = None


_body = msgspec.json.Decoder(Body)
_OTHERS = {
    "logprobs": Feature.LOGPROBS,
    "prediction": Feature.PREDICTION,
    "web_search_options": Feature.WEB_SEARCH,
    "audio": Feature.AUDIO_OUTPUT,
}
_MODALITIES = {"audio": Feature.AUDIO_OUTPUT, "image": Feature.IMAGE_OUTPUT}


def read_request(call: Call) -> ChatRequest | Malformed:
    """The call in the neutral form. Refuses parts and tools that no other dialect could be asked for."""
    body = read_as(call.body, _body)
    if isinstance(body, Malformed):
        return body
    messages = read_messages(body.messages)
    if isinstance(messages, Malformed):
        return messages
    tools, choice = _tools(body), _choice(body)
    if isinstance(tools, Malformed):
        return tools
    if choice is not None and choice.mode == "allowed":
        tools, choice = [tool for tool in tools if tool.name in choice.names], _among(choice)
    return ChatRequest(
        messages=messages,
        tools=tuple(tools),
        tool_choice=choice,
        output_limit=call.output_limit,
        temperature=_number(body.temperature),
        top_p=_number(body.top_p),
        top_k=body.top_k,
        frequency_penalty=_number(body.frequency_penalty),
        presence_penalty=_number(body.presence_penalty),
        seed=body.seed,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        format=_format(body.response_format),
        reasoning=_reasoning(body),
        verbosity=body.verbosity,
        end_user=call.end_user or body.safety_identifier,
        cache_key=text_field(call.fields, "prompt_cache_key"),
        metadata=call.fields["metadata"] if body.metadata else msgspec.Raw(),
        service_tier=call.service_tier,
        stream=call.stream,
        others=_others(call, body),
    )


def _number(value: msgspec.Raw) -> msgspec.Raw:
    return value if is_present(value) else msgspec.Raw()


def _tools(body: Body) -> list[Tool] | Malformed:
    tools: list[Tool] = []
    for place, offered in enumerate(body.tools or ()):
        named = offered.named
        if named is None:
            return _invalid(f"tools[{place}]", "has no function")
        if is_present(named.format) and b'"grammar"' in bytes(named.format):
            return _invalid(f"tools[{place}].custom.format", "is a grammar, which no other dialect takes")
        tools.append(_tool(named, custom=offered.custom is not None, ttl=cache_ttl(offered.cache_control)))
    return tools + [_tool(function) for function in body.functions or ()]


def _tool(named: Function, *, custom: bool = False, ttl: str | None = None) -> Tool:
    tool = Tool(named.name, named.description, strict=named.strict, custom=custom, cache_ttl=ttl)
    return msgspec.structs.replace(tool, schema=named.parameters) if is_present(named.parameters) else tool


def _choice(body: Body) -> ToolChoice | None:
    """The choice; its mode is `allowed` where it narrows the tools, and forces none."""
    parallel, said = body.parallel_tool_calls, body.tool_choice or body.function_call
    if said is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if isinstance(said, str):
        return ToolChoice(said if said in ("none", "required") else "auto", parallel=parallel)
    if said.allowed_tools is not None:
        names = tuple([tool.named.name for tool in said.allowed_tools.tools if tool.named is not None])
        return ToolChoice("named" if said.allowed_tools.mode == "required" else "allowed", names, parallel)
    named = said.function or said.custom
    name = said.name if named is None else named.name
    return ToolChoice(parallel=parallel) if name is None else ToolChoice("named", (name,), parallel)


def _among(choice: ToolChoice) -> ToolChoice | None:
    """Any of the tools that are left, or none."""
    return None if choice.parallel is None else ToolChoice(parallel=choice.parallel)


def _format(wanted: AnswerFormat | None) -> Format | None:
    if wanted is None or wanted.type == "text":
        return None
    form = wanted.json_schema
    if form is None or not is_present(form.schema):
        return Format("json_object")
    return Format("json_schema", form.name, form.schema, form.strict, form.description)


def _reasoning(body: Body) -> Reasoning | None:
    """From `reasoning_effort`, the object some servers take, and `thinking` as this gateway documents it."""
    wish, thinking = body.reasoning or ReasoningWish(), body.thinking
    effort, budget = body.reasoning_effort or wish.effort, wish.max_tokens
    show = None if wish.exclude is None else not wish.exclude
    if thinking is not None:
        enabled = thinking.type != "disabled"
        budget = (thinking.budget_tokens or -1) if enabled else 0
        show = enabled if show is None else show
    return None if effort is budget is show is None else Reasoning(effort, budget, show)


def _others(call: Call, body: Body) -> frozenset[str]:
    others = {feature.value for name, feature in _OTHERS.items() if is_set(call.fields, name)}
    others |= {_MODALITIES[modality].value for modality in body.modalities or () if modality in _MODALITIES}
    if call.choices > 1:
        others.add(Feature.CHOICES.value)
    if is_set(call.fields, "logit_bias") and bytes(call.fields["logit_bias"]).strip() != b"{}":
        others.add(Feature.LOGIT_BIAS.value)
    if any(said.is_spoken for said in body.messages):
        others.add(Feature.AUDIO_OUTPUT.value)
    return frozenset(others)


def _invalid(param: str, problem: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, f"'{param}' {problem}.", param)
