"""The conversation every version of the official `anthropic` client has with the gateway, told as JSON.

Run as a program (`python speaking_anthropic.py BASE_URL SECRETS`) under whatever `anthropic` is on the path. It is
the client as customers have it: nothing is patched, nothing but `base_url` is set.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import anthropic

MODEL = "claude-3-5-sonnet-20241022"
MESSAGES: Any = [{"role": "user", "content": "Say something short."}]
CHAT: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, "max_tokens": 100}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather at a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
CLOCK: dict[str, Any] = {"name": "clock", "description": "The time.", "input_schema": {"type": "object"}}
FAILURES = ("unknown", "poor", "disabled", "low_tier", "limited", "no_such_model", "bad_request")


def client_for(base_url: str, secret: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=base_url, api_key=secret, timeout=20)


def chat(client: anthropic.Anthropic) -> dict[str, Any]:
    raw = client.messages.with_raw_response.create(**CHAT, system="Be brief.")
    answer = raw.parse()
    return {
        "text": answer.content[0].text,
        "stop_reason": answer.stop_reason,
        "model": answer.model,
        "usage": answer.usage.model_dump(),
        "charged": raw.headers.get("x-credits-charged"),
        "request_id": raw.headers.get("x-request-id"),
        "own_request_id": answer._request_id,
    }


def stream(client: anthropic.Anthropic) -> dict[str, Any]:
    text, charge = "", None
    with client.messages.stream(**CHAT, system="Be brief.") as events:
        for event in events:
            text += event.text if event.type == "text" else ""
            charge = getattr(event.usage, "cost", charge) if event.type == "message_delta" else charge
        final = events.get_final_message()
    return {
        "text": text,
        "final": final.content[0].text,
        "stop_reason": final.stop_reason,
        "model": final.model,
        "usage": final.usage.model_dump(),
        "charged": charge,
    }


def tools(client: anthropic.Anthropic, *, streamed: bool) -> dict[str, Any]:
    asked: Any = {**CHAT, "max_tokens": 200, "tools": [WEATHER, CLOCK]}
    wish = {"X-Sandbox": "tokens=3, tool_calls=2"}
    if streamed:
        with client.messages.stream(**asked, extra_headers=wish) as events:
            answer = events.get_final_message()
    else:
        answer = client.messages.create(**asked, extra_headers=wish)
    calls = [block for block in answer.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "It is so."} for call in calls]
    spoken = [block.model_dump(exclude_none=True) for block in answer.content]
    following: Any = [*MESSAGES, {"role": "assistant", "content": spoken}, {"role": "user", "content": results}]
    after = client.messages.create(**{**asked, "messages": following})
    return {
        "stop_reason": answer.stop_reason,
        "calls": [(call.name, call.input) for call in calls],
        "after": after.stop_reason,
    }


def image(client: anthropic.Anthropic) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    messages: Any = [{"role": "user", "content": content}]
    answer = client.messages.create(**{**CHAT, "messages": messages})
    return {"stop_reason": answer.stop_reason, "text": answer.content[0].text}


def thinking(client: anthropic.Anthropic) -> dict[str, Any]:
    with client.messages.stream(
        model=MODEL,
        messages=MESSAGES,
        max_tokens=2_000,
        thinking={"type": "enabled", "budget_tokens": 1_024},
        extra_headers={"X-Sandbox": "thoughts=6, tokens=4"},
    ) as events:
        final = events.get_final_message()
    return {"blocks": [block.type for block in final.content], "words": len(final.content[0].thinking.split())}


def failure(client: anthropic.Anthropic, name: str) -> dict[str, Any]:
    changes = {"no_such_model": {"model": "claude-9"}, "bad_request": {"max_tokens": -1}}.get(name, {})
    try:
        client.messages.create(**{**CHAT, **changes})
    except anthropic.APIStatusError as error:
        return {"kind": type(error).__name__, "status": error.status_code, "body": error.body}
    return {"kind": None}


async def side_by_side(base_url: str, secret: str) -> str:
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key=secret, timeout=20) as client:
        answers = await asyncio.gather(*(client.messages.create(**CHAT) for _ in range(4)))
    return answers[0].content[0].text if len({answer.content[0].text for answer in answers}) == 1 else ""


def converse(base_url: str, secrets: dict[str, str]) -> dict[str, Any]:
    """Everything, in order."""
    client = client_for(base_url, secrets["good"])
    client_for(base_url, secrets["limited"]).messages.create(**CHAT)
    return {
        "version": anthropic.__version__,
        "chat": chat(client),
        "stream": stream(client),
        "doubled": client_for(f"{base_url}/v1", secrets["good"]).messages.create(**CHAT).stop_reason,
        "tools": tools(client, streamed=False),
        "tools_streamed": tools(client, streamed=True),
        "image": image(client),
        "thinking": thinking(client),
        "counted": client.messages.count_tokens(model=MODEL, messages=MESSAGES).input_tokens,
        "models": [model.id for model in client.models.list(limit=1000)],
        "side_by_side": asyncio.run(side_by_side(base_url, secrets["good"])),
        "failures": {
            name: failure(client_for(base_url, secrets.get(name, secrets["good"])), name) for name in FAILURES
        },
    }


if __name__ == "__main__":
    print(json.dumps(converse(sys.argv[1], json.loads(sys.argv[2]))))
