"""The official `openai` package, unmodified, newest and 1.x: it works, and what goes wrong is its own exceptions."""

from __future__ import annotations

import pytest
from tests.clients.situations import Situations
from tests.clients.story import Told, tell
from tests.support.shop import until

from farebox.money import parse_credits

VERSIONS = {"newest": "", "1.x": "openai-1"}


@pytest.fixture(scope="module", params=list(VERSIONS))
def told(situations: Situations, request: pytest.FixtureRequest) -> Told:
    """What a client of this version experienced, and how often the gateway was asked what could not succeed."""
    before = {code: situations.asked(code) for code in CODES.values()}
    story = tell("speaking.py", situations, situations.base_url, older=VERSIONS[request.param])
    story["asked"] = {code: situations.asked(code) - number for code, number in before.items()}
    return story


CODES = {
    "unknown": "invalid_api_key",
    "poor": "insufficient_credits",
    "disabled": "key_disabled",
    "low_tier": "model_tier_restricted",
    "limited": "rate_limit_exceeded",
    "no_such_model": "invalid_model",
    "bad_request": "invalid_parameter",
    "too_dear": "budget_exceeded",
}


def test_it_is_the_version_it_should_be(told: Told, request: pytest.FixtureRequest) -> None:
    wanted = request.node.callspec.params["told"]
    assert told["version"].startswith("1." if wanted == "1.x" else "3.")


def test_chat_answers_and_its_headers_are_within_reach(told: Told, situations: Situations) -> None:
    chat = told["chat"]
    assert chat["text"]
    assert chat["model"] == "gpt-4o"
    assert chat["total_tokens"] > 0
    assert parse_credits(chat["charged"]) > 0
    assert (chat["remaining"], chat["method"]) == ("unlimited", "token")
    assert chat["own_request_id"] == chat["request_id"]
    receipt = situations.gateway.receipt(situations.customer("good"), chat["request_id"])
    assert receipt["charged"] == chat["charged"]


def test_a_stream_tells_the_same_as_an_answer(told: Told) -> None:
    assert told["stream"]["text"] == told["chat"]["text"]
    assert told["stream"]["finishes"] == [told["chat"]["finish"]]


def test_usage_is_in_a_stream_only_where_it_was_asked_for(told: Told) -> None:
    assert told["stream"]["usage"] is None
    usage = told["stream_with_usage"]["usage"]
    assert usage["total_tokens"] == told["chat"]["total_tokens"]
    assert usage["cost"] == told["chat"]["charged"]
    assert told["stream_with_usage"]["events"] == told["stream"]["events"] + 1


def test_a_stream_that_is_left_is_charged_for_what_was_produced(told: Told, situations: Situations) -> None:
    left = told["stream_left"]
    assert left["chunks"] == 3
    who = situations.customer("good")
    until(lambda: situations.gateway.receipt(who, left["request_id"])["status"] == "captured")
    assert situations.gateway.receipt(who, left["request_id"])["reason"].startswith("client_left_")


def test_embeddings_come_as_floats_and_encoded(told: Told) -> None:
    found = told["embeddings"]
    assert found["count"] == 2
    assert found["usual"] == pytest.approx(found["floats"], rel=1e-5), "the client decodes what it asked for by itself"
    assert found["encoded"] == "str"
    assert found["total_tokens"] > 0


def test_texts_are_completed_and_moderated(told: Told) -> None:
    story = told["completions"]
    assert story["text"]
    assert story["streamed"] == story["text"]
    assert story["total_tokens"] > 20
    assert told["flagged"] is False


def test_responses_are_kept_followed_and_deleted(told: Told) -> None:
    story = told["responses"]
    assert (story["status"], bool(story["text"])) == ("completed", True)
    assert story["streamed"] == story["final"] == story["text"] == story["kept"]
    assert story["grew"], "what was said before is part of the next question"
    assert story["gone"] == 404


def test_speech_is_made_and_written_down(told: Told) -> None:
    story = told["audio"]
    assert (story["bytes"], story["streamed"], story["kind"]) == (44 + 48 * 1_400, True, "audio/wav")
    assert story["written"] == story["translated"]
    assert story["written"] in story["subtitles"]
    assert parse_credits(story["charged"]) == 140_000  # 1.4 s at 0.006 a minute
    assert story["duration"] == 2.0
    assert story["deltas"] == story["done"]
    assert story["refused"] == ["APIStatusError", 415, "unsupported_media_type"]


def test_images_are_made_edited_varied_and_drawn(told: Told, situations: Situations) -> None:
    story = told["images"]
    assert (story["png"], story["size"], story["count"]) == (b"\x89PNG\r\n\x1a\n".hex(), [1024, 1024], 2)
    assert story["output_tokens"] == 2 * 1_056
    receipt = situations.gateway.receipt(situations.customer("good"), story["request_id"])
    assert (receipt["charged"], receipt["usage"]["output_image"]) == (story["charged"], 2 * 1_056)
    assert (story["edited"], story["varied"]) == ([1, 1], 3)
    assert story["refused"] == [415, "unsupported_media_type", "image"]
    if story["streamed"] is not None:
        kinds = ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
        assert story["streamed"]["kinds"] == kinds
        assert parse_credits(story["streamed"]["cost"]) > 0


def test_models_are_listed_and_found_by_alias(told: Told) -> None:
    models = told["models"]
    assert {"gpt-4o", "gpt-4o-mini", "text-embedding-3-small"} <= set(models["ids"])
    assert (models["one"], models["owner"]) == ("gpt-4o", "openai")
    assert models["price"] == "5"


def test_the_asynchronous_client_speaks_to_it_just_as_well(told: Told) -> None:
    assert told["side_by_side"] == {"answers": 1, "streamed": told["chat"]["text"]}


EXCEPTIONS = [
    # situation        the client's exception     status  param
    ("unknown",        "AuthenticationError",     401,    None),
    ("poor",           "APIStatusError",          402,    None),
    ("too_dear",       "APIStatusError",          402,    "x-max-credits"),
    ("disabled",       "PermissionDeniedError",   403,    None),
    ("low_tier",       "PermissionDeniedError",   403,    "model"),
    ("no_such_model",  "NotFoundError",           404,    "model"),
    ("limited",        "RateLimitError",          429,    "requests_per_day"),
    ("bad_request",    "BadRequestError",         400,    "max_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("situation", "kind", "status", "param"), EXCEPTIONS)
def test_what_goes_wrong_is_one_of_its_own_exceptions(
    told: Told, situation: str, kind: str, status: int, param: str | None
) -> None:
    failed = told["failures"][situation]
    assert (failed["kind"], failed["status"]) == (kind, status)
    assert (failed["code"], failed["param"]) == (CODES[situation], param)
    assert failed["request_id"].startswith("req_")
    assert failed["body"]["message"]


@pytest.mark.parametrize("situation", CODES)
def test_what_cannot_succeed_is_asked_once(told: Told, situation: str) -> None:
    """Clients retry 409, 429 and 5xx by themselves; a day's limit or missing credits do not come back that way."""
    assert told["asked"][CODES[situation]] == 1
