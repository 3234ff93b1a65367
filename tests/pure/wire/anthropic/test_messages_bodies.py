"""What goes upstream in the Messages dialect as it came, what comes back whole, and how errors look."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.pure.wire.anthropic.messages import body, call_for
from tests.pure.wire.bodies import written

from farebox.tariff.meters import Meter
from farebox.wire.anthropic.answer import read_answer
from farebox.wire.anthropic.dialect import AnthropicMessages
from farebox.wire.anthropic.errors import render
from farebox.wire.anthropic.forward import forward
from farebox.wire.anthropic.unsigned import UNSIGNED
from farebox.wire.anthropic.usage import ANTHROPIC
from farebox.wire.call import ChannelBody, raw
from farebox.wire.usage import ReportedUsage, read_usage

NEW, OLD = ChannelBody(api_version="2026-10-21"), ChannelBody(api_version="2023-06-01")


def sent(channel: ChannelBody = OLD, *, limit: int | None = None, model: str = "claude", **fields: Any) -> Any:
    return json.loads(forward(call_for(**fields), upstream_model=model, output_limit=limit, channel=channel))


# Upstream ---------------------------------------------------------------------------------------------


def test_a_body_that_need_not_change_is_the_same_object() -> None:
    call = call_for(stream=True, temperature=0.5, unknown={"a": [1, 2]})
    assert forward(call, upstream_model="claude", channel=OLD) is call.body
    assert forward(call_for(), upstream_model="claude", channel=NEW) == body()


def test_only_the_name_changes_where_only_that_must() -> None:
    assert sent(model="up", temperature=0.5) == json.loads(body(temperature=0.5)) | {"model": "up"}


def test_sampling_is_for_versions_that_know_it() -> None:
    sampling: Any = {"temperature": 0.5, "top_p": 0.9, "top_k": 4}
    assert sent(OLD, **sampling) == sent(NEW) | sampling
    assert sent(NEW, **sampling) == json.loads(body())
    assert sent(ChannelBody(overrides={"temperature": raw(1)}, api_version="2026-10-21")) == json.loads(body())


@pytest.mark.parametrize(
    ("asked", "held", "override", "goes_out"),
    [
        (100, None, None, 100),
        (100, 40, None, 40),
        (100, 400, None, 100),
        (100, None, 30, 30),
        (100, None, 300, 100),
        (100, 40, 300, 40),
        (100, 40, 20, 20),
        (0, None, None, 0),
    ],
)
def test_law_1_no_more_output_is_asked_for_than_is_held(
    asked: int, held: int | None, override: int | None, goes_out: int
) -> None:
    overrides = {} if override is None else {"max_tokens": raw(override)}
    assert sent(ChannelBody(overrides=overrides), limit=held, max_tokens=asked)["max_tokens"] == goes_out


@pytest.mark.parametrize(
    ("thinking", "limit", "goes_out"),
    [
        ({"type": "enabled", "budget_tokens": 4_000}, 3_000, {"type": "enabled", "budget_tokens": 2_999}),
        ({"type": "enabled", "budget_tokens": 2_000}, 3_000, {"type": "enabled", "budget_tokens": 2_000}),
        ({"type": "enabled", "budget_tokens": 4_000}, 1_024, {"type": "disabled"}),
        ({"type": "adaptive"}, 1_000, {"type": "adaptive"}),
        ({"type": "enabled"}, 1_000, {"type": "enabled"}),
    ],
)
def test_thinking_fits_into_a_limit_that_was_lowered(thinking: Any, limit: int, goes_out: Any) -> None:
    assert sent(limit=limit, max_tokens=8_000, thinking=thinking)["thinking"] == goes_out


def test_the_customer_is_named_by_a_hash_alone() -> None:
    channel = ChannelBody(safety_identifier="abc")
    assert sent(channel, metadata={"user_id": "jane@example.com"})["metadata"] == {"user_id": "abc"}


def test_thoughts_of_another_providers_model_stay_here() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": UNSIGNED}
    signed = thought | {"signature": "c2ln"}
    turns: Any = [
        {"role": "user", "content": UNSIGNED},
        {"role": "assistant", "content": [thought, {"type": "text", "text": f'say "{UNSIGNED}"'}]},
        {"role": "assistant", "content": [thought]},
        {"role": "assistant", "content": [signed]},
    ]
    assert sent(messages=turns)["messages"] == [
        turns[0],
        {"role": "assistant", "content": turns[1]["content"][1:]},
        turns[3],
    ]


# Whole answers ----------------------------------------------------------------------------------------

MESSAGE: dict[str, Any] = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "up",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "EmwKAhgB"},
        {"type": "text", "text": "Okay", "citations": None},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Bern"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 8, "service_tier": "priority"},
}


def test_a_whole_answer_is_metered_and_shown_under_the_name_asked_for() -> None:
    answer = read_answer(written(MESSAGE), call_for())
    assert answer is not None
    assert json.loads(answer.body) == MESSAGE | {"model": "claude"}
    assert (answer.finish_reasons, answer.service_tier) == ({0: "tool_calls"}, "priority")
    assert answer.output.drain() == ('Okayget_weather{"city":"Bern"}', "hm")
    assert answer.output.media_characters == 8
    assert answer.usage is not None
    read = read_usage(answer.usage, ANTHROPIC)
    assert isinstance(read, ReportedUsage)
    assert read.meters == {Meter.INPUT: 10, Meter.CACHED_INPUT: 5, Meter.OUTPUT: 8}


def test_a_name_elsewhere_in_an_answer_is_not_replaced() -> None:
    message = MESSAGE | {"content": [{"type": "text", "text": 'say "model":"up"'}], "container": {"model": "up"}}
    answer = read_answer(written(message), call_for())
    assert answer is not None
    assert json.loads(answer.body) == message | {"model": "claude"}


def test_what_is_unchanged_is_the_same_object() -> None:
    answer = written(MESSAGE | {"model": "claude"})
    read = read_answer(answer, call_for())
    assert read is not None
    assert read.body is answer


@pytest.mark.parametrize(
    "answer",
    [b"", b"{", b"[]", b"null", b'{"type":"error","error":{"type":"api_error","message":"no"}}', b'{"content":"text"}'],
)
def test_an_error_or_something_else_is_no_answer(answer: bytes) -> None:
    assert read_answer(answer, call_for()) is None


def test_an_answer_may_say_nothing_of_its_usage() -> None:
    answer = read_answer(written({name: value for name, value in MESSAGE.items() if name != "usage"}), call_for())
    assert answer is not None
    assert (answer.usage, answer.service_tier) == (None, None)


# Errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "code", "shown"),
    [
        ("authentication_error", "invalid_api_key", "authentication_error"),
        ("permission_error", "model_not_allowed", "permission_error"),
        ("not_found_error", "invalid_model", "not_found_error"),
        ("rate_limit_error", "rate_limit_exceeded", "rate_limit_error"),
        ("billing_error", "insufficient_credits", "billing_error"),
        ("invalid_request_error", "invalid_parameter", "invalid_request_error"),
        ("invalid_request_error", "body_too_large", "request_too_large"),
        ("conflict_error", "idempotency_mismatch", "invalid_request_error"),
        ("service_unavailable", "no_upstream_available", "overloaded_error"),
        ("service_unavailable", "ledger_unavailable", "api_error"),
        ("upstream_error", "upstream_error", "api_error"),
        ("upstream_error", "upstream_timeout", "timeout_error"),
        ("internal_error", "internal_error", "api_error"),
    ],
)
def test_an_error_has_a_type_their_clients_know_and_our_code(type_: str, code: str, shown: str) -> None:
    error = json.loads(render(type_, code, "Because.", param="model", extra={"required": "0.5"}))
    assert error["type"] == "error"
    assert error["error"] == {
        "type": shown, "message": "Because.", "code": code, "param": "model", "details": {"error_code": code},
        "required": "0.5",
    }  # fmt: skip


def test_what_the_provider_says_is_scrubbed() -> None:
    said = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "up: key sk-ant-api03-abcdef at x.com"},
    }
    error = AnthropicMessages().read_upstream_error(written(said), names={"up": "claude"})
    assert error.type == "invalid_request_error"
    assert error.message.startswith("claude: ")
    assert "sk-ant" not in error.message
    assert "x.com" not in error.message


def test_an_empty_account_of_ours_is_known_by_its_words_and_no_caller_can_forge_them() -> None:
    words = "Your credit balance is too low to access the Anthropic API."
    for message, code in ((words, "billing_not_active"), (f"messages.0: '{words}' is odd", None)):
        said = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        assert AnthropicMessages().read_upstream_error(written(said)).code == code
