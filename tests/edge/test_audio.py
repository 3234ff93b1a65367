"""Speech and transcripts, end to end against a scripted provider: by the second, the character and the token."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any

import pytest
from tests.pure.wire.bodies import payloads
from tests.support import audio_answers, sounds
from tests.support.audio_answers import SECONDS, TEXT, TOKENS
from tests.support.forms import CONTENT_TYPE, END, field, file_head
from tests.support.gateway import Answer, Customer, Gateway, running_gateway
from tests.support.openai_answers import failure
from tests.support.script import answer as plain
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import Line, model_for_sale, remove_channel, sell, until

from farebox.money import parse_credits
from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import CallPrice, CallUnit, RateCard

SPEECH, TRANSCRIPTIONS, TRANSLATIONS = "/v1/audio/speech", "/v1/audio/transcriptions", "/v1/audio/translations"
CARDS = {
    "spoken-second": RateCard(rates={Meter.AUDIO_SECONDS: "0.001"}),
    "per-call": RateCard(call_price=CallPrice("0.02", CallUnit.CALL, 65_536)),
    "apart": RateCard(rates={Meter.INPUT: "1", Meter.OUTPUT: "2", Meter.OUTPUT_AUDIO: "20"}),
}
MODELS = dict.fromkeys(("whisper-1", "gpt-4o-transcribe", "tts-1", "gpt-4o-mini-tts", *CARDS), "up")
WAV = sounds.wav(12_345)
TTS_1, MINI_TTS = 15_000, (600, 12_000)
"""Nanocredits a character; a token of text and of audio."""
TRANSCRIBE = (2_500, 6_000, 10_000)
"""Nanocredits for a token of text, of audio, and of a transcript."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(module_database: str, upstream: ScriptedUpstream) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        sell(gateway, *[model_for_sale(name, card) for name, card in CARDS.items()])
        yield gateway


@pytest.fixture(autouse=True)
def _channel(gateway: Gateway, upstream: ScriptedUpstream) -> Iterator[None]:
    """One of each test's own: what a provider did wrong in one is not held against it in the next."""
    upstream.forget()
    channel_id = gateway.channel(upstream.base_url, models=MODELS)
    yield
    remove_channel(gateway, channel_id)


def form(file: bytes, **fields: str) -> bytes:
    """As the official clients write it: fields, then the file."""
    given = b"".join(field(name, text) for name, text in {"model": "whisper-1", **fields}.items())
    return given + file_head("speech.wav") + file + b"\r\n" + END


def transcribe(
    gateway: Gateway, who: Customer, file: bytes = WAV, *, path: str = TRANSCRIPTIONS, **fields: Any
) -> Answer:
    return gateway.post(path, who, form(file, **fields), {"content-type": CONTENT_TYPE})


def speak(gateway: Gateway, who: Customer, text: str = "Hello you.", **fields: Any) -> Answer:
    return gateway.post(SPEECH, who, {"model": "tts-1", "input": text, "voice": "alloy", **fields})


def receipt_of(gateway: Gateway, who: Customer, answer: Answer) -> Any:
    """What it was charged, which was held, and nothing else was."""
    receipt = gateway.receipt(who, answer.headers["x-request-id"])
    assert parse_credits("1") - gateway.available(who) == parse_credits(receipt["charged"])
    assert parse_credits(receipt["charged"]) <= parse_credits(receipt["held"])
    return receipt


class SpeechLine(Line):
    path = SPEECH


@pytest.fixture
def who(gateway: Gateway) -> Customer:
    return gateway.customer(credits="1")


# Transcripts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
def test_a_transcript_is_charged_by_the_seconds_of_its_file(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer, path: str
) -> None:
    upstream.play(audio_answers.transcript(usage=SECONDS))
    answer = transcribe(gateway, who, path=path)
    assert (answer.status, answer.json["text"]) == (200, TEXT)
    receipt = receipt_of(gateway, who, answer)
    assert receipt["usage"] == {"audio_seconds": 12_345}
    assert parse_credits(receipt["charged"]) == 1_234_500  # 12.345 s at 0.006 a minute
    assert answer.headers["x-credits-charged"] == receipt["charged"]
    assert (receipt["reason"], receipt["usage_source"]) == ("counted", "counted")
    assert upstream.seen[0].path == path.removeprefix("/v1")
    assert answer.headers["x-ratelimit-resource"] == "audio"


