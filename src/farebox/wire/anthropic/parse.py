"""Anthropic Messages: a body becomes a `Call`.

Checks all that a price or a hold relies on and leaves the rest to the provider. Never raises. The
bounds worked out here are what Law 1 stands on; they hold whichever dialect the call ends up in.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from farebox.tariff.meters import Meter
from farebox.wire.anthropic.blocks import Block, Message
from farebox.wire.anthropic.bounds import BlockBounds
from farebox.wire.anthropic.price_fields import ANTHROPIC
from farebox.wire.anthropic.tools import Tool, ToolBounds, bounds_of, refuse_tools
from farebox.wire.anthropic.unsigned import holds_envelope
from farebox.wire.call import (
    MAX_LIMIT,
    MAX_MODEL_LENGTH,
    MEDIA_IN,
    PLAIN_TEXT,
    TEMPLATE_TOKENS,
    Call,
    Fields,
    Malformed,
    MalformedCode,
    is_present,
)
from farebox.wire.json_object import read_body
from farebox.wire.media import CacheMark
from farebox.wire.price_fields import refuse_fields, refused_names

STICKY_CHARACTERS = 512

SERVICE_TIERS = {None: "auto", "auto": "auto", "standard_only": "standard"}
"""What is held. Left out, the provider itself takes `auto`, and may serve a tier the operator bought."""

_Limit = Annotated[int, msgspec.Meta(ge=0, le=MAX_LIMIT)]
_CLEARS = ("clear_tool_uses_", "clear_thinking_")


class _Metadata(msgspec.Struct, frozen=True, gc=False):
    user_id: str | None = None


class _Edit(msgspec.Struct, frozen=True, gc=False):
    type: str


class _ContextManagement(msgspec.Struct, frozen=True, gc=False):
    edits: list[_Edit] | None = None


class _Body(msgspec.Struct, frozen=True, gc=False):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_LENGTH)]
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    max_tokens: _Limit | None = None
    """0 writes the prompt cache and produces nothing."""
    system: str | list[Block] | None = None
    stream: bool | None = None
    tools: list[Tool] | None = None
    stop_sequences: list[str] | None = None
    cache_control: CacheMark | None = None
    metadata: _Metadata | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    context_management: _ContextManagement | None = None


_body = msgspec.json.Decoder(_Body)
_REFUSED = refused_names(ANTHROPIC)


def parse(body: bytes) -> Call | Malformed:
    """Read a Messages request of at most 32 MB. Never raises."""
    call = parse_input(body)
    if isinstance(call, Call) and call.output_limit is None:
        message = "Missing required parameter: 'max_tokens'."
        return Malformed(MalformedCode.MISSING_PARAMETER, message, "max_tokens")
    return call


def parse_input(body: bytes) -> Call | Malformed:
    """Read a request whose tokens are to be counted: the same, but no answer is asked for, nor a limit needed."""
    read = read_body(body, _body)
    if isinstance(read, Malformed):
        return read
    fields, wanted = read
    refusal = refuse_fields(fields, _REFUSED) or _refuse_values(wanted) or refuse_tools(wanted.tools or ())
    if refusal is not None:
        return refusal
    blocks = _blocks(wanted)
    return _refuse_blocks(blocks) or _call(body, fields, wanted, blocks)


def _refuse_values(wanted: _Body) -> Malformed | None:
    if wanted.speed not in (None, "standard"):
        return _invalid("speed", "'speed' is not available here: faster processing has prices of its own.")
    if wanted.inference_geo not in (None, "global"):
        message = "'inference_geo' is not available here: processing in a chosen region has prices of its own."
        return _invalid("inference_geo", message)
    if wanted.service_tier not in SERVICE_TIERS:
        return _invalid("service_tier", "'service_tier' must be one of: auto, standard_only.")
    management = wanted.context_management
    for edit in (management and management.edits) or ():
        if not edit.type.startswith(_CLEARS):
            return _invalid("context_management", "Only edits that clear tool uses or thinking are available here.")
    return None


def _blocks(wanted: _Body) -> BlockBounds:
    bounds = BlockBounds()
    bounds.mark(wanted.cache_control)
    for tool in wanted.tools or ():
        bounds.mark(tool.cache_control)
    if isinstance(wanted.system, list):
        bounds.add(wanted.system)
    for message in wanted.messages:
        if isinstance(message.content, list):
            bounds.add(message.content)
    return bounds


def _refuse_blocks(blocks: BlockBounds) -> Malformed | None:
    if blocks.foreign_file:
        message = "Files cannot be referred to by 'file_id' here; send them in the body or by their address."
        return _invalid("messages", message)
    if blocks.adds_tools:
        return _invalid("messages", "Tools can only be given in 'tools' here, not in the middle of a conversation.")
    return None


def _call(body: bytes, fields: Fields, wanted: _Body, blocks: BlockBounds) -> Call:
    tools = bounds_of(wanted.tools or ())
    owner = wanted.metadata and wanted.metadata.user_id
    return Call(
        body=body,
        fields=fields,
        model=wanted.model,
        stream=wanted.stream or False,
        output_limit=wanted.max_tokens,
        limit_fields=() if wanted.max_tokens is None else ("max_tokens",),
        input_bytes=len(body) + TEMPLATE_TOKENS - blocks.payload_bytes + tools.template_tokens,
        media_tokens=blocks.image_tokens,
        input_open=blocks.open or tools.uses > 0,
        input_rounds=1 + tools.uses,
        at_most=_at_most(blocks, tools),
        cache_write_meter=Meter.CACHE_WRITE_1H if blocks.long_cache else Meter.CACHE_WRITE_5M,
        service_tier=SERVICE_TIERS[wanted.service_tier],
        wants_usage=True,
        end_user=owner,
        sticky=(owner or _head(wanted)).encode(errors="replace"),
        has_stop=bool(wanted.stop_sequences),
        sealed=blocks.sealed or holds_envelope(body),
    )


def _at_most(blocks: BlockBounds, tools: ToolBounds) -> dict[Meter, int]:
    """Bounds by meter. Both cache lifetimes may stand in one request; what is open can hold images."""
    bounds = dict(PLAIN_TEXT)
    if blocks.long_cache:
        del bounds[Meter.CACHE_WRITE_1H]
    if blocks.open:
        bounds = {meter: bound for meter, bound in bounds.items() if meter not in MEDIA_IN}
    elif blocks.image_tokens:
        del bounds[Meter.INPUT_IMAGE], bounds[Meter.CACHED_IMAGE]
    if tools.searches:
        bounds[Meter.SEARCHES] = tools.searches
    return bounds


def _head(wanted: _Body) -> str:
    """What stays the same through a conversation: its system prompt and its first question."""
    return f"{_opening(wanted.system)}\n{_opening(wanted.messages[0].content)}"


def _opening(content: str | list[Block] | None) -> str:
    if isinstance(content, str):
        return content[:STICKY_CHARACTERS]
    texts = [bytes(memoryview(block.text)[:STICKY_CHARACTERS]) for block in content or () if is_present(block.text)]
    return texts[0].decode(errors="replace") if texts else ""


def _invalid(param: str, message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)
