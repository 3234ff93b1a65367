"""How the images endpoints state usage: text and images inside input and output, told apart in the details.

What an output is made of is told by newer models only; without that it is images, which is what the endpoint makes.
What was read from a cache is inside the input, and its images inside the images.
"""

from __future__ import annotations

from typing import Any, cast

from farebox.tariff.meters import Meter
from farebox.wire.usage import Axis, Convention, Part


def flatten(stated: dict[str, Any]) -> dict[str, Any]:
    """The figures under one name each. Never raises; a figure that is no count stays what it is."""
    given, made = _object(stated, "input_tokens_details"), _object(stated, "output_tokens_details")
    output = stated.get("output_tokens")
    flat: dict[str, Any] = {"input": stated.get("input_tokens"), "output": output}
    flat["total"] = stated.get("total_tokens")
    images: Any = given.get("image_tokens")
    cached: Any = given.get("cached_tokens")
    flat |= {"input_image": images, "cached": cached, "output_image": _images_of(output, made)}
    fetched: Any = _object(given, "cached_tokens_details").get("image_tokens")
    if _are_counts(fetched, images, cached):
        known = min(fetched, images, cached)
        flat |= {"cached_image": known, "cached": cached - known, "input_image": images - known}
    return {name: count for name, count in flat.items() if count is not None}


def _images_of(output: Any, made: dict[str, Any]) -> Any:
    """What of the output is images: as stated, or all that is not said to be text or reasoning."""
    stated: Any = made.get("image_tokens")
    if stated is not None:
        return stated
    others = [made[name] for name in ("text_tokens", "reasoning_tokens") if made.get(name) is not None]
    return max(0, output - sum(others)) if _are_counts(output, *others) else output


def _are_counts(*values: Any) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _object(stated: dict[str, Any], name: str) -> dict[str, Any]:
    value = stated.get(name)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


IMAGES = Convention(
    wholes=((Meter.INPUT, ("input",)), (Meter.OUTPUT, ("output",))),
    parts=(
        Part(Meter.CACHED_INPUT, (("cached",),), Meter.INPUT, Axis.CACHE),
        Part(Meter.CACHED_IMAGE, (("cached_image",),), Meter.INPUT, Axis.CACHE),
        Part(Meter.INPUT_IMAGE, (("input_image",),), Meter.INPUT),
        Part(Meter.OUTPUT_IMAGE, (("output_image",),), Meter.OUTPUT),
    ),
    total=("total",),
    flatten=flatten,
)
