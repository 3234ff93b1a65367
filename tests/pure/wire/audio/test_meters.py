"""Meters of speech and transcripts: the same figures however a stream is cut, and its end withheld (Law 3)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import payloads
from tests.support import sounds

from farebox.wire.audio.bytes_meter import BytesMeter
from farebox.wire.audio.speech_meter import SpeechMeter
from farebox.wire.audio.transcript_meter import TranscriptMeter
from farebox.wire.dialect import Meters

USAGE = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
AUDIO = sounds.mp3(25)
WORDS = ("Hello", " from", " there.")
cuts = st.lists(st.integers(1, 6_000), max_size=8)


def events(*each: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in each)


PIECES = [base64.b64encode(AUDIO[at : at + 700]).decode() for at in range(0, 2_400, 700)]
SPEECH = events(
    *[{"type": "speech.audio.delta", "audio": piece} for piece in PIECES],
    {"type": "speech.audio.done", "usage": USAGE},
)
TRANSCRIPT = events(
    *[{"type": "transcript.text.delta", "delta": word} for word in WORDS],
    {"type": "transcript.text.done", "text": "".join(WORDS), "usage": USAGE},
)


def fed(meter: Meters, stream: bytes, at: list[int]) -> bytes:
    """What passes before the end, the stream coming in pieces."""
    passed, begun = b"", 0
    for cut in sorted({min(each, len(stream)) for each in at} | {len(stream)}):
        passed += meter.feed(stream[begun:cut])
        begun = cut
    return passed + meter.end()


@given(at=cuts)
def test_plain_audio_passes_but_for_its_last_byte(at: list[int]) -> None:
    meter = BytesMeter("mp3", 50)
    assert fed(meter, AUDIO, at) == AUDIO[:-1]
    assert meter.finished
    assert meter.finish("0.1") == AUDIO[-1:]
    assert (meter.output.audio_ms, meter.output.bytes_so_far, meter.usage) == (600, 12, None)


@given(at=cuts)
def test_speech_in_events_is_as_long_and_ends_with_its_charge(at: list[int]) -> None:
    meter = SpeechMeter("mp3", 50)
    passed = fed(meter, SPEECH, at)
    assert (meter.output.audio_ms, meter.finished) == (600, True)
    assert meter.usage is not None
    assert json.loads(bytes(meter.usage)) == USAGE
    assert b"speech.audio.done" not in passed
    assert payloads(meter.finish("0.1")) == [{"type": "speech.audio.done", "usage": USAGE | {"cost": "0.1"}}]


@given(at=cuts)
def test_a_transcript_passes_and_its_end_waits(at: list[int]) -> None:
    meter = TranscriptMeter()
    passed = payloads(fed(meter, TRANSCRIPT, at))
    assert [event["delta"] for event in passed] == list(WORDS)
    assert meter.output.drain()[0] == "".join(WORDS)
    (done,) = payloads(meter.finish("0.1"))
    assert (done["text"], done["usage"]) == ("".join(WORDS), USAGE | {"cost": "0.1"})


@given(at=cuts)
def test_a_whole_transcript_becomes_the_event_that_ends_a_stream(at: list[int]) -> None:
    meter = TranscriptMeter()
    assert fed(meter, b'{"text": "Hello", "usage": {"type": "duration", "seconds": 3}}', at) == b""
    assert (meter.finished, meter.usage) == (True, None)
    (done,) = payloads(meter.finish("0.1"))
    assert (done["type"], done["text"], done["usage"]["cost"]) == ("transcript.text.done", "Hello", "0.1")


@pytest.mark.parametrize("stream", [b"", b'{"error":{"message":"no"}}'])
def test_what_is_no_answer_is_not_finished(stream: bytes) -> None:
    for meter in (BytesMeter("mp3", 50), SpeechMeter("mp3", 50), TranscriptMeter()):
        assert fed(meter, stream, []) == b""
        assert not meter.finished


def test_half_an_answer_of_audio_has_no_end_to_give() -> None:
    meter = BytesMeter("mp3", 50)
    meter.feed(AUDIO[:500])
    assert not meter.finished
    assert meter.cut_short("0.1") is None
    assert meter.error_event("upstream_error", "It broke off.") is None
