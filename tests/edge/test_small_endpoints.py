"""Text completions, moderations and reranking, end to end against a scripted provider: money exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.pure.wire.bodies import payloads
from tests.support import small_answers
from tests.support.gateway import Gateway, running_gateway
from tests.support.openai_answers import failure
from tests.support.scripted_upstream import ScriptedUpstream

from farebox.money import Nano, parse_credits

MODELS = dict.fromkeys(("gpt-4o-mini", "omni-moderation-latest", "rerank-v3.5", "rerank-3"), "up")
GPT_4O_MINI = (Nano(150), Nano(600))
"""Nanocredits for a token of input and of output: $0.15 and $0.60 a million."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(module_database: str, upstream: ScriptedUpstream) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        gateway.channel(upstream.base_url, models=MODELS)
        yield gateway


@pytest.fixture(autouse=True)
def _forget(upstream: ScriptedUpstream) -> None:
    upstream.forget()


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def charged(gateway: Gateway, path: str, **body: Any) -> tuple[Any, dict[str, Any]]:
    """The answer, and the receipt it leaves."""
    who = gateway.customer(credits="1")
    answer = gateway.post(path, who, body)
    assert answer.status == 200, answer.body
    assert answer.headers["x-ratelimit-limit"] == "unlimited"
    receipt = gateway.receipt(who, answer.headers["x-request-id"])
    assert parse_credits("1") - gateway.available(who) == parse_credits(receipt["charged"])
    return answer, receipt


def price(prompt: int, completion: int) -> int:
    return prompt * GPT_4O_MINI[0] + completion * GPT_4O_MINI[1]


