"""The official `anthropic` package, unmodified: newest, and the last that sends its key as `x-api-key`."""

from __future__ import annotations

import pytest
from tests.clients.situations import Situations
from tests.clients.story import Told, tell

from farebox.money import parse_credits

VERSIONS = {"newest": "", "0.x": "anthropic-0"}


@pytest.fixture(scope="module", params=list(VERSIONS))
def told(situations: Situations, request: pytest.FixtureRequest) -> Told:
    base_url = situations.gateway.base_url
    return tell("speaking_anthropic.py", situations, base_url, older=VERSIONS[request.param])


def test_it_is_the_version_it_should_be(told: Told, request: pytest.FixtureRequest) -> None:
    wanted = request.node.callspec.params["told"]
    assert told["version"].startswith("0." if wanted == "0.x" else "2.")


def test_a_message_is_answered_and_charged(told: Told, situations: Situations) -> None:
    chat = told["chat"]
    assert chat["text"]
    assert (chat["model"], chat["stop_reason"]) == ("claude-3-5-sonnet-20241022", "end_turn")
    assert chat["own_request_id"] == chat["request_id"]
    receipt = situations.gateway.receipt(situations.customer("good"), chat["request_id"])
    assert receipt["charged"] == chat["charged"]
    assert (
        parse_credits(chat["charged"])
        == chat["usage"]["input_tokens"] * 3_000 + chat["usage"]["output_tokens"] * 15_000
    )


def test_a_stream_tells_the_same_as_an_answer(told: Told) -> None:
    chat, stream = told["chat"], told["stream"]
    assert stream["text"] == stream["final"] == chat["text"]
    assert (stream["stop_reason"], stream["model"]) == (chat["stop_reason"], chat["model"])
    for count in ("input_tokens", "output_tokens"):
        assert stream["usage"][count] == chat["usage"][count]
    assert stream["charged"] == chat["charged"]


@pytest.mark.parametrize("how", ["tools", "tools_streamed"])
def test_tools_are_called_side_by_side_and_their_results_go_back(told: Told, how: str) -> None:
    story = told[how]
    assert story["stop_reason"] == "tool_use"
    assert story["calls"] == [["weather", {"place": "water"}], ["clock", {}]]
    assert story["after"] == "end_turn"


def test_an_image_is_taken(told: Told) -> None:
    assert told["image"]["stop_reason"] == "end_turn"
    assert told["image"]["text"]


def test_thinking_comes_before_the_answer(told: Told) -> None:
    assert told["thinking"] == {"blocks": ["thinking", "text"], "words": 6}


def test_an_address_with_the_version_twice_works(told: Told) -> None:
    assert told["doubled"] == "end_turn"


def test_tokens_are_counted_and_models_listed(told: Told) -> None:
    assert 0 < told["counted"] < 100
    assert "claude-3-5-sonnet-20241022" in told["models"]


def test_the_asynchronous_client_speaks_to_it_just_as_well(told: Told) -> None:
    assert told["side_by_side"]


EXCEPTIONS = [
    # situation        the client's exception     status
    ("unknown",        "AuthenticationError",     401),
    ("disabled",       "PermissionDeniedError",   403),
    ("low_tier",       "PermissionDeniedError",   403),
    ("no_such_model",  "NotFoundError",           404),
    ("limited",        "RateLimitError",          429),
    ("bad_request",    "BadRequestError",         400),
]  # fmt: skip


@pytest.mark.parametrize(("situation", "kind", "status"), EXCEPTIONS)
def test_what_goes_wrong_is_one_of_its_own_exceptions(told: Told, situation: str, kind: str, status: int) -> None:
    failed = told["failures"][situation]
    assert (failed["kind"], failed["status"]) == (kind, status)
    assert failed["body"]["type"] == "error"
    assert failed["body"]["error"]["message"]


def test_missing_credits_are_told_with_their_status(told: Told) -> None:
    failed = told["failures"]["poor"]
    assert failed["status"] == 402
    assert "insufficient_credits" in str(failed["body"])
