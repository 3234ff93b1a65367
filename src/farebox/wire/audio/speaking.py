"""Speech made of text: a body becomes a `Call` that is answered by audio as it is made, or by events that carry it.

Cards price it by the character, the token or the second; the call carries all of them, and which are charged is the
card's choice (`Call.sold_by`). Characters are those of `input`, known before. Tokens of audio are reported by a
provider in events only; in plain audio they are counted from its length, one for each 50 ms. `parse` never raises.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from farebox.tariff.estimate import TEXT_ONLY
from farebox.tariff.meters import Meter
from farebox.wire import openai_errors, openai_forward
from farebox.wire.audio.bytes_meter import BytesMeter
from farebox.wire.audio.price_fields import SPEECH
from farebox.wire.audio.speech_meter import SpeechMeter
from farebox.wire.audio.usage import SPOKEN
from farebox.wire.call import (
    ABSENT,
    MAX_MODEL_LENGTH,
    PLAIN_BODY,
    TEMPLATE_TOKENS,
    Call,
    ChannelBody,
    Fields,
    Malformed,
    MalformedCode,
    is_present,
    text_field,
)
from farebox.wire.json_object import read_as, read_object
from farebox.wire.openai_answer import Answer
from farebox.wire.price_fields import refuse_fields, refused_names

MOST_CHARACTERS = 4096
MS_A_CHARACTER, MS_BESIDE = 500, 10_000
"""How long speech is at most, at its natural speed; a character of English takes about 65 ms, of Chinese 250."""
TYPICAL_MS_A_CHARACTER = 70
MS_A_TOKEN = 50
SLOWEST, FASTEST = Decimal("0.25"), Decimal(4)

AUDIO_TYPES = {
    "mp3": b"audio/mpeg",
    "opus": b"audio/ogg",
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}
"""What is sent, by `response_format`."""


class _Body(msgspec.Struct, frozen=True, gc=False):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_LENGTH)]
    input: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_CHARACTERS)]
    voice: msgspec.Raw
    instructions: str | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = None
    stream_format: Literal["audio", "sse"] | None = None
    speed: msgspec.Raw = ABSENT


_body = msgspec.json.Decoder(_Body)
_REFUSED = refused_names(SPEECH)


class Speaking:
    """`/v1/audio/speech`."""

    name = "audio_speech"
    path = "/v1/audio/speech"
    at = ""
    ping = b": ping\n\n"
    resource = "audio"
    convention = SPOKEN
    price_fields = SPEECH
    render_error = staticmethod(openai_errors.render)
    read_upstream_error = staticmethod(openai_errors.read_upstream_error)

    def parse(self, body: bytes) -> Call | Malformed:
        """Read a speech request. Never raises."""
        fields = read_object(body)
        if isinstance(fields, Malformed):
            return fields
        wanted = read_as(body, _body)
        if isinstance(wanted, Malformed):
            return wanted
        speed = _speed(wanted.speed)
        if isinstance(speed, Malformed):
            return speed
        return refuse_fields(fields, _REFUSED) or _call(body, fields, wanted, _longest_ms(len(wanted.input), speed))

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        """Below the channel's base URL."""
        return self.path.removeprefix("/v1")

    def forward(
        self, call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
    ) -> bytes:
        """The same body under the upstream's name of the model; speech knows no limit, and no hash of a customer."""
        plain = ChannelBody(stream_usage=False, overrides=channel.overrides)
        return openai_forward.forward(call, upstream_model=upstream_model, channel=plain)

    def text_of(self, call: Call) -> str:
        """What is spoken, and how; nothing where no tokens are sold."""
        if call.at_most.get(Meter.INPUT) == 0:
            return ""
        return (text_field(call.fields, "instructions") or "") + (text_field(call.fields, "input") or "")

    def tokens_beside_text(self, call: Call) -> int:
        """None that is known."""
        return 0

    def meter(self, call: Call) -> BytesMeter | SpeechMeter:
        asked = text_field(call.fields, "response_format") or "mp3"
        return BytesMeter(asked, MS_A_TOKEN) if call.answer_type else SpeechMeter(asked, MS_A_TOKEN)

    def read_answer(self, body: bytes, call: Call) -> Answer | None:
        """None: speech is always streamed."""
        return None


def _speed(given: msgspec.Raw) -> Decimal | Malformed:
    if not is_present(given):
        return Decimal(1)
    try:
        speed = msgspec.json.decode(given, type=Decimal) if bytes(given)[:1] != b'"' else Decimal(0)
    except (msgspec.DecodeError, RecursionError):
        speed = Decimal(0)
    if not SLOWEST <= speed <= FASTEST:
        return Malformed(MalformedCode.INVALID_PARAMETER, "'speed' must be a number from 0.25 to 4.", "speed")
    return speed


def _longest_ms(characters: int, speed: Decimal) -> int:
    return int((MS_A_CHARACTER * characters + MS_BESIDE) / min(speed, Decimal(1)))


def _call(body: bytes, fields: Fields, wanted: _Body, longest_ms: int) -> Call:
    characters = len(wanted.input)
    text = wanted.input + (wanted.instructions or "")
    at_most = {meter: 0 for meter in TEXT_ONLY if meter is not Meter.OUTPUT_AUDIO}
    at_most |= {Meter.OUTPUT: 0, Meter.REASONING: 0}  # all of it is audio
    at_most |= {Meter.CACHE_WRITE_5M: 0, Meter.CACHE_WRITE_1H: 0, Meter.AUDIO_SECONDS: longest_ms}
    return Call(
        body=body,
        fields=fields,
        model=wanted.model,
        stream=True,
        output_limit=-(-longest_ms // MS_A_TOKEN),
        held_whole=True,
        typical=(Meter.OUTPUT_AUDIO, -(-characters * TYPICAL_MS_A_CHARACTER // MS_A_TOKEN)),
        input_bytes=len(text.encode(errors="replace")) + TEMPLATE_TOKENS,
        at_most=at_most,
        units=((Meter.CHARACTERS, characters),),
        either=(Meter.CHARACTERS, Meter.AUDIO_SECONDS, Meter.INPUT, Meter.OUTPUT),
        measured=True,
        wants_usage=True,
        answer_type=b"" if wanted.stream_format == "sse" else AUDIO_TYPES[wanted.response_format or "mp3"],
    )
