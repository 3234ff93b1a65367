"""A request of the neutral form, written as the body of a Responses call for one channel.

What the hold stands on (model, stream, output limit, nothing stored) is written last, so that no
override undoes it (Law 1).
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ChannelBody
from farebox.wire.chat.request import (
    Block,
    ChatRequest,
    Document,
    Format,
    Image,
    Message,
    Reasoning,
    Refusal,
    Role,
    Source,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from farebox.wire.openai_chat_speech.parts import PDF, url_of
from farebox.wire.openai_chat_speech.wishes import effort_of, set_by_operator, tools_asked
from farebox.wire.openai_chat_speech.write_messages import Written
from farebox.wire.responses.forward import SEALED_REASONING
from farebox.wire.responses.read_items import NAME

_HELD = frozenset({"model", "input", "stream", "store", "max_output_tokens", "max_tool_calls", "tools", "background"})
"""Fields an override may not set where this body is written: hold and charge stand on them."""
_encode = msgspec.json.Encoder().encode


def write_request(request: ChatRequest, *, upstream_model: str, channel: ChannelBody) -> bytes:
    """The body. `request.output_limit` is what the hold covers, in tokens, reasoning included."""
    body: Written = {"model": upstream_model}
    messages = request.messages
    instructions = _instructions(messages)
    if instructions is not None:
        body["instructions"], messages = instructions, messages[1:]
    body["input"] = [item for message in messages for item in _items(message)]
    body |= tools_asked(request, tool=_tool, choice=_choice) | _wishes(request)
    body |= set_by_operator(channel, _HELD)
    if request.output_limit is not None:
        body["max_output_tokens"] = request.output_limit
    if request.stream:
        body["stream"] = True
    body["store"] = False
    return _encode(body)


def _instructions(messages: tuple[Message, ...]) -> str | None:
    """The system message that opens a conversation, if it is one text."""
    match messages:
        case (Message(role=Role.SYSTEM, blocks=(Text(text=text),)), *rest) if rest:
            return text
        case _:
            return None


def _items(message: Message) -> list[Written]:
    """The items of a message: what tools gave back first, then its content in order."""
    items: list[Written] = []
    parts: list[Written] = []
    for block in message.blocks:
        item = _item(block)
        if item is not None:
            items += _message(message.role, parts)
            parts = []
            items.append(item)
            continue
        part = _part(block, message.role)
        if part is not None:
            parts.append(part)
    return items + _message(message.role, parts)


def _message(role: Role, parts: list[Written]) -> list[Written]:
    return [{"type": "message", "role": role.value, "content": parts}] if parts else []


def _item(block: Block) -> Written | None:
    """The item for a block that stands beside messages."""
    match block:
        case ToolUse(custom=True):
            return {"type": "custom_tool_call", "call_id": block.id, "name": block.name, "input": block.arguments}
        case ToolUse():
            arguments = block.arguments or "{}"
            return {"type": "function_call", "call_id": block.id, "name": block.name, "arguments": arguments}
        case ToolResult():
            type_ = "custom_tool_call_output" if block.custom else "function_call_output"
            return {"type": type_, "call_id": block.id, "output": _output(block)}
        case Thinking(origin=origin, sealed=str() as sealed) if origin == NAME:
            summary = [{"type": "summary_text", "text": block.text}] if block.text else []
            item: Written = {"type": "reasoning", "summary": summary, "encrypted_content": sealed}
            return item if block.id is None else {"id": block.id} | item
        case _:
            return None


def _output(result: ToolResult) -> str | list[Written]:
    match result.blocks:
        case ():
            return ""
        case (Text(text=text),):
            return text
        case _:
            parts = [_part(block, Role.USER) for block in result.blocks]
            return [part for part in parts if part is not None]


def _part(block: Block, role: Role) -> Written | None:
    match block:
        case Text(text=text):
            return {"type": "output_text" if role is Role.ASSISTANT else "input_text", "text": text}
        case Refusal(text=text):
            return {"type": "refusal", "refusal": text}
        case Image(source=source, detail=detail):
            image: Written = {"type": "input_image", "image_url": url_of(source, "image/png")}
            return image if detail is None else image | {"detail": detail}
        case Document(source=source, name=name):
            return _file(source, name)
        case _:
            return None


def _file(source: Source, name: str | None) -> Written:
    if source.url is not None:
        named: Written = {} if name is None else {"filename": name}
        return {"type": "input_file", "file_url": source.url} | named
    if source.text is not None:
        return {"type": "input_text", "text": source.text if name is None else f"{name}:\n\n{source.text}"}
    return {"type": "input_file", "filename": name or "document.pdf", "file_data": url_of(source, PDF)}


def _wishes(request: ChatRequest) -> Written:
    text: Written = {}
    if request.format is not None:
        text["format"] = _format(request.format)
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    reasoning = _reasoning(request.reasoning)
    named: Written = {
        "temperature": request.temperature if bytes(request.temperature) else None,
        "top_p": request.top_p if bytes(request.top_p) else None,
        "text": text or None,
        "reasoning": reasoning or None,
        "include": [SEALED_REASONING] if reasoning and reasoning.get("effort") != "none" else None,
        "user": request.end_user,
        "prompt_cache_key": request.cache_key,
        "service_tier": request.service_tier,
    }
    return {name: value for name, value in named.items() if value is not None}


def _reasoning(wish: Reasoning | None) -> Written:
    if wish is None:
        return {}
    written: Written = {}
    effort = effort_of(wish)
    if effort is not None:
        written["effort"] = effort
    if wish.show:
        written["summary"] = "auto"
    return written


def _format(form: Format) -> Written:
    if form.kind == "json_object":
        return {"type": "json_object"}
    written: Written = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema}
    if form.description is not None:
        written["description"] = form.description
    if form.strict is not None:
        written["strict"] = form.strict
    return written


def _tool(tool: Tool) -> Written:
    described: Written = {} if tool.description is None else {"description": tool.description}
    if tool.custom:
        return {"type": "custom", "name": tool.name} | described
    # this dialect means strict where nothing is said; the others do not
    return {"type": "function", "name": tool.name, "parameters": tool.schema, "strict": bool(tool.strict)} | described


def _choice(choice: ToolChoice, custom: frozenset[str]) -> str | Written:
    named: list[Written] = [{"type": "custom" if name in custom else "function", "name": name} for name in choice.names]
    if not named:
        return "required" if choice.mode == "named" else choice.mode
    if len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "mode": "required", "tools": named}
