"""Random chat requests in the neutral form, made of what a dialect's table lets it say, and how two are compared.

Comparing forgets what no dialect promises to keep: how turns are cut, how JSON is spaced, and in
which order an answer's kinds of content stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import strategies as st

from farebox.wire.call import PLAIN_BODY, Call, raw
from farebox.wire.chat.features import Feature, Table
from farebox.wire.chat.request import (
    Audio,
    Block,
    ChatRequest,
    Document,
    Format,
    Image,
    Message,
    Reasoning,
    Role,
    Source,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Video,
)
from farebox.wire.chat.speech import Speech
from farebox.wire.dialect import Dialect, dialect_at

MODEL = "gpt-4o-mini"
BASE64 = "aGVsbG8="
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where"}},
    "required": ["city"],
    "additionalProperties": False,
}
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30).filter(str.strip)
NAMES = st.sampled_from(["get_weather", "search", "run_shell"])
ARGUMENTS = st.dictionaries(st.sampled_from(["city", "n", "é"]), st.integers(0, 9) | TEXTS, max_size=2)


def dialect_of(speech: Speech, *, stream: bool = False) -> Dialect:
    """The caller's side of a chat dialect, at the address it is called at."""
    found = dialect_at("/v1" + speech.path(MODEL, stream=stream))
    assert found is not None
    assert found.name == speech.name
    return found


def call_of(speech: Speech, request: ChatRequest) -> Call:
    """The call a client makes that says what `request` says."""
    body = speech.write_request(request, upstream_model=MODEL, channel=PLAIN_BODY)
    call = dialect_of(speech, stream=request.stream).parse(body)
    assert isinstance(call, Call), (call, body)
    return call


