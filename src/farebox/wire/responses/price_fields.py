"""What moves a price in a Responses request: its fields, and the tools the provider runs itself.

Two tables. Fields not named here pass untouched; a tool of a type not named here is refused, since
nobody could say what it costs. The reference prints both, and `GET /v1/responses/tools` the second.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from farebox.tariff.meters import Meter
from farebox.wire.price_fields import FOREIGN_ROUTING, PriceField, Treatment, priced, refused

DEFAULT_TOOL_CALLS = 5
"""Sent as `max_tool_calls` where a caller offers tools of the provider and names no bound."""
MAX_TOOL_CALLS = 128


_STORED_ELSEWHERE = "what is stored at the provider has no bound and no owner here"

RESPONSES: tuple[PriceField, ...] = (
    priced("input", "text by bytes; images and audio by formula; files by the context length"),
    priced("instructions", "counts as text"),
    priced("previous_response_id", "the stored turns are written into the input and count as such"),
    priced("tools", "each by its type: see the table of tools"),
    priced("max_tool_calls", "bounds the calls of tools the provider runs; 5 where none is given"),
    priced("text", "counts as text"),
    priced("max_output_tokens", "bounds the output, reasoning included"),
    priced("reasoning", "reasoning is inside the output limit"),
    priced("include", "what is included is part of the answer already"),
    priced("store", "stored here, never at the provider; free"),
    priced("service_tier", "the tier asked for is held, the tier served is charged"),
    priced("prompt_cache_key", "reading a cache is never dearer than plain input"),
    priced("prompt_cache_options", "writes are held at the price of the lifetime asked for"),
    priced("prompt_cache_retention", "writes are held at the price of the lifetime asked for"),
    refused("background", "the answer would outlive the request"),
    refused("background_options", "the answer would outlive the request"),
    refused("conversation", _STORED_ELSEWHERE),
    refused("prompt", _STORED_ELSEWHERE),
    refused("context_management", "the provider would shorten the conversation with output beyond the limit"),
    refused("moderation", "it runs another model, which is charged apart"),
    refused("n", "this endpoint gives one answer"),
    refused("speed", "faster processing has prices of its own"),
    refused("inference_geo", "processing in a chosen region has prices of its own"),
    refused("plugins", "it starts tools at the provider that are charged apart"),
    refused("models", FOREIGN_ROUTING),
    refused("fallbacks", FOREIGN_ROUTING),
    refused("route", FOREIGN_ROUTING),
    refused("provider", FOREIGN_ROUTING),
    refused("preset", FOREIGN_ROUTING),
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
