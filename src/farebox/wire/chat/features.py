"""What a chat request can ask for that not every dialect can say, and what is done about it.

Each dialect has a table: a feature it does not name is EXPRESSED. DROPPED is left out silently
because the answer stays what was asked for; REFUSED gives 400 with the field, because it would
not. The documentation prints these tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from farebox.wire.call import Malformed, MalformedCode
from farebox.wire.chat.request import (
    Audio,
    Block,
    ChatRequest,
    Document,
    Image,
    Message,
    Role,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Video,
)
from farebox.wire.media import on_the_web


class Feature(StrEnum):
    """The value is the field of the caller, or its kind of content."""

    CHOICES = "n"
    LOGPROBS = "logprobs"
    LOGIT_BIAS = "logit_bias"
    PREDICTION = "prediction"
    WEB_SEARCH = "web_search"
    """The provider's own search, asked for by a field."""
    AUDIO_OUTPUT = "audio output"
    IMAGE_OUTPUT = "image output"
    SAFETY_SETTINGS = "safety_settings"
    TEMPERATURE = "temperature"
    TOP_P = "top_p"
    TOP_K = "top_k"
    PENALTIES = "frequency_penalty, presence_penalty"
    SEED = "seed"
    STOP = "stop"
    MANY_STOPS = "more than 4 stop sequences"
    JSON_OBJECT = "JSON without a schema"
    JSON_SCHEMA = "JSON by a schema"
    EFFORT = "reasoning effort"
    BUDGET = "reasoning budget"
    VERBOSITY = "verbosity"
    METADATA = "metadata"
    SERVICE_TIER = "service_tier"
    CUSTOM_TOOLS = "tools that take free text"
    STRICT_TOOLS = "strict tools"
    TOOL_CHOICE_SEVERAL = "a choice among several named tools"
    PARALLEL_TOOLS = "parallel_tool_calls"
    LATE_SYSTEM = "system messages after the first question"
    PREFILL = "an answer begun by the caller"
    NAMES = "names of participants"
    CACHE_MARKS = "cache_control"
    IMAGE_URL = "images by address"
    IMAGE_BYTES = "images in the body"
    IMAGE_DETAIL = "image detail"
    DOCUMENT_URL = "documents by address"
    DOCUMENT_BYTES = "documents in the body"
    DOCUMENT_TEXT = "documents as plain text"
    AUDIO_INPUT = "audio input"
    VIDEO_INPUT = "video input"
    MEDIA_IN_TOOL_RESULTS = "images and documents in tool results"
    TOOL_ERRORS = "tool results marked as errors"
    THOUGHTS = "visible reasoning of earlier answers"
    SEALED_THOUGHTS = "sealed reasoning of another provider"


class Treatment(StrEnum):
    DROPPED = "dropped"
    REFUSED = "refused"
    ADAPTED = "adapted"
    """Said in other words, with the effect asked for as near as the dialect comes."""


class Row(msgspec.Struct, frozen=True):
    """What a dialect does about one feature; `how` is for people."""

    treatment: Treatment
    how: str


Table = Mapping[Feature, Row]

ONE_DIALECT = "it is not carried from one dialect to another"


def dropped(how: str) -> Row:
    """Left out; `how` says why the answer stays what was asked for."""
    return Row(Treatment.DROPPED, how)


def refused(how: str) -> Row:
    """Not taken; `how` says why."""
    return Row(Treatment.REFUSED, how)


def adapted(how: str) -> Row:
    """Said in other words: those `how` names."""
    return Row(Treatment.ADAPTED, how)


def objection(request: ChatRequest, table: Table, *, dialect: str) -> Malformed | None:
    """The refusal for the first feature the dialect named `dialect` cannot say, or None."""
    problem = _unsayable(request)
    if problem is not None:
        return problem
    for feature in features_of(request):
        row = table.get(feature)
        if row is not None and row.treatment is Treatment.REFUSED:
            message = f"This model is served in another dialect, which cannot take '{feature.value}': {row.how}."
            return Malformed(MalformedCode.INVALID_PARAMETER, message, feature.value.split(",")[0])
    return None


def _unsayable(request: ChatRequest) -> Malformed | None:
    """What no dialect may be asked in another's name: a limit of none, which to some servers is no limit; and
    what is kept at a provider, since nobody here knows whose it is."""
    if request.output_limit == 0:
        return Malformed(MalformedCode.INVALID_PARAMETER, "The output limit must be at least 1 here.", "max_tokens")
    if any(_is_stored(block) for message in request.messages for block in message.blocks):
        message = "Media can be sent in the body or by an address of the web only."
        return Malformed(MalformedCode.INVALID_MESSAGES, message, "messages")
    return None


