"""The JSON of Gemini's answers: what is read from a chunk or a whole answer, and the chunks we write ourselves.

Payloads enter or leave; no state is kept here. Only the fields that are metered or changed are decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from farebox.tariff.meters import CACHED_TOKENS, Meter, Usage, input_tokens, output_tokens
from farebox.wire import payloads
from farebox.wire.call import ABSENT, Fields, raw
from farebox.wire.gemini.usage import SEARCHES
from farebox.wire.json_text import but, read_dict, strings_in
from farebox.wire.output import OutputText
from farebox.wire.payloads import UNREADABLE


class Stated(msgspec.Struct, gc=False):
    """Stands for an object that is there; its text is read only when it is wanted."""


class FunctionCall(msgspec.Struct, gc=False):
    name: str = ""
    args: msgspec.Raw = ABSENT
    id: str | None = None


class Blob(msgspec.Struct, gc=False, rename="camel"):
    mime_type: str = ""
    data: str = ""


class Code(msgspec.Struct, gc=False):
    """Code the provider ran for the model, or what it printed."""

    code: str = ""
    output: str = ""


class Part(msgspec.Struct, gc=False, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None
    executable_code: Code | None = None
    code_execution_result: Code | None = None


class Content(msgspec.Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    index: int = 0
    content: Content | None = None
    finish_reason: str | None = None
    grounding_metadata: Stated | None = None

    @property
    def parts(self) -> list[Part]:
        return (self.content and self.content.parts) or []


class Feedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: str | None = None


class Chunk(msgspec.Struct, gc=False, rename="camel"):
    """A chunk of a stream, or a whole answer."""

    candidates: list[Candidate] | None = None
    usage_metadata: Stated | None = None
    model_version: str | None = None
    prompt_feedback: Feedback | None = None
    error: msgspec.Raw = ABSENT
    response_id: str | None = None

    @property
    def is_blocked(self) -> bool:
        """The provider declined to answer at all."""
        return self.prompt_feedback is not None and self.prompt_feedback.block_reason is not None


class _Grounding(msgspec.Struct, gc=False, rename="camel"):
    web_search_queries: list[str] | None = None
    image_search_queries: list[str] | None = None


class _Grounded(msgspec.Struct, gc=False, rename="camel"):
    grounding_metadata: _Grounding | None = None


class _GroundedChunk(msgspec.Struct, gc=False):
    candidates: list[_Grounded] = []


FINISH_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "OTHER": "stop",
    "MALFORMED_FUNCTION_CALL": "stop",
    "MALFORMED_RESPONSE": "stop",
    "UNEXPECTED_TOOL_CALL": "stop",
    "TOO_MANY_TOOL_CALLS": "stop",
    "MISSING_THOUGHT_SIGNATURE": "stop",
    "NO_IMAGE": "stop",
    "IMAGE_OTHER": "stop",
}
"""Under OpenAI's names; every reason not here is a filter of one kind or another."""
FILTERED = "content_filter"
_UNSPECIFIED = "FINISH_REASON_UNSPECIFIED"
_OUTPUT = but({"role", "thoughtSignature", "mimeType", "id"})

_read_chunk = msgspec.json.Decoder(Chunk).decode
_read_fields = msgspec.json.Decoder(Fields).decode
_read_grounded = msgspec.json.Decoder(_GroundedChunk).decode
_encode = msgspec.json.Encoder().encode


def read_chunk(payload: bytes) -> Chunk | None:
    """The metered fields of a chunk; None if it is no JSON object. Odd types are read leniently."""
    try:
        return _read_chunk(payload)
    except msgspec.ValidationError:
        return _read_leniently(payload)
    except UNREADABLE:
        return None


def finish_reason(candidate: Candidate) -> str | None:
    """Why a candidate ended, under OpenAI's name; None while it goes on."""
    reason = candidate.finish_reason
    if not reason or reason == _UNSPECIFIED:
        return None
    return FINISH_REASONS.get(reason, FILTERED)


def count_output(parts: Iterable[Part], output: OutputText) -> None:
    """Count what a piece of an answer shows: text, thoughts, calls, images. What code printed is input."""
    for part in parts:
        text = part.text
        if text:
            if part.thought:
                output.add_reasoning(text)
            else:
                output.add(text)
        if part.function_call is not None:
            output.add(part.function_call.name + bytes(part.function_call.args).decode(errors="replace"))
        if part.inline_data is not None:
            output.add_sealed(len(part.inline_data.data))
        if part.executable_code is not None:
            output.add(part.executable_code.code)


def usage_in(payload: bytes, *, searches: int | None = None) -> msgspec.Raw | None:
    """The usage object as written, with the searches we counted beside it if there were any to count."""
    try:
        stated = _read_fields(payload).get("usageMetadata")
        if stated is None or searches is None:
            return stated
        return raw(_read_fields(stated) | {SEARCHES: raw(searches)})
    except UNREADABLE:
        return None


