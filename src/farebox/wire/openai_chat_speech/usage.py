"""Usage as a chat completion states it: everything inside the prompt's and the completion's counts."""

from __future__ import annotations

from collections.abc import Mapping

from farebox.tariff.meters import Meter, Usage, input_tokens, output_tokens

_CACHED = (Meter.CACHED_INPUT, Meter.CACHED_AUDIO, Meter.CACHED_IMAGE)
_OF_THE_PROMPT: Mapping[str, tuple[Meter, ...]] = {
    "cached_tokens": _CACHED,
    "cache_write_tokens": (Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H),
    "audio_tokens": (Meter.INPUT_AUDIO,),
    "image_tokens": (Meter.INPUT_IMAGE,),
}
_OF_THE_COMPLETION: Mapping[str, tuple[Meter, ...]] = {
    "reasoning_tokens": (Meter.REASONING,),
    "audio_tokens": (Meter.OUTPUT_AUDIO,),
    "image_tokens": (Meter.OUTPUT_IMAGE,),
}


def usage_written(usage: Usage, charge: str | None = None) -> dict[str, object]:
    """The usage object for a client; `charge` is in credits, as a decimal string."""
    prompt, completion = input_tokens(usage), output_tokens(usage)
    written: dict[str, object] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    for name, meters in (("prompt_tokens_details", _OF_THE_PROMPT), ("completion_tokens_details", _OF_THE_COMPLETION)):
        details = _details(usage, meters)
        if details:
            written[name] = details
    if charge is not None:
        written["cost"] = charge
    return written


def _details(usage: Usage, table: Mapping[str, tuple[Meter, ...]]) -> dict[str, int]:
    """The parts that were counted; one that was not stated is not written as 0 (d25)."""
    details: dict[str, int] = {}
    for name, meters in table.items():
        counts = [usage[meter] for meter in meters if meter in usage]
        if counts:
            details[name] = sum(counts)
    return details
