"""Law 1 from a caller's side: nothing that parses may cost more upstream than its bounds say, in whichever dialect
the call ends up. Each case was a way to more than was held for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from farebox.tariff.meters import Meter
from farebox.wire.call import MEDIA_IN, Call, ChannelBody, Malformed, raw
from farebox.wire.dialect import Dialect, dialect_at
from farebox.wire.passage import objection_to, passage_between

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
GEMINI = "/v1beta/models/m:generateContent"
PDF, FILM = "data:application/pdf;base64,JVBERi0x", "https://www.youtube.com/watch?v=x"


def dialect_of(path: str) -> Dialect:
    dialect = dialect_at(path)
    assert dialect is not None
    return dialect


def read(path: str, body: bytes | dict[str, Any]) -> Call | Malformed:
    return dialect_of(path).parse(body if isinstance(body, bytes) else json.dumps(body).encode())


def call_of(path: str, body: bytes | dict[str, Any]) -> Call:
    made = read(path, body)
    assert isinstance(made, Call), made
    return made


def refusal_of(path: str, body: bytes | dict[str, Any]) -> Malformed:
    made = read(path, body)
    assert isinstance(made, Malformed)
    return made


def chat(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": list(parts)}]} | fields


def image(url: str, **fields: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url} | fields}


def message(source: dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "image", "source": source}]
    return {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": content}]}


def response(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "input": [{"role": "user", "content": list(parts)}]} | fields


def of_responses(url: str) -> dict[str, Any]:
    return response({"type": "input_image", "image_url": url})


# What is said to be an image ------------------------------------------------------------------------

NO_IMAGES: list[Any] = [
    (CHAT, chat(image(PDF))),
    (CHAT, chat(image(PDF, detail="low"))),
    (CHAT, chat(image("DATA:video/mp4;base64,AAAA"))),
    (CHAT, chat(image(FILM))),
    (CHAT, chat({"type": "image_url", "image_url": "https://youtu.be/x"})),
    (CHAT, json.dumps(chat(image(PDF))).replace("data:application", "d\\u0061ta:application").encode()),
    (CHAT, json.dumps(chat(image(PDF))).replace("data:application/", "data:application\\/").encode()),
    (MESSAGES, message({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"})),
    (MESSAGES, message({"type": "url", "url": FILM})),
    (RESPONSES, of_responses(PDF)),
    (RESPONSES, of_responses(FILM)),
    (GEMINI, {"contents": {"parts": {"fileData": {"mimeType": "image/png", "fileUri": FILM}}}}),
]


@pytest.mark.parametrize(("path", "body"), NO_IMAGES)
def test_what_may_be_a_document_or_a_film_is_bounded_by_the_context(path: str, body: Any) -> None:
    assert call_of(path, body).input_open


@pytest.mark.parametrize(
    "path_and_body",
    [
        (CHAT, chat(image("https://x.org/a.png"))),
        (CHAT, json.dumps(chat(image("data:image/png;base64,A"))).replace("image/png", "image\\/png").encode()),
    ],
)
def test_an_image_is_bounded_by_formula(path_and_body: Any) -> None:
    assert not call_of(*path_and_body).input_open


def test_images_of_an_earlier_answer_count() -> None:
    said = {"role": "assistant", "content": "look", "images": [image("https://x.org/a.png")] * 3}
    body = {"model": "m", "messages": [said, {"role": "user", "content": "hm"}]}
    assert call_of(CHAT, body).media_tokens == 3 * 48_169


@pytest.mark.parametrize("form", ["opus", "amr", "../mp4"])
def test_sound_whose_bytes_do_not_bound_it_is_bounded_by_the_context(form: str) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": form}}
    assert call_of(CHAT, chat(sound)).input_open
    assert call_of(RESPONSES, response(sound)).input_open


# What a provider counts apart -----------------------------------------------------------------------

OPEN: list[Any] = [
    (CHAT, chat({"type": "video_url", "video_url": {"url": "https://x.org/a.mp4"}})),
    (CHAT, chat({"type": "file", "file": {"file_data": "JVBERi0x"}})),
    (MESSAGES, message({"type": "url", "url": "x"}) | {"messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "url", "url": "https://x.org/a.mp4"}}]}]}),
    (RESPONSES, response({"type": "input_file", "file_url": "https://x.org/a.mp4"})),
    (GEMINI, {"contents": {"parts": {"fileData": {"fileUri": "https://x.org/a.mp4"}}}}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), OPEN)
def test_an_open_input_may_be_counted_as_any_medium(path: str, body: Any) -> None:
    """A bound of zero made true usage implausible, and what was counted instead was text alone."""
    call = call_of(path, body)
    assert call.input_open
    assert call.at_most.keys().isdisjoint(MEDIA_IN)


def test_an_image_may_come_out_of_a_cache() -> None:
    assert call_of(CHAT, chat(image("https://x.org/a.png"))).at_most[Meter.CACHED_IMAGE] > 0


PLAIN: list[Any] = [
    (CHAT, chat({"type": "text", "text": "draw"})),
    (CHAT, {"model": "m", "messages": [{"role": "user", "content": "draw"}]}),
    (MESSAGES, {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "draw"}]}),
    (RESPONSES, response({"type": "input_text", "text": "draw"})),
    (GEMINI, {"contents": {"parts": {"text": "draw"}}}),
]


@pytest.mark.parametrize(("path", "body"), PLAIN)
def test_a_model_may_draw_without_being_asked(path: str, body: Any) -> None:
    assert Meter.OUTPUT_IMAGE not in call_of(path, body).at_most


# Tools of the provider, where nobody looks ----------------------------------------------------------

DEAR: dict[str, Any] = {"type": "image_generation"}
SMUGGLED: list[Any] = [
    {"input": [{"type": "additional_tools", "role": "developer", "tools": [DEAR]}]},
    {"input": [{"type": "tool_search_output", "call_id": "c", "tools": [{"type": "mcp", "server_url": "https://x"}]}]},
    {"input": [{"type": "additional_tools", "tools": [{"type": "namespace", "name": "n", "tools": [DEAR]}]}]},
    {"input": [{"type": "additional_tools", "tools": {"0": DEAR}}]},
    {"input": [{"type": "message", "role": "user", "content": "hi", "tools": [{"type": "web_search"}]}]},
    {"input": "hi", "tools": [{"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}]},
    {"input": "hi", "tools": [{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "64g"}}]},
]


@pytest.mark.parametrize("fields", SMUGGLED)
def test_no_tool_of_the_provider_comes_in_by_another_door(fields: dict[str, Any]) -> None:
    refusal_of(RESPONSES, {"model": "m"} | fields)


def test_tools_the_caller_runs_may_come_in_the_middle() -> None:
    own: dict[str, Any] = {"type": "function", "name": "f", "parameters": {}}
    items: list[dict[str, Any]] = [
        {"type": "additional_tools", "role": "developer", "tools": [own]},
        {"type": "tool_search_output", "call_id": "c", "tools": [{"type": "namespace", "name": "n", "tools": [own]}]},
    ]
    call_of(RESPONSES, {"model": "m", "input": items, "tools": [{"type": "namespace", "name": "n", "tools": [own]}]})


# Names written twice --------------------------------------------------------------------------------

TWICE = [
    '"generationConfig": {"maxOutputTokens": 65536, "maxOutputTokens": 1}',
    '"generation_config": {"max_output_tokens": 65536, "max_output_tokens": 1}',
    '"generationConfig": {"max\\u004futputTokens": 65536, "maxOutputTokens": 1}',
    '"generationConfig": {"temperature": 1e5, "candidateCount": 8, "candidateCount": 1}',
    '"tools": [{"googleSearch": {}, "googleSearch": null}]',
    '"tools": [{"google_search": {}, "google_search": null}]',
    '"contents": {"parts": {"inlineData": {"mimeType": "video/mp4", "mimeType": "image/png", "data": "AA"}}}',
]


@pytest.mark.parametrize("written", TWICE)
def test_no_name_is_written_twice_at_any_depth_where_either_might_count(written: str) -> None:
    rest = "" if "contents" in written else ', "contents": [{"parts": [{"text": "hi"}]}]'
    assert refusal_of(GEMINI, f"{{{written}{rest}}}".encode()).code == "invalid_json"


# In another dialect --------------------------------------------------------------------------------

CHANNELS = ("openai", "openai_responses", "anthropic", "gemini")


@pytest.mark.parametrize("channel", CHANNELS[:2] + CHANNELS[3:])
def test_a_limit_of_nothing_is_not_carried_into_another_dialect(channel: str) -> None:
    """Where a limit of 0 is not told from none, all a model can produce would be produced, and none of it held."""
    body = {"model": "m", "max_tokens": 0, "messages": [{"role": "user", "content": "hi"}]}
    problem = objection_to(dialect_of(MESSAGES), call_of(MESSAGES, body), frozenset({channel}))
    assert problem is not None
    assert problem.param == "max_tokens"


def test_what_was_bounded_as_an_image_does_not_become_a_film_by_its_name() -> None:
    passage = passage_between(dialect_of(CHAT), "gemini")
    assert passage is not None
    for url in ("https://x.org/a.mp4", "https://x.org/a.pdf", "https://x.org/a"):
        sent = json.loads(passage.forward(call_of(CHAT, chat(image(url))), upstream_model="gemini-3"))
        assert sent["contents"][0]["parts"][0]["fileData"]["mimeType"] == "image/jpeg"


@pytest.mark.parametrize("url", ["files/abc", "buckets/a.png", "//generativelanguage.googleapis.com/files/a"])
def test_nothing_but_the_web_is_referred_to_in_another_dialect(url: str) -> None:
    call = call_of(CHAT, chat(image(url)))
    assert all(objection_to(dialect_of(CHAT), call, frozenset({channel})) is not None for channel in CHANNELS[1:])


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_no_override_asks_for_more_than_the_caller_did(limit: str) -> None:
    call = call_of(CHAT, chat({"type": "text", "text": "hi"}, max_tokens=5))
    channel = ChannelBody(overrides={limit: raw(99_999), "n": raw(8)})
    sent = json.loads(dialect_of(CHAT).forward(call, upstream_model="m", channel=channel))
    assert (sent[limit], sent["max_tokens"], sent.get("n", 1)) == (5, 5, 1)


# What a provider bills ------------------------------------------------------------------------------

BILLED = {"cost": 0.0123, "cost_details": {"upstream_inference_cost": 0.01}, "is_byok": False}
OF_TOKENS = {"prompt_tokens": 1, "completion_tokens": 2, "input_tokens": 1, "output_tokens": 2} | BILLED
WHOLE: list[Any] = [
    (CHAT, PLAIN[1][1], {"model": "x", "choices": [{"index": 0, "message": {"content": "a"}}], "usage": OF_TOKENS}),
    (MESSAGES, PLAIN[2][1], {"type": "message", "content": [{"type": "text", "text": "a"}], "usage": OF_TOKENS}),
    (RESPONSES, PLAIN[3][1], {"id": "r", "status": "completed", "output": [], "usage": OF_TOKENS}),
]


@pytest.mark.parametrize(("path", "body", "answer"), WHOLE)
def test_what_the_provider_bills_is_not_shown_as_a_charge(path: str, body: Any, answer: dict[str, Any]) -> None:
    read_back = dialect_of(path).read_answer(json.dumps(answer).encode(), call_of(path, body))
    assert read_back is not None
    assert json.loads(read_back.body)["usage"].keys().isdisjoint({"cost", "cost_details"})
    assert read_back.usage is not None


# What is kept at a provider -------------------------------------------------------------------------


def test_no_prompt_cached_at_a_provider_is_referred_to() -> None:
    body = json.dumps(PLAIN[1][1] | {"extra_body": {"google": {"cached_content": "cachedContents/a"}}})
    assert refusal_of(CHAT, body.encode()).param == "extra_body"
    assert refusal_of(CHAT, body.replace("cached_c", "c\\u0061ched_c").encode()).param == "extra_body"
    call_of(CHAT, PLAIN[1][1] | {"extra_body": {"google": {"thinking_config": {"thinking_budget": 5}}}})


STORED = ("gs://bucket/a.png", "https://generativelanguage.googleapis.com/v1beta/files/abc", "file:///etc/passwd")


@pytest.mark.parametrize("url", STORED)
def test_nothing_kept_at_a_provider_is_referred_to(url: str) -> None:
    refusal_of(CHAT, chat(image(url)))
    refusal_of(CHAT, chat({"type": "video_url", "video_url": {"url": url}}))
    refusal_of(CHAT, chat({"type": "file_url", "file_url": url}))
    refusal_of(MESSAGES, message({"type": "url", "url": url}))
    refusal_of(RESPONSES, of_responses(url))
    refusal_of(GEMINI, {"contents": {"parts": {"fileData": {"fileUri": url}}}})
