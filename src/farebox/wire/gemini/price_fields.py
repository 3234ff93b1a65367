"""The fields of Gemini's dialect that move a price (see `wire.price_fields` for what a row says).

Fields stand under their camelCase name; snake_case means the same.
"""

from __future__ import annotations

from farebox.wire.price_fields import FOREIGN_ROUTING, PriceField, priced, refused

SEARCHES_MOST = 16
"""Searches held for each candidate. The model decides how many it makes; usually four to seven."""

SEARCH_TOKENS = 8_192
"""Input held for the results of a search. Google's own figures are far smaller; it does not charge most of them."""


_SERVER_TOOL = "it starts work at the provider that is charged apart"
_STORED = "things stored at the provider belong to nobody here"

GEMINI: tuple[PriceField, ...] = (
    priced("contents", "text by bytes; images and audio by formula; documents and video by the context length"),
    priced("systemInstruction", "text by bytes"),
    priced("tools.functionDeclarations", "counts as text"),
    priced(
        "tools.googleSearch",
        f"a search for each query it makes, at most {SEARCHES_MOST} for each candidate, and {SEARCH_TOKENS:,} tokens "
        "of input for each",
    ),
    priced("tools.googleSearchRetrieval", "as googleSearch"),
    priced("tools.urlContext", "what is fetched is input, bounded by the context length"),
    priced("tools.codeExecution", "what it prints is input, bounded by the context length"),
    priced("tools.computerUse", "input bounded by the context length"),
    refused("tools.googleMaps", _SERVER_TOOL),
    refused("tools.fileSearch", _STORED),
    refused("tools.retrieval", _STORED),
    refused("tools.enterpriseWebSearch", _SERVER_TOOL),
    refused("tools.parallelAiSearch", _SERVER_TOOL),
    refused("tools.exaAiSearch", _SERVER_TOOL),
    refused("tools.mcpServers", _SERVER_TOOL),
    priced("generationConfig.maxOutputTokens", "bounds the output of each candidate, thoughts included"),
    priced("generationConfig.candidateCount", "multiplies the output"),
    priced("generationConfig.responseSchema", "counts as text"),
    priced("generationConfig.responseJsonSchema", "counts as text"),
    priced("generationConfig.responseModalities", "images and sound are output of their own meter, inside the limit"),
    priced("generationConfig.thinkingConfig", "thoughts are output, inside the limit"),
    priced("generationConfig.mediaResolution", "bounds the tokens of an image"),
    refused("generationConfig.routingConfig", FOREIGN_ROUTING),
    refused("generationConfig.modelSelectionConfig", FOREIGN_ROUTING),
    priced("serviceTier", "the tier asked for is held, the tier served is charged"),
    refused("cachedContent", _STORED),
    refused("modelArmorConfig", _SERVER_TOOL),
)

GEMINI_EMBEDDINGS: tuple[PriceField, ...] = (
    priced("content", "text by bytes; images and audio by formula; documents and video by the context length"),
    priced("requests", "each is priced like a request of its own"),
    priced("outputDimensionality", "a parameter of the rate card; no effect on usage"),
    refused("cachedContent", _STORED),
)


def rows_below(parent: str, table: tuple[PriceField, ...]) -> dict[str, PriceField]:
    """The rows of a table for the fields of the object `parent` (empty: the body), by their own name."""
    start = f"{parent}." if parent else ""
    named = {row.name.removeprefix(start): row for row in table if row.name.startswith(start)}
    return {name: row for name, row in named.items() if "." not in name}
