"""A request of the neutral form, written as the body of a Messages call for one channel.

Enters: what is asked, under which name, and how the channel wants it. The model, the stream and
the output limit are written last, so that no override undoes what the hold stands on (Law 1).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from farebox.wire.anthropic import models
from farebox.wire.anthropic.forward import MIN_THINKING, refuses_sampling
from farebox.wire.anthropic.read_blocks import ORIGIN
from farebox.wire.anthropic.write_messages import Written, mark_of, write_messages, write_system
from farebox.wire.call import ChannelBody, raw
from farebox.wire.chat.request import ChatRequest, Reasoning, Role, Thinking, Tool, ToolChoice, ToolUse

JSON_ONLY = "Answer with one JSON object and nothing else: no words around it, no code fence."

BUDGETS = {"minimal": 2_048, "low": 2_048, "medium": 8_192, "high": 16_384}
"""In tokens, for models that cannot be told an effort."""
_LARGEST_BUDGET = 32_000
_HELD = frozenset({"model", "messages", "stream", "max_tokens"})
"""Fields an override may not set where this body is written: hold and charge stand on them."""
_FORCING = ("required", "named")
_MOST_TEMPERATURE = Decimal(1)
_encode = msgspec.json.Encoder().encode


def write_request(request: ChatRequest, *, upstream_model: str, channel: ChannelBody) -> bytes:
    """The body. `request.output_limit` is what the hold covers, in tokens, thinking included.

    Where there is none, the caller named no limit and all a model produces is held: then the limit is
    what every model of that name's version can produce, `models.DEFAULT_LIMIT` at least.
    """
    version = models.version_in(upstream_model)
    limit = models.default_limit(version) if request.output_limit is None else request.output_limit
    thinking = _thinking(request, version, limit)
    body: Written = {"model": upstream_model, "messages": write_messages(request.messages)}
    body |= _prompt(request) | _tools(request) | thinking | _config(request, _effort(request.reasoning, version))
    if not _thinks(thinking) and models.takes_sampling(version) and not refuses_sampling(channel):
        body |= _sampling(request, both=models.takes_both_samplings(version))
    body |= _wishes(request, version, channel)
    body |= {name: value for name, value in channel.overrides.items() if name not in _HELD}
    body["max_tokens"] = limit
    if request.stream:
        body["stream"] = True
    return _encode(body)


def _prompt(request: ChatRequest) -> Written:
    """The system prompt, with a sentence that asks for JSON where that is all that was said of its form."""
    only_json = request.format is not None and request.format.kind == "json_object"
    system = write_system(request.messages, *([JSON_ONLY] if only_json else []))
    return {"system": system} if system else {}


def _tools(request: ChatRequest) -> Written:
    """Tools and what is said of them; of several that may be called, only those are offered."""
    choice = request.tool_choice
    several = choice is not None and len(choice.names) > 1
    tools = [tool for tool in request.tools if not several or choice is None or tool.name in choice.names]
    if not tools:
        return {}
    written: Written = {"tools": [_tool(tool) for tool in tools]}
    if choice is not None:
        written["tool_choice"] = _choice(choice)
    return written


def _tool(tool: Tool) -> Written:
    written: Written = {"name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    written["input_schema"] = tool.schema
    if tool.strict is not None:
        written["strict"] = tool.strict
    return written if tool.cache_ttl is None else written | {"cache_control": mark_of(tool.cache_ttl)}


def _choice(choice: ToolChoice) -> Written:
    if choice.mode == "none":
        return {"type": "none"}
    if choice.mode == "named" and len(choice.names) == 1:
        written: Written = {"type": "tool", "name": choice.names[0]}
    else:
        written = {"type": "any" if choice.mode in _FORCING else "auto"}
    return written if choice.parallel is None else written | {"disable_parallel_tool_use": not choice.parallel}


def _config(request: ChatRequest, effort: str | None) -> Written:
    """A schema for the answer stands beside the effort."""
    form = request.format
    if form is None or form.kind != "json_schema":
        return {} if effort is None else {"output_config": {"effort": effort}}
    wished: Written = {"format": {"type": "json_schema", "schema": form.schema}}
    return {"output_config": wished if effort is None else {"effort": effort} | wished}


def _wishes(request: ChatRequest, version: models.Version, channel: ChannelBody) -> Written:
    written: Written = {}
    stops = [stop for stop in request.stop if stop.strip()]
    if stops:
        written["stop_sequences"] = stops
    owner = channel.safety_identifier or request.end_user
    if owner is not None:
        written["metadata"] = {"user_id": owner}
    if request.service_tier in ("auto", "priority"):
        written["service_tier"] = "auto"
    elif request.service_tier is not None or version > (0, 0):
        written["service_tier"] = "standard_only"  # left out, a dearer tier than is held could serve
    return written


def _sampling(request: ChatRequest, *, both: bool) -> Written:
    written: Written = {}
    if bytes(request.temperature):
        written["temperature"] = _at_most_one(request.temperature)
    if bytes(request.top_p) and (both or not written):
        written["top_p"] = request.top_p
    if request.top_k is not None:
        written["top_k"] = request.top_k
    return written


def _at_most_one(temperature: msgspec.Raw) -> msgspec.Raw:
    try:
        return raw(1) if Decimal(bytes(temperature).decode()) > _MOST_TEMPERATURE else temperature
    except (InvalidOperation, UnicodeDecodeError):
        return temperature


def _effort(wish: Reasoning | None, version: models.Version) -> str | None:
    if wish is None or wish.effort in (None, "none") or not models.thinks_by_itself(version):
        return None
    return models.takes_effort(version, wish.effort)


def _thinking(request: ChatRequest, version: models.Version, limit: int) -> Written:
    """Whether to think, for models that decide how much by themselves; a budget for the others."""
    wish, by_itself = request.reasoning, models.thinks_by_itself(version)
    if wish is None:
        return {}
    if wish.effort == "none" or wish.budget == 0:
        return {"thinking": {"type": "disabled"}} if by_itself else {}
    if _forces(request):
        return {}
    if by_itself:
        shown = {} if wish.show is None else {"display": "summarized" if wish.show else "omitted"}
        return {"thinking": {"type": "adaptive", **shown}}
    budget = min(_budget(wish), limit - limit // 4)
    if budget < MIN_THINKING or _goes_on_unsigned(request):
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _thinks(thinking: Written) -> bool:
    return bool(thinking) and thinking["thinking"] != {"type": "disabled"}


def _budget(wish: Reasoning) -> int:
    if wish.budget is not None and wish.budget > 0:
        return max(wish.budget, MIN_THINKING)
    if wish.effort is None:
        return BUDGETS["medium"]
    return BUDGETS.get(wish.effort, _LARGEST_BUDGET)


def _forces(request: ChatRequest) -> bool:
    """A model made to call a tool may not think first."""
    return bool(request.tools) and request.tool_choice is not None and request.tool_choice.mode in _FORCING


def _goes_on_unsigned(request: ChatRequest) -> bool:
    """The answer goes on after calls of tools, and the thoughts before them are not Anthropic's own.

    The provider then refuses a budget: it wants to have back what was thought.
    """
    said = [message for message in request.messages if message.role is Role.ASSISTANT]
    blocks = said[-1].blocks if said else ()
    thought = any(isinstance(block, Thinking) and block.origin == ORIGIN for block in blocks)
    return not thought and any(isinstance(block, ToolUse) for block in blocks)