def test_a_completion_is_charged_as_reported_and_its_limit_is_always_named(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.play(small_answers.completion(usage=usage(100, 10)))
    answer, receipt = charged(gateway, "/v1/completions", model="gpt-4o-mini", prompt="Once")
    assert (parse_credits(receipt["charged"]), receipt["reason"]) == (price(100, 10), "provider")
    assert answer.json["model"] == "gpt-4o-mini"
    sent = upstream.seen[0]
    assert sent.path == "/completions"
    assert sent.json() == {"model": "up", "prompt": "Once", "max_tokens": 16}


def test_every_prompt_and_every_choice_is_held_and_charged(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(small_answers.completion(choices=4, usage=usage(20, 400)))
    body = {"prompt": ["Once", "Twice"], "n": 2, "max_tokens": 100}
    answer, receipt = charged(gateway, "/v1/completions", model="gpt-4o-mini", **body)
    assert len(answer.json["choices"]) == 4
    assert parse_credits(receipt["charged"]) == price(20, 400) <= parse_credits(receipt["held"])


@pytest.mark.parametrize("asked", [True, False])
def test_d23_a_streamed_completion_is_charged_whether_its_usage_was_asked_for_or_not(
    gateway: Gateway, upstream: ScriptedUpstream, asked: bool
) -> None:
    upstream.play(small_answers.completion_stream(usage=usage(100, 10)))
    options = {"stream_options": {"include_usage": True}} if asked else {}
    answer, receipt = charged(gateway, "/v1/completions", model="gpt-4o-mini", prompt="Once", stream=True, **options)
    assert (parse_credits(receipt["charged"]), receipt["reason"]) == (price(100, 10), "provider")
    assert upstream.seen[0].json()["stream_options"] == {"include_usage": True}
    events = payloads(answer.body)
    texts = [choice["text"] for event in events[:-1] for choice in event["choices"]]
    assert "".join(texts) == " upon a time"
    assert {event["model"] for event in events[:-1]} == {"gpt-4o-mini"}
    assert [event["usage"]["cost"] for event in events[:-1] if "usage" in event] == (
        [receipt["charged"]] if asked else []
    )


def test_d23_without_usage_the_text_is_counted_but_not_a_prompt_shown_again(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    for prompt, text, echo in (("Once", " upon a time", False), ("Once", "Once upon a time", True)):
        upstream.play(small_answers.completion(text, usage=None))
        _, receipt = charged(gateway, "/v1/completions", model="gpt-4o-mini", prompt=prompt, echo=echo)
        assert (receipt["usage"]["output"], receipt["reason"]) == (3, "counted")


def test_a_stream_that_breaks_off_ends_in_an_error_and_is_not_charged(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.play(small_answers.completion_stream().cut(300))
    body = {"model": "gpt-4o-mini", "prompt": "Once", "stream": True}
    who = gateway.customer(credits="1")
    answer = gateway.post("/v1/completions", who, body)
    assert b'"error"' in answer.body
    assert b"[DONE]" not in answer.body
    assert gateway.available(who) == parse_credits("1")


def test_law_10_a_moderation_costs_nothing_because_its_price_is_written_as_nothing(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    answer, receipt = charged(gateway, "/v1/moderations", input="Is this fine?")
    assert answer.json["results"][0]["flagged"] is False
    assert answer.json["model"] == "omni-moderation-latest"
    assert parse_credits(receipt["charged"]) == parse_credits(receipt["held"]) == 0
    assert receipt["usage"]["input"] > 0
    assert upstream.seen[0].json()["model"] == "up"
    broke = gateway.customer(credits="0")
    assert gateway.post("/v1/moderations", broke, {"input": ["a", "b"]}).status == 200


def test_a_ranking_is_charged_by_searches_where_the_card_says_so(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(small_answers.ranking(250, meta={"billed_units": {"search_units": 3}}))
    answer, receipt = charged(
        gateway, "/v1/rerank", model="rerank-v3.5", query="which?", documents=["a"] * 250, top_n=3
    )
    assert len(answer.json["results"]) == 250
    assert (receipt["charged"], receipt["usage"], receipt["reason"]) == ("0.006", {"searches": 3}, "provider")


def test_a_ranking_is_charged_by_tokens_where_the_card_says_so(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(small_answers.ranking(2, usage={"total_tokens": 40}))
    _, receipt = charged(gateway, "/v1/rerank", model="rerank-3", query="which?", documents=["a", {"text": "b"}])
    assert (receipt["charged"], receipt["usage"], receipt["reason"]) == ("0.000002", {"input": 40}, "provider")


@pytest.mark.parametrize("model", ["rerank-v3.5", "rerank-3"])
def test_d25_a_ranking_without_figures_is_counted(gateway: Gateway, upstream: ScriptedUpstream, model: str) -> None:
    upstream.play(small_answers.ranking(101))
    _, receipt = charged(gateway, "/v1/rerank", model=model, query="which one?", documents=["a word"] * 101)
    used = {meter: count for meter, count in receipt["usage"].items() if count}
    assert receipt["reason"] == "counted"
    if model == "rerank-v3.5":
        assert used == {"searches": 2}
    else:
        assert set(used) == {"input"}
        assert 101 * 5 <= used["input"] <= 101 * 20


def test_d28_more_searches_than_the_documents_could_make_are_not_believed(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.play(small_answers.ranking(2, meta={"billed_units": {"search_units": 50}}))
    _, receipt = charged(gateway, "/v1/rerank", model="rerank-v3.5", query="which?", documents=["a", "b"])
    assert (receipt["usage"]["searches"], receipt["reason"]) == (1, "counted")


ENDPOINTS = [
    ("/v1/completions", {"model": "gpt-4o-mini", "prompt": "x"}),
    ("/v1/moderations", {"input": "x"}),
    ("/v1/rerank", {"model": "rerank-3", "query": "x", "documents": ["y"]}),
]


@pytest.mark.parametrize(("path", "body"), ENDPOINTS)
def test_d56_what_a_provider_refuses_stays_refused(
    gateway: Gateway, upstream: ScriptedUpstream, path: str, body: dict[str, Any]
) -> None:
    upstream.play(failure(400, "too long", code="context_length_exceeded"))
    who = gateway.customer(credits="1")
    answer = gateway.post(path, who, body)
    assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")
    assert gateway.available(who) == parse_credits("1")


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/completions", {"model": "gpt-4o-mini"}, "prompt"),
    ("/v1/completions", {"model": "gpt-4o-mini", "prompt": []}, "prompt"),
    ("/v1/completions", {"model": "gpt-4o-mini", "prompt": ["a", [1]]}, "prompt"),
    ("/v1/completions", {"model": "gpt-4o-mini", "prompt": ["a", 1]}, "prompt"),
    ("/v1/completions", {"model": "gpt-4o-mini", "prompt": ["a"] * 65, "n": 2}, "prompt"),
    ("/v1/completions", {"model": "gpt-4o-mini", "prompt": "a", "best_of": 3}, "best_of"),
    ("/v1/completions", {"model": "gpt-4o-mini", "prompt": "a", "max_tokens": 0}, "max_tokens"),
    ("/v1/moderations", {"input": []}, "input"),
    ("/v1/moderations", {"input": [{"type": "input_audio"}]}, "input"),
    ("/v1/rerank", {"model": "rerank-3", "query": "x"}, "documents"),
    ("/v1/rerank", {"model": "rerank-3", "query": "", "documents": ["a"]}, "query"),
    ("/v1/rerank", {"model": "rerank-3", "query": "x", "documents": []}, "documents"),
    ("/v1/rerank", {"model": "rerank-3", "query": "x", "documents": [{"image": "https://x"}]}, "documents"),
]


@pytest.mark.parametrize(("path", "body", "param"), REFUSED)
def test_what_cannot_be_priced_is_refused_before_anything_is_sent(
    gateway: Gateway, upstream: ScriptedUpstream, path: str, body: dict[str, Any], param: str
) -> None:
    answer = gateway.post(path, gateway.customer(), body)
    assert (answer.status, answer.error["param"]) == (400, param)
    assert upstream.seen == []


def test_a_prompt_may_be_scored_without_a_new_word(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.play(small_answers.completion("Once", usage=usage(1, 0)))
    body = {"prompt": "Once", "max_tokens": 0, "echo": True, "logprobs": 1}
    _, receipt = charged(gateway, "/v1/completions", model="gpt-4o-mini", **body)
    assert (parse_credits(receipt["charged"]), receipt["reason"]) == (price(1, 0), "provider")
