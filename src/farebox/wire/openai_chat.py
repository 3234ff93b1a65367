"""OpenAI chat completions: a body becomes a `Call`, and a `Call` becomes the body that goes upstream.

`parse` checks all that a price or a hold relies on and leaves the rest to the provider. It never
raises. `forward` (in `openai_forward`) writes the body for a channel. The bounds worked out here
are what Law 1 stands on.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from farebox.tariff.meters import Meter
from farebox.wire.call import (
    ABSENT,
    MAX_CHOICES,
    MAX_LIMIT,
    MAX_MODEL_LENGTH,
    MEDIA_IN,
    PLAIN_TEXT,
    TEMPLATE_TOKENS,
    TOOL_TEMPLATE_TOKENS,
    Call,
    Fields,
    Malformed,
    MalformedCode,
    is_present,
    is_set,
)
from farebox.wire.json_object import read_as, read_object
from farebox.wire.media import CacheMark, MediaBounds, Part, is_long
from farebox.wire.price_fields import FREE_TOOLS, OPENAI_CHAT, read_service_tier, refuse_fields, refused_names
from farebox.wire.responses.as_chat import as_chat, is_responses_shaped

STICKY_CHARACTERS = 512
_SEALED = b'"reasoning.encrypted"'
"""In `reasoning_details`: reasoning of an earlier answer that only its provider's key can read."""

_Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)]
_Content = str | list[Part] | None


class _StreamOptions(msgspec.Struct, frozen=True, gc=False):
    include_usage: bool | None = None


class _Message(msgspec.Struct, frozen=True, gc=False):
    role: str
    content: _Content = None
    audio: msgspec.Raw = ABSENT
    images: list[Part] | None = None


class _Tool(msgspec.Struct, frozen=True, gc=False):
    type: str


class _Metadata(msgspec.Struct, frozen=True, gc=False):
    session_id: str | None = None
    user_id: str | None = None


class _Search(msgspec.Struct, frozen=True, gc=False):
    search_context_size: str | None = None


class _ExtraBody(msgspec.Struct, frozen=True, gc=False):
    """What Google's compatible endpoint takes beside the dialect."""

    google: Fields | None = None


class _Body(msgspec.Struct, frozen=True, gc=False):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_LENGTH)]
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHOICES)] | None = None
    max_tokens: _Limit | None = None
    max_completion_tokens: _Limit | None = None
    stream_options: _StreamOptions | None = None
    tools: list[_Tool] | None = None
    modalities: list[str] | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: CacheMark | None = None
    cache_control: CacheMark | None = None
    metadata: _Metadata | None = None
    web_search_options: _Search | None = None
    extra_body: _ExtraBody | None = None


_body = msgspec.json.Decoder(_Body)
_REFUSED = refused_names(OPENAI_CHAT)
_OUTPUT_METERS = {"text": Meter.OUTPUT, "audio": Meter.OUTPUT_AUDIO, "image": Meter.OUTPUT_IMAGE}
_CACHES = frozenset({"cached_content", "cachedContent"})
_UNCOMMON = frozenset(
    {"tools", "functions", "modalities", "prediction", "web_search_options", "service_tier", "cache_control"}
    | {"prompt_cache_options", "prompt_cache_retention"}
)
"""Fields that move a bound. A body without them and without parts needs no closer look."""


def parse(body: bytes) -> Call | Malformed:
    """Read a chat completion request of at most 32 MB. Never raises."""
    fields = read_object(body)
    if isinstance(fields, Malformed):
        return fields
    if is_responses_shaped(fields):
        meant = as_chat(fields)
        return meant if isinstance(meant, Malformed) else parse(meant)
    wanted = read_as(body, _body)
    if isinstance(wanted, Malformed):
        return wanted
    return _refuse(fields, wanted) or _call(body, fields, wanted)


def _refuse(fields: Fields, wanted: _Body) -> Malformed | None:
    refusal = refuse_fields(fields, _REFUSED)
    if refusal is not None:
        return refusal
    extra = wanted.extra_body and wanted.extra_body.google
    if extra and not _CACHES.isdisjoint(extra):
        return _invalid("extra_body", "Prompts cached at the provider cannot be referred to here.")
    for tool in wanted.tools or ():
        if tool.type not in FREE_TOOLS:
            return _invalid("tools", "Only tools of type 'function' and 'custom' are available here.")
    for modality in wanted.modalities or ():
        if modality not in _OUTPUT_METERS:
            return _invalid("modalities", "'modalities' may hold 'text', 'audio' and 'image'.")
    return None


