"""Input items as written: only what bounds their price.

Items enter as they came; a `Bounded` leaves, or the reason they cannot be served. An item or part of a type
not known here counts as open, since it may stand for anything.
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT, Malformed, MalformedCode, is_present
from farebox.wire.json_object import read_as
from farebox.wire.media import AudioPayload, CacheMark, ImageReference, MediaBounds, is_long
from farebox.wire.media import Part as MediaPart
from farebox.wire.responses.envelope import is_envelope

STICKY_CHARACTERS = 512


class Part(msgspec.Struct, frozen=True, gc=False):
    """A part of an item's content or output."""

    type: str = ""
    text: msgspec.Raw = ABSENT
    image_url: msgspec.Raw = ABSENT
    detail: str | None = None
    file_id: str | None = None
    file_data: msgspec.Raw = ABSENT
    input_audio: AudioPayload | None = None
    prompt_cache_breakpoint: CacheMark | None = None


class InnerTool(msgspec.Struct, frozen=True, gc=False):
    """A tool offered anywhere but in `tools` itself: in a namespace, or in an item."""

    type: str = ""
    tools: list[InnerTool] | None = None


class Item(msgspec.Struct, frozen=True, gc=False):
    """One input item. Without a type it is a message, or a reference if it has nothing but an id."""

    type: str | None = None
    role: str | None = None
    id: str | None = None
    content: msgspec.Raw = ABSENT
    output: msgspec.Raw = ABSENT
    encrypted_content: msgspec.Raw = ABSENT
    tools: msgspec.Raw = ABSENT

    @property
    def kind(self) -> str:
        """Its type, said or not."""
        if self.type is not None:
            return self.type
        return "item_reference" if self.role is None and self.content is ABSENT else "message"


_CLIENT_RUN = ("function", "custom_tool", "computer", "local_shell", "shell", "apply_patch")
_TEXT_ITEMS = frozenset(
    {"message", "reasoning", "compaction", "additional_tools", "image_generation_call"}
    | {"web_search_call", "file_search_call", "code_interpreter_call", "tool_search_call", "tool_search_output"}
    | {"mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call"}
    | {f"{tool}_call{suffix}" for tool in _CLIENT_RUN for suffix in ("", "_output")}
)
"""Items whose bytes, with the media inside, bound what they cost."""
_TEXT_PARTS = frozenset({"input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"})
_IMAGE_PARTS = frozenset({"input_image", "computer_screenshot"})

_INNER = frozenset({"function", "custom", "namespace"})
_inner_tools = msgspec.json.Decoder(list[InnerTool])
_parts = msgspec.json.Decoder(list[Part])
_part = msgspec.json.Decoder(Part)
_item = msgspec.json.Decoder(Item)
_items = msgspec.json.Decoder(list[Item])
_text = msgspec.json.Decoder(str)


class Bounded(msgspec.Struct, gc=False):
    """The sum over all items."""

    media: MediaBounds
    items: int = 0
    is_sealed: bool = False
    """Some reasoning can be read only by the upstream key that made it."""
    opening: str = ""
    """The head of the conversation, up to its first question."""


def bound_items(items: msgspec.Raw) -> Bounded | Malformed:
    """Read the `input` of a request: a string, or items."""
    bounded = Bounded(MediaBounds())
    if bytes(memoryview(items)[:1]) == b'"':
        text = read_as(items, _text)
        if isinstance(text, Malformed):
            return _at(text, "input")
        bounded.opening, bounded.items = text[:STICKY_CHARACTERS], 1
        return bounded
    read = read_as(items, _items)
    if isinstance(read, Malformed):
        return _at(read, "input")
    asked = False
    for place, item in enumerate(read):
        problem = _add(item, bounded, f"input[{place}]", heading=not asked)
        if problem is not None:
            return problem
        asked = asked or item.role == "user"
    bounded.items = len(read)
    return bounded


def is_spent(written: msgspec.Raw) -> bool:
    """Whether an item is reasoning that was not sealed: a provider that stores nothing cannot take it back."""
    if b'"reasoning"' not in bytes(written):
        return False
    item = read_as(written, _item)
    return isinstance(item, Item) and item.kind == "reasoning" and not is_present(item.encrypted_content)


def runs_elsewhere(tools: list[InnerTool]) -> bool:
    """Whether any of them, or of those inside them, runs anywhere but at the caller's: such a tool has a price."""
    waiting = list(tools)
    while waiting:
        tool = waiting.pop()
        if tool.type not in _INNER:
            return True
        waiting.extend(tool.tools or ())
    return False


def _add(item: Item, bounded: Bounded, path: str, *, heading: bool) -> Malformed | None:
    kind = item.kind
    if kind == "item_reference":
        return _invalid(path, "There is no stored item of this id in your account.")
    if is_present(item.tools) and kind != "mcp_list_tools":
        tools = read_as(item.tools, _inner_tools)
        if isinstance(tools, Malformed) or runs_elsewhere(tools):
            return _invalid(path, "Only tools you run yourself can be added in the middle of a conversation here.")
    if kind not in _TEXT_ITEMS:
        bounded.media.open = True
    if kind == "image_generation_call":
        bounded.media.add(_image(b'""', None))
    if is_present(item.encrypted_content) and not is_envelope(item.encrypted_content):
        bounded.is_sealed = True
    for inner in (item.content, item.output):
        problem = _add_inner(inner, bounded, path, heading=heading)
        if problem is not None:
            return problem
    return None


def _add_inner(inner: msgspec.Raw, bounded: Bounded, path: str, *, heading: bool) -> Malformed | None:
    """Content or output of an item: text, a part, or parts."""
    first = bytes(memoryview(inner)[:1])
    if first not in (b"[", b"{"):
        if heading and first == b'"':
            bounded.opening += bytes(memoryview(inner)[:STICKY_CHARACTERS]).decode(errors="replace")
        return None
    parts = read_as(inner, _parts) if first == b"[" else read_as(inner, _part)
    if isinstance(parts, Malformed):
        return _at(parts, path)
    for part in parts if isinstance(parts, list) else [parts]:
        if part.file_id is not None:
            return _invalid(path, "Files cannot be referred to by 'file_id' here; send the file itself, or its URL.")
        _add_part(part, bounded.media)
        if heading and is_present(part.text):
            bounded.opening += bytes(memoryview(part.text)[:STICKY_CHARACTERS]).decode(errors="replace")
    return None


def _add_part(part: Part, media: MediaBounds) -> None:
    if part.prompt_cache_breakpoint is not None:
        media.long_cache = media.long_cache or is_long(part.prompt_cache_breakpoint.ttl)
    if part.type in _IMAGE_PARTS:
        media.add(_image(bytes(part.image_url) if is_present(part.image_url) else b'""', part.detail))
    elif part.type == "input_audio" and part.input_audio is not None:
        media.add(MediaPart("input_audio", input_audio=part.input_audio))
    elif part.type == "input_file" or part.type not in _TEXT_PARTS | {""}:
        media.open = True
        media.payload_bytes += len(memoryview(part.file_data))


def _image(url: bytes, detail: str | None) -> MediaPart:
    return MediaPart("image_url", image_url=ImageReference(msgspec.Raw(url), detail))


def _invalid(param: str, message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)


def _at(problem: Malformed, path: str) -> Malformed:
    """The same problem, found below `path`."""
    inner = problem.param or ""
    where = path + inner.removeprefix("$").replace("[...]", "") if inner.startswith("[") else path
    return Malformed(problem.code, f"Invalid value for '{where}'.", where)