def test_only_the_models_name_differs_upstream(gateway: Gateway, upstream: ScriptedUpstream, who: Customer) -> None:
    upstream.play(audio_answers.transcript())
    body = form(WAV, prompt="whisper-1")
    assert gateway.post(TRANSCRIPTIONS, who, body, {"content-type": CONTENT_TYPE}).status == 200
    seen = upstream.seen[0]
    assert seen.body == body.replace(b'"model"\r\n\r\nwhisper-1', b'"model"\r\n\r\nup')
    assert dict(seen.headers)["content-type"] == CONTENT_TYPE


def test_a_header_that_says_one_second_is_not_believed(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer
) -> None:
    upstream.play(audio_answers.transcript())
    answer = transcribe(gateway, who, sounds.wav(60_000, claimed=16_000))
    assert receipt_of(gateway, who, answer)["usage"] == {"audio_seconds": 60_000}


def test_a_transcript_in_tokens_is_charged_as_reported(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer
) -> None:
    upstream.play(audio_answers.transcript(usage=TOKENS))
    answer = transcribe(gateway, who, model="gpt-4o-transcribe", prompt="Names: Ada")
    receipt = receipt_of(gateway, who, answer)
    text, audio, out = TRANSCRIBE
    assert parse_credits(receipt["charged"]) == 8 * text + 32 * audio + 9 * out
    assert (receipt["reason"], receipt["usage"]["input_audio"]) == ("provider", 32)


@pytest.mark.parametrize("usage", [None, SECONDS, TOKENS | {"input_tokens": 10**9}, TOKENS | {"output_tokens": -1}])
def test_without_tokens_that_can_be_believed_they_are_counted(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer, usage: Any
) -> None:
    upstream.play(audio_answers.transcript(usage=usage))
    receipt = receipt_of(gateway, who, transcribe(gateway, who, model="gpt-4o-transcribe"))
    assert (receipt["reason"], receipt["usage"]["output"]) == ("counted", 6)


FORMATS = [
    ("text", b"Hello.\n", "text/plain; charset=utf-8"),
    ("srt", b"1\n00:00:00,000 --> 00:00:01,000\nHello.\n", "text/plain; charset=utf-8"),
    ("vtt", b"WEBVTT\n\n00:00.000 --> 00:01.000\nHello.\n", "text/vtt; charset=utf-8"),
]


@pytest.mark.parametrize(("name", "body", "content_type"), FORMATS)
def test_text_and_subtitles_pass_as_what_they_are(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer, name: str, body: bytes, content_type: str
) -> None:
    upstream.play(plain(body, content_type=content_type))
    answer = transcribe(gateway, who, response_format=name)
    assert (answer.body, answer.headers["content-type"]) == (body, content_type)
    assert receipt_of(gateway, who, answer)["usage"] == {"audio_seconds": 12_345}


