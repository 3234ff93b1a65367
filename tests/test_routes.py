"""Every route that can reach a provider passes admission (d41); every other route reaches none.

The routes are those the code knows, not a list kept here: a new dialect without a row below fails.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import sounds
from tests.support.forms import CONTENT_TYPE, END, field, file_head
from tests.support.gateway import Answer, Customer, Gateway, running_gateway
from tests.support.image_forms import image_form
from tests.support.routes import read_routes
from tests.support.scripted_upstream import ScriptedUpstream

from farebox.admission.state import Budget, Limits
from farebox.money import parse_credits
from farebox.store.ledger_rows import KeySettings
from farebox.wire.dialect import DIALECTS, dialect_at

SOURCE = Path(__file__).parent.parent / "src" / "farebox"
MODELS: dict[str, str] = dict.fromkeys(
    ("gpt-4o-mini", "text-embedding-3-small", "gpt-image-1-mini", "tts-1", "whisper-1"), "x"
)
AUDIO_FORM = field("model", "whisper-1") + file_head("a.wav") + sounds.wav(1_000) + b"\r\n" + END
BODIES: dict[str, dict[str, Any] | bytes] = {
    "/v1/chat/completions": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": "Hello"},
    "/v1beta/models/{model}:generateContent": {"contents": [{"parts": [{"text": "Hello"}]}]},
    "/v1beta/models/{model}:streamGenerateContent": {"contents": [{"parts": [{"text": "Hello"}]}]},
    "/v1beta/models/{model}:embedContent": {"content": {"parts": [{"text": "Hello"}]}},
    "/v1beta/models/{model}:batchEmbedContents": {"requests": [{"content": {"parts": [{"text": "Hello"}]}}]},
    "/v1/responses": {"model": "gpt-4o-mini", "input": "Hello"},
    "/v1/messages": {"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]},
    "/v1/completions": {"model": "gpt-4o-mini", "prompt": "Hello"},
    "/v1/moderations": {"model": "text-embedding-3-small", "input": "Hello"},
    "/v1/audio/speech": {"model": "tts-1", "input": "Hello", "voice": "alloy"},
    "/v1/audio/transcriptions": AUDIO_FORM,
    "/v1/audio/translations": AUDIO_FORM,
    "/v1/images/generations": {"model": "gpt-image-1-mini", "prompt": "Hello"},
    "/v1/images/edits": image_form({"model": "gpt-image-1-mini", "prompt": "Hello"}),
    "/v1/images/variations": image_form({"model": "gpt-image-1-mini"}),
    "/v1/rerank": {"model": "text-embedding-3-small", "query": "Hello", "documents": ["Hello", "Bye"]},
}
"""A good body for every route that reaches a provider, for a model with a price above zero; bytes are a form."""
CALLS = [dialect.path for dialect in DIALECTS]
ADDRESSES = {
    path: path.replace("{model}", "text-embedding-3-small" if "mbed" in path else "gpt-4o-mini") for path in CALLS
}
"""Where a path names the model, it is one of those for sale."""
READS = read_routes()
NOTHING_LEFT = Budget(id="nothing_left", limit=parse_credits("0.000000001"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(module_database: str, upstream: ScriptedUpstream) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        gateway.channel(upstream.base_url, models=MODELS)
        gateway.channel(upstream.base_url, models=MODELS, dialect="gemini")
        gateway.channel(upstream.base_url, models=MODELS, dialect="openai_responses")
        gateway.channel(upstream.base_url, models=MODELS, dialect="anthropic")
        yield gateway


def test_every_route_to_a_provider_has_a_body_here() -> None:
    assert set(CALLS) == set(BODIES)


@pytest.mark.parametrize("path", CALLS)
def test_a_route_to_a_provider_reaches_it_under_a_hold_and_is_charged(
    gateway: Gateway, upstream: ScriptedUpstream, path: str
) -> None:
    upstream.forget()
    who = gateway.customer(credits="1")
    answer = _post(gateway, path, who, BODIES[path])
    assert answer.status == 200
    assert len(upstream.seen) == 1
    receipt = gateway.receipt(who, answer.headers["x-request-id"])
    assert parse_credits(receipt["held"]) > 0
    assert parse_credits("1") - gateway.available(who) == parse_credits(receipt["charged"]) > 0


def _refused_callers(gateway: Gateway) -> Iterator[tuple[str, Customer]]:
    broke = gateway.customer(credits="0")
    yield "insufficient_credits", broke
    yield "key_limit_reached", gateway.customer(cap=NOTHING_LEFT)
    yield "model_not_allowed", gateway.customer(settings=KeySettings(models=("gpt-4.1-nano",)))
    yield "key_disabled", gateway.customer(settings=KeySettings(enabled=False))
    bounded = gateway.customer()
    gateway.call(gateway.books.accounts.set_budgets(bounded.account_id, [NOTHING_LEFT]))
    yield "budget_exceeded", bounded
    used = gateway.customer(settings=KeySettings(limits=Limits(requests_per_minute=1)))
    assert gateway.post(CALLS[0], used, BODIES[CALLS[0]]).status == 200
    yield "rate_limit_exceeded", used


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", CALLS)
def test_no_route_to_a_provider_is_beside_any_limit(
    gateway: Gateway, upstream: ScriptedUpstream, path: str, stream: bool
) -> None:
    for code, who in _refused_callers(gateway):
        upstream.forget()
        body = BODIES[path]
        if stream and isinstance(body, dict) and "messages" in body:
            body = body | {"stream": True}
        assert _code_of(_post(gateway, path, who, body)) == code
        assert upstream.seen == []


def _post(gateway: Gateway, path: str, who: Customer, body: dict[str, Any] | bytes) -> Answer:
    form = {"content-type": CONTENT_TYPE} if isinstance(body, bytes) else {}
    return gateway.post(ADDRESSES[path], who, body, form)


def _code_of(answer: Answer) -> str:
    """Our code, wherever the dialect's error body keeps it."""
    details = answer.error.get("details")
    return details[0]["reason"] if isinstance(details, list) else answer.error["code"]


@pytest.mark.parametrize("path", READS)
def test_no_other_route_reaches_a_provider_or_charges(gateway: Gateway, upstream: ScriptedUpstream, path: str) -> None:
    upstream.forget()
    who = gateway.customer(credits="1")
    for address in (path, path + "x", path + "/x/v1/chat/completions"):
        gateway.get(address, who)
        for body in BODIES.values() if dialect_at(address) is None else ():  # a slash too many is forgiven
            gateway.post(address, who, body)
    assert upstream.seen == []
    assert gateway.available(who) == parse_credits("1")
    assert gateway.get("/v1/key", who).headers["x-ratelimit-used"] == "0"


def test_there_is_one_way_out_and_it_asks_for_an_admitted_request() -> None:
    """Nothing but `relay.attempts` holds the client, and it sends a `Job`, which only an opened hold can make."""
    importing = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and any(name.name == "HttpClient" for name in node.names)
    }
    calling = {name for name in importing if not name.startswith(("upstream/", "cli/"))}
    assert calling == {"relay/attempts.py", "main.py", "books.py"}  # books: to the operator's own store of files
    making = [
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Job"
    ]
    assert making == ["relay/relay.py"]
