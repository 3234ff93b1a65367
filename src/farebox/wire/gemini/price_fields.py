"""The fields of Gemini's dialect that move a price (see `wire.price_fields` for what a row says).

Fields stand under their camelCase name; snake_case means the same.
"""

from __future__ import annotations

from farebox.wire.price_fields import PriceField, Treatment

SEARCHES_MOST = 16
"""Searches held for each candidate. The model decides how many it makes; usually four to seven."""

SEARCH_TOKENS = 8_192
"""Input held for the results of a search. Google's own figures are far smaller; it does not charge most of them."""


def _priced(name: str, how: str) -> PriceField:
    return PriceField(name, Treatment.PRICED, how)


def _refused(name: str, how: str) -> PriceField:
    return PriceField(name, Treatment.REFUSED, how)


_SERVER_TOOL = "it starts work at the provider that is charged apart"
_FOREIGN_ROUTING = "the provider could answer with another model at another price"
_STORED = "things stored at the provider belong to nobody here"

GEMINI: tuple[PriceField, ...] = (
    _priced("contents", "text by bytes; images and audio by formula; documents and video by the context length"),
    _priced("systemInstruction", "text by bytes"),
    _priced("tools.functionDeclarations", "counts as text"),
    _priced(
        "tools.googleSearch",
        f"a search for each query it makes, at most {SEARCHES_MOST} for each candidate, and {SEARCH_TOKENS:,} tokens "
        "of input for each",
    ),
    _priced("tools.googleSearchRetrieval", "as googleSearch"),
    _priced("tools.urlContext", "what is fetched is input, bounded by the context length"),
    _priced("tools.codeExecution", "what it prints is input, bounded by the context length"),
    _priced("tools.computerUse", "input bounded by the context length"),
    _refused("tools.googleMaps", _SERVER_TOOL),
    _refused("tools.fileSearch", _STORED),
    _refused("tools.retrieval", _STORED),
    _refused("tools.enterpriseWebSearch", _SERVER_TOOL),
    _refused("tools.parallelAiSearch", _SERVER_TOOL),
    _refused("tools.exaAiSearch", _SERVER_TOOL),
    _refused("tools.mcpServers", _SERVER_TOOL),
    _priced("generationConfig.maxOutputTokens", "bounds the output of each candidate, thoughts included"),
    _priced("generationConfig.candidateCount", "multiplies the output"),
    _priced("generationConfig.responseSchema", "counts as text"),
    _priced("generationConfig.responseJsonSchema", "counts as text"),
    _priced("generationConfig.responseModalities", "images and sound are output of their own meter, inside the limit"),
    _priced("generationConfig.thinkingConfig", "thoughts are output, inside the limit"),
    _priced("generationConfig.mediaResolution", "bounds the tokens of an image"),
    _refused("generationConfig.routingConfig", _FOREIGN_ROUTING),
    _refused("generationConfig.modelSelectionConfig", _FOREIGN_ROUTING),
    _priced("serviceTier", "the tier asked for is held, the tier served is charged"),
    _refused("cachedContent", _STORED),
    _refused("modelArmorConfig", _SERVER_TOOL),
)

GEMINI_EMBEDDINGS: tuple[PriceField, ...] = (
    _priced("content", "text by bytes; images and audio by formula; documents and video by the context length"),
    _priced("requests", "each is priced like a request of its own"),
    _priced("outputDimensionality", "a parameter of the rate card; no effect on usage"),
    _refused("cachedContent", _STORED),
)


def rows_below(parent: str, table: tuple[PriceField, ...]) -> dict[str, PriceField]:
    """The rows of a table for the fields of the object `parent` (empty: the body), by their own name."""
    start = f"{parent}." if parent else ""
    named = {row.name.removeprefix(start): row for row in table if row.name.startswith(start)}
    return {name: row for name, row in named.items() if "." not in name}