def tier_in(usage: msgspec.Raw | None) -> str | None:
    """The tier that served, where the usage says so; the standard one is the default."""
    if usage is None or b'"serviceTier"' not in bytes(usage):
        return None
    tier = (read_dict(usage) or {}).get("serviceTier")
    plain = tier.lower().removeprefix("service_tier_") if isinstance(tier, str) else ""
    return plain if plain in ("flex", "priority") else None


def queries_in(payload: bytes) -> set[str]:
    """The searches a chunk says were made. Empty ones are not charged, and the same one is charged once."""
    try:
        candidates = _read_grounded(payload).candidates
    except UNREADABLE:
        return set()
    found: set[str] = set()
    for candidate in candidates:
        grounding = candidate.grounding_metadata
        if grounding is not None:
            found.update(grounding.web_search_queries or (), grounding.image_search_queries or ())
    return found - {""}


def ending_chunk(first: bytes, *, model: str, indexes: Iterable[int], reason: str) -> bytes:
    """A chunk that ends the given candidates, in the likeness of the stream's first chunk."""
    head = read_chunk(first)
    candidates = [
        {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": reason, "index": index}
        for index in indexes
    ]
    ending: dict[str, object] = {"candidates": candidates, "modelVersion": model}
    if head is not None and head.response_id is not None:
        ending["responseId"] = head.response_id
    return _encode(ending)


def usage_shown(reported: msgspec.Raw | None, counted: Usage | None, charge: str | None) -> dict[str, object]:
    """See `payloads.usage_shown`; the searches we put beside it are not shown."""
    shown = payloads.usage_shown(reported, counted, charge, written=usage_written)
    shown.pop(SEARCHES, None)
    return shown


def usage_written(usage: Usage) -> dict[str, object]:
    """Disjoint meters in the provider's words; details and parts that are zero are left out, as it does."""
    prompt, made, thoughts = input_tokens(usage), output_tokens(usage), usage.get(Meter.REASONING, 0)
    cached = sum([usage.get(meter, 0) for meter in CACHED_TOKENS])
    beside: dict[str, object] = {
        "cachedContentTokenCount": cached,
        "thoughtsTokenCount": thoughts,
        "promptTokensDetails": _details(usage, _IN, prompt),
        "cacheTokensDetails": _details(usage, _CACHED, cached),
        "candidatesTokensDetails": _details(usage, _OUT, made - thoughts),
    }
    written = {"promptTokenCount": prompt, "candidatesTokenCount": made - thoughts, "totalTokenCount": prompt + made}
    return {**written, **{name: stated for name, stated in beside.items() if stated}}


_IN = {
    "IMAGE": (Meter.INPUT_IMAGE, Meter.CACHED_IMAGE),
    "AUDIO": (Meter.INPUT_AUDIO, Meter.CACHED_AUDIO),
    "VIDEO": (Meter.INPUT_VIDEO,),
}
_CACHED = {"IMAGE": (Meter.CACHED_IMAGE,), "AUDIO": (Meter.CACHED_AUDIO,)}
_OUT = {"IMAGE": (Meter.OUTPUT_IMAGE,), "AUDIO": (Meter.OUTPUT_AUDIO,), "VIDEO": (Meter.OUTPUT_VIDEO,)}


def _details(usage: Usage, media: Mapping[str, tuple[Meter, ...]], whole: int) -> list[dict[str, object]]:
    """By modality, where there is any but text."""
    counts = {name: sum([usage.get(meter, 0) for meter in meters]) for name, meters in media.items()}
    if not any(counts.values()):
        return []
    counts = {"TEXT": whole - sum(counts.values()), **counts}
    return [{"modality": name, "tokenCount": count} for name, count in counts.items() if count]


def _read_leniently(payload: bytes) -> Chunk | None:
    """A chunk with a field of an unexpected type: what of it can be read."""
    fields = read_dict(payload)
    if fields is None:
        return None
    listed: Any = fields.get("candidates")
    version: Any = fields.get("modelVersion")
    return Chunk(
        candidates=[_lenient_candidate(item) for item in cast(list[Any], listed)] if isinstance(listed, list) else None,
        usage_metadata=Stated() if fields.get("usageMetadata") is not None else None,
        model_version=version if isinstance(version, str) else None,
        error=raw(fields["error"]) if "error" in fields else ABSENT,
    )


def _lenient_candidate(item: Any) -> Candidate:
    fields = cast(dict[str, Any], item) if isinstance(item, dict) else {}
    index, reason = fields.get("index"), fields.get("finishReason")
    text = "".join(strings_in(fields.get("content"), _OUTPUT))
    return Candidate(
        index=index if type(index) is int else 0,
        content=Content([Part(text=text)]) if text else None,
        finish_reason=reason if isinstance(reason, str) else None,
    )
