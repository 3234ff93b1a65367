"""The conversation every version of the official client has with the gateway, told as JSON.

Run as a program (`python speaking.py BASE_URL SECRETS`) under whatever `openai` is on the path; prints what happened
as one JSON object. It is the client as customers have it: nothing is patched, nothing but `base_url` is set.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import sys
from typing import Any

import openai

MESSAGES: Any = [{"role": "user", "content": "Say something short."}]
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 20}
FAILURES = {
    # situation     what is changed in a good request
    "unknown": {},
    "poor": {},
    "disabled": {},
    "low_tier": {},
    "limited": {},
    "no_such_model": {"model": "gpt-9"},
    "bad_request": {"max_tokens": 0},
    "too_dear": {"extra_headers": {"X-Max-Credits": "0.000001"}},
}


def client_for(base_url: str, secret: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key=secret, timeout=20)


def chat(client: openai.OpenAI) -> dict[str, Any]:
    raw = client.chat.completions.with_raw_response.create(**CHAT)
    answer = raw.parse()
    return {
        "text": answer.choices[0].message.content,
        "finish": answer.choices[0].finish_reason,
        "model": answer.model,
        "total_tokens": answer.usage.total_tokens if answer.usage else None,
        "charged": raw.headers.get("x-credits-charged"),
        "request_id": raw.headers.get("x-request-id"),
        "remaining": raw.headers.get("x-ratelimit-remaining"),
        "method": raw.headers.get("x-billing-method"),
        "own_request_id": getattr(answer, "_request_id", None),
    }


def stream(client: openai.OpenAI, **fields: Any) -> dict[str, Any]:
    text, usage, finishes, events = "", None, list[str](), 0
    for chunk in client.chat.completions.create(**CHAT, stream=True, **fields):
        events += 1
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finishes += [choice.finish_reason] if choice.finish_reason else []
        usage = chunk.usage or usage
    shown = None if usage is None else usage.model_dump()
    return {"text": text, "finishes": finishes, "usage": shown, "events": events}


def stream_left(client: openai.OpenAI) -> dict[str, Any]:
    headers = {"X-Sandbox": "tokens=400, chunks=200, pace_ms=10"}
    fields = {**CHAT, "max_tokens": 1_000}
    with client.chat.completions.create(**fields, stream=True, extra_headers=headers) as answer:
        seen = [chunk for chunk, _ in zip(answer, range(3), strict=False)]
        request_id = answer.response.headers["x-request-id"]
    return {"chunks": len(seen), "request_id": request_id}


def embeddings(client: openai.OpenAI) -> dict[str, Any]:
    asked: Any = {"model": "text-embedding-3-small", "input": ["one", "two"]}
    usual = client.embeddings.create(**asked)
    floats = client.embeddings.create(**asked, encoding_format="float")
    encoded = client.embeddings.create(**asked, encoding_format="base64")
    return {
        "count": len(usual.data),
        "floats": floats.data[0].embedding[:4],
        "usual": usual.data[0].embedding[:4],
        "encoded": type(encoded.data[0].embedding).__name__,
        "total_tokens": usual.usage.total_tokens,
    }


def completions(client: openai.OpenAI) -> dict[str, Any]:
    asked: Any = {"model": "gpt-4o", "prompt": "Once upon a time", "max_tokens": 20}
    whole = client.completions.create(**asked)
    streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True))
    return {
        "text": whole.choices[0].text,
        "streamed": streamed,
        "total_tokens": whole.usage.total_tokens if whole.usage else None,
    }


def responses(client: openai.OpenAI) -> dict[str, Any]:
    asked: Any = {"model": "gpt-4o", "input": "Say something short.", "max_output_tokens": 100}
    first = client.responses.create(**asked)
    streamed = ""
    with client.responses.stream(**asked) as events:
        for event in events:
            streamed += event.delta if event.type == "response.output_text.delta" else ""
        final = events.get_final_response()
    second = client.responses.create(**{**asked, "input": "And more?"}, previous_response_id=first.id)
    kept = client.responses.retrieve(first.id)
    client.responses.delete(first.id)
    try:
        client.responses.retrieve(first.id)
    except openai.NotFoundError as error:
        gone = error.status_code
    return {
        "text": first.output_text,
        "status": first.status,
        "streamed": streamed,
        "final": final.output_text,
        "grew": second.usage.input_tokens > first.usage.input_tokens if second.usage and first.usage else None,
        "kept": kept.output_text,
        "gone": gone,
    }


def audio(client: openai.OpenAI) -> dict[str, Any]:
    asked: Any = {"model": "tts-1", "voice": "alloy", "input": "Say something short.", "response_format": "wav"}
    spoken = client.audio.speech.create(**asked).content
    with client.audio.speech.with_streaming_response.create(**asked) as answer:
        streamed, kind = b"".join(answer.iter_bytes()), answer.headers["content-type"]
    file: Any = ("speech.wav", spoken)
    writing: Any = {"model": "whisper-1", "file": file}
    raw = client.audio.transcriptions.with_raw_response.create(**writing)
    events = list(client.audio.transcriptions.create(model="gpt-4o-transcribe", file=file, stream=True))
    try:
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"no audio at all"))
    except openai.APIStatusError as error:
        refused = (type(error).__name__, error.status_code, error.code)
    return {
        "bytes": len(spoken),
        "streamed": streamed == spoken,
        "kind": kind,
        "written": raw.parse().text,
        "charged": raw.headers["x-credits-charged"],
        "translated": client.audio.translations.create(**writing).text,
        "subtitles": str(client.audio.transcriptions.create(**writing, response_format="srt")),
        "duration": float(client.audio.transcriptions.create(**writing, response_format="verbose_json").duration),
        "deltas": "".join(getattr(event, "delta", "") for event in events),
        "done": getattr(events[-1], "text", None),
        "refused": refused,
    }


def images(client: openai.OpenAI) -> dict[str, Any]:
    asked: Any = {"model": "gpt-image-1", "prompt": "A cat.", "size": "1024x1024"}
    raw = client.images.with_raw_response.generate(**asked, n=2)
    made = raw.parse()
    first = base64.b64decode(made.data[0].b64_json)
    edited = client.images.edit(**asked, image=("cat.png", first), mask=("mask.png", first))
    both = client.images.edit(**asked, image=[("a.png", first), ("b.png", first)])
    varied = client.images.create_variation(model="flux-1.1-pro", image=("cat.png", first), n=3)
    try:
        client.images.edit(**asked, image=("cat.txt", b"no image at all", "text/plain"))
    except openai.APIStatusError as error:
        refused = [error.status_code, error.code, error.param]
    return {
        "png": first[:8].hex(),
        "size": list(struct.unpack(">II", first[16:24])),
        "count": len(made.data),
        "output_tokens": made.usage.output_tokens,
        "charged": raw.headers["x-credits-charged"],
        "request_id": raw.headers["x-request-id"],
        "edited": [len(edited.data), len(both.data)],
        "varied": len(varied.data),
        "refused": refused,
        "streamed": None if openai.__version__.startswith("1.") else drawn(client, asked),
    }


def drawn(client: openai.OpenAI, asked: Any) -> dict[str, Any]:
    events = list(client.images.generate(**asked, stream=True, partial_images=2))
    return {"kinds": [event.type for event in events], "cost": events[-1].usage.model_dump().get("cost")}


def models(client: openai.OpenAI) -> dict[str, Any]:
    one = client.models.retrieve("gpt-4o-2024-05-13")
    return {
        "ids": [model.id for model in client.models.list()],
        "one": one.id,
        "owner": one.owned_by,
        "price": getattr(one, "input_price", None),
    }


def failure(client: openai.OpenAI, changes: dict[str, Any]) -> dict[str, Any]:
    try:
        client.chat.completions.create(**{**CHAT, **changes})
    except openai.APIStatusError as error:
        return {
            "kind": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "param": error.param,
            "request_id": error.request_id,
            "body": error.body,
        }
    return {"kind": None}


async def side_by_side(base_url: str, secret: str) -> dict[str, Any]:
    async with openai.AsyncOpenAI(base_url=base_url, api_key=secret, timeout=20) as client:
        answers = await asyncio.gather(*(client.chat.completions.create(**CHAT) for _ in range(8)))
        text = ""
        async for chunk in await client.chat.completions.create(**CHAT, stream=True):
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
    return {"answers": len({answer.choices[0].message.content for answer in answers}), "streamed": text}


def converse(base_url: str, secrets: dict[str, str]) -> dict[str, Any]:
    """Everything, in order."""
    client = client_for(base_url, secrets["good"])
    client_for(base_url, secrets["limited"]).chat.completions.create(**CHAT)
    return {
        "version": openai.__version__,
        "chat": chat(client),
        "stream": stream(client),
        "stream_with_usage": stream(client, stream_options={"include_usage": True}),
        "stream_left": stream_left(client),
        "embeddings": embeddings(client),
        "completions": completions(client),
        "responses": responses(client),
        "flagged": client.moderations.create(input=["one", "two"]).results[1].flagged,
        "audio": audio(client),
        "images": images(client),
        "models": models(client),
        "side_by_side": asyncio.run(side_by_side(base_url, secrets["good"])),
        "failures": {
            name: failure(client_for(base_url, secrets.get(name, secrets["good"])), changes)
            for name, changes in FAILURES.items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(converse(sys.argv[1], json.loads(sys.argv[2]))))
