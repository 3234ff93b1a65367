"""Gemini's `generateContent`: a body becomes a `Call`.

`parse` checks all that a price or a hold relies on and leaves the rest to the provider. It never raises. The model,
and whether the answer is streamed, come from the address. The bounds worked out here are what Law 1 stands on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar, cast

import msgspec

from farebox.tariff.estimate import TEXT_ONLY
from farebox.tariff.meters import Meter
from farebox.wire.call import (
    ABSENT,
    MAX_LIMIT,
    PLAIN_TEXT,
    TEMPLATE_TOKENS,
    TOOL_TEMPLATE_TOKENS,
    Call,
    Fields,
    Malformed,
    MalformedCode,
    is_present,
)
from farebox.wire.gemini.media import MediaBounds, Part
from farebox.wire.gemini.price_fields import GEMINI, SEARCH_TOKENS, SEARCHES_MOST, rows_below
from farebox.wire.gemini.signatures import carries_envelope
from farebox.wire.gemini.spelling import camel, in_camel_case
from farebox.wire.json_object import read_as, read_object, read_strictly
from farebox.wire.price_fields import PriceField, Treatment, refuse_fields

STICKY_CHARACTERS = 512
MAX_CANDIDATES = 8

T = TypeVar("T")


class Content(msgspec.Struct, frozen=True, gc=False):
    role: str | None = None
    parts: list[Part] | Part | None = None


class _Config(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] | None = None
    candidate_count: Annotated[int, msgspec.Meta(ge=1, le=MAX_CANDIDATES)] | None = None
    stop_sequences: list[str] | None = None
    response_modalities: list[str] | None = None
    media_resolution: str | None = None


class _Body(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    contents: list[Content] | Content
    system_instruction: Content | None = None
    tools: list[Fields] | Fields | None = None
    generation_config: _Config | None = None
    service_tier: str | None = None


_body = msgspec.json.Decoder(_Body)
_decode_fields = msgspec.json.Decoder(Fields).decode
_TOP, _TOOLS, _CONFIG = (
    {name: row for name, row in rows_below(parent, GEMINI).items() if row.treatment is Treatment.REFUSED}
    for parent in ("", "tools", "generationConfig")
)
_KNOWN_TOOLS = rows_below("tools", GEMINI).keys()
_SEARCHING = frozenset({"googleSearch", "googleSearchRetrieval"})
_BOUNDED_TOOLS = _SEARCHING | {"functionDeclarations"}
"""What the others add to the input is bounded by the context length alone."""
_MADE = {"TEXT": Meter.OUTPUT, "IMAGE": Meter.OUTPUT_IMAGE, "AUDIO": Meter.OUTPUT_AUDIO, "VIDEO": Meter.OUTPUT_VIDEO}
_MEDIA_OUT = frozenset({Meter.OUTPUT_IMAGE, Meter.OUTPUT_AUDIO, Meter.OUTPUT_VIDEO})
_MEDIA_IN = (
    Meter.INPUT_IMAGE, Meter.INPUT_AUDIO, Meter.INPUT_VIDEO, Meter.CACHED_AUDIO, Meter.CACHED_IMAGE,
)  # fmt: skip
_TIERS = {"standard": "default", "unspecified": None, "flex": "flex", "priority": "priority"}
_TIER_PREFIX = "service_tier_"
_NO_CONFIG = _Config()


def parse(body: bytes, *, model: str, stream: bool) -> Call | Malformed:
    """Read a request of at most 32 MB. Never raises."""
    given = read_strictly(body)
    if isinstance(given, Malformed):
        return given
    plain = in_camel_case(body)
    if isinstance(plain, Malformed):
        return plain
    wanted = read_as(plain, _body)
    if isinstance(wanted, Malformed):
        return wanted
    fields = given if plain is body else _decode_fields(plain)
    call = Call(body=body, fields=fields, model=model, stream=stream, at_most=PLAIN_TEXT, wants_usage=True)
    return _refuse(fields, wanted) or _bounded(call, wanted)


def parse_count(body: bytes, *, model: str) -> Call | Malformed:
    """Read a `countTokens`: contents alone, or all of a request under one name. Never raises."""
    given = read_object(body)
    if isinstance(given, Malformed):
        return given
    whole = given.get("generateContentRequest", given.get("generate_content_request", ABSENT))
    return parse(bytes(whole) if is_present(whole) else body, model=model, stream=False)


def as_list(value: list[T] | T | None) -> list[T]:
    """Where a list is expected, Google takes one thing alone too."""
    if value is None:
        return []
    return cast(list[T], value) if isinstance(value, list) else [value]


def read_tier(name: str | None) -> str | Malformed | None:
    """The tier asked for under its OpenAI name; None if none was."""
    if name is None:
        return None
    plain = name.lower().removeprefix(_TIER_PREFIX)
    if plain not in _TIERS:
        return _invalid("serviceTier", "'serviceTier' must be one of: standard, flex, priority.")
    return _TIERS[plain]


def _refuse(fields: Fields, wanted: _Body) -> Malformed | None:
    if not as_list(wanted.contents):
        return _invalid("contents", "'contents' must not be empty.", MalformedCode.INVALID_MESSAGES)
    if wanted.generation_config is not None:
        problem = _refuse_below("generationConfig", _decode_fields(fields["generationConfig"]), _CONFIG)
        if problem is not None:
            return problem
    for tool in as_list(wanted.tools):
        problem = _refuse_below("tools", tool, _TOOLS) or _refuse_tool(tool)
        if problem is not None:
            return problem
    for modality in _modalities(wanted):
        if modality not in _MADE:
            return _invalid("generationConfig.responseModalities", "'responseModalities' may hold TEXT, IMAGE, AUDIO.")
    return refuse_fields(fields, _TOP)


def _refuse_below(parent: str, fields: Fields, refused: dict[str, PriceField]) -> Malformed | None:
    problem = refuse_fields(fields, refused)
    return problem and msgspec.structs.replace(problem, param=f"{parent}.{problem.param}")


def _refuse_tool(tool: Fields) -> Malformed | None:
    for name, value in tool.items():
        if is_present(value) and camel(name) not in _KNOWN_TOOLS:
            return _invalid("tools", f"The tool '{name[:64]}' is not available here: it has no price.")
    return None


def _bounded(call: Call, wanted: _Body) -> Call | Malformed:
    config, tier = wanted.generation_config or _NO_CONFIG, read_tier(wanted.service_tier)
    if isinstance(tier, Malformed):
        return tier
    contents = as_list(wanted.contents)
    media = MediaBounds(config.media_resolution)
    for content in (*contents, *as_list(wanted.system_instruction)):
        media.add(as_list(content.parts))
    if media.foreign_file:
        return _invalid("contents", "Files stored at the provider cannot be referred to here; send them inline.")
    tools = {name for tool in as_list(wanted.tools) for name, value in tool.items() if is_present(value)}
    choices = config.candidate_count or 1
    searches = 0 if _SEARCHING.isdisjoint(tools) else SEARCHES_MOST * choices
    is_open = media.open or not tools <= _BOUNDED_TOOLS
    return msgspec.structs.replace(
        call,
        choices=choices,
        output_limit=config.max_output_tokens,
        input_bytes=len(call.body) + TEMPLATE_TOKENS + (TOOL_TEMPLATE_TOKENS if tools else 0) - media.payload_bytes,
        media_tokens=media.image_tokens + media.audio_tokens,
        dearer_elsewhere=media.dearer_elsewhere,
        input_open=is_open,
        input_extra=searches * SEARCH_TOKENS,
        input_rounds=1 if tools <= _BOUNDED_TOOLS else 2,
        at_most=_at_most(media, _modalities(wanted), is_open=is_open, searches=searches),
        service_tier=tier,
        has_stop=bool(config.stop_sequences),
        sealed=carries_envelope(call.body),
        sticky=_sticky(wanted.system_instruction, contents),
    )


def _modalities(wanted: _Body) -> list[str]:
    config = wanted.generation_config
    return [name.upper() for name in (config and config.response_modalities) or ()]


def _at_most(media: MediaBounds, modalities: list[str], *, is_open: bool, searches: int) -> dict[Meter, int]:
    """Bounds by meter. What is open has none; a model that makes images or sound does so without being asked."""
    bounds = {meter: bound for meter, bound in PLAIN_TEXT.items() if meter not in _MEDIA_OUT}
    if not is_open:
        bounds |= dict.fromkeys((Meter.INPUT_IMAGE, Meter.CACHED_IMAGE), media.image_tokens)
        bounds |= dict.fromkeys((Meter.INPUT_AUDIO, Meter.CACHED_AUDIO), media.audio_tokens)
    else:
        bounds = {meter: bound for meter, bound in bounds.items() if meter not in _MEDIA_IN}
    if modalities:
        asked = {_MADE[modality] for modality in modalities}
        bounds |= {meter: 0 for meter in TEXT_ONLY if meter in _MEDIA_OUT - asked}
    if searches:
        bounds[Meter.SEARCHES] = searches
    return bounds


def _sticky(system: Content | None, contents: Sequence[Content]) -> bytes:
    """What stays the same through a conversation: its system text and first question."""
    opening = [_opening(content) for content in (*as_list(system), *contents[:1])]
    return b"\n".join(opening)


def _opening(content: Content) -> bytes:
    texts = [
        bytes(memoryview(part.text)[:STICKY_CHARACTERS]) for part in as_list(content.parts) if part.text is not ABSENT
    ]
    return texts[0] if texts else b""


def _invalid(param: str, message: str, code: MalformedCode = MalformedCode.INVALID_PARAMETER) -> Malformed:
    return Malformed(code, message, param)
