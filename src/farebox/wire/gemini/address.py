"""Gemini's addresses: the model and what is asked of it stand in the path, not in the body.

A path enters, already percent-decoded; an `Address` leaves, or None for a path of another dialect. The prefix is
shared with OpenAI's `GET /v1/models/{id}`, whose ids may hold a colon: only the actions named here are ours.
"""

from __future__ import annotations

from typing import NamedTuple

from farebox.wire.call import MAX_MODEL_LENGTH

GENERATE = "generateContent"
STREAM = "streamGenerateContent"
EMBED = "embedContent"
EMBED_MANY = "batchEmbedContents"
COUNT = "countTokens"

ACTIONS = frozenset({GENERATE, STREAM, EMBED, EMBED_MANY, COUNT})
PREFIXES = ("/v1beta/models/", "/v1/models/", "/v1alpha/models/")
"""The versions differ in nothing that a price or a hold rests on."""

_COLLECTION = "models/"


class Address(NamedTuple):
    """What a path says."""

    model: str
    action: str


def read_address(path: str) -> Address | None:
    """The model and the action of a path, such as `/v1beta/models/gemini-2.5-flash:generateContent`."""
    rest, colon, action = path.partition("?")[0].rpartition(":")
    if not colon or action not in ACTIONS:
        return None
    for prefix in PREFIXES:
        if rest.startswith(prefix):
            model = plain_name(rest[len(prefix) :])
            return Address(model, action) if 0 < len(model) <= MAX_MODEL_LENGTH else None
    return None


def plain_name(model: str) -> str:
    """The name without `models/` before it, which some clients write twice."""
    return model.removeprefix(_COLLECTION)
