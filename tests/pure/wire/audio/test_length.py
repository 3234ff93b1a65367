"""The length of audio files: by what is in them, whatever their headers say, and however they arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import sounds

from farebox.wire.audio.length import count_for, length_ms


def length(content: bytes) -> int | None:
    return length_ms(memoryview(content))


LONG = 600_000
TAG = b"ID3\x04\x00\x00\x00\x00\x02\x00" + b"\xff" * 256

LENGTHS = [
    # what                                                content                                              ms
    ("wav",                                               sounds.wav(1_234),                                   1_234),
    ("wav in stereo",                                     sounds.wav(500, rate=44_100, channels=2),            500),
    ("wav, a part of a millisecond is one",               sounds.wav(1, claimed=0) + b"\0\0",                  2),
    ("wav that was streamed, with no length",             sounds.wav(900, claimed=0xFFFFFFFF),                 900),
    ("wav whose header says one second",                  sounds.wav(LONG, claimed=16_000),                    LONG),
    ("wav whose header says more than there is",          sounds.wav(700, claimed=1 << 30),                    700),
    ("wav with a chunk after its samples",                sounds.wav(700, after=b"LIST\x04\0\0\0abcd"),        700),
    ("mp3",                                               sounds.mp3(50),                                      1_200),
    ("mp3 behind a tag that looks like frames",           sounds.mp3(50, tag=TAG),                             1_200),
    ("mp3 with a table of contents, which is not played", sounds.mp3(50, table=True),                          1_200),
    ("mp3 with rubbish between its frames",               sounds.mp3(25) + b"rubbish" + sounds.mp3(25),        1_200),
    ("aac",                                               sounds.adts(75),                                     3_200),
    ("flac",                                              sounds.flac(75),                                     12_800),
    ("flac that says it is one sample long",              sounds.flac(75, stated=1),                           12_800),
    ("opus",                                              sounds.opus(120),                                    2_400),
    ("opus less what a decoder drops",                    sounds.opus(120, skipped=480),                       2_390),
    ("opus whose position says one second",               sounds.opus(500, claimed=48_000),                    10_000),
    ("vorbis",                                            sounds.vorbis(36_000),                               1_500),
    ("vorbis with more bytes than its position allows",   sounds.vorbis(1, content=64_000),                    1_000),
    ("m4a",                                               sounds.m4a(75),                                      3_200),
    ("m4a whose headers say next to nothing",             sounds.m4a(75, claimed=75),                          3_200),
    ("m4a whose headers say more",                        sounds.m4a(75, claimed=240_000),                     10_000),
    ("webm",                                              sounds.webm(150),                                    3_000),
    ("webm whose times say nothing",                      sounds.webm(150, step_ms=0),                         3_000),
]  # fmt: skip


@pytest.mark.parametrize(("content", "ms"), [row[1:] for row in LENGTHS], ids=[row[0] for row in LENGTHS])
def test_a_file_is_as_long_as_what_is_in_it(content: bytes, ms: int) -> None:
    assert length(content) == ms


NO_AUDIO = [
    b"",
    b"hello",
    b"\xff" * 100_000,
    b"RIFF\x00\x00\x00\x00WAVE" + b"\x00" * 100,
    sounds.wav(0),
    sounds.wav(100).replace(b"\x01\x00\x01\x00", b"\x11\x00\x01\x00", 1),
    b"\x89PNG\r\n\x1a\n" + bytes(200),
    sounds.box(b"ftyp", b"M4A ") + sounds.box(b"mdat", bytes(100)),
    b"%PDF-1.7" + bytes(100),
    b"OggS" + bytes(200),
    b"fLaC" + bytes(200),
    sounds.flac(1) + b"\xff\xf8" * 50_000,  # made to be dear to read
    sounds.wav(1) + b"LIST\0\0\0\0" * 50_000,
]


@pytest.mark.parametrize("content", NO_AUDIO, ids=range(len(NO_AUDIO)))
def test_what_is_no_audio_has_no_length(content: bytes) -> None:
    assert length(content) is None


def test_what_claims_to_be_longer_than_a_day_has_no_length() -> None:
    assert length(sounds.m4a(10, rate=1_000, claimed=86_500_000)) is None
    assert length(sounds.vorbis(2**60)) is None


@given(content=st.binary(max_size=400), start=st.sampled_from([row[1][:64] for row in LENGTHS]))
def test_no_file_makes_it_fail(content: bytes, start: bytes) -> None:
    length(start + content)
    length(content)


STREAMED = [row for row in LENGTHS if not row[0].startswith(("m4a", "webm")) and row[2] != LONG]


@pytest.mark.parametrize(("content", "ms"), [row[1:] for row in STREAMED], ids=[row[0] for row in STREAMED])
@given(cuts=st.lists(st.integers(1, 40_000), max_size=12))
def test_however_it_arrives_it_is_as_long(content: bytes, ms: int, cuts: list[int]) -> None:
    count = count_for(memoryview(content))
    assert count is not None
    at = 0
    for cut in sorted({min(cut, len(content)) for cut in cuts} | {len(content)}):
        count.feed(content[at:cut])
        at = cut
    count.end()
    assert count.ms == ms
