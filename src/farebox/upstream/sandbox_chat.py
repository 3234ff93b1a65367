"""Composes the sandbox's chat answers: text from a hash of the request, usage that fits the text.

A `Call` and a `Script` enter, the body of an answer or the events of a stream leave. Every word is
one o200k token, so what is produced, limited and reported agrees to the token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

import msgspec

from farebox.upstream.sandbox_script import Script, UsageShape
from farebox.wire import openai_text
from farebox.wire.call import Call

_TEXT = """
the of and to in is that for it was on with as be at this have from or had by not but what all were when we there can
an your which their said if do will each about how up out them then she many some so these would other into has more
her two like him see time could no make than first been its who now people my made over did down only way find use may
water long little very after words called just where most know
"""
WORDS = tuple(_TEXT.split())
"""Each is one o200k token, with a blank before it."""

SMALLEST_ANSWER, SPREAD = 12, 60
_PREAMBLE_TOKENS = 3
_CREATED = 1_700_000_000


class Produced(msgspec.Struct, frozen=True):
    """One choice: its words, hidden reasoning in tokens, and why it ended."""

    words: list[str]
    reasoning: int
    finish_reason: str

    @property
    def text(self) -> str:
        return "".join(self.words)


def answer(call: Call, script: Script) -> bytes:
    """The body of a buffered answer."""
    produced = _all_choices(call, script)
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": choice.text, "refusal": None},
            "logprobs": None,
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(produced)
    ]
    body = _head(call, "chat.completion") | {"choices": choices}
    if script.usage is not UsageShape.NONE:
        body["usage"] = _usage(call, script, produced)
    return msgspec.json.encode(body)


def events(call: Call, script: Script) -> Iterator[bytes]:
    """The events of a stream, up to a cut or an error event if the script has one."""
    produced = _all_choices(call, script)
    head = _head(call, "chat.completion.chunk")
    for index in range(call.choices):
        yield _event(head, index, {"role": "assistant", "content": ""}, None)
    stop = script.cut if script.cut is not None else script.error_event
    for number, (index, text) in enumerate(_pieces(produced, script.chunks)):
        if number == stop:
            break
        yield _event(head, index, {"content": text}, None)
    if script.cut is not None:
        return
    if script.error_event is not None:
        yield b'data: {"error":{"message":"The sandbox fails as it was asked to.","type":"server_error"}}\n\n'
        return
    for index, choice in enumerate(produced):
        yield _event(head, index, {}, choice.finish_reason)
    if call.wants_usage and script.usage is not UsageShape.NONE:
        yield _data(head | {"choices": [], "usage": _usage(call, script, produced)})
    yield b"data: [DONE]\n\n"


def _all_choices(call: Call, script: Script) -> list[Produced]:
    seed = hashlib.sha256(bytes(call.fields["messages"]) + call.model.encode(errors="replace")).digest()
    return [_produce(call, script, hashlib.sha256(seed + bytes([index])).digest()) for index in range(call.choices)]


def _produce(call: Call, script: Script, seed: bytes) -> Produced:
    """Reasoning first, then words, both inside the output limit, as providers do it."""
    if script.empty:
        return Produced([], 0, "stop")
    wanted = SMALLEST_ANSWER + seed[0] % SPREAD if script.tokens is None else script.tokens
    room = call.output_limit if call.output_limit is not None else script.reasoning + wanted
    reasoning = min(script.reasoning, room)
    visible = min(wanted, room - reasoning)
    is_short = reasoning + visible < script.reasoning + wanted
    return Produced(_words(seed, visible), reasoning, "length" if is_short else "stop")


def _words(seed: bytes, count: int) -> list[str]:
    picks = hashlib.shake_256(seed).digest(count)
    return [" " + WORDS[pick % len(WORDS)] for pick in picks]


def _pieces(produced: list[Produced], chunks: int | None) -> Iterator[tuple[int, str]]:
    """The text of each choice in turn, in `chunks` pieces as even as can be, or word by word."""
    for index, choice in enumerate(produced):
        count = len(choice.words)
        parts = min(chunks or count, count)
        for part in range(parts):
            yield index, "".join(choice.words[part * count // parts : (part + 1) * count // parts])


def _usage(call: Call, script: Script, produced: list[Produced]) -> dict[str, Any]:
    reasoning = sum([choice.reasoning for choice in produced])
    completion = reasoning + sum([len(choice.words) for choice in produced])
    prompt = prompt_tokens(call)
    match script.usage:
        case UsageShape.WRONG:
            prompt, completion = prompt * 1000 + 10_000_000, completion * 1000 + 10_000_000
        case UsageShape.NEGATIVE:
            completion = -5
        case UsageShape.ZERO:
            prompt, completion, reasoning = 0, 0, 0
        case UsageShape.TRUE | UsageShape.NONE:
            pass
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def prompt_tokens(call: Call) -> int:
    """Tokens of the request's text, and of the template around its messages."""
    template = _PREAMBLE_TOKENS + openai_text.MESSAGE_TOKENS * openai_text.messages_in(call)
    return count_tokens(openai_text.chat_text(call)) + template


def count_tokens(text: str) -> int:
    """How many o200k tokens the text has."""
    return int(_vocabulary().count(text))


@cache
def _vocabulary() -> Any:
    return import_module("rs_bpe.bpe").openai.o200k_base()


def _head(call: Call, kind: str) -> dict[str, Any]:
    number = hashlib.sha256(call.body).hexdigest()[:24]
    head: dict[str, Any] = {"id": f"chatcmpl-{number}", "object": kind, "created": _CREATED, "model": call.model}
    if call.service_tier is not None:
        head["service_tier"] = "default" if call.service_tier == "auto" else call.service_tier
    return head


def _event(head: dict[str, Any], index: int, delta: dict[str, str], finish_reason: str | None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _data(head | {"choices": [choice]})


def _data(payload: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"
