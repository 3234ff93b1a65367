"""Composes the sandbox's text completions, moderations and rankings.

A `Call` and a `Script` enter, the body of an answer or the events of a stream leave. Nothing is ever
flagged, and documents are ranked by the words they share with the query.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from farebox.upstream.sandbox_script import Script, UsageShape
from farebox.upstream.sandbox_words import Produced, count_tokens, pieces, produce
from farebox.wire.call import Call
from farebox.wire.dialect import Dialect

_CREATED = 1_700_000_000
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")


class _Inputs(msgspec.Struct):
    input: str | list[str | dict[str, Any]]


class Completions:
    """Text completions of one call: a prompt continued, `n` times."""

    def __init__(self, dialect: Dialect, call: Call, script: Script) -> None:
        self._call = call
        self._script = script
        text = dialect.text_of(call)
        self._prompt = count_tokens(text) + dialect.tokens_beside_text(call)
        seed = hashlib.sha256(text.encode(errors="replace") + call.model.encode(errors="replace")).digest()
        seeds = [hashlib.sha256(seed + bytes([index])).digest() for index in range(call.choices)]
        self._produced = [produce(each, call.output_limit, script) for each in seeds]

    def answer(self) -> bytes:
        """The body of a buffered answer."""
        texts = enumerate(self._produced)
        choices = [_choice(index, choice.text, choice.finish_reason) for index, choice in texts]
        usage = {} if self._script.usage is UsageShape.NONE else {"usage": self._usage()}
        return msgspec.json.encode(self._head() | {"choices": choices} | usage)

    def events(self) -> Iterator[bytes]:
        """The events of a stream, up to a cut or an error event if the script has one."""
        script, head = self._script, self._head()
        stop = script.cut if script.cut is not None else script.error_event
        for number, (index, text) in enumerate(self._pieces()):
            if number == stop:
                break
            yield _event(head | {"choices": [_choice(index, text, None)]})
        if script.cut is not None:
            return
        if script.error_event is not None:
            yield b'data: {"error":{"message":"The sandbox fails as it was asked to.","type":"server_error"}}\n\n'
            return
        for index, choice in enumerate(self._produced):
            yield _event(head | {"choices": [_choice(index, "", choice.finish_reason)]})
        if self._call.wants_usage and script.usage is not UsageShape.NONE:
            yield _event(head | {"choices": [], "usage": self._usage()})
        yield b"data: [DONE]\n\n"

    def _pieces(self) -> Iterator[tuple[int, str]]:
        for index, choice in enumerate(self._produced):
            for text in pieces(choice.words, self._script.chunks):
                yield index, text

    def _head(self) -> dict[str, Any]:
        number = hashlib.sha256(self._call.body).hexdigest()[:24]
        return {"id": f"cmpl-{number}", "object": "text_completion", "created": _CREATED, "model": self._call.model}

    def _usage(self) -> dict[str, int]:
        prompt, completion = _stated(self._script, self._prompt, _output_of(self._produced))
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def moderation(dialect: Dialect, call: Call, _: Script) -> bytes:
    """One result for a text, or for each of several."""
    stated = msgspec.json.decode(call.body, type=_Inputs).input
    texts = [item for item in stated if isinstance(item, str)] if isinstance(stated, list) else []
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.0001),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    number = hashlib.sha256(dialect.text_of(call).encode(errors="replace")).hexdigest()[:24]
    results = [result] * (len(texts) or 1)
    return msgspec.json.encode({"id": f"modr-{number}", "model": call.model, "results": results})


def ranking(_: Dialect, call: Call, script: Script) -> bytes:
    """The documents by how many of the query's words they hold, best first."""
    fields = {name: msgspec.json.decode(call.fields[name]) for name in call.fields}
    words = set(str(fields["query"]).lower().split())
    scores = [_score(words, document) for document in fields["documents"]]
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[: fields.get("top_n") or len(scores)]
    results = [{"index": index, "relevance_score": scores[index]} for index in order]
    body: dict[str, Any] = {"id": "rerank-sandbox", "model": call.model, "results": results}
    if script.usage is not UsageShape.NONE:
        searches, _unused = _stated(script, dict(call.units)[next(iter(dict(call.units)))], 0)
        body["meta"] = {"billed_units": {"search_units": searches}}
    return msgspec.json.encode(body)


def _score(words: set[str], document: Any) -> float:
    text = document if isinstance(document, str) else str(document.get("text", ""))
    shared = len(words & set(text.lower().split()))
    return round(shared / max(1, len(words)), 6)


def _output_of(produced: list[Produced]) -> int:
    return sum([choice.output_tokens for choice in produced])


def _stated(script: Script, given: int, output: int) -> tuple[int, int]:
    """Figures as the script wants them told."""
    match script.usage:
        case UsageShape.WRONG:
            return given * 1000 + 10_000_000, output * 1000 + 10_000_000
        case UsageShape.NEGATIVE:
            return -5, output
        case UsageShape.ZERO:
            return 0, 0
        case UsageShape.TRUE | UsageShape.NONE:
            return given, output


def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


def _event(payload: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"