def _is_stored(block: Block) -> bool:
    if isinstance(block, ToolResult):
        return any(_is_stored(inner) for inner in block.blocks)
    if not isinstance(block, Image | Document | Audio | Video):
        return False
    return block.source.url is not None and not on_the_web(block.source.url)


def features_of(request: ChatRequest) -> Iterator[Feature]:
    """Everything a request asks for that a table could object to; a feature may come more than once."""
    yield from (Feature(name) for name in sorted(request.others))
    yield from _settings(request)
    yield from _tools(request)
    asked = False
    for message in request.messages:
        if message.role is Role.SYSTEM and asked:
            yield Feature.LATE_SYSTEM
        asked = asked or message.role is not Role.SYSTEM
        if message.name is not None:
            yield Feature.NAMES
        for block in message.blocks:
            yield from _of_block(block)
    if request.messages and _is_prefill(request.messages[-1]):
        yield Feature.PREFILL


def _settings(request: ChatRequest) -> Iterator[Feature]:
    reasoning, form = request.reasoning, request.format
    held: list[tuple[Feature, object]] = [
        (Feature.TEMPERATURE, bytes(request.temperature)),
        (Feature.TOP_P, bytes(request.top_p)),
        (Feature.TOP_K, request.top_k is not None),
        (Feature.PENALTIES, bytes(request.frequency_penalty) or bytes(request.presence_penalty)),
        (Feature.SEED, request.seed is not None),
        (Feature.STOP, request.stop),
        (Feature.MANY_STOPS, len(request.stop) > 4),
        (Feature.JSON_OBJECT, form is not None and form.kind == "json_object"),
        (Feature.JSON_SCHEMA, form is not None and form.kind == "json_schema"),
        (Feature.EFFORT, reasoning is not None and reasoning.effort),
        (Feature.BUDGET, reasoning is not None and reasoning.budget is not None),
        (Feature.VERBOSITY, request.verbosity),
        (Feature.METADATA, bytes(request.metadata)),
        (Feature.SERVICE_TIER, request.service_tier),
    ]
    yield from (feature for feature, asked in held if asked)


def _tools(request: ChatRequest) -> Iterator[Feature]:
    choice = request.tool_choice
    for tool in request.tools:
        if tool.custom:
            yield Feature.CUSTOM_TOOLS
        if tool.strict:
            yield Feature.STRICT_TOOLS
        if tool.cache_ttl is not None:
            yield Feature.CACHE_MARKS
    if choice is not None and len(choice.names) > 1:
        yield Feature.TOOL_CHOICE_SEVERAL
    if choice is not None and choice.parallel is not None:
        yield Feature.PARALLEL_TOOLS


def _of_block(block: Block) -> Iterator[Feature]:
    match block:
        case Text(cache_ttl=str()):
            yield Feature.CACHE_MARKS
        case Image(source=source, detail=detail):
            yield Feature.IMAGE_URL if source.url is not None else Feature.IMAGE_BYTES
            if detail is not None:
                yield Feature.IMAGE_DETAIL
        case Document(source=source):
            yield Feature.DOCUMENT_URL if source.url is not None else _kept_document(source.text)
        case Audio():
            yield Feature.AUDIO_INPUT
        case Video():
            yield Feature.VIDEO_INPUT
        case Thinking():
            yield Feature.SEALED_THOUGHTS if block.sealed is not None else Feature.THOUGHTS
        case ToolUse(custom=True):
            yield Feature.CUSTOM_TOOLS
        case ToolResult(blocks=blocks, is_error=failed):
            if failed:
                yield Feature.TOOL_ERRORS
            if any(not isinstance(inner, Text) for inner in blocks):
                yield Feature.MEDIA_IN_TOOL_RESULTS
            for inner in blocks:
                yield from _of_block(inner)
        case _:
            return


def _kept_document(text: str | None) -> Feature:
    return Feature.DOCUMENT_BYTES if text is None else Feature.DOCUMENT_TEXT


def _is_prefill(last: Message) -> bool:
    return last.role is Role.ASSISTANT and not any(isinstance(block, ToolUse) for block in last.blocks)
