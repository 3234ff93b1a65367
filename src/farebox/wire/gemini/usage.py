"""How Gemini states usage: thoughts and the results of tools stand outside, cached tokens inside the prompt.

`promptTokenCount` includes `cachedContentTokenCount`; `thoughtsTokenCount` is beside `candidatesTokenCount`;
`toolUsePromptTokenCount` is beside the prompt; `totalTokenCount` is the sum of those four. Details by modality cut
through each of them. A count of zero is left out by the provider, so `candidatesTokenCount` is worked out of the
total where it is missing; without a total it is missing (d25). Every chunk of a stream states the figures so far:
the last one counts (d24).
"""

from __future__ import annotations

from typing import Any, cast

from farebox.tariff.meters import MAX_QUANTITY, Meter
from farebox.wire.usage import Axis, Convention, Part

SEARCHES = "searches"
"""A count our own meter adds to the usage it hands on; providers state searches beside it."""

_COUNTS = (
    "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount",
    "cachedContentTokenCount", "totalTokenCount",
)  # fmt: skip
_MEDIA = ("AUDIO", "IMAGE", "VIDEO")


def flatten(stated: dict[str, Any]) -> dict[str, Any]:
    """The figures of a usage object under one name each, disjoint but for the two wholes. Never raises.

    A figure that is no count makes the whole what it is, so that its fault is found there.
    """
    odd = [value for value in map(stated.get, _COUNTS) if value is not None and not _is_count(value)]
    if odd:
        return {"input": odd[0]}
    prompt, tools = stated.get("promptTokenCount"), stated.get("toolUsePromptTokenCount") or 0
    thoughts, total = stated.get("thoughtsTokenCount"), stated.get("totalTokenCount")
    if prompt is None:
        return {}
    made = stated.get("candidatesTokenCount")
    if made is None and total is not None:
        made = total - prompt - tools - (thoughts or 0)
    flat: dict[str, Any] = {"input": prompt + tools, "total": total, SEARCHES: stated.get(SEARCHES)}
    if made is not None:
        flat |= {"output": made + (thoughts or 0), "thoughts": thoughts}
    return flat | _media_in(stated) | _media_out(stated)


def _media_in(stated: dict[str, Any]) -> dict[str, Any]:
    """Sound and images of the prompt, those from the cache apart; the rest of the cache is text."""
    given, fetched = by_modality(stated, "promptTokensDetails"), by_modality(stated, "toolUsePromptTokensDetails")
    cached = by_modality(stated, "cacheTokensDetails")
    flat: dict[str, Any] = {}
    for medium in _MEDIA:
        known = min(cached.get(medium, 0), given.get(medium, 0))
        rest = given.get(medium, 0) - known + fetched.get(medium, 0)
        if medium in given or medium in fetched:
            flat[f"input_{medium}"] = rest
        if known:
            flat[f"cached_{medium}"] = known
    all_cached = stated.get("cachedContentTokenCount")
    if all_cached is not None:
        flat["cached"] = all_cached - flat.get("cached_AUDIO", 0) - flat.get("cached_IMAGE", 0)
    return flat


def _media_out(stated: dict[str, Any]) -> dict[str, Any]:
    made = by_modality(stated, "candidatesTokensDetails")
    return {f"output_{medium}": made[medium] for medium in _MEDIA if medium in made}


def by_modality(stated: dict[str, Any], name: str) -> dict[str, int]:
    """The list `[{"modality", "tokenCount"}]` as counts by modality; what is no count is left out."""
    listed = stated.get(name)
    counts: dict[str, int] = {}
    for row in cast(list[Any], listed) if isinstance(listed, list) else ():
        fields = cast(dict[str, Any], row) if isinstance(row, dict) else {}
        modality, count = fields.get("modality"), fields.get("tokenCount")
        if isinstance(modality, str) and _is_count(count):
            counts[modality] = counts.get(modality, 0) + cast(int, count)
    return counts


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_QUANTITY


GEMINI = Convention(
    wholes=((Meter.INPUT, ("input",)), (Meter.OUTPUT, ("output",))),
    parts=(
        Part(Meter.CACHED_INPUT, (("cached",),), Meter.INPUT, Axis.CACHE),
        Part(Meter.CACHED_AUDIO, (("cached_AUDIO",),), Meter.INPUT, Axis.CACHE),
        Part(Meter.CACHED_IMAGE, (("cached_IMAGE",),), Meter.INPUT, Axis.CACHE),
        Part(Meter.INPUT_AUDIO, (("input_AUDIO",),), Meter.INPUT),
        Part(Meter.INPUT_IMAGE, (("input_IMAGE",),), Meter.INPUT),
        Part(Meter.INPUT_VIDEO, (("input_VIDEO",),), Meter.INPUT),
        Part(Meter.REASONING, (("thoughts",),), Meter.OUTPUT),
        Part(Meter.OUTPUT_AUDIO, (("output_AUDIO",),), Meter.OUTPUT),
        Part(Meter.OUTPUT_IMAGE, (("output_IMAGE",),), Meter.OUTPUT),
        Part(Meter.OUTPUT_VIDEO, (("output_VIDEO",),), Meter.OUTPUT),
        Part(Meter.SEARCHES, ((SEARCHES,),), None),
    ),
    total=("total",),
    flatten=flatten,
)

GEMINI_EMBEDDINGS = Convention(wholes=((Meter.INPUT, ("promptTokenCount",)),))
