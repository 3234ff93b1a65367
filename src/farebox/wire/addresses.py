"""The addresses clients get wrong, made right: one pure function over paths.

Official clients add their own version to a base URL, people write bases with one, without one and
with a slash too many. What a tool means is never in doubt, so it is served. Nothing here knows
which endpoints exist beside the first word of their names.
"""

from __future__ import annotations

_VERSIONS = ("v1", "v1beta")
_COMPATIBLE = "openai"
"""Google keeps its OpenAI endpoints below `/v1beta/openai`, others below `/openai/v1`."""
_ENDPOINTS = frozenset(
    {"chat", "completions", "responses", "messages", "embeddings", "models", "moderations", "rerank"}
    | {"images", "audio", "videos", "files", "batches", "realtime"}
)
"""The first words of endpoints, which are known without a version before them."""


def tidied(path: str) -> str:
    """The address meant: single slashes, one version, none of `openai`. `/v1/v1/messages` is `/v1/messages`.

    The last version written counts; where none is, and an endpoint is named, it is `/v1`.
    """
    words = [word for word in path.split("/") if word]
    version: str | None = None
    while words and (words[0] in _VERSIONS or words[0] == _COMPATIBLE):
        word = words.pop(0)
        version = "v1" if word == _COMPATIBLE else word
    if version is None and words and words[0] in _ENDPOINTS:
        version = "v1"
    return "/" + "/".join(words if version is None else [version, *words])
