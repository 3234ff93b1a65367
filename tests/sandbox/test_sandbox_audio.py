"""The sandbox's speech and transcripts: files as long as the text takes, words that follow from the file."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.support import sounds
from tests.support.forms import CONTENT_TYPE, END, field, file_head

from farebox.upstream import sandbox_audio
from farebox.upstream.sandbox_script import read_script
from farebox.upstream.sandbox_sounds import silence
from farebox.wire.audio.length import length_ms
from farebox.wire.audio.speaking import Speaking
from farebox.wire.audio.transcribing import Transcriptions
from farebox.wire.call import Call

READER = Transcriptions().reading([CONTENT_TYPE.encode()])
FRAMES = {"mp3": 24, "opus": 20, "aac": 43, "flac": 171, "wav": 1}
"""Milliseconds of a format's frames, rounded up."""


@pytest.mark.parametrize("ms", [1, 999, 70_001])
@pytest.mark.parametrize("name", FRAMES)
def test_silence_is_as_long_as_it_was_asked_for_in_every_format(name: str, ms: int) -> None:
    measured = length_ms(memoryview(b"".join(silence(name, ms))))
    assert measured is not None
    assert ms <= measured <= ms + FRAMES[name]
    assert len(b"".join(silence("pcm", ms))) == 48 * ms


def written(script: str = "", *, model: str = "whisper-1", file: bytes = b"", **fields: str) -> Any:
    given = b"".join(field(name, text) for name, text in {"model": model, **fields}.items())
    call = READER.parse(given + file_head("a.wav") + (file or sounds.wav(1_500)) + b"\r\n" + END)
    assert isinstance(call, Call)
    asked = read_script(script)
    assert not isinstance(asked, str)
    return sandbox_audio.answer(READER, call, asked)


def test_a_transcript_follows_from_its_file() -> None:
    first = msgspec.json.decode(written())
    assert first == msgspec.json.decode(written(temperature="0.5"))
    assert first["usage"] == {"type": "duration", "seconds": 2}
    assert first["text"] != msgspec.json.decode(written(file=sounds.wav(1_501)))["text"]


def test_tokens_are_told_by_models_that_count_them() -> None:
    usage = msgspec.json.decode(written("tokens=7", model="gpt-4o-transcribe"))["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (20, 7, 27)
    assert "usage" not in msgspec.json.decode(written("usage=none", model="gpt-4o-transcribe"))


def test_a_cut_ends_speech_early() -> None:
    call = Speaking().parse(b'{"model":"m","input":"Hello you, whoever you are.","voice":"v"}')
    assert isinstance(call, Call)
    whole, cut = [
        list(sandbox_audio.events(Speaking(), call, script))
        for script in (read_script(""), read_script("cut=2"))
        if not isinstance(script, str)
    ]
    assert cut == whole[:2] != whole
