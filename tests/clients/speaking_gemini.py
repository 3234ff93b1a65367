"""The conversation every version of the official `google-genai` client has with the gateway, told as JSON.

Run as a program (`python speaking_gemini.py BASE_URL SECRETS`) under whatever `google-genai` is on the path. It is
the client as customers have it: nothing is patched, nothing but `base_url` is set.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

from google import genai
from google.genai import errors, types

MODEL = "gemini-2.5-flash"
QUESTION = "Say something short."
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FAILURES = ("unknown", "poor", "disabled", "low_tier", "limited", "no_such_model", "bad_request")


def client_for(base_url: str, secret: str) -> genai.Client:
    return genai.Client(api_key=secret, http_options=types.HttpOptions(base_url=base_url, timeout=20_000))


def settings(**fields: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(max_output_tokens=100, system_instruction="Be brief.", **fields)


def wish(text: str) -> types.HttpOptions:
    return types.HttpOptions(headers={"X-Sandbox": text})


def chat(client: genai.Client) -> dict[str, Any]:
    answer = client.models.generate_content(model=MODEL, contents=QUESTION, config=settings())
    usage = answer.usage_metadata
    return {
        "text": answer.text,
        "finish": answer.candidates[0].finish_reason.value,
        "model": answer.model_version,
        "prompt": usage.prompt_token_count,
        "output": usage.candidates_token_count,
        "total": usage.total_token_count,
    }


def stream(client: genai.Client) -> dict[str, Any]:
    text, usage, finish = "", None, None
    for chunk in client.models.generate_content_stream(model=MODEL, contents=QUESTION, config=settings()):
        text += chunk.text or ""
        usage = chunk.usage_metadata or usage
        for candidate in chunk.candidates or ():
            finish = candidate.finish_reason.value if candidate.finish_reason else finish
    return {"text": text, "finish": finish, "total": None if usage is None else usage.total_token_count}


def tools(client: genai.Client) -> dict[str, Any]:
    place = types.Schema(type="OBJECT", properties={"place": types.Schema(type="STRING")}, required=["place"])
    offered = [
        types.FunctionDeclaration(name="weather", description="The weather.", parameters=place),
        types.FunctionDeclaration(name="clock", description="The time."),
    ]
    off = types.AutomaticFunctionCallingConfig(disable=True)
    config = {"tools": [types.Tool(function_declarations=offered)], "automatic_function_calling": off}
    asked = types.Content(role="user", parts=[types.Part(text=QUESTION)])
    answer = client.models.generate_content(
        model=MODEL, contents=[asked], config=settings(**config, http_options=wish("tokens=3, tool_calls=2"))
    )
    results = [
        types.Part.from_function_response(name=call.name, response={"result": "It is so."})
        for call in answer.function_calls
    ]
    following = [asked, answer.candidates[0].content, types.Content(role="user", parts=results)]
    after = client.models.generate_content(model=MODEL, contents=following, config=settings(**config))
    return {
        "calls": [(call.name, call.args) for call in answer.function_calls],
        "after": after.candidates[0].finish_reason.value,
    }


def image(client: genai.Client) -> str | None:
    part = types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png")
    return client.models.generate_content(model=MODEL, contents=[part, "What is it?"], config=settings()).text


def thinking(client: genai.Client) -> dict[str, Any]:
    config = settings(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=16),
        http_options=wish("thoughts=6, tokens=4"),
    )
    answer = client.models.generate_content(model=MODEL, contents=QUESTION, config=config)
    thoughts = [part.text for part in answer.candidates[0].content.parts if part.thought]
    return {"words": len("".join(thoughts).split()), "counted": answer.usage_metadata.thoughts_token_count}


def failure(client: genai.Client, name: str) -> dict[str, Any]:
    model = "gemini-99" if name == "no_such_model" else MODEL
    config = types.GenerateContentConfig(max_output_tokens=-1) if name == "bad_request" else settings()
    try:
        client.models.generate_content(model=model, contents=QUESTION, config=config)
    except errors.APIError as error:
        return {
            "kind": type(error).__name__,
            "code": error.code,
            "status": error.status,
            "message": error.message,
            "said": str(error.details),
        }
    return {"kind": None}


async def asynchronous(client: genai.Client) -> str:
    text = ""
    async for chunk in await client.aio.models.generate_content_stream(
        model=MODEL, contents=QUESTION, config=settings()
    ):
        text += chunk.text or ""
    return text


def converse(base_url: str, secrets: dict[str, str]) -> dict[str, Any]:
    """Everything, in order."""
    client = client_for(base_url, secrets["good"])
    limited = client_for(base_url, secrets["limited"])  # a client nobody keeps closes itself
    limited.models.generate_content(model=MODEL, contents=QUESTION, config=settings())
    vectors = client.models.embed_content(model="gemini-embedding-001", contents="one")
    return {
        "version": genai.__version__,
        "chat": chat(client),
        "stream": stream(client),
        "tools": tools(client),
        "image": image(client),
        "thinking": thinking(client),
        "counted": client.models.count_tokens(model=MODEL, contents=QUESTION).total_tokens,
        "vector": len(vectors.embeddings[0].values),
        "models": [model.name for model in client.models.list()],
        "one": client.models.get(model=MODEL).name,
        "asynchronous": asyncio.run(asynchronous(client)),
        "failures": {
            name: failure(client_for(base_url, secrets.get(name, secrets["good"])), name) for name in FAILURES
        },
    }


if __name__ == "__main__":
    print(json.dumps(converse(sys.argv[1], json.loads(sys.argv[2]))))
