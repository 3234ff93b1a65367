"""The official Node packages, unmodified: `openai`, `@anthropic-ai/sdk`, and the Vercel AI SDK with its providers."""

from __future__ import annotations

import pytest
from tests.clients.situations import Situations
from tests.clients.story import Told, tell_in_node


@pytest.fixture(scope="module")
def told(situations: Situations) -> Told:
    return tell_in_node("speaking.mjs", situations, situations.gateway.base_url)


def test_openai_chats_streams_calls_tools_and_sees(told: Told) -> None:
    story = told["openai"]
    assert story["text"]
    assert story["streamed"] == story["text"]
    assert story["calls"] == ["weather", "clock"]
    assert story["seen"]


def test_openai_has_responses_that_follow_one_another(told: Told) -> None:
    story = told["openai"]
    assert (story["status"], bool(story["response"]), bool(story["following"])) == ("completed", True, True)
    assert story["grew"], "what was said before is part of the next question"
    assert story["responded"]


def test_openai_draws_and_edits(told: Told) -> None:
    story = told["openai"]
    assert story["images"] == {"drawn": 2, "edited": 1, "tokens": 2 * 1_056}
    assert story["png"] == "PNG"


def test_anthropic_writes_streams_calls_tools_and_sees(told: Told) -> None:
    story = told["anthropic"]
    assert story["text"]
    assert story["streamed"] == story["text"]
    assert story["calls"] == [["weather", {"place": "water"}], ["clock", {"place": "water"}]]
    assert story["seen"]


EXCEPTIONS = [
    # situation     openai                    @anthropic-ai/sdk         status
    ("unknown",     "AuthenticationError",    "AuthenticationError",    401),
    ("poor",        "APIError",               "PaymentRequiredError",   402),
    ("disabled",    "PermissionDeniedError",  "PermissionDeniedError",  403),
    ("low_tier",    "PermissionDeniedError",  "PermissionDeniedError",  403),
]  # fmt: skip


@pytest.mark.parametrize(("situation", "openai", "anthropic", "status"), EXCEPTIONS)
def test_what_goes_wrong_is_one_of_its_own_exceptions(
    told: Told, situation: str, openai: str, anthropic: str, status: int
) -> None:
    for client, kind in (("openai", openai), ("anthropic", anthropic)):
        failed = told[client]["failures"][situation]
        assert (failed["kind"], failed["status"]) == (kind, status)
        assert failed["message"]


@pytest.mark.parametrize("provider", ["responses", "chat", "anthropic", "google"])
def test_the_ai_sdk_speaks_through_every_provider_of_its_own(told: Told, provider: str) -> None:
    story = told["ai"][provider]
    assert story["text"]
    assert story["streamed"] == story["text"]
    assert story["finish"] == "stop"
    assert story["total"] > 0
    assert story["calls"] == [["wet at water"], ["wet at water"]]
    failed = told["ai"]["failures"][provider]
    assert (failed["ours"], failed["status"]) == (True, 401)
