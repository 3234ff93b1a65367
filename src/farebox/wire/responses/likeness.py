"""A response object of ours: what a provider of this dialect repeats of a request, in its order."""

from __future__ import annotations

from farebox.ids import time_of
from farebox.wire.call import ABSENT, Call, is_present

_DEFAULTS: dict[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
    "service_tier": "default",
    "prompt_cache_key": None,
}
"""Fields that are repeated as they were asked for, and what stands there if they were not."""
_NO_ID = "resp_farebox"


def answer_id(call: Call, identifier: str) -> str:
    """The id of the answer: ours if it is kept, else the provider's in this dialect's form."""
    if call.turn is not None:
        return call.turn.id
    if not identifier:
        return _NO_ID
    return identifier if identifier.startswith("resp_") else f"resp_{identifier}"


def likeness(call: Call, identifier: str) -> dict[str, object]:
    """A response that has just begun."""
    turn = call.turn
    response: dict[str, object] = {
        "id": identifier,
        "object": "response",
        "created_at": call.asked_s if turn is None else time_of(turn.id) // 1000,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": call.model,
        "output": [],
        "previous_response_id": None if turn is None else turn.previous,
        "store": turn is not None and turn.kept,
        "usage": None,
    }
    asked = {name: call.fields[name] for name in _DEFAULTS if is_present(call.fields.get(name, ABSENT))}
    return response | _DEFAULTS | asked
