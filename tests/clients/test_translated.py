"""The official clients, unmodified, in front of providers of other dialects: what they put together is the answer.

Each client has its own idea of how a stream must be built; its accumulator is the judge.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import anthropic
import openai
import pytest
from google import genai
from google.genai import types
from tests.pure.wire.conversations import MODEL
from tests.pure.wire.test_every_provider import EXPECTED_CALLS, TEXT, THOUGHT, TOOLS, WORDS
from tests.support.gateway import Customer, Gateway, running_gateway
from tests.support.scripted_upstream import ScriptedUpstream

CHANNELS = {
    "openai_chat": "openai",
    "openai_responses": "openai_responses",
    "anthropic": "anthropic",
    "gemini": "gemini",
}
QUESTION = "The weather in Oslo, twice?"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}


class Said(NamedTuple):
    """What a client made of an answer."""

    text: str
    thought: str
    calls: list[Any]
    input_tokens: int
    output_tokens: int


def openai_chat(gateway: Gateway, who: Customer) -> Said:
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    with openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key=who.secret) as client:
        asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "tools": tools}
        with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            thoughts = "".join(
                getattr(choice.delta, "reasoning_content", None) or ""
                for event in stream
                if event.type == "chunk"
                for choice in event.chunk.choices
            )
            whole = stream.get_final_completion()
    message, usage = whole.choices[0].message, whole.usage
    assert usage is not None
    calls = [json.loads(call.function.arguments) for call in message.tool_calls or []]
    return Said(message.content or "", thoughts, calls, usage.prompt_tokens, usage.completion_tokens)


def openai_responses(gateway: Gateway, who: Customer) -> Said:
    tools: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
    with (
        openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key=who.secret) as client,
        client.responses.stream(model=MODEL, input=QUESTION, tools=tools) as stream,
    ):
        whole = stream.get_final_response()
    thoughts = [part.text for item in whole.output if item.type == "reasoning" for part in item.summary]
    calls = [json.loads(item.arguments) for item in whole.output if item.type == "function_call"]
    assert whole.usage is not None
    return Said(whole.output_text, "".join(thoughts), calls, whole.usage.input_tokens, whole.usage.output_tokens)


def anthropic_messages(gateway: Gateway, who: Customer) -> Said:
    tools: Any = [{"name": "weather", "input_schema": SCHEMA}]
    asked: Any = {"model": MODEL, "max_tokens": 2_000, "messages": [{"role": "user", "content": QUESTION}]}
    with (
        anthropic.Anthropic(base_url=gateway.base_url, api_key=who.secret) as client,
        client.messages.stream(**asked, tools=tools) as stream,
    ):
        whole = stream.get_final_message()
    text = "".join(block.text for block in whole.content if block.type == "text")
    thoughts = "".join(block.thinking for block in whole.content if block.type == "thinking")
    calls = [block.input for block in whole.content if block.type == "tool_use"]
    given = whole.usage.input_tokens + (whole.usage.cache_read_input_tokens or 0)
    return Said(text, thoughts, calls, given, whole.usage.output_tokens)


def gemini(gateway: Gateway, who: Customer) -> Said:
    declared = types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    client = genai.Client(api_key=who.secret, http_options=types.HttpOptions(base_url=gateway.base_url))
    parts: list[types.Part] = []
    usage: types.GenerateContentResponseUsageMetadata | None = None
    for chunk in client.models.generate_content_stream(model=MODEL, contents=QUESTION, config=config):
        usage = chunk.usage_metadata or usage
        for candidate in chunk.candidates or []:
            parts += (candidate.content.parts or []) if candidate.content is not None else []
    assert usage is not None
    text = "".join(part.text for part in parts if part.text and not part.thought)
    thoughts = "".join(part.text for part in parts if part.text and part.thought)
    calls = [part.function_call.args or {} for part in parts if part.function_call is not None]
    produced = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    return Said(text, thoughts, calls, usage.prompt_token_count or 0, produced)


CLIENTS: dict[str, Callable[[Gateway, Customer], Said]] = {
    "openai_chat": openai_chat,
    "openai_responses": openai_responses,
    "anthropic": anthropic_messages,
    "gemini": gemini,
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        yield gateway


@pytest.fixture(params=CHANNELS)
def theirs(request: pytest.FixtureRequest, gateway: Gateway, upstream: ScriptedUpstream) -> Iterator[str]:
    """A dialect, and the one channel there is, which speaks it."""
    upstream.forget()
    channel = gateway.channel(upstream.base_url, models={MODEL: "up"}, dialect=CHANNELS[request.param])
    yield request.param
    gateway.call(gateway.books.changes.remove_channel(channel))
    gateway.call(gateway.books.catalogue.verify())


@pytest.mark.parametrize("ours", CLIENTS)
def test_words_and_thoughts(gateway: Gateway, upstream: ScriptedUpstream, theirs: str, ours: str) -> None:
    upstream.play(WORDS[theirs](True))
    said = CLIENTS[ours](gateway, gateway.customer())
    assert said == Said(TEXT, THOUGHT, [], 100, 20)


@pytest.mark.parametrize("ours", CLIENTS)
def test_parallel_calls(gateway: Gateway, upstream: ScriptedUpstream, theirs: str, ours: str) -> None:
    upstream.play(TOOLS[theirs](True))
    said = CLIENTS[ours](gateway, gateway.customer())
    assert said == Said("", THOUGHT, EXPECTED_CALLS, 100, 20)