def _call(body: bytes, fields: Fields, wanted: _Body) -> Call | Malformed:
    options = wanted.stream_options
    asked = _limits(wanted)
    call = Call(
        body=body,
        fields=fields,
        model=wanted.model,
        stream=wanted.stream or False,
        choices=wanted.n or 1,
        output_limit=max(asked.values()) if asked else None,
        limit_fields=tuple(asked),
        input_bytes=len(body) + TEMPLATE_TOKENS,
        wants_usage=options is not None and options.include_usage is True,
        end_user=wanted.user,
        at_most=PLAIN_TEXT,
        sticky=_sticky(wanted),
        has_stop=is_set(fields, "stop"),
        sealed=_SEALED in body,
    )
    if _UNCOMMON.isdisjoint(fields) and _is_plain(wanted.messages):
        return call
    return _bounded(call, wanted)


def _limits(wanted: _Body) -> dict[str, int]:
    """The output limits the caller wrote, by field."""
    limits: dict[str, int] = {}
    if wanted.max_completion_tokens is not None:
        limits["max_completion_tokens"] = wanted.max_completion_tokens
    if wanted.max_tokens is not None:
        limits["max_tokens"] = wanted.max_tokens
    return limits


def _bounded(call: Call, wanted: _Body) -> Call | Malformed:
    """The call with everything counted that is not plain text in, plain text out."""
    fields, choices = call.fields, call.choices
    tier = read_service_tier(fields)
    if isinstance(tier, Malformed):
        return tier
    media = _media(wanted)
    if media.foreign_file:
        return _invalid("messages", "Files kept at a provider cannot be referred to here; send 'file_data', or a URL.")
    searches = ((Meter.SEARCHES, choices),) if wanted.web_search_options is not None else ()
    has_tools = "tools" in fields or "functions" in fields
    return msgspec.structs.replace(
        call,
        output_extra=len(memoryview(fields["prediction"])) if is_set(fields, "prediction") else 0,
        input_bytes=call.input_bytes - media.payload_bytes + (TOOL_TEMPLATE_TOKENS if has_tools else 0),
        media_tokens=media.image_tokens + media.audio_tokens,
        input_open=media.open or bool(searches),
        at_most=_at_most(media, wanted.modalities or []) | dict(searches),
        cache_write_meter=Meter.CACHE_WRITE_1H if media.long_cache else Meter.CACHE_WRITE_5M,
        units=searches,
        service_tier=tier,
        parameters=_parameters(wanted),
    )


def _at_most(media: MediaBounds, modalities: list[str]) -> dict[Meter, int]:
    """Bounds by meter. What is open has none: a document can hold images, a video sound."""
    bounds = dict(PLAIN_TEXT)
    if media.long_cache:
        del bounds[Meter.CACHE_WRITE_1H]
        bounds[Meter.CACHE_WRITE_5M] = 0
    bounds[Meter.INPUT_IMAGE] = bounds[Meter.CACHED_IMAGE] = media.image_tokens
    bounds[Meter.INPUT_AUDIO] = bounds[Meter.CACHED_AUDIO] = media.audio_tokens
    opened = MEDIA_IN if media.open else ()
    for meter in (*opened, *[_OUTPUT_METERS[modality] for modality in modalities]):
        bounds.pop(meter, None)
    return bounds


def _media(wanted: _Body) -> MediaBounds:
    """Sum up what is not text, and the longest cache lifetime asked for."""
    media = MediaBounds(long_cache=is_long(wanted.prompt_cache_retention))
    for mark in (wanted.cache_control, wanted.prompt_cache_options):
        media.long_cache = media.long_cache or (mark is not None and is_long(mark.ttl))
    for message in wanted.messages:
        media.open = media.open or is_present(message.audio)  # an earlier spoken answer, kept by the provider
        for part in message.content if isinstance(message.content, list) else ():
            media.add(part)
        for image in message.images or ():  # of an earlier answer
            media.add(image)
    return media


def _is_plain(messages: list[_Message]) -> bool:
    return not any(
        message.audio is not ABSENT or message.images or isinstance(message.content, list) for message in messages
    )


def _parameters(wanted: _Body) -> tuple[tuple[str, str], ...]:
    if wanted.web_search_options is None:
        return ()
    return (("search_context_size", wanted.web_search_options.search_context_size or "medium"),)


def _sticky(wanted: _Body) -> bytes:
    """What stays the same through a conversation: its key or owner, else its system text and first question."""
    owner = wanted.metadata and (wanted.metadata.session_id or wanted.metadata.user_id)
    named = wanted.prompt_cache_key or owner or wanted.user
    if named:
        return named.encode(errors="replace")
    head: list[str] = []
    for message in wanted.messages[:4]:
        head.append(_opening(message.content))
        if message.role == "user":
            break
    return "\n".join(head).encode(errors="replace")


def _opening(content: _Content) -> str:
    if isinstance(content, str):
        return content[:STICKY_CHARACTERS]
    texts = [bytes(memoryview(part.text)[:STICKY_CHARACTERS]) for part in content or () if is_present(part.text)]
    return texts[0].decode(errors="replace") if texts else ""


def _invalid(param: str, message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)
