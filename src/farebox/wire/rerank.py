"""Reranking in the shape of Cohere and Jina: a body becomes a `Call` without output, an answer its usage.

Cards price a reranking by searches or by tokens; the call carries bounds for both, and which one
is counted is the card's choice (`Call.sold_by`). Tokens are charged for each document together
with the query, so the query counts once for each. `parse` never raises.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

import msgspec

from farebox.tariff.meters import TOKENS, Meter
from farebox.wire.call import (
    ABSENT,
    MAX_MODEL_LENGTH,
    TEMPLATE_TOKENS,
    Call,
    Fields,
    Malformed,
    MalformedCode,
    is_present,
    raw,
)
from farebox.wire.json_object import read_body
from farebox.wire.openai_answer import Answer, with_name
from farebox.wire.output import OutputText
from farebox.wire.payloads import UNREADABLE
from farebox.wire.price_fields import RERANK, refuse_fields, refused_names
from farebox.wire.usage import Axis, Convention, Part

MAX_DOCUMENTS = 10_000
MAX_PAIRED_BYTES = 64 * 1024 * 1024
"""The query times the documents: what is counted and held for."""
DOCUMENTS_IN_A_SEARCH = 100
PART_BYTES = 244
"""A long document counts once for each part of it; no provider's parts have less room than this many tokens."""
PAIR_TOKENS = 8
"""What a model's template puts around query and document, at most."""

_Document = str | dict[str, msgspec.Raw]


class _Body(msgspec.Struct, frozen=True, gc=False):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_LENGTH)]
    query: Annotated[str, msgspec.Meta(min_length=1)]
    documents: Annotated[list[_Document], msgspec.Meta(min_length=1, max_length=MAX_DOCUMENTS)]


class _Results(msgspec.Struct, gc=False):
    """Cohere and Jina say `results`, Voyage says `data`."""

    results: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    model: str | None = None
    usage: msgspec.Raw = ABSENT
    meta: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(_Body)
_read_results = msgspec.json.Decoder(_Results).decode
_read_fields = msgspec.json.Decoder(dict[str, Any], float_hook=str).decode
_REFUSED = refused_names(RERANK)
_INPUT_ONLY = {meter: 0 for meter in TOKENS if meter is not Meter.INPUT}
_MEDIA = frozenset({"image", "image_url", "video", "video_url", "audio"})


def parse(body: bytes) -> Call | Malformed:
    """Read a rerank request of at most 32 MB. Never raises."""
    read = read_body(body, _body)
    if isinstance(read, Malformed):
        return read
    fields, wanted = read
    return refuse_fields(fields, _REFUSED) or _refuse(wanted) or _call(body, fields, wanted)


def _refuse(wanted: _Body) -> Malformed | None:
    if any(isinstance(document, dict) and not _MEDIA.isdisjoint(document) for document in wanted.documents):
        return _invalid("documents", "'documents' may hold texts only.")
    if len(wanted.query) * len(wanted.documents) > MAX_PAIRED_BYTES:
        return _invalid("query", "'query' is too long for so many documents.")
    return None


def _call(body: bytes, fields: Fields, wanted: _Body) -> Call:
    documents = len(wanted.documents)
    paired = (len(wanted.query.encode(errors="replace")) + PAIR_TOKENS) * documents
    parts = documents + len(memoryview(fields["documents"])) // PART_BYTES
    return Call(
        body=body,
        fields=fields,
        model=wanted.model,
        input_bytes=len(body) + paired + TEMPLATE_TOKENS,
        at_most=_INPUT_ONLY | {Meter.SEARCHES: _searches(parts)},
        units=((Meter.SEARCHES, _searches(documents)),),
        either=(Meter.SEARCHES, Meter.INPUT),
        has_output=False,
    )


def _searches(documents: int) -> int:
    return -(-documents // DOCUMENTS_IN_A_SEARCH)


def text_of(call: Call) -> str:
    """The query and a document, for each document; nothing where searches are counted."""
    if not _counts_tokens(call):
        return ""
    wanted = _body.decode(call.body)
    texts = [document if isinstance(document, str) else _text_in(document) for document in wanted.documents]
    return "\n".join([f"{wanted.query}\n{text}" for text in texts])


def tokens_beside_text(call: Call) -> int:
    """What templates put around each pair."""
    return PAIR_TOKENS * len(_body.decode(call.body).documents) if _counts_tokens(call) else 0


def read_answer(body: bytes, call: Call) -> Answer | None:
    """Read a ranking; the scores are not looked at. None if it is an error or something else."""
    try:
        read = _read_results(body)
    except UNREADABLE:
        return None
    if is_present(read.error) or not (_is_list(read.results) or _is_list(read.data)):
        return None
    return Answer(
        body=with_name(body, read.model, call.model),
        usage=_usage_in(read, call),
        finish_reasons={},
        service_tier=None,
        output=OutputText(),
    )


def flatten(stated: dict[str, Any]) -> dict[str, Any]:
    """Cohere's `meta` and everybody else's `usage` as `search_units` and `input_tokens`."""
    meta, usage = _object(stated.get("meta")), _object(stated.get("usage"))
    billed, tokens = _object(meta.get("billed_units")), _object(meta.get("tokens"))
    found = {
        "search_units": billed.get("search_units", usage.get("search_units", stated.get("search_units"))),
        "input_tokens": _first(
            billed.get("input_tokens"),
            usage.get("total_tokens"),
            usage.get("prompt_tokens"),
            tokens.get("input_tokens"),
            stated.get("input_tokens"),
        ),
    }
    return {name: count for name, count in found.items() if count is not None}


CONVENTION = Convention(
    wholes=(),
    parts=(
        Part(Meter.SEARCHES, (("search_units",),), None, Axis.MODALITY),
        Part(Meter.INPUT, (("input_tokens",),), None, Axis.MODALITY),
    ),
    flatten=flatten,
)
"""Searches, tokens, or both. `read_answer` leaves out what the card of the call does not price."""


def _usage_in(read: _Results, call: Call) -> msgspec.Raw | None:
    """The figures that count for this call, None unless all of them are stated."""
    stated = {"meta": _fields_of(read.meta), "usage": _fields_of(read.usage)}
    found = flatten(stated)
    names = ["search_units"] if Meter.SEARCHES in dict(call.units) else []
    names += ["input_tokens"] if _counts_tokens(call) else []
    if any(name not in found for name in names):
        return None
    return raw({name: found[name] for name in names})


def _counts_tokens(call: Call) -> bool:
    return call.at_most.get(Meter.INPUT) != 0


def _text_in(document: dict[str, msgspec.Raw]) -> str:
    """All values of a document with fields, as written."""
    return "\n".join([bytes(value).decode(errors="replace") for value in document.values()])


def _fields_of(value: msgspec.Raw) -> dict[str, Any]:
    try:
        return _read_fields(value) if is_present(value) else {}
    except UNREADABLE:
        return {}


def _is_list(value: msgspec.Raw) -> bool:
    return bytes(memoryview(value)[:1]) == b"["


def _object(value: object) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _first(*counts: object) -> object:
    return next((count for count in counts if count is not None), None)


def _invalid(param: str, message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)
