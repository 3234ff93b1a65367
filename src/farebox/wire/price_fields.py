"""The fields of each dialect that move a price, and what is done about each (gateway: what goes upstream).

A field is PRICED (and `how` says what bounds it, so that the hold covers it) or REFUSED with 400,
because what it buys is not on the caller's rate card. Fields not named here pass untouched.
A refused field that is `null` or `false` asks for nothing and passes.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from farebox.wire.call import Fields, Malformed, MalformedCode, is_set, text_field


class Treatment(StrEnum):
    PRICED = "priced"
    REFUSED = "refused"


class PriceField(msgspec.Struct, frozen=True):
    """One row of the table. `how` is for people: it is printed in the reference and in refusals."""

    name: str
    treatment: Treatment
    how: str


def priced(name: str, how: str) -> PriceField:
    """A field that is served; `how` says what bounds its price."""
    return PriceField(name, Treatment.PRICED, how)


def refused(name: str, how: str) -> PriceField:
    """A field that is not; `how` says why."""
    return PriceField(name, Treatment.REFUSED, how)


FOREIGN_ROUTING = "the provider could answer with another model at another price"
_SERVER_TOOL = "it starts tools at the provider that are charged apart"

OPENAI_CHAT: tuple[PriceField, ...] = (
    priced("messages", "text by bytes; images and audio by formula; documents and video by the context length"),
    priced("tools", "function and custom tools count as text; tools the provider runs are refused"),
    priced("functions", "counts as text"),
    priced("response_format", "counts as text"),
    priced("max_tokens", "bounds the output of each choice"),
    priced("max_completion_tokens", "bounds the output of each choice"),
    priced("n", "multiplies the output; at most 128"),
    priced("service_tier", "the tier asked for is held, the tier served is charged"),
    priced("prediction", "rejected predictions are output: its bytes are held for each choice on top of the limit"),
    priced("modalities", "audio and images count as output of their own meter, inside the output limit"),
    priced("audio", "with modalities"),
    priced("reasoning_effort", "reasoning is inside the output limit"),
    priced("reasoning", "reasoning is inside the output limit"),
    priced("thinking", "reasoning is inside the output limit"),
    priced("web_search_options", "one search for each choice, and input bounded by the context length"),
    priced("prompt_cache_key", "reading a cache is never dearer than plain input"),
    priced("prompt_cache_options", "writes are held at the price of the lifetime asked for"),
    priced("prompt_cache_retention", "writes are held at the price of the lifetime asked for"),
    priced("cache_control", "writes are held at the price of the lifetime asked for"),
    refused("background", "the answer would outlive the request"),
    refused("speed", "faster processing has prices of its own"),
    refused("inference_geo", "processing in a chosen region has prices of its own"),
    refused("batch", "use the batch endpoint"),
    refused("best_of", "candidates that are never shown are charged too"),
    refused("use_beam_search", "candidates that are never shown are charged too"),
    refused("search_parameters", _SERVER_TOOL),
    refused("search_options", _SERVER_TOOL),
    refused("enable_search", _SERVER_TOOL),
    refused("web_search", _SERVER_TOOL),
    refused("plugins", _SERVER_TOOL),
    refused("mcp_servers", _SERVER_TOOL),
    refused("server_tools", _SERVER_TOOL),
    refused("container", _SERVER_TOOL),
    refused("models", FOREIGN_ROUTING),
    refused("fallbacks", FOREIGN_ROUTING),
    refused("route", FOREIGN_ROUTING),
    refused("provider", FOREIGN_ROUTING),
    refused("preset", FOREIGN_ROUTING),
    refused("previous_response_id", "stored conversations belong to the Responses endpoint"),
    refused("conversation", "stored conversations belong to the Responses endpoint"),
)

OPENAI_EMBEDDINGS: tuple[PriceField, ...] = (
    priced("input", "text by bytes; an array of token numbers counts one each"),
    priced("dimensions", "a parameter of the rate card; no effect on usage"),
    priced("service_tier", "the tier asked for is held, the tier served is charged"),
    *(row for row in OPENAI_CHAT if row.treatment is Treatment.REFUSED),
)

OPENAI_COMPLETIONS: tuple[PriceField, ...] = (
    priced("prompt", "text by bytes; an array of token numbers counts one each; each prompt is answered"),
    priced("suffix", "counts as text"),
    priced("max_tokens", "bounds the output of each answer; 16 if not given"),
    priced("n", "multiplies the output; at most 128 answers together"),
    priced("echo", "a prompt shown again is no output"),
    priced("service_tier", "the tier asked for is held, the tier served is charged"),
    priced("prompt_cache_key", "reading a cache is never dearer than plain input"),
    *(row for row in OPENAI_CHAT if row.treatment is Treatment.REFUSED),
)

OPENAI_MODERATIONS: tuple[PriceField, ...] = (
    priced("input", "text by bytes; images by formula"),
    *(row for row in OPENAI_CHAT if row.treatment is Treatment.REFUSED),
)

RERANK: tuple[PriceField, ...] = (
    priced("query", "counts as text once for each document"),
    priced("documents", "count as text by bytes; a search for each hundred of them, long ones counted in parts"),
    priced("top_n", "no effect on usage"),
    priced("return_documents", "no effect on usage"),
    priced("max_tokens_per_doc", "cuts documents short; the whole of them is held"),
    *(row for row in OPENAI_CHAT if row.treatment is Treatment.REFUSED),
)

SERVICE_TIERS = {"auto": "auto", "default": "default", "flex": "flex", "scale": "scale", "priority": "priority"}
SERVICE_TIERS["fast"] = "priority"  # the provider's own alias: it answers `priority`
SERVICE_TIERS["standard"] = "default"

FREE_TOOLS = frozenset({"function", "custom"})
"""Tools the caller runs itself. Any other type runs at the provider and is charged apart."""


def refused_names(table: tuple[PriceField, ...]) -> dict[str, PriceField]:
    """The refused rows of a table by name, for `refuse_fields`."""
    return {row.name: row for row in table if row.treatment is Treatment.REFUSED}


def refuse_fields(fields: Fields, refused: dict[str, PriceField]) -> Malformed | None:
    """The refusal for the first field that is set and refused, or None."""
    if refused.keys().isdisjoint(fields):
        return None
    for name in fields:
        if name in refused and is_set(fields, name):
            message = f"'{name}' is not available here: {refused[name].how}."
            return Malformed(MalformedCode.INVALID_PARAMETER, message, name)
    return None


def read_service_tier(fields: Fields) -> str | Malformed | None:
    """The tier asked for under its one name; None if none was. An unknown tier has no price: refused."""
    if not is_set(fields, "service_tier"):
        return None
    tier = SERVICE_TIERS.get(text_field(fields, "service_tier") or "")
    if tier is None:
        known = ", ".join(sorted(SERVICE_TIERS))
        return Malformed(MalformedCode.INVALID_PARAMETER, f"'service_tier' must be one of: {known}.", "service_tier")
    return tier
