"""Upper bounds for what the blocks of a request hold beside text (Law 1).

Nothing is decoded or downloaded. Images count at the dearest formula of all providers that could
serve the call, whichever dialect they speak (see `wire.media`). What has no bound of its own
(a PDF, a page fetched, sealed content) is `open`: the model's context length bounds it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from farebox.wire.anthropic.blocks import Block, Citations, Source
from farebox.wire.call import is_present
from farebox.wire.media import FILMS, IMAGE_TOKENS_MOST, CacheMark, is_long, is_stored

_PLAIN = frozenset(
    {"text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "tool_result", "search_result"}
    | {"tool_removal", "fallback"}
)
"""Blocks whose bytes bound their tokens. Sealed reasoning is no shorter sealed than it was."""


class BlockBounds(msgspec.Struct, gc=False):
    """The running sum over all blocks of a call."""

    image_tokens: int = 0
    payload_bytes: int = 0
    """Base64 in the body that is media, not text."""
    open: bool = False
    long_cache: bool = False
    sealed: bool = False
    """Holds what may be readable only to the upstream key that made it."""
    foreign_file: bool = False
    """Refers to a file stored at a provider, whose owner we do not know."""
    adds_tools: bool = False
    """A tool begins in the middle of the conversation, where it would pass unseen."""

    def mark(self, mark: CacheMark | None) -> None:
        """Note a cache lifetime asked for."""
        if mark is not None:
            self.long_cache = self.long_cache or is_long(mark.ttl)

    def add(self, blocks: Iterable[Block]) -> None:
        """Count blocks and all blocks inside them."""
        waiting = list(blocks)
        while waiting:
            block = waiting.pop()
            self.mark(block.cache_control)
            if isinstance(block.content, list):
                waiting.extend(block.content)
            if block.type != "text":
                self._add(block)
            if isinstance(block.source, Source) and isinstance(block.source.content, list):
                waiting.extend(block.source.content)

    def _add(self, block: Block) -> None:
        if isinstance(block.citations, Citations) and block.citations.enabled:
            self.open = True  # the provider cuts the text into numbered pieces
        if block.type == "image":
            self.image_tokens += IMAGE_TOKENS_MOST
            self._add_source(block.source, is_text=False)
        elif block.type == "document":
            self._add_source(block.source, is_text=True)
        elif block.type not in _PLAIN:
            self._add_unknown(block)

    def _add_source(self, source: Source | str | None, *, is_text: bool) -> None:
        if not isinstance(source, Source):
            self.open = True
            return
        if source.type == "file" or (source.url is not None and is_stored(source.url)):
            self.foreign_file = True
        elif source.type == "base64":
            self.payload_bytes += len(memoryview(source.data))
        self.open = self.open or (_may_hold_more(source) if not is_text else source.type not in ("text", "content"))

    def _add_unknown(self, block: Block) -> None:
        self.open = True
        self.sealed = self.sealed or block.type == "compaction" or is_present(block.encrypted_content)
        self.foreign_file = self.foreign_file or block.type == "container_upload"
        self.adds_tools = self.adds_tools or block.type == "tool_addition"


def _may_hold_more(source: Source) -> bool:
    """Whether what is given as an image could be a document, a sound or a film to some provider."""
    if source.url is not None and any(name in source.url.lower() for name in FILMS):
        return True
    return source.media_type is not None and not source.media_type.strip().lower().startswith("image/")
