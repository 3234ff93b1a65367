"""A request of the neutral form, written as the body of a `generateContent` for one channel.

Enters: what is asked, under which name, and how the channel wants it. Model and stream stand in the address. What the
hold rests on (limit, candidates) is written last, so that no override undoes it (Law 1).
"""

from __future__ import annotations

from typing import Any

import msgspec

from farebox.wire.call import ChannelBody, Fields
from farebox.wire.chat.features import Feature
from farebox.wire.chat.request import ChatRequest, Format, Tool, ToolChoice
from farebox.wire.gemini.forward import CONFIG, LIMIT
from farebox.wire.gemini.thinking import write_thinking
from farebox.wire.gemini.write_contents import Contents

_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(Fields).decode
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}
_TIERS = {"default": "standard", "flex": "flex", "priority": "priority"}
_JSON = "application/json"


def write_request(request: ChatRequest, *, upstream_model: str, channel: ChannelBody) -> bytes:
    """The body; what is None is not written."""
    written = Contents(request.messages, upstream_model)
    body: dict[str, object] = {"contents": written.contents}
    if written.system:
        body["systemInstruction"] = {"parts": written.system}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_function(tool) for tool in request.tools]}]
    if request.tool_choice is not None and request.tools:
        body["toolConfig"] = {"functionCallingConfig": _calling(request.tool_choice)}
    tier = _TIERS.get(request.service_tier or "")
    if tier is not None:
        body["serviceTier"] = tier
    return _encode(body | _laid_over(_config(request, upstream_model), channel, request.output_limit))


def _laid_over(config: dict[str, object], channel: ChannelBody, limit: int | None) -> dict[str, object]:
    """The operator's fields, and the configuration with the operator's below what the hold rests on."""
    over = dict(channel.overrides)
    if CONFIG in over:
        config |= _decode_fields(over[CONFIG])
        config.pop("candidateCount", None)
    if limit is not None:
        config[LIMIT] = limit
    return {**over, **({CONFIG: config} if config else {})}


def _config(request: ChatRequest, model: str) -> dict[str, object]:
    stated: dict[str, object] = {
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "frequencyPenalty": request.frequency_penalty,
        "presencePenalty": request.presence_penalty,
        "seed": request.seed,
        "stopSequences": list(request.stop) or None,
        "thinkingConfig": write_thinking(request.reasoning, model) or None,
        "responseModalities": ["TEXT", "IMAGE"] if Feature.IMAGE_OUTPUT.value in request.others else None,
    }
    return {name: value for name, value in stated.items() if _is_said(value)} | _format(request.format)


def _is_said(value: object) -> bool:
    return bool(bytes(value)) if isinstance(value, msgspec.Raw) else value is not None


def _format(form: Format | None) -> dict[str, object]:
    if form is None:
        return {}
    schema = {"responseJsonSchema": form.schema} if form.kind == "json_schema" else {}
    return {"responseMimeType": _JSON, **schema}


def _function(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool.name, "parametersJsonSchema": tool.schema}
    return written if tool.description is None else written | {"description": tool.description}


def _calling(choice: ToolChoice) -> dict[str, object]:
    names = {"allowedFunctionNames": list(choice.names)} if choice.mode == "named" else {}
    return {"mode": _MODES.get(choice.mode, "AUTO"), **names}
