"""The older text completions: a body becomes a `Call`, and a `Call` the body that goes upstream.

A prompt is a text, token numbers, or several of either; each gives `n` answers. The public default
of 16 output tokens is what a caller without a limit gets and what is held. `parse` never raises.
"""

from __future__ import annotations

from typing import Annotated, cast

import msgspec

from farebox.wire import openai_forward
from farebox.wire.call import (
    MAX_CHOICES,
    MAX_LIMIT,
    MAX_MODEL_LENGTH,
    PLAIN_BODY,
    PLAIN_TEXT,
    TEMPLATE_TOKENS,
    Call,
    ChannelBody,
    Fields,
    Malformed,
    MalformedCode,
    is_set,
    text_field,
)
from farebox.wire.json_object import read_body
from farebox.wire.price_fields import OPENAI_COMPLETIONS, read_service_tier, refuse_fields, refused_names

DEFAULT_LIMIT = 16
"""Output tokens of a call without `max_tokens`, by the public format."""
STICKY_CHARACTERS = 512

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Prompt = str | list[str | _Number | list[_Number]]


class _StreamOptions(msgspec.Struct, frozen=True, gc=False):
    include_usage: bool | None = None


class _Body(msgspec.Struct, frozen=True, gc=False):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_LENGTH)]
    prompt: _Prompt
    stream: bool | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHOICES)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=0, le=MAX_LIMIT)] | None = None
    echo: bool | None = None
    stream_options: _StreamOptions | None = None
    user: str | None = None
    prompt_cache_key: str | None = None


_body = msgspec.json.Decoder(_Body)
_read_prompt = msgspec.json.Decoder(_Prompt).decode
_REFUSED = refused_names(OPENAI_COMPLETIONS)


def parse(body: bytes) -> Call | Malformed:
    """Read a text completion request of at most 32 MB. Never raises."""
    read = read_body(body, _body)
    if isinstance(read, Malformed):
        return read
    fields, wanted = read
    return refuse_fields(fields, _REFUSED) or _refuse(wanted) or _call(body, fields, wanted)


def _refuse(wanted: _Body) -> Malformed | None:
    prompts = prompts_in(wanted.prompt)
    if not prompts:
        return _invalid("prompt", "'prompt' must not be empty.")
    if len({type(prompt) for prompt in prompts}) > 1:
        return _invalid("prompt", "'prompt' must hold texts or token numbers, not a mixture.")
    if len(prompts) * (wanted.n or 1) > MAX_CHOICES:
        return _invalid("prompt", f"Prompts times 'n' must be at most {MAX_CHOICES}.")
    if wanted.max_tokens == 0 and not wanted.echo:
        return _invalid("max_tokens", "'max_tokens' must be at least 1 unless 'echo' is true.")
    return None


def _call(body: bytes, fields: Fields, wanted: _Body) -> Call | Malformed:
    tier = read_service_tier(fields)
    if isinstance(tier, Malformed):
        return tier
    options = wanted.stream_options
    limit = wanted.max_tokens
    return Call(
        body=body,
        fields=fields,
        model=wanted.model,
        stream=wanted.stream or False,
        choices=len(prompts_in(wanted.prompt)) * (wanted.n or 1),
        output_limit=DEFAULT_LIMIT if limit is None else limit,
        limit_fields=() if limit is None else ("max_tokens",),
        input_bytes=len(body) + TEMPLATE_TOKENS,
        wants_usage=options is not None and options.include_usage is True,
        end_user=wanted.user,
        at_most=PLAIN_TEXT,
        service_tier=tier,
        sticky=_sticky(wanted),
        has_stop=is_set(fields, "stop"),
    )


def forward(
    call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
) -> bytes:
    """The body for a channel, which always names its limit: what a provider would do without one is its own."""
    limit = call.output_limit if output_limit is None else output_limit
    if not call.limit_fields and call.output_limit is not None and limit is not None:
        limit = min(limit, call.output_limit)
    named = msgspec.structs.replace(channel, limit_field="max_tokens")
    return openai_forward.forward(call, upstream_model=upstream_model, output_limit=limit, channel=named)


def prompts_in(prompt: _Prompt) -> list[str | list[int]]:
    """Each prompt by itself: a text, or token numbers."""
    if isinstance(prompt, str):
        return [prompt]
    if prompt and all(isinstance(item, int) for item in prompt):
        return [cast(list[int], prompt)]
    return cast(list[str | list[int]], prompt)


def prompts_of(call: Call) -> list[str | list[int]]:
    """The prompts of a call that was parsed."""
    return prompts_in(_read_prompt(call.fields["prompt"]))


def completion_text(call: Call) -> str:
    """All text of the request that becomes input tokens; token numbers are none (see `token_numbers`)."""
    texts = [prompt for prompt in prompts_of(call) if isinstance(prompt, str)]
    suffix = text_field(call.fields, "suffix")
    return "\n".join(texts if suffix is None else [*texts, suffix])


def token_numbers(call: Call) -> int:
    """How many token numbers the prompts hold; each is one input token exactly."""
    return sum([len(prompt) for prompt in prompts_of(call) if not isinstance(prompt, str)])


def echoed(call: Call) -> list[int] | None:
    """For each answer, how many characters of prompt it begins with; None if prompts are not shown again.

    Token numbers come back as a text nobody here knows; its length is bounded by nothing, so it is -1.
    """
    if not is_set(call.fields, "echo"):
        return None
    prompts = prompts_of(call)
    lengths = [len(prompt) if isinstance(prompt, str) else -1 for prompt in prompts]
    return [length for length in lengths for _ in range(call.choices // len(prompts))]


def _sticky(wanted: _Body) -> bytes:
    named = wanted.prompt_cache_key or wanted.user
    if named:
        return named.encode(errors="replace")
    first = prompts_in(wanted.prompt)[0]
    return first[:STICKY_CHARACTERS].encode(errors="replace") if isinstance(first, str) else b""


def _invalid(param: str, message: str) -> Malformed:
    return Malformed(MalformedCode.INVALID_PARAMETER, message, param)
