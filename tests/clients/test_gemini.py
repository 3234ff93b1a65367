"""The official `google-genai` package, unmodified: newest (below /v1), and the last that asks below /v1beta."""

from __future__ import annotations

import pytest
from tests.clients.situations import Situations
from tests.clients.story import Told, tell

VERSIONS = {"newest": "", "1.x": "google-genai-1"}


@pytest.fixture(scope="module", params=list(VERSIONS))
def told(situations: Situations, request: pytest.FixtureRequest) -> Told:
    base_url = situations.gateway.base_url
    return tell("speaking_gemini.py", situations, base_url, older=VERSIONS[request.param])


def test_it_is_the_version_it_should_be(told: Told, request: pytest.FixtureRequest) -> None:
    wanted = request.node.callspec.params["told"]
    assert told["version"].startswith("1." if wanted == "1.x" else "3.")


def test_content_is_generated_and_counted(told: Told) -> None:
    chat = told["chat"]
    assert chat["text"]
    assert (chat["model"], chat["finish"]) == ("gemini-2.5-flash", "STOP")
    assert chat["total"] == chat["prompt"] + chat["output"]


def test_a_stream_tells_the_same_as_an_answer(told: Told) -> None:
    chat, stream = told["chat"], told["stream"]
    assert (stream["text"], stream["finish"], stream["total"]) == (chat["text"], chat["finish"], chat["total"])
    assert told["asynchronous"] == chat["text"]


def test_tools_are_called_side_by_side_and_their_results_go_back(told: Told) -> None:
    assert told["tools"] == {"calls": [["weather", {"place": "water"}], ["clock", {}]], "after": "STOP"}


def test_an_image_is_taken(told: Told) -> None:
    assert told["image"]


def test_thoughts_are_shown_and_counted(told: Told) -> None:
    assert told["thinking"] == {"words": 6, "counted": 6}


def test_tokens_are_counted_texts_embedded_and_models_listed(told: Told) -> None:
    assert 0 < told["counted"] < 100
    assert told["vector"] > 0
    assert "models/gemini-2.5-flash" in told["models"]
    assert told["one"] == "models/gemini-2.5-flash"


EXCEPTIONS = [
    # situation        code  status                our code
    ("unknown",        401,  "UNAUTHENTICATED",    "invalid_api_key"),
    ("poor",           402,  None,                 "insufficient_credits"),
    ("disabled",       403,  "PERMISSION_DENIED",  "key_disabled"),
    ("low_tier",       403,  "PERMISSION_DENIED",  "model_tier_restricted"),
    ("no_such_model",  404,  "NOT_FOUND",          "invalid_model"),
    ("limited",        429,  "RESOURCE_EXHAUSTED", "rate_limit_exceeded"),
    ("bad_request",    400,  "INVALID_ARGUMENT",   "invalid_parameter"),
]  # fmt: skip


@pytest.mark.parametrize(("situation", "code", "status", "ours"), EXCEPTIONS)
def test_what_goes_wrong_is_its_own_exception(
    told: Told, situation: str, code: int, status: str | None, ours: str
) -> None:
    failed = told["failures"][situation]
    assert (failed["kind"], failed["code"]) == ("ClientError", code)
    assert status is None or failed["status"] == status
    assert failed["message"]
    assert ours in failed["said"]
