"""Reading a request: what bounds it, what is refused, what goes upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.wire.responses.bodies import body, call_of, in_turn, user

from farebox.tariff.meters import Meter
from farebox.wire.call import Call, ChannelBody, Malformed, raw
from farebox.wire.media import IMAGE_TOKENS_LOW, IMAGE_TOKENS_MOST
from farebox.wire.responses.envelope import Envelope, unwrap, wrap
from farebox.wire.responses.forward import SEALED_REASONING, forward
from farebox.wire.responses.parse import parse
from farebox.wire.responses.price_fields import DEFAULT_TOOL_CALLS, TOOLS, row_of
from farebox.wire.responses.text import text_of, tokens_beside_text

PIXEL = "data:image/png;base64," + "A" * 4_000
SEALED: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA" + "x" * 100}


def problem(**fields: Any) -> Malformed:
    read = parse(body(**fields))
    assert isinstance(read, Malformed)
    return read


# Bounds ---------------------------------------------------------------------------------------------


def test_text_is_bounded_by_its_bytes() -> None:
    call = call_of(input="x" * 1_000)
    assert call.input_most == len(call.body) + 256
    assert not call.input_open
    assert call.at_most[Meter.INPUT_IMAGE] == 0


def test_images_are_bounded_by_formula_and_their_bytes_are_no_text() -> None:
    image = {"type": "input_image", "image_url": PIXEL}
    call = call_of(input=[user({"type": "input_text", "text": "look"}, image)])
    assert call.media_tokens == IMAGE_TOKENS_MOST
    assert call.input_bytes < 700
    assert call_of(input=[user(image | {"detail": "low"})]).media_tokens == IMAGE_TOKENS_LOW
    assert call_of(input=[user({"type": "input_image", "image_url": None})]).media_tokens == IMAGE_TOKENS_MOST


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "https://x"}]},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "h"}},
        {"type": "image_generation_call", "id": "ig", "result": "AAAA"},
    ],
)
def test_images_in_what_tools_gave_back_are_bounded_too(item: dict[str, Any]) -> None:
    assert call_of(input=[item]).media_tokens == IMAGE_TOKENS_MOST


@pytest.mark.parametrize(
    "item",
    [
        user({"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}),
        user({"type": "input_file", "file_url": "https://example.com/a.pdf"}),
        user({"type": "input_dream"}),
        {"type": "dream", "id": "x"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file", "file_url": "https://x"}]},
    ],
)
def test_what_has_no_bound_of_its_own_is_bounded_by_the_context(item: dict[str, Any]) -> None:
    call = call_of(input=[item])
    assert call.input_most is None
    assert Meter.INPUT_IMAGE not in call.at_most


def test_tools_of_the_provider_are_held_for_with_what_they_put_into_the_input() -> None:
    call = call_of(tools=[{"type": "web_search", "search_context_size": "low"}], max_tool_calls=3)
    assert (call.at_most[Meter.SEARCHES], call.input_open, call.input_rounds) == (3, True, 4)
    assert call.parameters == (("search_context_size", "low"),)
    assert call_of(tools=[{"type": "web_search"}]).at_most[Meter.SEARCHES] == DEFAULT_TOOL_CALLS
    interpreter = {"type": "code_interpreter", "container": {"type": "auto"}}
    assert call_of(tools=[interpreter]).at_most[Meter.TOOL_CALLS] == DEFAULT_TOOL_CALLS
    assert Meter.SEARCHES not in call_of(tools=[{"type": "function", "name": "f"}]).at_most


def test_a_long_cache_is_held_at_its_own_price() -> None:
    for fields in ({"prompt_cache_retention": "24h"}, {"prompt_cache_options": {"ttl": "12h"}}):
        call = call_of(**fields)
        assert call.cache_write_meter is Meter.CACHE_WRITE_1H
        assert Meter.CACHE_WRITE_1H not in call.at_most
    assert call_of(prompt_cache_options={"ttl": "30m"}).at_most[Meter.CACHE_WRITE_1H] == 0


def test_sealed_reasoning_ties_a_call_to_its_upstream_key() -> None:
    assert call_of(input=[SEALED, {"role": "user", "content": "go on"}]).sealed
    assert not call_of(input=[SEALED | {"encrypted_content": None}]).sealed
    foreign = SEALED | {"encrypted_content": wrap(Envelope("anthropic", signature="sig"))}
    assert not call_of(input=[foreign]).sealed


def test_a_conversation_stays_in_one_place() -> None:
    first = call_of(instructions="be kind", input=[{"role": "user", "content": "first"}])
    later = call_of(
        instructions="be kind",
        input=[{"role": "user", "content": "first"}, {"role": "assistant", "content": "yes"}, user()],
    )
    assert first.sticky == later.sticky
    assert call_of(prompt_cache_key="k").sticky == b"k"
    assert call_of(input="a").sticky != call_of(input="b").sticky


def test_the_text_of_a_request_is_all_of_it_but_media() -> None:
    call = call_of(
        instructions="be kind",
        input=[
            user({"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": PIXEL}),
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'},
            {"type": "function_call_output", "call_id": "c", "output": "sunny"},
            SEALED,
        ],
        tools=[{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
    )
    text = text_of(call)
    for word in ("be kind", "look", '{"a":1}', "sunny", "weather"):
        assert word in text
    assert "AAAA" not in text
    assert tokens_beside_text(call) >= len(SEALED["encrypted_content"])


# Refusals -------------------------------------------------------------------------------------------


def test_missing_and_odd_fields_are_named() -> None:
    assert parse(b"{}") == Malformed(
        problem(model=5).code.MISSING_PARAMETER, "Missing required parameter: 'model'.", "model"
    )
    missing = parse(b'{"model":"m"}')
    assert isinstance(missing, Malformed)
    assert missing.param == "input"
    assert problem(max_output_tokens=0).param == "max_output_tokens"
    assert problem(input=5).param == "input"
    assert problem(input=[{"role": "user", "content": [5]}]).param == "input[0][0]"


@pytest.mark.parametrize("name", ["background", "conversation", "prompt", "previous_response_id", "models"])
def test_what_cannot_be_bounded_is_refused_by_name(name: str) -> None:
    assert problem(**{name: "x"}).param == name
    assert isinstance(parse(body(**{name: None})), Call)


def test_every_tool_has_a_row_and_unknown_ones_are_refused() -> None:
    assert len({row.type for row in TOOLS}) == len(TOOLS)
    assert row_of("web_search_2025_08_26") is row_of("web_search")
    assert row_of("web_search_2025_x") is None
    for type_ in ("teleport", "mcp", "file_search", "image_generation"):
        assert problem(tools=[{"type": type_}]).param == "tools[0]"


@pytest.mark.parametrize(
    ("tool", "passes"),
    [
        ({"type": "shell"}, True),
        ({"type": "shell", "environment": {"type": "local"}}, True),
        ({"type": "shell", "environment": {"type": "container_auto"}}, False),
        ({"type": "local_shell"}, True),
        ({"type": "apply_patch"}, True),
        ({"type": "code_interpreter"}, False),
        ({"type": "code_interpreter", "container": "cntr_1"}, False),
        ({"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file_1"]}}, False),
    ],
)
def test_containers_of_the_provider_are_refused(tool: dict[str, Any], passes: bool) -> None:
    assert isinstance(parse(body(tools=[tool])), Call) is passes


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(["type", "role", "content", "output", "image_url", "text", "id"]), x, max_size=3), max_leaves=8))  # fmt: skip # noqa: E501
def test_any_input_is_a_call_or_a_refusal(value: Any) -> None:
    read = parse(body(input=value))
    if isinstance(read, Call):
        text_of(read)
        tokens_beside_text(read)
        forward(read, upstream_model="up")


# Forwarding -----------------------------------------------------------------------------------------


def sent(call: Call, **kwargs: Any) -> dict[str, Any]:
    return json.loads(forward(call, upstream_model="up", **kwargs))


def test_nothing_is_stored_at_the_provider() -> None:
    for store in (True, None, False):
        assert sent(call_of(store=store))["store"] is False
    assert sent(call_of(), channel=ChannelBody(overrides={"store": raw(True)}))["store"] is False


def test_the_limits_that_were_held_for_are_written_last() -> None:
    assert sent(call_of(), output_limit=70)["max_output_tokens"] == 70
    assert sent(call_of(max_output_tokens=50), output_limit=70)["max_output_tokens"] == 50
    assert sent(call_of(max_output_tokens=90), output_limit=70)["max_output_tokens"] == 70
    loose = ChannelBody(overrides={"max_output_tokens": raw(9_999), "max_tool_calls": raw(99)})
    assert sent(call_of(max_output_tokens=50), channel=loose)["max_output_tokens"] == 50
    assert sent(call_of(tools=[{"type": "web_search"}]), channel=loose)["max_tool_calls"] == DEFAULT_TOOL_CALLS
    assert "max_output_tokens" not in sent(call_of())


def test_sealed_reasoning_is_asked_for_where_a_later_turn_needs_it() -> None:
    assert "include" not in sent(call_of())
    assert sent(in_turn(call_of(), keeps_reasoning=True))["include"] == [SEALED_REASONING]
    both = in_turn(call_of(include=["message.output_text.logprobs"]), keeps_reasoning=True)
    assert sent(both)["include"] == ["message.output_text.logprobs", SEALED_REASONING]


def test_reasoning_of_another_provider_is_not_sent_to_one_that_cannot_read_it() -> None:
    envelope = Envelope("anthropic", signature="sig")
    foreign = SEALED | {"encrypted_content": wrap(envelope)}
    assert sent(call_of(input=[foreign, SEALED]))["input"] == [SEALED]
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    signed = call | {"extra_content": {"google": {"thought_signature": "sig"}}}
    assert sent(call_of(input=[signed]))["input"] == [call]
    assert unwrap(wrap(envelope)) == envelope
    assert unwrap("gAAAA") is None
    assert unwrap("farebox-1.!") is None


def test_reasoning_nobody_sealed_is_not_sent_to_a_provider_that_stores_nothing() -> None:
    bare = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
    question = {"role": "user", "content": 'about "reasoning"'}
    assert sent(call_of(input=[bare, bare | {"encrypted_content": None}, SEALED, question]))["input"] == [
        SEALED,
        question,
    ]


def test_what_need_not_change_keeps_its_bytes() -> None:
    call = parse(b'{"model":"m","input":"x","temperature":0.70,"odd":{"a": [1.0]},"store":false}')
    assert isinstance(call, Call)
    assert forward(call, upstream_model="m") == (
        b'{"model":"m","input":"x","temperature":0.70,"odd":{"a": [1.0]},"store":false}'
    )
