"""The fields of a Messages request that move its price (see `wire.price_fields`).

Headers need no table: a beta that has a price does nothing without its field (`speed`, `fallbacks`,
`compaction`, `mcp_servers` …), and one that widens the context moves the price by the input it lets in.
"""

from __future__ import annotations

from farebox.wire.price_fields import FOREIGN_ROUTING, PriceField, priced, refused

_LOOPS = "it starts work at the provider that nothing here bounds"
_STORED = "it refers to something kept at the provider, whose owner is not known here"

_PRICED = {
    "system": "counts as text",
    "messages": "text by bytes; images by formula; documents and sealed results of tools by the context length",
    "max_tokens": "bounds the output",
    "tools": "tools of yours count as text; web search and web fetch are held by `max_uses`; other provider tools are "
    "refused",
    "thinking": "reasoning is inside the output limit",
    "output_config": "reasoning is inside the output limit; a schema counts as text",
    "output_format": "counts as text",
    "cache_control": "writes are held at the price of the lifetime asked for",
    "service_tier": "`auto`, which is the default, holds the dearest tier; the tier served is charged",
    "context_management": "clearing only makes the input smaller; compaction is refused, its usage is told apart",
    "speed": "`standard` only: faster processing has prices of its own",
    "inference_geo": "`global` only: processing in a chosen region has prices of its own",
}
_REFUSED = {
    "mcp_servers": _LOOPS,
    "container": _STORED,
    "compaction": "its usage is told apart from the answer's",
    "thread": _STORED,
    "fallbacks": FOREIGN_ROUTING,
    "fallback_credit_token": "it changes what the provider bills",
    "billing_policy": "it changes who is billed",
    "plugins": _LOOPS,
    "models": FOREIGN_ROUTING,
    "route": FOREIGN_ROUTING,
    "provider": FOREIGN_ROUTING,
    "preset": FOREIGN_ROUTING,
    "n": "a call has one answer in this dialect",
}

ANTHROPIC: tuple[PriceField, ...] = (
    *(priced(name, how) for name, how in _PRICED.items()),
    *(refused(name, how) for name, how in _REFUSED.items()),
)
