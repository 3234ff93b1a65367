"""What moves a price in a Responses request: its fields, and the tools the provider runs itself.

Two tables. Fields not named here pass untouched; a tool of a type not named here is refused, since
nobody could say what it costs. The reference prints both, and `GET /v1/responses/tools` the second.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from farebox.tariff.meters import Meter
from farebox.wire.price_fields import PriceField, Treatment

DEFAULT_TOOL_CALLS = 5
"""Sent as `max_tool_calls` where a caller offers tools of the provider and names no bound."""
MAX_TOOL_CALLS = 128


def _priced(name: str, how: str) -> PriceField:
    return PriceField(name, Treatment.PRICED, how)


def _refused(name: str, how: str) -> PriceField:
    return PriceField(name, Treatment.REFUSED, how)


_FOREIGN_ROUTING = "the provider could answer with another model at another price"
_STORED_ELSEWHERE = "what is stored at the provider has no bound and no owner here"

RESPONSES: tuple[PriceField, ...] = (
    _priced("input", "text by bytes; images and audio by formula; files by the context length"),
    _priced("instructions", "counts as text"),
    _priced("previous_response_id", "the stored turns are written into the input and count as such"),
    _priced("tools", "each by its type: see the table of tools"),
    _priced("max_tool_calls", "bounds the calls of tools the provider runs; 5 where none is given"),
    _priced("text", "counts as text"),
    _priced("max_output_tokens", "bounds the output, reasoning included"),
    _priced("reasoning", "reasoning is inside the output limit"),
    _priced("include", "what is included is part of the answer already"),
    _priced("store", "stored here, never at the provider; free"),
    _priced("service_tier", "the tier asked for is held, the tier served is charged"),
    _priced("prompt_cache_key", "reading a cache is never dearer than plain input"),
    _priced("prompt_cache_options", "writes are held at the price of the lifetime asked for"),
    _priced("prompt_cache_retention", "writes are held at the price of the lifetime asked for"),
    _refused("background", "the answer would outlive the request"),
    _refused("background_options", "the answer would outlive the request"),
    _refused("conversation", _STORED_ELSEWHERE),
    _refused("prompt", _STORED_ELSEWHERE),
    _refused("context_management", "the provider would shorten the conversation with output beyond the limit"),
    _refused("moderation", "it runs another model, which is charged apart"),
    _refused("n", "this endpoint gives one answer"),
    _refused("speed", "faster processing has prices of its own"),
    _refused("inference_geo", "processing in a chosen region has prices of its own"),
    _refused("plugins", "it starts tools at the provider that are charged apart"),
    _refused("models", _FOREIGN_ROUTING),
    _refused("fallbacks", _FOREIGN_ROUTING),
    _refused("route", _FOREIGN_ROUTING),
    _refused("provider", _FOREIGN_ROUTING),
    _refused("preset", _FOREIGN_ROUTING),
)


class ToolRow(msgspec.Struct, frozen=True):
    """How tools of one type are treated. With a `meter` each call is charged on top of what it puts into the input."""

    type: str
    treatment: Treatment
    how: str
    meter: Meter | None = None


def _free(type_: str, how: str = "the caller runs it; its definition counts as text") -> ToolRow:
    return ToolRow(type_, Treatment.PRICED, how)


def _tool_refused(type_: str, how: str) -> ToolRow:
    return ToolRow(type_, Treatment.REFUSED, how)


_SEARCH = "each search by the model's price for searches; what was found counts as input, each time it is read"
_FOREIGN_FILES = "stores and files at the provider have no owner here"

TOOLS: tuple[ToolRow, ...] = (
    _free("function"),
    _free("custom"),
    _free("namespace"),
    _free("local_shell"),
    ToolRow("shell", Treatment.PRICED, "free in the caller's own environment; refused in a container of the provider"),
    _free("apply_patch"),
    _free("computer"),
    _free("computer_use_preview"),
    ToolRow("web_search", Treatment.PRICED, _SEARCH, Meter.SEARCHES),
    ToolRow("web_search_preview", Treatment.PRICED, _SEARCH, Meter.SEARCHES),
    ToolRow(
        "code_interpreter",
        Treatment.PRICED,
        "each call by the model's price for tool calls; in a fresh container without files",
        Meter.TOOL_CALLS,
    ),
    _tool_refused("file_search", _FOREIGN_FILES),
    _tool_refused("image_generation", "images have prices of their own: use the images endpoint"),
    _tool_refused("mcp", "the provider would contact a third party in the operator's name"),
    _tool_refused("tool_search", "it loads tools at the provider without a bound"),
    _tool_refused("programmatic_tool_calling", "the provider would run programs without a bound"),
)

_BY_TYPE: Mapping[str, ToolRow] = {row.type: row for row in TOOLS}


def row_of(type_: str) -> ToolRow | None:
    """The row of a tool's type; a dated name such as `web_search_2025_08_26` has the row it is a version of."""
    known = _BY_TYPE.get(type_)
    if known is None:
        stem, _, dated = type_.partition("_20")
        known = _BY_TYPE.get(stem) if dated.replace("_", "").isdigit() else None
    return known
