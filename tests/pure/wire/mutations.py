"""Good bodies and answers of every dialect, and what can be made of them that nobody should ever send.

A seed enters, bytes leave: values of other types, names twice, escapes, numbers beyond every bound, nesting without
end, text that is no UTF-8. Which of them is drawn is up to the `random.Random` given.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterable
from typing import Any, cast

from tests.support import anthropic_answers, gemini_answers, openai_answers, responses_answers

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
GEMINI = "/v1beta/models/m:generateContent"

_PIXEL = "data:image/png;base64,iVBORw0KGgo="
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TOOL = {"name": "look", "description": "Looks", "parameters": _SCHEMA}

BODIES: dict[str, list[dict[str, Any]]] = {
    CHAT: [
        {
            "model": "m", "max_tokens": 9, "max_completion_tokens": 8, "n": 1, "stop": ["x"], "temperature": 0.5,
            "stream": True, "stream_options": {"include_usage": True}, "service_tier": "flex", "user": "u",
            "reasoning_effort": "low", "reasoning": {"effort": "low", "max_tokens": 5, "exclude": False},
            "thinking": {"type": "enabled", "budget_tokens": 2000}, "metadata": {"session_id": "s"},
            "tools": [{"type": "function", "function": _TOOL}], "parallel_tool_calls": True,
            "tool_choice": {"type": "function", "function": {"name": "look"}}, "seed": 3, "top_k": 4,
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": _SCHEMA, "strict": True}},
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "name": "ann", "content": [
                    {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                    {"type": "image_url", "image_url": {"url": _PIXEL, "detail": "low"}},
                    {"type": "image_url", "image_url": "https://x.org/a.png"},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}},
                    {"type": "video_url", "video_url": {"url": "https://x.org/a.mp4"}},
                ]},
                {"role": "assistant", "content": None, "reasoning_content": "hm", "images": [
                    {"type": "image_url", "image_url": {"url": _PIXEL}}], "reasoning_details": [
                    {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1"},
                    {"type": "reasoning.encrypted", "data": "AAAA", "id": "rs"}], "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"city\":1}"},
                     "extra_content": {"google": {"thought_signature": "AA"}}}]},
                {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "sun"}]},
            ],
        },
        {"model": "m", "input": [{"role": "user", "content": "hi"}], "instructions": "x", "max_output_tokens": 5,
         "text": {"format": {"type": "json_object"}}, "tools": [{"type": "function", "name": "f", "parameters": {}}]},
    ],
    MESSAGES: [
        {
            "model": "m", "max_tokens": 2000, "stream": True, "system": [{"type": "text", "text": "be kind"}],
            "temperature": 0.5, "top_k": 4, "stop_sequences": ["x"], "metadata": {"user_id": "u"},
            "service_tier": "auto", "thinking": {"type": "enabled", "budget_tokens": 1500, "display": "omitted"},
            "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": _SCHEMA}},
            "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
            "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
            "tools": [{"name": "look", "input_schema": _SCHEMA, "cache_control": {"type": "ephemeral"}},
                      {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}],
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    {"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}},
                    {"type": "document", "title": "t", "context": "c", "citations": {"enabled": True},
                     "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
                    {"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": "x"}]},
                ]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "farebox-unsigned"},
                    {"type": "redacted_thinking", "data": "farebox-1.eyJvcmlnaW4iOiJnZW1pbmkifQ=="},
                    {"type": "tool_use", "id": "t1", "name": "look", "input": {"city": 1.5}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": [
                    {"type": "text", "text": "sun"}]}]},
            ],
        },
    ],
    RESPONSES: [
        {
            "model": "m", "instructions": "be kind", "max_output_tokens": 20, "stream": True, "store": False,
            "temperature": 0.5, "reasoning": {"effort": "low", "summary": "auto"}, "service_tier": "flex",
            "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "max_tool_calls": 3,
            "text": {"format": {"type": "json_schema", "name": "a", "schema": _SCHEMA}, "verbosity": "low"},
            "tool_choice": {"type": "function", "name": "look"}, "parallel_tool_calls": False,
            "tools": [{"type": "function", "name": "look", "parameters": _SCHEMA, "strict": True},
                      {"type": "custom", "name": "free", "format": {"type": "text"}}],
            "input": [
                {"role": "user", "content": [
                    {"type": "input_text", "text": "hi", "prompt_cache_breakpoint": {"mode": "x"}},
                    {"type": "input_image", "image_url": _PIXEL, "detail": "high"},
                    {"type": "input_file", "file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}]},
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
                 "encrypted_content": "farebox-1.eyJvcmlnaW4iOiJhbnRocm9waWMifQ=="},
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}",
                 "extra_content": {"google": {"thought_signature": "AA"}}},
                {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "sun"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]},
            ],
        },
    ],
    GEMINI: [
        {
            "systemInstruction": {"parts": [{"text": "be kind"}]}, "serviceTier": "flex",
            "generationConfig": {"maxOutputTokens": 20, "temperature": 0.5, "stopSequences": ["x"], "topK": 4,
                                 "seed": 3, "candidateCount": 1, "responseMimeType": "application/json",
                                 "responseSchema": _SCHEMA,
                                 "thinkingConfig": {"thinkingBudget": 5, "includeThoughts": True},
                                 "responseModalities": ["TEXT"], "mediaResolution": "MEDIA_RESOLUTION_LOW"},
            "tools": [{"functionDeclarations": [_TOOL]}, {"google_search": {}}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
            "contents": [
                {"role": "user", "parts": [
                    {"text": "hi"}, {"inline_data": {"mime_type": "image/png", "data": "AAAA"}},
                    {"inlineData": {"mimeType": "text/plain", "data": "aGk="}},
                    {"fileData": {"fileUri": "https://x.org/a.pdf", "mimeType": "application/pdf"}}]},
                {"role": "model", "parts": [
                    {"text": "hm", "thought": True, "thoughtSignature": "ZmFyZWJveC0xLmV5SnY="},
                    {"functionCall": {"name": "look", "args": {"city": 1.5}}, "thoughtSignature": "AA"}]},
                {"role": "user", "parts": [{"functionResponse": {
                    "name": "look", "response": {"output": "sun"},
                    "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}]}}]},
            ],
        },
    ],
    "/v1beta/models/m:embedContent": [{"content": {"parts": [{"text": "hi"}]}, "outputDimensionality": 5}],
    "/v1beta/models/m:batchEmbedContents": [
        {"requests": [{"model": "models/m", "content": {"parts": [{"text": "hi"}]}, "output_dimensionality": 5}]}],
    "/v1/embeddings": [{"model": "m", "input": ["hi", "you"], "dimensions": 5, "encoding_format": "base64"},
                       {"model": "m", "input": [[1, 2], [3]]}],
    "/v1/completions": [{"model": "m", "prompt": ["hi", "you"], "n": 2, "suffix": "x", "echo": True, "max_tokens": 5,
                         "stream": True, "stop": ["x"]}, {"model": "m", "prompt": [1, 2]}],
    "/v1/moderations": [{"model": "m", "input": [{"type": "text", "text": "hi"},
                                                 {"type": "image_url", "image_url": {"url": _PIXEL}}]}],
    "/v1/rerank": [{"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}],
}  # fmt: skip
"""By address."""

_CALLS = (("look", '{"city": "x"}'),)

ANSWERS: dict[str, list[tuple[bytes, bool]]] = {
    "openai": [
        (openai_answers.chat_answer(text="hi you", reasoning="hm").body, False),
        (openai_answers.chat_stream(text="hi you", reasoning="hm").body, True),
        (openai_answers.chat_stream(text="", tool_calls=_CALLS).body, True),
    ],
    "anthropic": [
        (anthropic_answers.message_answer(text="hi you", thinking="hm").body, False),
        (anthropic_answers.message_stream(text="hi you", thinking="hm").body, True),
    ],
    "gemini": [
        (gemini_answers.gemini_answer(text="hi you", thoughts="hm").body, False),
        (gemini_answers.gemini_stream(text="hi you", thoughts="hm").body, True),
    ],
    "openai_responses": [
        (responses_answers.response_answer(text="hi", reasoning="hm", tool_calls=_CALLS, searches=1).body, False),
        (responses_answers.response_stream(text="hi", reasoning="hm", sealed="AA", tool_calls=_CALLS).body, True),
    ],
}
"""By what a channel speaks: bytes, and whether they are a stream."""

_MARK = "\x01raw{}\x01"
_WRITTEN = [
    "1e999", "-1e999", "-0", "0.0", "1" * 5_000, "9" * 40, "-" + "9" * 25, "1e99999999999999999999", "NaN", "Infinity",
    '"\\ud800"', '"\\udc00x"', '"\\u0000"', "[" * 3_000, "[" * 3_000 + "]" * 3_000, '{"a":' * 2_000 + "1" + "}" * 2_000,
    '{"a":1,"a":2}', "1.5", "2147483648", "18446744073709551616", "1E-400", '"\\/"',
]  # fmt: skip
_VALUES: list[Any] = [
    None, False, True, 0, 1, -1, 2**31, 2**63, "", " ", "x", "0", "null", "é😀", [], {}, [[]], [{}], [None], {"": None},
    {"type": None}, {"type": "text"}, "data:", "data:;base64,", "farebox-1.", "farebox-1.é", "farebox-1.bnVsbA==",
    "ZmFyZWJveC0x", "\ud800", ["a"] * 50, {"a": {"b": {"c": []}}},
]  # fmt: skip
_NAMES = ["type", "role", "id", "index", "text", "usage", "error", "choices", "", "é", "a_b", "\ud800", "model", "n"]


def mutated(seed: Any, rng: random.Random, *, times: int | None = None) -> bytes:
    """The JSON value with some of it replaced, named twice, taken away or moved; sometimes with bytes changed."""
    tree = json.loads(json.dumps(seed))
    for _ in range(rng.choice([0, 1, 1, 2, 3, 6]) if times is None else times):
        tree = _changed(tree, rng)
    text = json.dumps(tree, ensure_ascii=rng.random() < 0.7, separators=rng.choice([(",", ":"), (", ", ": ")]))
    for at, written in enumerate(_WRITTEN):
        text = text.replace(json.dumps(_MARK.format(at)), written)
        text = text.replace(json.dumps(_MARK.format(at), ensure_ascii=False), written)
    written = text.encode(errors="surrogatepass")
    return _broken(written, rng) if rng.random() < 0.1 else written


def mutated_stream(stream: bytes, rng: random.Random) -> bytes:
    """A stream of events whose payloads are mutated, repeated, left out or out of order."""
    events = [event for event in stream.replace(b"\r\n", b"\n").split(b"\n\n") if event]
    made: list[bytes] = []
    for event in events:
        lines = [_payload(line, rng) for line in event.split(b"\n")]
        made += [b"\n".join(lines) + rng.choice([b"\n\n", b"\n\n", b"\r\n\r\n"])] * rng.choice([1, 1, 1, 1, 1, 1, 0, 2])
    if rng.random() < 0.2:
        rng.shuffle(made)
    whole = b"".join(made)
    return _broken(whole, rng) if rng.random() < 0.1 else whole


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    """The bytes in pieces."""
    places = sorted(rng.choices(range(len(data) + 1), k=rng.choice([0, 1, 3, 8])))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def _payload(line: bytes, rng: random.Random) -> bytes:
    if not line.startswith(b"data:") or rng.random() > 0.3:
        return line
    try:
        value = json.loads(line[5:])
    except ValueError:
        return line
    return b"data: " + mutated(value, rng, times=rng.choice([1, 1, 2])).replace(b"\n", b" ")


def _changed(tree: Any, rng: random.Random) -> Any:
    """One place in the tree changed."""
    places = list(_places(tree))
    if not places or rng.random() < 0.02:
        return _odd(rng)
    inside, key = rng.choice(places)
    match rng.choice(["replace"] * 6 + ["drop", "rename", "double", "move", "wrap"]):
        case "drop":
            del inside[key]
        case "rename" if isinstance(key, str):
            inside[rng.choice(_NAMES)] = inside.pop(key)
        case "double" if isinstance(key, int):
            inside.append(inside[key])
        case "move":
            other, name = rng.choice(places)
            inside[key] = json.loads(json.dumps(other[name]))
        case "wrap":
            inside[key] = [inside[key]]
        case _:
            inside[key] = _odd(rng)
    return tree


def _odd(rng: random.Random) -> Any:
    return _MARK.format(rng.randrange(len(_WRITTEN))) if rng.random() < 0.4 else copy.deepcopy(rng.choice(_VALUES))


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting: list[Any] = [tree]
    while waiting:
        value = waiting.pop()
        keys = list(_keys(value))
        found += [(value, key) for key in keys]
        waiting += [value[key] for key in keys]
    return found


def _keys(value: Any) -> Iterable[Any]:
    if isinstance(value, list):
        return range(len(cast(list[Any], value)))
    return cast(dict[str, Any], value) if isinstance(value, dict) else ()


def _broken(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut off or added anywhere."""
    at = rng.randrange(len(data) + 1)
    odd = rng.choice([b"\xff", b"\xed\xa0\x80", b"\x00", b'"', b"{", b"\\", b"\n", b"\xc3"])
    return rng.choice([data[:at], data[:at] + odd + data[at:], data[:at] + odd + data[at + 1 :], odd + data])
