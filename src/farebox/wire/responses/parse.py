"""OpenAI Responses: a body becomes a `Call` with all the bounds a hold stands on (Law 1).

`parse` checks what a price relies on and leaves the rest to the provider. It never raises. Earlier
turns have been written into the body before; one that still names them cannot be served.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from farebox.tariff.meters import Meter
from farebox.wire.call import (
    ABSENT,
    MAX_LIMIT,
    MAX_MODEL_LENGTH,
    MEDIA_IN,
    PLAIN_TEXT,
    TEMPLATE_TOKENS,
    TOOL_TEMPLATE_TOKENS,
    Call,
    Fields,
    Malformed,
    MalformedCode,
    is_present,
    is_set,
)
from farebox.wire.json_object import read_as, read_body
from farebox.wire.media import CacheMark, MediaBounds, is_long
from farebox.wire.price_fields import Treatment, read_service_tier, refuse_fields, refused_names
from farebox.wire.responses.items import STICKY_CHARACTERS, Bounded, InnerTool, bound_items, runs_elsewhere
from farebox.wire.responses.price_fields import DEFAULT_TOOL_CALLS, MAX_TOOL_CALLS, RESPONSES, row_of

_Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)]


class _Tool(msgspec.Struct, frozen=True, gc=False):
    type: str
    search_context_size: str | None = None
    container: msgspec.Raw = ABSENT
    environment: msgspec.Raw = ABSENT
    tools: list[InnerTool] | None = None
    """Of a namespace."""


class _Container(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    memory_limit: str | None = None
    file_ids: list[str] | None = None


class _Metadata(msgspec.Struct, frozen=True, gc=False):
    session_id: str | None = None
    user_id: str | None = None


class _Body(msgspec.Struct, frozen=True, gc=False):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_LENGTH)]
    input: msgspec.Raw
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    max_output_tokens: _Limit | None = None
    max_tool_calls: Annotated[int, msgspec.Meta(ge=1, le=MAX_TOOL_CALLS)] | None = None
    tools: list[_Tool] | None = None
    include: list[str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: CacheMark | None = None
    metadata: _Metadata | None = None


_body = msgspec.json.Decoder(_Body)
_container = msgspec.json.Decoder(_Container)
_REFUSED = refused_names(RESPONSES)


def parse(body: bytes) -> Call | Malformed:
    """Read a Responses request of at most 32 MB. Never raises."""
    read = read_body(body, _body)
    if isinstance(read, Malformed):
        return read
    fields, wanted = read
    refusal = refuse_fields(fields, _REFUSED) or _refuse(fields, wanted)
    if refusal is not None:
        return refusal
    bounded = bound_items(wanted.input)
    return bounded if isinstance(bounded, Malformed) else _call(body, fields, wanted, bounded)


def provider_tools(call: Call) -> dict[Meter, int]:
    """The most calls of the provider's own tools that the hold covers, by meter; empty if it offers none."""
    return {meter: call.at_most[meter] for meter in (Meter.SEARCHES, Meter.TOOL_CALLS) if call.at_most.get(meter)}


def _refuse(fields: Fields, wanted: _Body) -> Malformed | None:
    if is_set(fields, "previous_response_id"):
        return _invalid("previous_response_id", "Earlier responses cannot be looked up here.")
    for place, tool in enumerate(wanted.tools or ()):
        row = row_of(tool.type)
        if row is None or row.treatment is Treatment.REFUSED:
            why = "their price is not known" if row is None else row.how
            return _invalid(f"tools[{place}]", f"Tools of type {tool.type[:64]!r} are not available here: {why}.")
        if runs_elsewhere(tool.tools or []):
            return _invalid(f"tools[{place}]", "A namespace may only hold tools you run yourself here.")
        if not _is_fresh(tool):
            return _invalid(
                f"tools[{place}]", "Containers are available here of type 'auto' alone, without files and of 1g."
            )
    return None


