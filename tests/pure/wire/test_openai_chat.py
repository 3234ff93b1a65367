"""Reading chat requests: what is refused and how it is said, what bounds come out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.bodies import chat_body, chat_call, written

from farebox.tariff.meters import Meter
from farebox.wire import openai_chat
from farebox.wire.call import TEMPLATE_TOKENS, Call, Malformed
from farebox.wire.media import IMAGE_TOKENS_LOW, IMAGE_TOKENS_MOST
from farebox.wire.openai_text import chat_text, messages_in
from farebox.wire.price_fields import OPENAI_CHAT, Treatment

DATA_URI = "data:image/png;base64," + "A" * 4000


def image(url: str, **more: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, **more}}]}


REFUSED_FIELDS = [
    # field                  value                          code                 param
    ({"model": ""}, "invalid_parameter", "model"),
    ({"model": 3}, "invalid_parameter", "model"),
    ({"model": "x" * 257}, "invalid_parameter", "model"),
    ({"messages": []}, "invalid_messages", "messages"),
    ({"messages": "hi"}, "invalid_messages", "messages"),
    ({"messages": [3]}, "invalid_messages", "messages[0]"),
    ({"messages": [{"content": "x"}]}, "invalid_messages", "messages[0].role"),
    ({"messages": [{"role": "user", "content": 3}]}, "invalid_messages", "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{}]}]}, "invalid_messages", "messages[0].content[0].type"),
    ({"max_tokens": 0}, "invalid_parameter", "max_tokens"),
    ({"max_tokens": -1}, "invalid_parameter", "max_tokens"),
    ({"max_tokens": 1.5}, "invalid_parameter", "max_tokens"),
    ({"max_tokens": 100.0}, "invalid_parameter", "max_tokens"),
    ({"max_tokens": True}, "invalid_parameter", "max_tokens"),
    ({"max_tokens": "5"}, "invalid_parameter", "max_tokens"),
    ({"max_tokens": 2**31}, "invalid_parameter", "max_tokens"),
    ({"max_completion_tokens": 10**40}, "invalid_parameter", "max_completion_tokens"),
    ({"n": 0}, "invalid_parameter", "n"),
    ({"n": 129}, "invalid_parameter", "n"),
    ({"n": False}, "invalid_parameter", "n"),
    ({"stream": "yes"}, "invalid_parameter", "stream"),
    ({"stream": 1}, "invalid_parameter", "stream"),
    ({"service_tier": "gold"}, "invalid_parameter", "service_tier"),
    ({"modalities": ["video"]}, "invalid_parameter", "modalities"),
    ({"tools": [{"type": "web_search"}]}, "invalid_parameter", "tools"),
    ({"tools": [{"type": "code_interpreter"}]}, "invalid_parameter", "tools"),
    ({"tools": {}}, "invalid_parameter", "tools"),
]


@pytest.mark.parametrize(("fields", "code", "param"), REFUSED_FIELDS)
def test_a_field_we_rely_on_is_refused_by_name(fields: dict[str, Any], code: str, param: str) -> None:
    refusal = openai_chat.parse(chat_body(**fields))
    assert isinstance(refusal, Malformed)
    assert (refusal.code, refusal.param) == (code, param)


BROKEN = [
    b"",
    b"{",
    b"[]",
    b"3",
    b'"x"',
    b"null",
    b'{"model":NaN}',
    b'{"model":"m"} trailing',
    b'\xef\xbb\xbf{"model":"m"}',
    b'{"model":"\xff\xfe","messages":[{"role":"user","content":"x"}]}',
    b'{"model":"m","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
    b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}',
    b'{"model":"m","n":1,"n":2,"messages":[{"role":"user","content":"x"}]}',
    b'{"model":"m", "n": 1, "\\u006e": 2, "messages":[{"role":"user","content":"x"}]}',
    b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
]


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_plain_json_object_is_refused(body: bytes) -> None:
    refusal = openai_chat.parse(body)
    assert isinstance(refusal, Malformed)
    assert refusal.code == "invalid_json"


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_missing_field_is_named(name: str) -> None:
    fields = json.loads(chat_body())
    del fields[name]
    refusal = openai_chat.parse(written(fields))
    assert isinstance(refusal, Malformed)
    assert (refusal.code, refusal.param) == ("missing_parameter", name)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_and_never_raise(body: bytes) -> None:
    assert isinstance(openai_chat.parse(body), Call | Malformed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KNOWN = st.sampled_from(["model", "messages", "n", "stream", "max_tokens", "tools", "modalities", "metadata"])


@given(st.dictionaries(KNOWN | st.sampled_from(["content", "service_tier", "prediction", "user", "x"]), JSON))
def test_any_json_is_read_or_refused_and_never_raises(fields: dict[str, Any]) -> None:
    call = openai_chat.parse(json.dumps({"model": "m", "messages": [{"role": "user"}]} | fields).encode())
    if isinstance(call, Call):
        chat_text(call)
        assert call.input_most is None or call.input_most >= len(chat_text(call).encode(errors="replace")) - 8


def test_a_plain_call_has_plain_bounds() -> None:
    body = chat_body(max_tokens=20, n=3, stream=True, user="u", stream_options={"include_usage": True})
    call = openai_chat.parse(body)
    assert isinstance(call, Call)
    assert (call.model, call.stream, call.choices, call.output_limit) == ("gpt-4o", True, 3, 20)
    assert call.input_most == len(body) + TEMPLATE_TOKENS
    assert (call.wants_usage, call.end_user, call.limit_fields) == (True, "u", ("max_tokens",))
    assert call.at_most[Meter.INPUT_IMAGE] == 0


@pytest.mark.parametrize("spaced", [", ", ",\n  "])
def test_white_space_and_pretty_bodies_are_read(spaced: str) -> None:
    body = json.dumps(json.loads(chat_body(n=2)), separators=(spaced, ": ")).encode()
    call = openai_chat.parse(body)
    assert isinstance(call, Call)
    assert call.choices == 2


def test_the_larger_of_two_limits_bounds_the_output() -> None:
    call = chat_call(max_tokens=10, max_completion_tokens=30)
    assert call.output_limit == 30


@pytest.mark.parametrize("value", [None, False])
def test_null_asks_for_nothing(value: object) -> None:
    assert chat_call(background=value, models=value, plugins=value).output_limit is None
    assert chat_call(n=None, max_tokens=None, stream=None, stream_options=None, tools=None).choices == 1


@pytest.mark.parametrize("row", [row for row in OPENAI_CHAT if row.treatment is Treatment.REFUSED])
def test_each_refused_price_field_is_refused_with_its_name(row: Any) -> None:
    refusal = openai_chat.parse(chat_body(**{row.name: "on"}))
    assert isinstance(refusal, Malformed)
    assert (refusal.code, refusal.param) == ("invalid_parameter", row.name)


def test_unknown_fields_pass() -> None:
    assert chat_call(brand_new={"a": [1.5, None]}).fields["brand_new"] == msgspec.Raw(b'{"a":[1.5,null]}')


IMAGES = [
    # url, detail, tokens
    ("https://example.org/a.png", {}, IMAGE_TOKENS_MOST),
    ("https://example.org/a.png", {"detail": "high"}, IMAGE_TOKENS_MOST),
    ("https://example.org/a.png", {"detail": "low"}, IMAGE_TOKENS_LOW),
    (DATA_URI, {}, IMAGE_TOKENS_MOST),
    (DATA_URI, {"detail": "low"}, IMAGE_TOKENS_LOW),
]


@pytest.mark.parametrize(("url", "detail", "tokens"), IMAGES)
def test_images_count_by_formula_wherever_they_are(url: str, detail: dict[str, str], tokens: int) -> None:
    call = chat_call(messages=[image(url, **detail)])
    assert (call.media_tokens, call.at_most[Meter.INPUT_IMAGE]) == (tokens, tokens)
    assert call.input_bytes < 600  # the payload is no text


def test_a_url_that_is_no_payload_stays_text() -> None:
    long_url = "https://example.org/" + "a" * 3000
    assert chat_call(messages=[image(long_url)]).input_bytes > 3000


def test_sound_counts_by_its_lowest_rate() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "A" * 3200, "format": "mp3"}}
    call = chat_call(messages=[{"role": "user", "content": [part]}])
    assert call.at_most[Meter.INPUT_AUDIO] == 3202 // 32 + 1
    assert call.input_bytes < 600


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
        {"type": "file_url", "file_url": {"url": "https://example.org/a.pdf"}},
        {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
        {"type": "something_new"},
    ],
)
def test_what_has_no_bound_of_its_own_is_open(part: dict[str, Any]) -> None:
    call = chat_call(messages=[{"role": "user", "content": [part]}])
    assert call.input_open
    assert call.input_most is None
    assert Meter.INPUT_IMAGE not in call.at_most


def test_a_file_of_unknown_owner_is_refused() -> None:
    part = {"type": "file", "file": {"file_id": "file-1"}}
    refusal = openai_chat.parse(chat_body(messages=[{"role": "user", "content": [part]}]))
    assert isinstance(refusal, Malformed)
    assert refusal.param == "messages"


def test_searches_are_charged_for_each_choice() -> None:
    call = chat_call(web_search_options={}, n=2)
    assert call.units == ((Meter.SEARCHES, 2),)
    assert (call.at_most[Meter.SEARCHES], call.input_open) == (2, True)
    assert call.parameters == (("search_context_size", "medium"),)


def test_a_prediction_is_held_on_top_of_the_limit() -> None:
    prediction = {"type": "content", "content": "x" * 500}
    assert chat_call(prediction=prediction, max_tokens=5).output_extra == len(written(prediction))


@pytest.mark.parametrize(
    ("fields", "meter"),
    [
        ({}, Meter.CACHE_WRITE_5M),
        ({"prompt_cache_options": {"ttl": "30m"}}, Meter.CACHE_WRITE_5M),
        ({"cache_control": {"type": "ephemeral"}}, Meter.CACHE_WRITE_5M),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, Meter.CACHE_WRITE_1H),
        ({"prompt_cache_retention": "24h"}, Meter.CACHE_WRITE_1H),
    ],
)
def test_cache_writes_are_held_at_the_lifetime_asked_for(fields: dict[str, Any], meter: Meter) -> None:
    call = chat_call(**fields)
    assert call.cache_write_meter is meter
    assert meter not in call.at_most


@pytest.mark.parametrize(("asked", "tier"), [("fast", "priority"), ("flex", "flex"), (None, None), ("auto", "auto")])
def test_service_tiers_have_one_name(asked: str | None, tier: str | None) -> None:
    assert chat_call(service_tier=asked).service_tier == tier


def test_audio_output_opens_its_meter() -> None:
    assert Meter.OUTPUT_AUDIO not in chat_call(modalities=["text", "audio"]).at_most
    assert chat_call(modalities=["text"]).at_most[Meter.OUTPUT_AUDIO] == 0


def test_a_conversation_sticks_by_its_head() -> None:
    head = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "one"}]
    longer = [*head, {"role": "assistant", "content": "1"}, {"role": "user", "content": "two"}]
    assert chat_call(messages=head).sticky == chat_call(messages=longer).sticky != chat_call().sticky
    assert chat_call(prompt_cache_key="k", user="u").sticky == b"k"


def test_text_for_counting_leaves_payloads_out() -> None:
    messages = [image(DATA_URI), {"role": "user", "name": "ann", "content": [{"type": "text", "text": "look 你好"}]}]
    call = chat_call(messages=messages, tools=[{"type": "function", "function": {"name": "f"}}])
    text = chat_text(call)
    assert "AAAA" not in text
    assert all(word in text for word in ("look 你好", "ann", '"name":"f"'))
    assert messages_in(call) == 2
