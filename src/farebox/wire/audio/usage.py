"""How the audio endpoints state usage. Seconds a provider states are not read: the file was measured."""

from __future__ import annotations

from farebox.tariff.meters import Meter
from farebox.wire.usage import Convention, Part

TRANSCRIPTS = Convention(
    wholes=((Meter.INPUT, ("input_tokens",)), (Meter.OUTPUT, ("output_tokens",))),
    parts=(
        Part(
            Meter.INPUT_AUDIO,
            (("input_token_details", "audio_tokens"), ("input_tokens_details", "audio_tokens")),
            Meter.INPUT,
        ),
    ),
    total=("total_tokens",),
)
"""`{"type": "tokens", …}`, text and audio inside the input."""

SPOKEN = Convention(wholes=((Meter.INPUT, ("input_tokens",)), (Meter.OUTPUT_AUDIO, ("output_tokens",))))
"""Of `speech.audio.done`: all that goes in is text, all that comes out is audio."""