def _is_fresh(tool: _Tool) -> bool:
    """Whether a tool runs at the caller's, or in a container of its own, without files and of the usual size.

    Larger containers have prices of their own.
    """
    if tool.type.startswith("shell"):
        where = read_as(tool.environment, _container) if is_present(tool.environment) else _Container("local")
        return isinstance(where, _Container) and where.type == "local"
    if not is_present(tool.container):
        return not tool.type.startswith("code_interpreter")
    container = read_as(tool.container, _container)
    if not isinstance(container, _Container) or container.type != "auto" or container.file_ids:
        return False
    return container.memory_limit in (None, "1g")


def _call(body: bytes, fields: Fields, wanted: _Body, bounded: Bounded) -> Call | Malformed:
    tier = read_service_tier(fields)
    if isinstance(tier, Malformed):
        return tier
    media = bounded.media
    if media.foreign_file:
        return _invalid("input", "Files kept at a provider cannot be referred to here; send them, or a URL of the web.")
    media.long_cache = media.long_cache or _long_cache(wanted)
    calls = _tool_calls(wanted)
    has_tools = bool(wanted.tools)
    return Call(
        body=body,
        fields=fields,
        model=wanted.model,
        stream=wanted.stream or False,
        output_limit=wanted.max_output_tokens,
        limit_fields=() if wanted.max_output_tokens is None else ("max_output_tokens",),
        input_bytes=len(body) + TEMPLATE_TOKENS + (TOOL_TEMPLATE_TOKENS if has_tools else 0) - media.payload_bytes,
        media_tokens=media.image_tokens + media.audio_tokens,
        input_open=media.open or bool(calls),
        input_rounds=1 + max(calls.values(), default=0),
        at_most=_at_most(media) | calls if calls or media != _NO_MEDIA else PLAIN_TEXT,
        cache_write_meter=Meter.CACHE_WRITE_1H if media.long_cache else Meter.CACHE_WRITE_5M,
        service_tier=tier,
        parameters=_parameters(wanted),
        wants_usage=True,
        end_user=wanted.safety_identifier or wanted.user,
        sticky=_sticky(wanted, bounded),
        sealed=bounded.is_sealed,
    )


_NO_MEDIA = MediaBounds()


def _at_most(media: MediaBounds) -> dict[Meter, int]:
    """Bounds by meter. What is open has none: a document can hold images, a video sound."""
    bounds = dict(PLAIN_TEXT)
    if media.long_cache:
        del bounds[Meter.CACHE_WRITE_1H]
    bounds[Meter.INPUT_IMAGE] = bounds[Meter.CACHED_IMAGE] = media.image_tokens
    bounds[Meter.INPUT_AUDIO] = bounds[Meter.CACHED_AUDIO] = media.audio_tokens
    if media.open:
        for meter in MEDIA_IN:
            del bounds[meter]
    return bounds


def _tool_calls(wanted: _Body) -> dict[Meter, int]:
    """The provider's tools that are charged by the call, each with the bound that all of them share."""
    most = wanted.max_tool_calls or DEFAULT_TOOL_CALLS
    meters = [row.meter for row in (row_of(tool.type) for tool in wanted.tools or ()) if row is not None]
    return {meter: most for meter in meters if meter is not None}


def _long_cache(wanted: _Body) -> bool:
    options = wanted.prompt_cache_options
    return is_long(wanted.prompt_cache_retention) or (options is not None and is_long(options.ttl))


def _parameters(wanted: _Body) -> tuple[tuple[str, str], ...]:
    for tool in wanted.tools or ():
        if tool.type.startswith("web_search"):
            return (("search_context_size", tool.search_context_size or "medium"),)
    return ()


def _sticky(wanted: _Body, bounded: Bounded) -> bytes:
    """What stays the same through a conversation: its key or owner, else its instructions and first question."""
    owner = wanted.metadata and (wanted.metadata.session_id or wanted.metadata.user_id)
    named = wanted.prompt_cache_key or owner or wanted.user
    head = named or f"{(wanted.instructions or '')[:STICKY_CHARACTERS]}\n{bounded.opening}"
    return head.encode(errors="replace")


def _invalid(param: str, message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)
