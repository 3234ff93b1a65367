"""Addresses as clients write them, and the endpoint they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.wire.addresses import tidied
from farebox.wire.dialect import DIALECTS, dialect_at

MEANT = [
    # written                                       meant
    ("/v1/chat/completions", "/v1/chat/completions"),
    ("/chat/completions", "/v1/chat/completions"),
    ("/v1/v1/chat/completions", "/v1/chat/completions"),
    ("/v1/v1/messages", "/v1/messages"),
    ("/v1/v1/models", "/v1/models"),
    ("/v1/v1/models/claude-sonnet-4-5", "/v1/models/claude-sonnet-4-5"),
    ("/v1/v1/messages/count_tokens", "/v1/messages/count_tokens"),
    ("/messages", "/v1/messages"),
    ("/models", "/v1/models"),
    ("/responses", "/v1/responses"),
    ("/v1//chat//completions", "/v1/chat/completions"),
    ("//v1/chat/completions", "/v1/chat/completions"),
    ("/v1/chat/completions/", "/v1/chat/completions"),
    ("/v1beta/openai/chat/completions", "/v1/chat/completions"),
    ("/v1beta/openai/embeddings", "/v1/embeddings"),
    ("/openai/v1/chat/completions", "/v1/chat/completions"),
    ("/v1beta/models/gemini-2.5-pro:generateContent", "/v1beta/models/gemini-2.5-pro:generateContent"),
    ("/v1beta/v1beta/models/gemini-2.5-pro:generateContent", "/v1beta/models/gemini-2.5-pro:generateContent"),
    ("/v1/v1beta/models/gemini-2.5-pro:streamGenerateContent", "/v1beta/models/gemini-2.5-pro:streamGenerateContent"),
    ("/models/gemini-2.5-pro:countTokens", "/v1/models/gemini-2.5-pro:countTokens"),
    ("/v1/models/openai/gpt-oss-120b", "/v1/models/openai/gpt-oss-120b"),
    ("/healthz", "/healthz"),
    ("/healthz/", "/healthz"),
    ("/console/models", "/console/models"),
    ("/v1", "/v1"),
    ("/", "/"),
    ("", "/"),
]


@pytest.mark.parametrize(("written", "meant"), MEANT)
def test_an_address_is_put_right(written: str, meant: str) -> None:
    assert tidied(written) == meant


@given(st.lists(st.sampled_from(["v1", "v1beta", "openai", "", "chat", "models", "x:y", "healthz"]), max_size=6))
def test_what_is_right_stays(words: list[str]) -> None:
    once = tidied("/" + "/".join(words))
    assert tidied(once) == once


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_endpoint_is_found_where_clients_look_for_it(dialect: object) -> None:
    path: str = dialect.path.replace("{model}", "m")  # type: ignore[attr-defined]
    below = path.removeprefix("/v1").removeprefix("beta")
    for written in (path, path + "/", "/" + path, "/v1" + path, below):
        found = dialect_at(written)
        assert found is not None
        assert found.name == dialect.name  # type: ignore[attr-defined]
