"""What the demo's customer does: a handful of calls through the official OpenAI client, each with what must come of it.

Nothing here knows Farebox from the inside: a base URL and two keys, as any customer has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from openai import APIStatusError, OpenAI
from openai.types.chat import ChatCompletionMessageParam

PROMPT: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You answer in one short paragraph."},
    {"role": "user", "content": "What does it mean that an API gateway holds credits before it forwards a request?"},
]
ANSWER_TOKENS = 120


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a call came to, as the customer sees it."""

    request_id: str
    text: str = ""
    refused: str | None = None
    """The code of the refusal."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One call: what it shows, with which key, and the refusal it must meet (None: it must be answered)."""

    title: str
    key: str
    model: str
    call: Callable[[OpenAI, str], Spoken]
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A step and what came of it."""

    step: Step
    spoken: Spoken
    receipt: dict[str, Any] | None
    available: str
    """Of the account, after it."""

    @property
    def as_expected(self) -> bool:
        return self.spoken.refused == self.step.refused and (self.receipt is None) == (self.step.refused is not None)


def plain(client: OpenAI, model: str) -> Spoken:
    """An answer in one piece."""
    answer = client.chat.completions.with_raw_response.create(
        model=model, messages=PROMPT, max_completion_tokens=ANSWER_TOKENS
    )
    return Spoken(answer.headers["x-request-id"], answer.parse().choices[0].message.content or "")


def streamed(client: OpenAI, model: str) -> Spoken:
    """An answer in pieces, with its usage at the end."""
    with client.chat.completions.create(
        model=model,
        messages=PROMPT,
        max_completion_tokens=ANSWER_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    return Spoken(stream.response.headers["x-request-id"], "".join(pieces))


EVERYDAY, PER_CALL = "everyday", "per-call"

STEPS = (
    Step("An answer in one piece", EVERYDAY, "gpt-4o", plain),
    Step("A streamed answer", EVERYDAY, "gpt-4o-mini", streamed),
    Step("A picture, paid by the call", PER_CALL, "gemini-3-pro-image-preview", plain),
    Step("A model above the account's tier", EVERYDAY, "gemini-3.1-pro-preview", plain, "model_tier_restricted"),
    Step("A pay-per-call key, a model with token prices only", PER_CALL, "gpt-4o", plain, "billing_mode_unsupported"),
)


def run(base_url: str, keys: dict[str, str], tell: Callable[[Done], None]) -> Sequence[Done]:
    """Make every call in order; `tell` hears of each when its receipt is there."""
    clients = {name: OpenAI(base_url=base_url, api_key=secret, max_retries=0) for name, secret in keys.items()}
    done: list[Done] = []
    for step in STEPS:
        done.append(_do(step, clients[step.key]))
        tell(done[-1])
    return done


def available(base_url: str, secret: str) -> str:
    """What the account has available."""
    return _available(OpenAI(base_url=base_url, api_key=secret, max_retries=0))


def _do(step: Step, client: OpenAI) -> Done:
    try:
        spoken = step.call(client, step.model)
    except APIStatusError as refusal:
        error = cast("dict[str, Any]", refusal.body)
        spoken = Spoken(refusal.response.headers["x-request-id"], "", error["code"], error["message"])
    receipt = None if spoken.refused else client.get(f"/receipts/{spoken.request_id}", cast_to=dict[str, Any])
    return Done(step, spoken, receipt, _available(client))


def _available(client: OpenAI) -> str:
    return client.get("/key", cast_to=dict[str, Any])["account"]["available"]
