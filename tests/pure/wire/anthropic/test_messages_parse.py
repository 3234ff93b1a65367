"""Reading a Messages request: what bounds its price, what is refused, what passes unread."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.anthropic.messages import (
    HELLO,
    PDF,
    PIXEL,
    SEARCH,
    WEATHER,
    asked,
    body,
    call_for,
    refusal_of,
    text,
)
from tests.pure.wire.bodies import written

from farebox.tariff.meters import Meter
from farebox.wire.anthropic import counting
from farebox.wire.anthropic.parse import parse
from farebox.wire.anthropic.text import SEALED_CHARACTERS_PER_TOKEN, text_of, tokens_beside_text
from farebox.wire.call import TEMPLATE_TOKENS, TOOL_TEMPLATE_TOKENS, Call, Malformed
from farebox.wire.media import IMAGE_TOKENS_MOST

HOUR = {"type": "ephemeral", "ttl": "1h"}
FIVE = {"type": "ephemeral"}


def test_a_plain_question_is_bounded_by_its_bytes() -> None:
    call = call_for(stream=True, metadata={"user_id": "user_1"}, stop_sequences=["END"])
    assert (call.model, call.stream, call.output_limit, call.limit_fields) == ("claude", True, 100, ("max_tokens",))
    assert call.input_most == len(call.body) + TEMPLATE_TOKENS
    assert (call.end_user, call.sticky, call.has_stop) == ("user_1", b"user_1", True)
    assert call.at_most[Meter.CACHE_WRITE_1H] == 0


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"max_tokens": None}, "missing_parameter", "max_tokens"),
        ({"max_tokens": -1}, "invalid_parameter", "max_tokens"),
        ({"max_tokens": 1.5}, "invalid_parameter", "max_tokens"),
        ({"messages": []}, "invalid_messages", "messages"),
        ({"messages": "hello"}, "invalid_messages", "messages"),
        ({"messages": [{"role": "user"}]}, "invalid_messages", "messages[0].content"),
        ({"messages": asked({"text": "x"})}, "invalid_messages", "messages[0].content[0].type"),
        ({"model": ""}, "invalid_parameter", "model"),
        ({"service_tier": "priority"}, "invalid_parameter", "service_tier"),
        ({"speed": "fast"}, "invalid_parameter", "speed"),
        ({"inference_geo": "us"}, "invalid_parameter", "inference_geo"),
        ({"mcp_servers": [{"type": "url", "url": "https://example.com"}]}, "invalid_parameter", "mcp_servers"),
        ({"container": "container_1"}, "invalid_parameter", "container"),
        ({"fallbacks": "default"}, "invalid_parameter", "fallbacks"),
        ({"compaction": {"type": "summarize"}}, "invalid_parameter", "compaction"),
        ({"thread": {"type": "create"}}, "invalid_parameter", "thread"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "invalid_parameter", "context_management"),
    ],
)  # fmt: skip
def test_what_has_no_bound_or_no_price_is_refused(fields: dict[str, Any], code: str, param: str) -> None:
    refusal = refusal_of(**fields)
    assert (refusal.code.value, refusal.param) == (code, param)


@pytest.mark.parametrize(
    "fields",
    [
        {"speed": "standard", "inference_geo": "global", "mcp_servers": None, "container": None},
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015"}]}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}, "some_new_field": {"a": 1}},
        {"system": [text("be brief", cache_control=FIVE)], "tool_choice": {"type": "any"}, "tools": [WEATHER]},
        {"messages": [*HELLO, {"role": "assistant", "content": "{"}], "top_k": 5, "diagnostics": {}},
        {"max_tokens": 0, "cache_control": FIVE},
    ],
)
def test_what_has_a_price_or_none_passes(fields: dict[str, Any]) -> None:
    assert isinstance(parse(body(**fields)), Call)


@pytest.mark.parametrize(
    ("asked_for", "held"), [(None, "auto"), ("auto", "auto"), ("standard_only", "standard")], ids=str
)
def test_left_out_the_tier_is_any_that_could_serve(asked_for: str | None, held: str) -> None:
    assert call_for(**({"service_tier": asked_for} if asked_for else {})).service_tier == held


# Media, documents, sealed content ---------------------------------------------------------------------


def test_an_image_counts_by_formula_and_its_base64_is_no_text() -> None:
    image = {"type": "image", "source": PIXEL | {"data": "A" * 4_000}}
    plain, call = call_for(messages=asked(text("x"))), call_for(messages=asked(text("x"), image))
    assert call.media_tokens == IMAGE_TOKENS_MOST
    assert call.input_bytes < plain.input_bytes + 200
    assert Meter.INPUT_IMAGE not in call.at_most


INSIDE: list[Any] = [
    ({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": PIXEL}]}, False),
    ({"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": PIXEL}]}}, False),
    ({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}, False),
]


@pytest.mark.parametrize(("block", "opened"), INSIDE)
def test_images_are_found_wherever_they_stand(block: dict[str, Any], opened: bool) -> None:
    call = call_for(messages=asked(block))
    assert (call.media_tokens, call.input_open) == (IMAGE_TOKENS_MOST, opened)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "document", "source": PDF},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "document", "source": {"type": "text", "data": "a. b."}, "citations": {"enabled": True}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": {"type": "web_search_tool_result_error"}},
        {"type": "tool_reference", "tool_name": "big"},
        {"type": "a_block_of_next_year", "content": {"anything": 1}, "source": "somewhere"},
    ],
)
def test_what_has_no_bound_of_its_own_is_bounded_by_the_context(block: dict[str, Any]) -> None:
    call = call_for(messages=asked(text("x"), block))
    assert (call.input_open, call.input_most) == (True, None)
    assert Meter.INPUT_IMAGE not in call.at_most


@pytest.mark.parametrize(
    "block",
    [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "document", "source": {"type": "content", "content": "words"}, "citations": {"enabled": False}},
        {"type": "search_result", "source": "https://example.com", "title": "t", "content": [text("found")]},
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "c2VhbGVk"},
        {"type": "tool_use", "id": "t", "name": "n", "input": {"source": 1, "content": 2}},
        {"type": "text", "text": "cited", "citations": [{"type": "char_location", "cited_text": "x"}]},
    ],
)
def test_text_is_bounded_by_its_bytes(block: dict[str, Any]) -> None:
    assert call_for(messages=asked(block)).input_open is False


def test_files_of_a_provider_are_nobodys_we_know() -> None:
    for block in ({"type": "image", "source": {"type": "file", "file_id": "f"}}, {"type": "container_upload"}):
        assert "file_id" in refusal_of(messages=asked(block)).message


def test_a_tool_in_the_middle_of_a_conversation_would_pass_unseen() -> None:
    definition = {"type": "tool_definition", "definition": {"type": "code_execution_20250825"}}
    assert "tools" in refusal_of(messages=asked({"type": "tool_addition", "tool": definition})).message


def test_results_sealed_by_a_provider_are_not_taken_elsewhere_but_thinking_is() -> None:
    found = {"type": "web_search_result", "url": "https://example.com", "encrypted_content": "ZW5j"}
    assert call_for(messages=asked({"type": "web_search_tool_result", "content": [found]})).sealed
    assert not call_for(messages=asked({"type": "redacted_thinking", "data": "c2VhbGVk"})).sealed


@pytest.mark.parametrize(
    "fields",
    [
        {"cache_control": HOUR},
        {"system": [text("s", cache_control=HOUR)]},
        {"tools": [WEATHER | {"cache_control": HOUR}]},
        {"messages": asked(text("x", cache_control=HOUR))},
        {"messages": asked({"type": "tool_result", "tool_use_id": "t", "content": [text("x", cache_control=HOUR)]})},
    ],
)
def test_d27_an_hour_is_found_wherever_it_is_asked_for(fields: dict[str, Any]) -> None:
    call = call_for(**fields)
    assert call.cache_write_meter is Meter.CACHE_WRITE_1H
    assert Meter.CACHE_WRITE_1H not in call.at_most
    assert call_for(cache_control=FIVE).cache_write_meter is Meter.CACHE_WRITE_5M


# Tools ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "allowed"),
    [
        (WEATHER, True),
        (WEATHER | {"type": "custom"}, True),
        ({"type": "bash_20250124", "name": "bash"}, True),
        ({"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}, True),
        ({"type": "computer_20251124", "name": "computer", "display_width_px": 1024, "display_height_px": 768}, True),
        ({"type": "memory_20250818", "name": "memory"}, True),
        (SEARCH, True),
        ({"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 2}, True),
        (SEARCH | {"type": "web_search_20260209", "allowed_callers": ["direct"]}, True),
        (SEARCH | {"type": "web_search_20260209"}, False),
        ({"type": "web_search_20250305", "name": "web_search"}, False),
        (SEARCH | {"max_uses": 0}, False),
        ({"type": "code_execution_20250825", "name": "code_execution"}, False),
        ({"type": "mcp_toolset", "mcp_server_name": "x"}, False),
        ({"type": "advisor_20260301", "name": "advisor", "model": "other"}, False),
        ({"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}, False),
        ({"type": "a_tool_of_next_year"}, False),
    ],
    ids=str,
)
def test_who_runs_a_tool_decides_whether_it_can_be_had(tool: dict[str, Any], allowed: bool) -> None:
    assert isinstance(parse(body(tools=[tool])), Call if allowed else Malformed)


def test_d37_searches_are_held_by_their_most_uses_and_each_use_reads_the_context_again() -> None:
    fetch = {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 2}
    call = call_for(tools=[SEARCH, fetch])
    assert (call.at_most[Meter.SEARCHES], call.input_open, call.input_rounds) == (3, True, 6)
    assert call.units == ()
    assert Meter.SEARCHES not in call_for(tools=[fetch]).at_most


def test_tools_take_room_in_the_prompt_beside_their_own_text() -> None:
    tools: Any = [{"type": "computer_20251124", "name": "computer"}, WEATHER]
    call = call_for(tools=tools)
    assert call.input_bytes == len(call.body) + TEMPLATE_TOKENS + TOOL_TEMPLATE_TOKENS + 2_048
    assert tokens_beside_text(call) == 8 + TOOL_TEMPLATE_TOKENS + 2_048


# Counting ---------------------------------------------------------------------------------------------


def test_the_text_to_count_is_what_the_model_reads() -> None:
    call = call_for(
        system=[text("system words")],
        tools=[WEATHER],
        messages=[
            *asked(
                text("question"),
                {"type": "image", "source": PIXEL},
                {"type": "document", "title": "Title", "source": {"type": "text", "data": "document words"}},
            ),
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "thoughts", "signature": "S" * 400},
                    {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"type": "x", "data": "y"}},
                ],
            },
            *asked({"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("sunny")]}),
        ],
    )
    found = text_of(call)
    for words in (
        "system words",
        "question",
        "Title",
        "document words",
        "thoughts",
        '{"type":"x","data":"y"}',
        "sunny",
    ):
        assert words in found
    for words in (PIXEL["data"], "SSSS", "toolu_1", "tool_result"):
        assert words not in found
    assert tokens_beside_text(call) == 4 * 4 + TOOL_TEMPLATE_TOKENS + 400 // SEALED_CHARACTERS_PER_TOKEN


def test_to_count_needs_no_limit() -> None:
    call = counting.read(written({"model": "claude", "messages": HELLO}))
    assert isinstance(call, Call)
    assert text_of(call) == "hello"
    seen = counting.read(body(messages=asked({"type": "image", "source": PIXEL}, {"type": "image", "source": PIXEL})))
    assert isinstance(seen, Call)
    assert seen.media_tokens == 2 * counting.IMAGE_TOKENS
    assert counting.shown(7) == {"input_tokens": 7}
    assert isinstance(counting.read(b"{"), Malformed)


INNER = ["type", "text", "source", "content", "role", "data", "citations"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["messages", "system", "tools", "max_tokens", "metadata", "cache_control", "context_management", "stream"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3))
def test_whatever_is_sent_is_a_call_or_a_refusal(fields: dict[str, Any]) -> None:
    read = parse(body(**fields))
    if isinstance(read, Call):
        text_of(read)
        assert tokens_beside_text(read) >= 0
    else:
        assert read.message


@pytest.mark.parametrize("deep", [b'{"model":"m","max_tokens":1,"messages":' + b'[{"role":"user","content":' * 600])
def test_deep_nesting_is_refused(deep: bytes) -> None:
    assert isinstance(parse(deep), Malformed)


def test_blocks_inside_blocks_are_walked_without_recursion() -> None:
    block: dict[str, Any] = text("x")
    for _ in range(120):
        block = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    assert isinstance(parse(body(messages=asked(block))), Call)
