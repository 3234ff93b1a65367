"""A `generateContent` call, read into the neutral form.

The `Call` was read before and keeps all bounds; here only what it says is put into words every dialect shares.
Whatever has no word there stands in `others`, so that a table can object to it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from farebox.wire.call import ABSENT, Call, Fields, Malformed, MalformedCode, is_present, is_set
from farebox.wire.chat.features import Feature
from farebox.wire.chat.request import ChatRequest, Format, Message, Role, Text, Tool, ToolChoice
from farebox.wire.gemini import thinking
from farebox.wire.gemini.parse import as_list
from farebox.wire.gemini.read_contents import Content, Conversation
from farebox.wire.gemini.schema import to_json_schema
from farebox.wire.json_object import read_as


class _Function(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    parameters_json_schema: msgspec.Raw = ABSENT


class _Calling(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    mode: str = "AUTO"
    allowed_function_names: list[str] | None = None


class _ToolConfig(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    function_calling_config: _Calling | None = None


class _Config(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Limits and candidates are in the `Call`."""

    temperature: msgspec.Raw = ABSENT
    top_p: msgspec.Raw = ABSENT
    top_k: int | None = None
    frequency_penalty: msgspec.Raw = ABSENT
    presence_penalty: msgspec.Raw = ABSENT
    seed: int | None = None
    stop_sequences: list[str] | None = None
    response_mime_type: str | None = None
    response_schema: msgspec.Raw = ABSENT
    response_json_schema: msgspec.Raw = ABSENT
    response_modalities: list[str] | None = None
    response_logprobs: bool | None = None
    thinking_config: thinking.Config | None = None


class _Body(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    contents: list[Content] | Content
    system_instruction: Content | None = None
    tools: list[Fields] | Fields | None = None
    tool_config: _ToolConfig | None = None
    generation_config: _Config | None = None


_body = msgspec.json.Decoder(_Body)
_functions = msgspec.json.Decoder(list[_Function])
_encode = msgspec.json.Encoder().encode
_READ = ("contents", "systemInstruction", "tools", "toolConfig", "generationConfig")
_MODALITIES = {"AUDIO": Feature.AUDIO_OUTPUT, "IMAGE": Feature.IMAGE_OUTPUT}
_SEARCHING = frozenset({"googleSearch", "googleSearchRetrieval"})
_NO_CONFIG = _Config()


def read_request(call: Call) -> ChatRequest | Malformed:
    """The call in the neutral form. Refuses parts and tools that no other dialect could be asked for."""
    body = read_as(_encode({name: call.fields[name] for name in _READ if name in call.fields}), _body)
    if isinstance(body, Malformed):
        return body
    messages = _messages(body)
    if isinstance(messages, Malformed):
        return messages
    tools = _tools(body)
    if isinstance(tools, Malformed):
        return tools
    config = body.generation_config or _NO_CONFIG
    return ChatRequest(
        messages=messages,
        tools=tools,
        tool_choice=_choice(body.tool_config),
        output_limit=call.output_limit,
        temperature=_number(config.temperature),
        top_p=_number(config.top_p),
        top_k=config.top_k,
        frequency_penalty=_number(config.frequency_penalty),
        presence_penalty=_number(config.presence_penalty),
        seed=config.seed,
        stop=tuple(config.stop_sequences or ()),
        format=_format(config),
        reasoning=thinking.read_thinking(config.thinking_config),
        service_tier=call.service_tier,
        stream=call.stream,
        others=_others(call, body, config),
    )


def _messages(body: _Body) -> tuple[Message, ...] | Malformed:
    messages: list[Message] = []
    system = [Text(part.text) for part in _system(body) if part.text]
    if system:
        messages.append(Message(Role.SYSTEM, tuple(system)))
    conversation = Conversation()
    for place, content in enumerate(as_list(body.contents)):
        message = conversation.read(content, place)
        if isinstance(message, Malformed):
            return message
        messages.append(message)
    return tuple(messages)


def _system(body: _Body) -> list[Any]:
    return [] if body.system_instruction is None else body.system_instruction.listed


def _tools(body: _Body) -> tuple[Tool, ...] | Malformed:
    tools: list[Tool] = []
    for offered in as_list(body.tools):
        for name, value in offered.items():
            if name == "functionDeclarations" and is_present(value):
                functions = read_as(value, _functions)
                if isinstance(functions, Malformed):
                    return functions
                tools += [_tool(function) for function in functions]
            elif is_present(value) and name not in _SEARCHING:
                message = f"The tool '{name[:64]}' is run by its provider; this model is served by another."
                return Malformed(MalformedCode.INVALID_PARAMETER, message, "tools")
    return tuple(tools)


def _tool(function: _Function) -> Tool:
    tool = Tool(function.name, function.description)
    if is_present(function.parameters_json_schema):
        return msgspec.structs.replace(tool, schema=function.parameters_json_schema)
    if is_present(function.parameters):
        return msgspec.structs.replace(tool, schema=to_json_schema(function.parameters))
    return tool


def _choice(config: _ToolConfig | None) -> ToolChoice | None:
    calling = config.function_calling_config if config is not None else None
    if calling is None:
        return None
    names = tuple(calling.allowed_function_names or ())
    match calling.mode.upper():
        case "NONE":
            return ToolChoice("none")
        case "ANY":
            return ToolChoice("named", names) if names else ToolChoice("required")
        case _:
            return ToolChoice()


def _format(config: _Config) -> Format | None:
    if is_present(config.response_json_schema):
        return Format("json_schema", schema=config.response_json_schema)
    if is_present(config.response_schema):
        return Format("json_schema", schema=to_json_schema(config.response_schema))
    return Format("json_object") if config.response_mime_type == "application/json" else None


def _number(value: msgspec.Raw) -> msgspec.Raw:
    return value if is_present(value) else msgspec.Raw()


def _others(call: Call, body: _Body, config: _Config) -> frozenset[str]:
    tools = {name for tool in as_list(body.tools) for name, value in tool.items() if is_present(value)}
    asked = {
        Feature.CHOICES: call.choices > 1,
        Feature.LOGPROBS: config.response_logprobs is True,
        Feature.WEB_SEARCH: not tools.isdisjoint(_SEARCHING),
        Feature.SAFETY_SETTINGS: is_set(call.fields, "safetySettings"),
    }
    made = {name.upper() for name in config.response_modalities or ()}
    asked |= {feature: modality in made for modality, feature in _MODALITIES.items()}
    return frozenset(feature.value for feature, is_asked in asked.items() if is_asked)