def test_a_streamed_transcript_ends_with_its_charge(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer
) -> None:
    upstream.play(audio_answers.transcript_events(usage=TOKENS))
    answer = transcribe(gateway, who, model="gpt-4o-transcribe", stream="true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    receipt = receipt_of(gateway, who, answer)
    *deltas, done = payloads(answer.body)
    assert "".join(event["delta"] for event in deltas).strip() == TEXT
    assert done == {"type": "transcript.text.done", "text": TEXT, "usage": TOKENS | {"cost": receipt["charged"]}}
    assert receipt["reason"] == "provider"


def test_a_model_that_cannot_stream_still_ends_a_stream(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer
) -> None:
    upstream.play(audio_answers.transcript(usage=SECONDS))
    answer = transcribe(gateway, who, stream="true")
    (done,) = payloads(answer.body)
    receipt = receipt_of(gateway, who, answer)
    assert (done["type"], done["text"], done["usage"]["cost"]) == ("transcript.text.done", TEXT, receipt["charged"])
    assert receipt["usage"] == {"audio_seconds": 12_345}


def test_a_streamed_transcript_that_breaks_off_is_not_charged(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer
) -> None:
    upstream.play(audio_answers.transcript_events(done=False))
    answer = transcribe(gateway, who, model="gpt-4o-transcribe", stream="true")
    assert payloads(answer.body)[-1]["error"]["code"] == "upstream_error"
    assert gateway.available(who) == parse_credits("1")


BAD_FORMS: list[tuple[str, bytes, dict[str, str], int, str]] = [
    # what is wrong           file                        fields                        status  code
    ("no audio",              b"%PDF-1.7 not audio" * 9,  {},                           415, "unsupported_media_type"),
    ("an empty file",         b"",                        {},                           400, "invalid_parameter"),
    ("audio without samples", sounds.wav(0),              {},                           415, "unsupported_media_type"),
    ("no such format",        WAV,                        {"response_format": "docx"},  400, "invalid_parameter"),
    ("no such model",         WAV,                        {"model": "nothing"},         404, "invalid_model"),
    ("no model",              WAV,                        {"model": ""},                400, "missing_parameter"),
    ("audio from elsewhere",  WAV,                        {"url": "https://a/b.wav"},   400, "invalid_parameter"),
    ("neither true nor false", WAV,                       {"stream": "perhaps"},        400, "invalid_parameter"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "fields", "status", "code"), [row[1:] for row in BAD_FORMS])
def test_what_cannot_be_served_is_refused_before_anything_is_held(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer, file: bytes, fields: Any, status: int, code: str
) -> None:
    answer = transcribe(gateway, who, file, **fields)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert (upstream.seen, gateway.available(who)) == ([], parse_credits("1"))


def test_what_is_no_form_is_refused(gateway: Gateway, upstream: ScriptedUpstream, who: Customer) -> None:
    body = form(WAV)
    wrong = gateway.post(TRANSCRIPTIONS, who, {"model": "whisper-1"})
    assert (wrong.status, wrong.error["code"]) == (415, "unsupported_media_type")
    for broken in (body[:-10], body + b"x", b"x" + body, body.replace(b"filename", b"filenome")):
        answer = gateway.post(TRANSCRIPTIONS, who, broken, {"content-type": CONTENT_TYPE})
        assert answer.status == 400, answer.body
    assert upstream.seen == []


def test_too_few_credits_for_the_whole_transcript_are_refused(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    poor = gateway.customer(credits="0.0001")
    for model in ("whisper-1", "gpt-4o-transcribe"):
        answer = transcribe(gateway, poor, sounds.wav(120_000), model=model)
        assert (answer.status, answer.error["code"]) == (402, "insufficient_credits")
    assert upstream.seen == []


def test_a_providers_refusal_stays_one(gateway: Gateway, upstream: ScriptedUpstream, who: Customer) -> None:
    upstream.play(failure(400, "The audio is too short."), failure(400, "No such voice."))
    assert transcribe(gateway, who).status == 400
    assert speak(gateway, who).status == 400
    assert gateway.available(who) == parse_credits("1")


def test_the_same_form_under_another_boundary_is_the_same_request(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer
) -> None:
    upstream.play(audio_answers.transcript())
    seen: list[Answer] = []
    for boundary in ("first", "second"):
        known = CONTENT_TYPE.partition("boundary=")[2].encode()
        headers = {"content-type": f"multipart/form-data; boundary={boundary}", "idempotency-key": "once"}
        seen.append(gateway.post(TRANSCRIPTIONS, who, form(WAV).replace(known, boundary.encode()), headers))
    assert [each.status for each in seen] == [200, 200]
    assert seen[1].headers["idempotent-replayed"] == "true"
    assert len(upstream.seen) == 1


# Speech ------------------------------------------------------------------------------------------


def test_speech_is_charged_by_the_character_and_passes_byte_for_byte(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer
) -> None:
    audio = sounds.mp3(500)
    upstream.play(audio_answers.speech(audio))
    answer = speak(gateway, who, "Héllo 你好")
    assert (answer.body, answer.headers["content-type"]) == (audio, "audio/mpeg")
    receipt = receipt_of(gateway, who, answer)
    assert parse_credits(receipt["charged"]) == 8 * TTS_1
    assert receipt["usage"]["characters"] == 8
    assert upstream.seen[0].json()["model"] == "up"


def test_speech_in_tokens_is_counted_from_its_length(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer
) -> None:
    upstream.play(audio_answers.speech(sounds.mp3(500)))  # 12 seconds
    receipt = receipt_of(gateway, who, speak(gateway, who, "Hello you.", model="gpt-4o-mini-tts"))
    text, audio = MINI_TTS
    assert receipt["usage"] == {"input": 3, "output_audio": 240}
    assert parse_credits(receipt["charged"]) == 3 * text + 240 * audio
    assert receipt["reason"] == "counted"


def test_audio_has_its_own_price_where_a_card_gives_it_one(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer
) -> None:
    upstream.play(audio_answers.speech(sounds.mp3(500)))
    receipt = receipt_of(gateway, who, speak(gateway, who, "Hello you.", model="apart"))
    assert parse_credits(receipt["charged"]) == 3 * 1_000 + 240 * 20_000


def test_speech_in_events_is_charged_as_reported(gateway: Gateway, upstream: ScriptedUpstream, who: Customer) -> None:
    usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    upstream.play(audio_answers.speech_events(sounds.mp3(200), usage=usage))
    answer = speak(gateway, who, model="gpt-4o-mini-tts", stream_format="sse")
    receipt = receipt_of(gateway, who, answer)
    assert parse_credits(receipt["charged"]) == 14 * MINI_TTS[0] + 101 * MINI_TTS[1]
    assert payloads(answer.body)[-1]["usage"] == usage | {"cost": receipt["charged"]}
    assert receipt["reason"] == "provider"


SOUNDS = [
    ("mp3", sounds.mp3(500), 12_000),
    ("opus", sounds.opus(600), 12_000),
    ("aac", sounds.adts(75), 3_200),
    ("flac", sounds.flac(75), 12_800),
    ("wav", sounds.wav(3_000, claimed=0xFFFFFFFF), 3_000),
    ("pcm", bytes(48_000), 1_000),
]


@pytest.mark.parametrize(("name", "audio", "ms"), SOUNDS)
@pytest.mark.parametrize("events", [False, True])
def test_speech_by_the_second_is_measured_as_it_passes(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer, name: str, audio: bytes, ms: int, events: bool
) -> None:
    upstream.play(audio_answers.speech_events(audio) if events else audio_answers.speech(audio))
    fields = {"stream_format": "sse"} if events else {}
    answer = speak(gateway, who, model="spoken-second", response_format=name, **fields)
    assert events or answer.body == audio
    receipt = receipt_of(gateway, who, answer)
    assert receipt["usage"] == {"audio_seconds": ms}
    assert parse_credits(receipt["charged"]) == ms * 1_000


def test_speech_by_the_call(gateway: Gateway, upstream: ScriptedUpstream, who: Customer) -> None:
    upstream.play(audio_answers.speech(sounds.mp3(50)))
    assert receipt_of(gateway, who, speak(gateway, who, model="per-call"))["charged"] == "0.02"


def test_speech_that_breaks_off_ends_without_an_end_and_is_not_charged(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer
) -> None:
    upstream.play(audio_answers.speech(sounds.mp3(500)).cut(30_000))
    with pytest.raises(http.client.IncompleteRead) as broken:
        speak(gateway, who)
    assert b"error" not in broken.value.partial
    assert (gateway.held(who), gateway.available(who)) == (0, parse_credits("1"))


LEFT = [
    # bills on   stamp                    seconds charged
    (True,       "client_left_drained",   24_000),
    (False,      "client_left_cancelled", None),
]  # fmt: skip


@pytest.mark.parametrize(("bills_on", "stamp", "ms"), LEFT)
def test_speech_that_is_left_is_charged_for_what_was_spoken(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer, bills_on: bool, stamp: str, ms: int | None
) -> None:
    channel_id = gateway.channel(upstream.base_url, models={"left": "up"}, bills_after_disconnect=bills_on)
    sell(gateway, model_for_sale("left", CARDS["spoken-second"]))
    upstream.always(audio_answers.speech(sounds.mp3(1_000)).in_pieces_of(4_000, 0.02))
    with SpeechLine(gateway.port, who, {"model": "left", "input": "Hello", "voice": "alloy"}, {}) as line:
        line.until(b"\xff\xf3")
        request_id = line.request_id
        line.leave()
    until(lambda: gateway.held(who) == 0)
    receipt = gateway.receipt(who, request_id)
    remove_channel(gateway, channel_id)
    assert receipt["reason"] == stamp
    assert 0 < receipt["usage"]["audio_seconds"] <= 24_000
    assert ms in (None, receipt["usage"]["audio_seconds"])
    assert parse_credits(receipt["charged"]) == receipt["usage"]["audio_seconds"] * 1_000


@pytest.mark.parametrize("body", [b"", b'{"error": {"message": "no"}}'])
def test_nothing_and_an_error_are_no_speech(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer, body: bytes
) -> None:
    upstream.always(plain(body, content_type="audio/mpeg"))
    answer = speak(gateway, who)
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")
    assert gateway.available(who) == parse_credits("1")


def test_speech_is_given_again_as_it_was(gateway: Gateway, upstream: ScriptedUpstream, who: Customer) -> None:
    upstream.play(audio_answers.speech(sounds.mp3(50)))
    body = {"model": "tts-1", "input": "Hello", "voice": "alloy"}
    first, again = [gateway.post(SPEECH, who, body, {"idempotency-key": "once"}) for _ in range(2)]
    assert first.body == sounds.mp3(50)
    assert again.body == first.body
    assert (again.headers["content-type"], again.headers["idempotent-replayed"]) == ("audio/mpeg", "true")
    assert receipt_of(gateway, who, first)["usage"]["characters"] == 5


BAD_SPEECH = [
    ({"input": ""}, "input"),
    ({"input": "x" * 4_097}, "input"),
    ({"response_format": "midi"}, "response_format"),
    ({"speed": 9}, "speed"),
    ({"speed": "fast"}, "speed"),
    ({"speed": 1e999}, None),
    ({"fallbacks": ["x"]}, "fallbacks"),
    ({"voice": ...}, "voice"),
]


@pytest.mark.parametrize(("fields", "param"), BAD_SPEECH)
def test_bad_speech_is_refused(
    gateway: Gateway, upstream: ScriptedUpstream, who: Customer, fields: Any, param: str | None
) -> None:
    body = {"model": "tts-1", "input": "Hello", "voice": "alloy", **fields}
    answer = gateway.post(SPEECH, who, {name: value for name, value in body.items() if value is not ...})
    assert (answer.status, answer.error["param"]) == (400, param)
    assert upstream.seen == []


def test_slower_speech_is_held_longer(gateway: Gateway, who: Customer) -> None:
    body = {"model": "gpt-4o-mini-tts", "input": "Hello", "voice": "alloy"}
    slow, plain, fast = [
        parse_credits(gateway.post(f"/v1/quote?endpoint={SPEECH}", who, body | speed).json["worst_case"])
        for speed in ({"speed": 0.25}, {}, {"speed": 4})
    ]
    assert slow > 3 * plain
    assert fast == plain


def test_a_quote_of_speech_is_its_characters(gateway: Gateway, who: Customer) -> None:
    body = {"model": "tts-1", "input": "Hello", "voice": "alloy"}
    quote = gateway.post(f"/v1/quote?endpoint={SPEECH}", who, body).json
    assert parse_credits(quote["worst_case"]) == parse_credits(quote["likely_case"]) == 5 * TTS_1


def test_a_quote_of_a_transcript_is_its_seconds(gateway: Gateway, who: Customer) -> None:
    headers = {"content-type": CONTENT_TYPE}
    quote = gateway.post(f"/v1/quote?endpoint={TRANSCRIPTIONS}", who, form(WAV), headers).json
    assert parse_credits(quote["worst_case"]) == 1_234_500
