"""Speech written down: a form becomes a `Call` whose audio is measured, an answer of any format its usage.

Cards price it by the second or by the token; the call carries both, and which is charged is the card's choice
(`Call.sold_by`). Seconds are those of the file itself, never of its name, its media type or its header, and known
before anything is held. Form and file that cannot be served are refused here: 400, or 415 for what is no audio.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from farebox.tariff.estimate import TEXT_ONLY
from farebox.tariff.meters import Meter
from farebox.wire import openai_errors
from farebox.wire.audio.length import FORMATS, length_ms
from farebox.wire.audio.price_fields import TRANSCRIPTION
from farebox.wire.audio.transcript_meter import TranscriptMeter
from farebox.wire.audio.transcripts import TEXT_TYPES, read_transcript
from farebox.wire.audio.usage import TRANSCRIPTS
from farebox.wire.call import (
    MAX_MODEL_LENGTH,
    PLAIN_BODY,
    TEMPLATE_TOKENS,
    Call,
    ChannelBody,
    Fields,
    Malformed,
    MalformedCode,
    raw,
    text_field,
)
from farebox.wire.form import Form, FormDialect
from farebox.wire.multipart import Limits
from farebox.wire.price_fields import refuse_fields, refused_names

INPUT_TOKENS_A_SECOND = 32
"""What a second of audio is to any model, at most."""
OUTPUT_TOKENS_A_SECOND, OUTPUT_TOKENS_BESIDE = 25, 512
"""What a second of audio can be as text, at most, with the names of speakers and times around it."""
TYPICAL_TOKENS_A_SECOND = 4

FORMAT_NAMES = frozenset({"json", "text", "srt", "verbose_json", "vtt", "diarized_json"})
_TRUE, _FALSE = frozenset({"true", "True", "1"}), frozenset({"", "false", "False", "0"})
_REFUSED = refused_names(TRANSCRIPTION)
_WEIGHED = ("prompt", "known_speaker_references[]", "known_speaker_names[]")


class Transcribing(FormDialect):
    """What the two endpoints share."""

    at = ""
    ping = b": ping\n\n"
    resource = "audio"
    convention = TRANSCRIPTS
    price_fields = TRANSCRIPTION
    form_limits = Limits(field_bytes=1024 * 1024)
    name: str
    path: str
    render_error = staticmethod(openai_errors.render)
    read_upstream_error = staticmethod(openai_errors.read_upstream_error)
    read_answer = staticmethod(read_transcript)

    def parse(self, body: bytes) -> Call | Malformed:
        """Read a form, and measure the audio in it. Never raises."""
        form = self.read_form(body)
        if isinstance(form, Malformed):
            return form
        fields: Fields = {part.head.name: raw(form.text(part.head.name) or "") for part in form.parts}
        return refuse_fields(fields, _REFUSED) or _refuse(form) or _measured(form, fields)

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        """Below the channel's base URL."""
        return self.path.removeprefix("/v1")

    def forward(
        self, call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
    ) -> bytes:
        """The same form under the upstream's name of the model, with the fields the operator sets."""
        changes = {name: _as_text(value) for name, value in channel.overrides.items()}
        if upstream_model != call.model:
            changes["model"] = upstream_model
        form = self.read_form(call.body) if changes else None
        return form.rewritten(changes) if isinstance(form, Form) else call.body

    def text_of(self, call: Call) -> str:
        """The prompt; nothing where no tokens are sold."""
        return "" if call.at_most.get(Meter.INPUT) == 0 else text_field(call.fields, "prompt") or ""

    def tokens_beside_text(self, call: Call) -> int:
        """None: what is said stands in the audio."""
        return 0

    def meter(self, call: Call) -> TranscriptMeter:
        return TranscriptMeter()


class Transcriptions(Transcribing):
    """Speech as text, in its own language."""

    name = "audio_transcriptions"
    path = "/v1/audio/transcriptions"


class Translations(Transcribing):
    """Speech as English text."""

    name = "audio_translations"
    path = "/v1/audio/translations"


def _refuse(form: Form) -> Malformed | None:
    """What is wrong with the fields."""
    model = form.text("model")
    if not model:
        return Malformed(MalformedCode.MISSING_PARAMETER, "Missing required parameter: 'model'.", "model")
    if len(model) > MAX_MODEL_LENGTH:
        return _invalid("model", "'model' is too long.")
    if not form.files("file"):
        message = "Missing required parameter: 'file', with a file name."
        return Malformed(MalformedCode.MISSING_PARAMETER, message, "file")
    if any(part.head.filename is not None and part.head.name != "file" for part in form.parts):
        return _invalid("file", "Only 'file' may be a file.")
    wanted = form.text("response_format")
    if wanted is not None and wanted not in FORMAT_NAMES:
        return _invalid("response_format", f"'response_format' must be one of {', '.join(sorted(FORMAT_NAMES))}.")
    if (form.text("stream") or "") not in _TRUE | _FALSE:
        return _invalid("stream", "'stream' must be true or false.")
    return None


def _measured(form: Form, fields: Fields) -> Call | Malformed:
    (file,) = form.files("file")
    if file.start == file.end:
        return _invalid("file", "The file is empty.")
    ms = length_ms(form.content(file))
    if ms is None:
        message = f"The file is no audio, or its length cannot be measured. These formats can be read: {FORMATS}."
        return Malformed(MalformedCode.UNSUPPORTED_MEDIA_TYPE, message, "file")
    del fields["file"]
    return _call(form, fields, ms)


def _call(form: Form, fields: Fields, ms: int) -> Call:
    media_tokens = INPUT_TOKENS_A_SECOND * (ms // 1000 + 1)
    at_most: Mapping[Meter, int] = {
        **TEXT_ONLY,
        Meter.CACHE_WRITE_5M: 0,
        Meter.CACHE_WRITE_1H: 0,
        Meter.INPUT_AUDIO: media_tokens,
        Meter.AUDIO_SECONDS: ms,
    }
    asked = form.text("response_format") or "json"
    stream = form.text("stream") in _TRUE
    return Call(
        body=form.body,
        fields=fields,
        model=form.text("model") or "",
        stream=stream,
        output_limit=OUTPUT_TOKENS_A_SECOND * (ms // 1000 + 1) + OUTPUT_TOKENS_BESIDE,
        held_whole=True,
        typical=(Meter.OUTPUT, TYPICAL_TOKENS_A_SECOND * (ms // 1000 + 1)),
        input_bytes=sum([len(text.encode()) for text in form.texts(*_WEIGHED)]) + TEMPLATE_TOKENS,
        media_tokens=media_tokens,
        at_most=at_most,
        units=((Meter.AUDIO_SECONDS, ms),),
        either=(Meter.AUDIO_SECONDS, Meter.INPUT, Meter.OUTPUT),
        measured=True,
        answer_type=b"" if stream else TEXT_TYPES.get(asked, b""),
    )


def _as_text(value: msgspec.Raw) -> str:
    """A field as forms write it: text as it is, everything else as JSON."""
    read = msgspec.json.decode(value)
    return read if isinstance(read, str) else bytes(value).decode()


def _invalid(param: str, message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)
