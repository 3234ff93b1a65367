"""The fields of the audio endpoints that move a price, and what is done about each (see `wire.price_fields`)."""

from __future__ import annotations

from farebox.wire.price_fields import OPENAI_CHAT, PriceField, Treatment

_ELSEWHERE = "the audio must come with the request, because its length is measured"
_REFUSED_EVERYWHERE = tuple([row for row in OPENAI_CHAT if row.treatment is Treatment.REFUSED])


def _priced(name: str, how: str) -> PriceField:
    return PriceField(name, Treatment.PRICED, how)


def _refused(name: str, how: str) -> PriceField:
    return PriceField(name, Treatment.REFUSED, how)


SPEECH: tuple[PriceField, ...] = (
    _priced(
        "input", "its characters, or as text; its length bounds how long the speech may be. At most 4,096 characters"
    ),
    _priced("instructions", "count as text; not as characters"),
    _priced("speed", "slower speech is held longer"),
    _priced("voice", "no effect on usage"),
    _priced("response_format", "no effect on usage: the length counts, not the bytes"),
    _priced("stream_format", "no effect on usage"),
    _refused("service_tier", "speech has no tiers here"),
    *[row for row in _REFUSED_EVERYWHERE if row.name != "speed"],
)

TRANSCRIPTION: tuple[PriceField, ...] = (
    _priced("file", "its length in seconds, or as audio tokens; measured, and rounded up to the millisecond"),
    _priced("prompt", "counts as text"),
    _priced("known_speaker_references[]", "count as text, by the byte, which is more than they are"),
    _priced("known_speaker_names[]", "count as text"),
    _priced("stream", "no effect on usage"),
    _priced("response_format", "no effect on usage"),
    _priced("include[]", "no effect on usage"),
    _priced("timestamp_granularities[]", "no effect on usage"),
    _priced("chunking_strategy", "no effect on usage"),
    _refused("url", _ELSEWHERE),
    _refused("file_url", _ELSEWHERE),
    _refused("audio_url", _ELSEWHERE),
    _refused("file_id", _ELSEWHERE),
    _refused("service_tier", "transcription has no tiers here"),
    *_REFUSED_EVERYWHERE,
)
