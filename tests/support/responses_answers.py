"""Answers in the Responses shape for a scripted upstream, as the provider sends them: whole and streamed.

response_answer(text="Hi", usage=usage(12, 8))
response_stream(reasoning="Let me see.", tool_calls=(("look", "{}"),), pause_s=0.01)
response_stream(failed_after=6)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from tests.support.script import Script, answer, events

Json = dict[str, Any]

CREATED = 1_780_000_000


def usage(given: int = 12, produced: int = 8, *, cached: int = 0, written: int = 0, reasoning: int = 0) -> Json:
    """Usage as the provider reports it: cached and written inside input, reasoning inside output."""
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": produced,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": given + produced,
    }


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One response, and how a stream of it behaves."""

    text: str = "A short answer from upstream."
    model: str = "upstream-model"
    usage: Json | None = msgspec.field(default_factory=usage)
    reasoning: str | None = None
    sealed: str | None = None
    """Encrypted reasoning."""
    refusal: str | None = None
    tool_calls: tuple[tuple[str, str], ...] = ()
    """(function name, arguments as JSON text) each."""
    searches: int = 0
    incomplete: str | None = None
    """The reason, such as `max_output_tokens`."""
    extra: Json = {}
    """Laid over the response object."""
    # streams only
    pause_s: float = 0.0
    failed_after: int | None = None
    """Send `response.failed` after so many events, and nothing else."""
    error_after: int | None = None
    """The same with an `error` event."""


def response_answer(**shape: Any) -> Script:
    """A whole response. `shape`: the fields of `Answer`."""
    given = Answer(**shape)
    return answer(encoded(_response(given, _items(given), _status(given))))


def response_stream(**shape: Any) -> Script:
    """The same, streamed."""
    given = Answer(**shape)
    sent = list(_events(given))
    if given.failed_after is not None:
        failed = _response(given, [], "failed") | {
            "error": {"code": "server_error", "message": "upstream broke at http://10.0.0.1"}
        }
        sent = [*sent[: given.failed_after], _event("response.failed", given.failed_after, response=failed)]
    if given.error_after is not None:
        fields: Json = {"code": "server_error", "message": "upstream broke at http://10.0.0.1", "param": None}
        sent = [*sent[: given.error_after], _event("error", given.error_after, **fields)]
    return events(sent, pause_s=given.pause_s)


def suited_to(model: str, *, stream: bool) -> Script:
    """What a well-behaved provider answers to anything."""
    return response_stream(model=model) if stream else response_answer(model=model)


def encoded(value: Json) -> bytes:
    """JSON as the provider writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _status(given: Answer) -> str:
    return "completed" if given.incomplete is None else "incomplete"


def _response(given: Answer, output: list[Json], status: str) -> Json:
    ended = status in ("completed", "incomplete")
    return {
        "id": "resp_upstream0001",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None if given.incomplete is None or not ended else {"reason": given.incomplete},
        "instructions": None,
        "max_output_tokens": None,
        "model": given.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": given.usage if ended else None,
        "user": None,
        "metadata": {},
        **given.extra,
    }


def _items(given: Answer) -> list[Json]:
    items: list[Json] = []
    if given.reasoning is not None or given.sealed is not None:
        summary = [] if given.reasoning is None else [{"type": "summary_text", "text": given.reasoning}]
        sealed = {} if given.sealed is None else {"encrypted_content": given.sealed}
        items.append({"id": "rs_upstream", "type": "reasoning", "summary": summary, **sealed})
    for at in range(given.searches):
        action: Json = {"type": "search", "query": "weather", "sources": []}
        items.append({"id": f"ws_{at}", "type": "web_search_call", "status": "completed", "action": action})
    for at, (name, arguments) in enumerate(given.tool_calls):
        items.append(
            {
                "id": f"fc_{at}",
                "type": "function_call",
                "status": "completed",
                "arguments": arguments,
                "call_id": f"call_{at}",
                "name": name,
            }
        )
    if not given.tool_calls:
        message = {"id": "msg_upstream", "type": "message", "status": "completed", "role": "assistant"}
        items.append(message | {"content": [_part(given)]})
    return items


def _part(given: Answer) -> Json:
    if given.refusal is not None:
        return {"type": "refusal", "refusal": given.refusal}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": given.text}


def _events(given: Answer) -> Iterator[bytes]:
    for number, (kind, fields) in enumerate(_steps(given)):
        yield _event(kind, number, **fields)


def _steps(given: Answer) -> Iterator[tuple[str, Json]]:
    yield "response.created", {"response": _response(given, [], "in_progress")}
    yield "response.in_progress", {"response": _response(given, [], "in_progress")}
    items = _items(given)
    for index, item in enumerate(items):
        yield "response.output_item.added", {"output_index": index, "item": _announced(item)}
        yield from _inside(item, {"item_id": item["id"], "output_index": index})
        yield "response.output_item.done", {"output_index": index, "item": item}
    status = _status(given)
    yield f"response.{status}", {"response": _response(given, items, status)}


def _announced(item: Json) -> Json:
    begun: Json = {"status": "in_progress"} if "status" in item else {}
    empty: Json = {name: type(item[name])() for name in ("content", "summary", "arguments") if name in item}
    return item | begun | empty


def _inside(item: Json, at: Json) -> Iterator[tuple[str, Json]]:
    match item["type"]:
        case "message":
            yield from _inside_message(item["content"][0], at | {"content_index": 0})
        case "reasoning":
            for index, part in enumerate(item["summary"]):
                place = at | {"summary_index": index}
                yield "response.reasoning_summary_part.added", place | {"part": part | {"text": ""}}
                for word in _words(part["text"]):
                    yield "response.reasoning_summary_text.delta", place | {"delta": word, "obfuscation": "x9"}
                yield "response.reasoning_summary_text.done", place | {"text": part["text"]}
                yield "response.reasoning_summary_part.done", place | {"part": part}
        case "function_call":
            arguments = item["arguments"]
            for start in range(0, len(arguments), 8):
                yield "response.function_call_arguments.delta", at | {"delta": arguments[start : start + 8]}
            yield "response.function_call_arguments.done", at | {"arguments": arguments, "name": item["name"]}
        case _:
            for step in ("in_progress", "searching", "completed"):
                yield f"response.{item['type']}.{step}", at


def _inside_message(part: Json, place: Json) -> Iterator[tuple[str, Json]]:
    field = "refusal" if part["type"] == "refusal" else "text"
    name = "response.refusal" if field == "refusal" else "response.output_text"
    more: Json = {} if field == "refusal" else {"logprobs": []}
    yield "response.content_part.added", place | {"part": part | {field: ""}}
    for word in _words(part[field]):
        yield f"{name}.delta", place | {"delta": word} | more
    yield f"{name}.done", place | {field: part[field]} | more
    yield "response.content_part.done", place | {"part": part}


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")[:-1]] + text.split(" ")[-1:] if text else []


def _event(kind: str, number: int, **fields: Any) -> bytes:
    payload = {"type": kind, "sequence_number": number, **fields}
    return b"event: " + kind.encode() + b"\ndata: " + encoded(payload) + b"\n\n"
