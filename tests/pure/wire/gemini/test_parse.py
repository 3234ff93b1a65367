"""Reading requests: what a hold relies on, what is refused, what goes upstream."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.pure.wire.bodies import written
from tests.pure.wire.gemini.calls import HELLO, at, call, part, refusal

from farebox.tariff.meters import Meter
from farebox.wire.call import TEMPLATE_TOKENS, TOOL_TEMPLATE_TOKENS, Call, ChannelBody, Malformed, MalformedCode, raw
from farebox.wire.dialect import dialect_at
from farebox.wire.gemini.dialect import counted_at
from farebox.wire.gemini.media import IMAGE_TOKENS_MOST
from farebox.wire.gemini.price_fields import SEARCH_TOKENS

PIXEL = base64.b64encode(b"\x89PNG" * 30).decode()
MEDIA = (Meter.INPUT_IMAGE, Meter.CACHED_IMAGE, Meter.INPUT_AUDIO, Meter.CACHED_AUDIO, Meter.INPUT_VIDEO)

ADDRESSES = [
    # path                                                    at
    ("/v1beta/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash:generateContent"),
    ("/v1/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash:generateContent"),
    ("/v1alpha/models/gemini-2.5-flash:streamGenerateContent", "gemini-2.5-flash:streamGenerateContent"),
    ("/v1beta/models/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash:generateContent"),
    ("/v1beta/models/google/gemini-2.5:embedContent", "google/gemini-2.5:embedContent"),
    ("/v1/models/llama3:8b:generateContent", "llama3:8b:generateContent"),
    ("/v1/v1beta/models/x:batchEmbedContents", "x:batchEmbedContents"),
    ("/v1/models/llama3:8b", None),
    ("/v1/models/x", None),
    ("/v1beta/models/:generateContent", None),
    ("/v1beta/models/x:countTokens", None),
    ("/v1beta/tunedModels/x:generateContent", None),
]


@pytest.mark.parametrize(("path", "expected"), ADDRESSES)
def test_model_and_action_are_in_the_address(path: str, expected: str | None) -> None:
    dialect = dialect_at(path)
    assert (dialect and dialect.at) == expected


def test_the_model_asked_for_and_the_stream_come_from_the_address() -> None:
    assert (call().model, call().stream) == ("gemini-2.5-flash", False)
    assert call("streamGenerateContent").stream


def test_a_text_is_bounded_by_its_bytes() -> None:
    made = call(generationConfig={"maxOutputTokens": 50, "candidateCount": 2, "stopSequences": ["x"]})
    assert made.input_most == len(made.body) + TEMPLATE_TOKENS
    assert (made.output_limit, made.choices, made.has_stop, made.input_open) == (50, 2, True, False)
    assert [made.at_most[meter] for meter in MEDIA] == [0] * 5


@pytest.mark.parametrize("single", [False, True])
def test_one_thing_may_stand_for_a_list(single: bool) -> None:
    content = {"role": "user", "parts": {"text": "hello"} if single else [{"text": "hello"}]}
    made = call(contents=content if single else [content], systemInstruction={"parts": {"text": "be brief"}})
    assert made.sticky == b'"be brief"\n"hello"'


IMAGE = {"mimeType": "image/png", "data": PIXEL}
WAV = {"mimeType": "audio/wav", "data": PIXEL}
BOUNDS: list[Any] = [
    # part                                                      images             sound  open
    ({"inlineData": IMAGE}, IMAGE_TOKENS_MOST, 0, False),
    ({"inlineData": IMAGE, "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}}, 280, 0, False),
    ({"inlineData": WAV}, 0, len(PIXEL) // 32 + 1, False),
    ({"inlineData": {"mimeType": "audio/flac", "data": PIXEL}}, 0, 0, True),
    ({"inlineData": {"mimeType": "application/pdf", "data": PIXEL}}, 0, 0, True),
    ({"inlineData": {"mimeType": "video/mp4", "data": PIXEL}}, 0, 0, True),
    ({"inlineData": {"mimeType": "text/csv", "data": PIXEL}}, 0, 0, False),
    ({"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}}, IMAGE_TOKENS_MOST, 0, False),
    ({"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}}, 0, 0, True),
    ({"fileData": {"fileUri": "https://storage.googleapis.com/b/a.pdf?X-Goog-Signature=1"}}, 0, 0, True),
    (
        {"functionResponse": {"name": "f", "response": {}, "parts": [{"inlineData": IMAGE}]}},
        IMAGE_TOKENS_MOST,
        0,
        False,
    ),
    ({"functionCall": {"name": "f", "args": {"inline_data": 1}}, "thoughtSignature": "AA=="}, 0, 0, False),
    ({"somethingNew": {}}, 0, 0, True),
]


@pytest.mark.parametrize(("given", "images", "sound", "is_open"), BOUNDS)
def test_media_are_bounded_by_formula_or_by_the_context(
    given: dict[str, Any], images: int, sound: int, is_open: bool
) -> None:
    made = call(contents=part(**given))
    assert (made.media_tokens, made.input_open) == (images + sound, is_open)
    if is_open:
        assert made.input_most is None
        assert not set(MEDIA) & made.at_most.keys()
    else:
        assert (made.at_most[Meter.INPUT_IMAGE], made.at_most[Meter.INPUT_AUDIO]) == (images, sound)


def test_payloads_are_not_counted_as_text_as_well() -> None:
    with_image, without = call(contents=part(inlineData=IMAGE)), call(contents=part(inlineData=IMAGE | {"data": ""}))
    assert with_image.input_bytes == without.input_bytes


SEARCHING: list[Any] = [{"google_search": {}}, {"googleSearch": {}}, {"googleSearchRetrieval": {}}]


@pytest.mark.parametrize("tool", SEARCHING)
def test_d37_searches_are_held_for_each_candidate(tool: dict[str, Any]) -> None:
    made = call(tools=[tool], generationConfig={"candidateCount": 2})
    assert (made.at_most[Meter.SEARCHES], made.input_open, made.input_rounds) == (32, False, 1)
    assert made.input_most == len(made.body) + TEMPLATE_TOKENS + TOOL_TEMPLATE_TOKENS + 32 * SEARCH_TOKENS


@pytest.mark.parametrize("name", ["urlContext", "codeExecution", "code_execution", "computerUse"])
def test_what_other_tools_fetch_is_open_input(name: str) -> None:
    made = call(tools=[{"functionDeclarations": []}, {name: {}}])
    assert (made.input_open, made.input_rounds) == (True, 2)
    assert Meter.SEARCHES not in made.at_most


def test_functions_are_text() -> None:
    assert not call(tools=[{"functionDeclarations": [{"name": "f"}]}]).input_open


def test_output_media_are_bounded_only_where_the_answer_was_told_not_to_have_them() -> None:
    assert not {Meter.OUTPUT_IMAGE, Meter.OUTPUT_AUDIO} & call().at_most.keys()
    asked = call(generationConfig={"responseModalities": ["TEXT", "Image"]}).at_most
    assert Meter.OUTPUT_IMAGE not in asked
    assert asked[Meter.OUTPUT_AUDIO] == asked[Meter.OUTPUT_VIDEO] == 0


REFUSED: list[Any] = [
    # fields                                                             code                 param
    ({"contents": []}, "invalid_messages", "contents"),
    ({"contents": "hello"}, "invalid_parameter", "contents"),
    ({"cachedContent": "cachedContents/abc"}, "invalid_parameter", "cachedContent"),
    ({"cached_content": "cachedContents/abc"}, "invalid_parameter", "cachedContent"),
    ({"tools": [{"googleMaps": {}}]}, "invalid_parameter", "tools.googleMaps"),
    ({"tools": [{"file_search": {"fileSearchStoreNames": ["x"]}}]}, "invalid_parameter", "tools.fileSearch"),
    ({"tools": [{"brandNewTool": {}}]}, "invalid_parameter", "tools"),
    ({"generationConfig": {"routingConfig": {"autoMode": {}}}}, "invalid_parameter", "generationConfig.routingConfig"),
    ({"generationConfig": {"maxOutputTokens": 0}}, "invalid_parameter", "generationConfig.maxOutputTokens"),
    ({"generationConfig": {"max_output_tokens": "many"}}, "invalid_parameter", "generationConfig.maxOutputTokens"),
    ({"generationConfig": {"candidateCount": 9}}, "invalid_parameter", "generationConfig.candidateCount"),
    (
        {"generationConfig": {"responseModalities": ["SMELL"]}},
        "invalid_parameter",
        "generationConfig.responseModalities",
    ),
    ({"serviceTier": "scale"}, "invalid_parameter", "serviceTier"),
    ({"contents": part(fileData={"fileUri": "files/abc"})}, "invalid_parameter", "contents"),
    ({"contents": part(file_data={"file_uri": "gs://bucket/a.pdf"})}, "invalid_parameter", "contents"),
    (
        {"contents": part(fileData={"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"})},
        "invalid_parameter",
        "contents",
    ),
    ({"systemInstruction": {}, "system_instruction": {}}, "invalid_json", "systemInstruction"),
]


@pytest.mark.parametrize(("fields", "code", "param"), REFUSED)
def test_what_has_no_price_or_no_sense_is_refused(fields: dict[str, Any], code: str, param: str) -> None:
    problem = refusal(**fields)
    assert (problem.code, problem.param) == (MalformedCode(code), param)


@pytest.mark.parametrize("name", ["flex", "FLEX", "SERVICE_TIER_FLEX"])
def test_tiers_have_openais_names(name: str) -> None:
    assert call(serviceTier=name).service_tier == "flex"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"contents":[' + b"[" * 3000])
def test_no_body_raises(body: bytes) -> None:
    assert isinstance(at().parse(body), Malformed)


def test_both_spellings_bound_alike() -> None:
    camel = call(
        contents=part(inlineData=IMAGE),
        systemInstruction={"parts": [{"text": "x"}]},
        generationConfig={"maxOutputTokens": 5, "responseSchema": {"properties": {"max_items": {}}}},
    )
    snake = call(
        contents=part(inline_data={"mime_type": "image/png", "data": PIXEL}),
        system_instruction={"parts": [{"text": "x"}]},
        generation_config={"max_output_tokens": 5, "response_schema": {"properties": {"max_items": {}}}},
    )
    assert (snake.media_tokens, snake.output_limit, snake.at_most) == (camel.media_tokens, 5, camel.at_most)
    assert json.loads(bytes(snake.fields["generationConfig"])) == json.loads(bytes(camel.fields["generationConfig"]))


ESCAPED: list[Any] = [
    # as written                                                                   bound
    (b'"generationConfig":{"candidate\\u005fcount":3}', lambda made: made.choices == 3),
    (b'"generation\\u005Fconfig":{"c\\u0061ndidate_count":3}', lambda made: made.choices == 3),
    (b'"tools":[{"google\\u005fsearch":{}}]', lambda made: made.at_most[Meter.SEARCHES] == 16),
    (b'"tools":[{"google\\u005fmaps":{}}]', lambda made: isinstance(made, Malformed)),
    (b'"tools":[{"g\\u006fogleMaps":{}}]', lambda made: isinstance(made, Malformed)),
]


@pytest.mark.parametrize(("field", "holds"), ESCAPED)
def test_no_way_to_write_a_name_hides_what_it_asks_for(field: bytes, holds: Any) -> None:
    assert holds(at().parse(b'{"contents":' + written(HELLO) + b"," + field + b"}"))


def test_the_text_counted_is_the_text_sent() -> None:
    made = call(
        contents=[
            {"role": "user", "parts": [{"text": "eins"}, {"inlineData": IMAGE}]},
            {"role": "model", "parts": [{"functionCall": {"name": "zwei", "args": {"a": "drei"}}}]},
            {"role": "user", "parts": [{"inlineData": {"mimeType": "text/plain", "data": "dmllcg=="}}]},
        ],
        systemInstruction={"parts": [{"text": "fuenf"}]},
        tools=[{"functionDeclarations": [{"name": "sechs"}]}],
    )
    text = at().text_of(made)
    assert all(word in text for word in ("eins", "zwei", "drei", "vier", "fuenf", "sechs"))
    assert PIXEL not in text
    assert at().tokens_beside_text(made) == 12


@pytest.mark.parametrize("name", [None, "generateContentRequest", "generate_content_request"])
def test_what_is_counted_is_a_request_or_its_contents(name: str | None) -> None:
    dialect = counted_at("/v1beta/models/gemini-2.5-flash:countTokens")
    assert dialect is not None
    asked = {"contents": HELLO}
    made = dialect.parse(written({name: asked | {"model": "models/x"}} if name else asked))
    assert isinstance(made, Call)
    assert (made.model, dialect.text_of(made)) == ("gemini-2.5-flash", "hello")
    assert isinstance(dialect.parse(b"[]"), Malformed)


# What goes upstream ---------------------------------------------------------------------------------


def sent(made: Call, **options: Any) -> Any:
    return json.loads(at().forward(made, upstream_model="up", **options))


def test_a_body_that_need_not_change_is_the_same_object() -> None:
    made = call(generationConfig={"maxOutputTokens": 5})
    assert at().forward(made, upstream_model="up", output_limit=9) is made.body
    snake = call(generation_config={"temperature": 0.25})
    assert at().forward(snake, upstream_model="up") is snake.body


def test_the_held_limit_is_written() -> None:
    assert sent(call(), output_limit=9)["generationConfig"] == {"maxOutputTokens": 9}
    config = sent(call(generation_config={"max_output_tokens": 50, "temperature": 0.25}), output_limit=9)
    assert config["generationConfig"] == {"maxOutputTokens": 9, "temperature": 0.25}


def test_law_1_no_override_undoes_what_the_hold_rests_on() -> None:
    override = {"maxOutputTokens": 10_000, "candidateCount": 8, "topK": 3}
    channel = ChannelBody(overrides={"generationConfig": raw(override)})
    made = call(generationConfig={"maxOutputTokens": 50, "temperature": 1})
    assert sent(made, channel=channel)["generationConfig"] == {
        "maxOutputTokens": 50,
        "candidateCount": 1,
        "topK": 3,
        "temperature": 1,
    }


def test_a_model_named_in_the_body_is_named_as_upstream_knows_it() -> None:
    assert sent(call(model="models/gemini-2.5-flash"))["model"] == "models/up"


@pytest.mark.parametrize(
    ("action", "path"),
    [
        ("generateContent", "/models/up:generateContent"),
        ("streamGenerateContent", "/models/up:streamGenerateContent?alt=sse"),
    ],
)
def test_the_address_upstream(action: str, path: str) -> None:
    assert at(action).upstream_path(call(action), "up") == path


# Embeddings -----------------------------------------------------------------------------------------


def embed(action: str, body: Any) -> Call | Malformed:
    return at(action).parse(written(body))


def test_embeddings_have_no_output() -> None:
    made = embed("embedContent", {"content": {"parts": [{"text": "hello"}]}, "output_dimensionality": 256})
    assert isinstance(made, Call)
    assert (made.has_output, made.input_most, made.parameters) == (
        False,
        len(made.body) + TEMPLATE_TOKENS,
        (("dimensions", "256"),),
    )
    assert at("embedContent").text_of(made) == "hello"
    assert at("embedContent").upstream_path(made, "up") == "/models/up:embedContent"


def test_a_list_of_embeddings_names_the_model_as_upstream_knows_it() -> None:
    one = {"model": "models/gemini-2.5-flash", "content": HELLO[0]}
    made = embed("batchEmbedContents", {"requests": [one, one]})
    assert isinstance(made, Call)
    forwarded = json.loads(at("batchEmbedContents").forward(made, upstream_model="up"))
    assert [request["model"] for request in forwarded["requests"]] == ["models/up", "models/up"]
    assert at("batchEmbedContents").upstream_path(made, "up") == "/models/up:batchEmbedContents"


@pytest.mark.parametrize(
    "body",
    [
        {"requests": []},
        {"requests": [{"model": "models/other", "content": HELLO[0]}]},
        {"requests": [{"content": {"parts": [{"fileData": {"fileUri": "files/x"}}]}}]},
        {"content": HELLO[0]},
    ],
)
def test_lists_that_cannot_be_priced_are_refused(body: Any) -> None:
    assert isinstance(embed("batchEmbedContents", body), Malformed)


def test_embeddings_of_images_are_bounded() -> None:
    made = embed("embedContent", {"content": part(inlineData=IMAGE)[0]})
    assert isinstance(made, Call)
    assert made.media_tokens == IMAGE_TOKENS_MOST
    assert Meter.INPUT_IMAGE not in made.at_most