class Says:
    """What a dialect expresses."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __call__(self, *features: Feature) -> bool:
        return all(feature not in self._table for feature in features)


@st.composite
def requests(draw: st.DrawFn, table: Table, origin: str) -> ChatRequest:
    """Anything that dialect expresses, in a conversation that makes sense."""
    says = Says(table)
    tools = draw(_tools(says))
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message(Role.SYSTEM, (Text(draw(TEXTS)),)))
    for turn in range(draw(st.integers(0, 2))):
        messages.append(Message(Role.USER, draw(_asked(says))))
        messages += draw(_answered(says, origin, tools, turn))
    if not messages or messages[-1].role is not Role.USER:
        messages.append(Message(Role.USER, draw(_asked(says))))
    return ChatRequest(
        messages=tuple(messages),
        tools=tools,
        tool_choice=draw(_choices(says, tools)),
        stop=draw(st.sampled_from([(), ("END",), ("END", "\n\n")])) if says(Feature.STOP) else (),
        format=draw(_formats(says)),
        output_limit=draw(st.integers(2_000, 4_000)),
        reasoning=draw(_reasoning(says)),
        stream=draw(st.booleans()),
        **draw(_numbers(says)),
    )


def _numbers(says: Says) -> st.SearchStrategy[dict[str, Any]]:
    possible: dict[str, tuple[Feature, st.SearchStrategy[Any]]] = {
        "temperature": (Feature.TEMPERATURE, st.sampled_from([raw(0), raw(1), msgspec.Raw(b"0.70")])),
        "top_p": (Feature.TOP_P, st.just(msgspec.Raw(b"0.95"))),
        "top_k": (Feature.TOP_K, st.just(40)),
        "frequency_penalty": (Feature.PENALTIES, st.just(msgspec.Raw(b"0.5"))),
        "presence_penalty": (Feature.PENALTIES, st.just(msgspec.Raw(b"-0.5"))),
        "seed": (Feature.SEED, st.just(7)),
        "verbosity": (Feature.VERBOSITY, st.just("low")),
        "service_tier": (Feature.SERVICE_TIER, st.sampled_from(["default", "priority", "flex"])),
    }
    held = {name: strategy for name, (feature, strategy) in possible.items() if says(feature)}
    return st.fixed_dictionaries({}, optional=held)


@st.composite
def _tools(draw: st.DrawFn, says: Says) -> tuple[Tool, ...]:
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    strict = st.sampled_from([None, True]) if says(Feature.STRICT_TOOLS) else st.none()
    ttl = st.sampled_from([None, "5m", "1h"]) if says(Feature.CACHE_MARKS) else st.none()
    return tuple(
        Tool(name, draw(st.none() | TEXTS), raw(SCHEMA), strict=draw(strict), cache_ttl=draw(ttl)) for name in names
    )


@st.composite
def _choices(draw: st.DrawFn, says: Says, tools: tuple[Tool, ...]) -> ToolChoice | None:
    if not tools:
        return None
    modes = ["auto", "none", "required", "named"]
    if len(tools) > 1 and says(Feature.TOOL_CHOICE_SEVERAL):
        modes.append("several")
    mode = draw(st.sampled_from(modes))
    parallel = draw(st.sampled_from([None, False])) if says(Feature.PARALLEL_TOOLS) and mode != "none" else None
    match mode:
        case "named":
            return ToolChoice(mode, (tools[0].name,), parallel)
        case "several":
            return ToolChoice("named", tuple(tool.name for tool in tools[:2]), parallel)
        case _:
            return ToolChoice(mode, parallel=parallel)


@st.composite
def _formats(draw: st.DrawFn, says: Says) -> Format | None:
    kinds = ["none"]
    kinds += ["json_object"] if says(Feature.JSON_OBJECT) else []
    kinds += ["json_schema"] if says(Feature.JSON_SCHEMA) else []
    match draw(st.sampled_from(kinds)):
        case "json_schema":
            return Format("json_schema", "answer", raw(SCHEMA), strict=True)
        case "json_object":
            return Format("json_object")
        case _:
            return None


def _reasoning(says: Says) -> st.SearchStrategy[Reasoning | None]:
    possible: list[Reasoning | None] = [None]
    if says(Feature.EFFORT):
        possible += [Reasoning("low"), Reasoning("high")]
    if says(Feature.BUDGET):
        possible += [Reasoning(budget=1_500)]
    return st.sampled_from(possible)


@st.composite
def _asked(draw: st.DrawFn, says: Says) -> tuple[Block, ...]:
    possible: list[Block] = []
    possible += [Image(Source(url="https://example.com/a.png"))] if says(Feature.IMAGE_URL) else []
    possible += [Image(Source(base64=BASE64, media_type="image/png"))] if says(Feature.IMAGE_BYTES) else []
    if says(Feature.IMAGE_BYTES, Feature.IMAGE_DETAIL):
        possible.append(Image(Source(base64=BASE64, media_type="image/jpeg"), detail="low"))
    possible += [Document(Source(url="https://example.com/a.pdf"), "a.pdf")] if says(Feature.DOCUMENT_URL) else []
    if says(Feature.DOCUMENT_BYTES):
        possible.append(Document(Source(base64=BASE64, media_type="application/pdf"), "a.pdf"))
    possible += [Document(Source(text="plain words"), "a.txt")] if says(Feature.DOCUMENT_TEXT) else []
    possible += [Audio(Source(base64=BASE64, media_type="audio/wav"))] if says(Feature.AUDIO_INPUT) else []
    possible += [Video(Source(url="https://example.com/a.mp4"))] if says(Feature.VIDEO_INPUT) else []
    media = draw(st.lists(st.sampled_from(possible), max_size=2)) if possible else []
    ttl = draw(st.sampled_from([None, "5m", "1h"])) if says(Feature.CACHE_MARKS) else None
    return (*media, Text(draw(TEXTS), cache_ttl=ttl))


@st.composite
def _answered(draw: st.DrawFn, says: Says, origin: str, tools: tuple[Tool, ...], turn: int) -> list[Message]:
    blocks: list[Block] = []
    if says(Feature.THOUGHTS) and draw(st.booleans()):
        blocks.append(Thinking(origin, draw(TEXTS), signature="c2lnbmVk"))
    uses = draw(st.integers(0, 2)) if tools else 0
    if not uses or draw(st.booleans()):
        blocks.append(Text(draw(TEXTS)))
    calls = [
        ToolUse(f"call_{turn}_{n}", draw(st.sampled_from(tools)).name, json.dumps(draw(ARGUMENTS))) for n in range(uses)
    ]
    said = [Message(Role.ASSISTANT, (*blocks, *calls))]
    if calls:
        said.append(Message(Role.USER, tuple(draw(_result(says, call)) for call in calls)))
    return said


@st.composite
def _result(draw: st.DrawFn, says: Says, use: ToolUse) -> ToolResult:
    blocks: list[Text | Image | Document] = [Text(draw(TEXTS))]
    if says(Feature.MEDIA_IN_TOOL_RESULTS, Feature.IMAGE_BYTES) and draw(st.booleans()):
        blocks.append(Image(Source(base64=BASE64, media_type="image/png")))
    failed = draw(st.booleans()) if says(Feature.TOOL_ERRORS) else False
    return ToolResult(use.id, tuple(blocks), name=use.name, is_error=failed)


def compared(request: ChatRequest, *, table: Table) -> dict[str, Any]:
    """What of a request must survive being written in a dialect of that table and read again."""
    says = Says(table)
    fields = (field for field in msgspec.structs.fields(ChatRequest) if field.name not in _APART)
    found: dict[str, Any] = {field.name: _plain(getattr(request, field.name)) for field in fields}
    found["messages"] = _turns(request.messages)
    found["tools"] = [_plain(tool) for tool in request.tools]
    found["tool_choice"] = _plain(_said(request.tool_choice))
    reasoning = request.reasoning
    if reasoning is not None:
        found["effort"] = reasoning.effort if says(Feature.EFFORT) else None
        found["budget"] = reasoning.budget if says(Feature.BUDGET) else None
    if request.format is not None:
        found["format"] = {"kind": request.format.kind, "schema": _plain(request.format.schema)}
    return found


_APART = frozenset(
    {"messages", "tools", "tool_choice", "reasoning", "format", "others", "metadata", "end_user", "cache_key"}
)


def _said(choice: ToolChoice | None) -> ToolChoice | None:
    """Without the choice that is none: any tool or no tool."""
    return None if choice == ToolChoice() else choice


def _turns(messages: Iterable[Message]) -> list[Any]:
    turns: list[tuple[Role, list[Block]]] = []
    for message in messages:
        if not turns or turns[-1][0] is not message.role:
            turns.append((message.role, []))
        turns[-1][1].extend(message.blocks)
    return [(role.value, [_plain(block) for block in sorted(blocks, key=_rank)]) for role, blocks in turns]


def _rank(block: Block) -> int:
    """The order within a turn that dialects without one would give it."""
    order = {Thinking: 0, ToolResult: 0, ToolUse: 2}
    return order.get(type(block), 1)


def _plain(value: Any) -> Any:
    """As JSON would show it, JSON inside read, numbers by value."""
    match value:
        case msgspec.Raw():
            return json.loads(bytes(value)) if bytes(value) else None
        case ToolUse():
            fields = msgspec.structs.asdict(value)
            return fields | {"arguments": json.loads(value.arguments or "{}")}
        case msgspec.Struct():
            return {name: _plain(inner) for name, inner in msgspec.structs.asdict(value).items()} | {
                "": type(value).__name__
            }
        case tuple() | list():
            return [_plain(inner) for inner in value]
        case _:
            return value
