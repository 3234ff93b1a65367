"""What we write is what the official clients' own models of the public format accept, strictly read.

Clients read leniently; here their models validate. A field of ours they do not know (`cost`,
`reasoning_content`) is an extra they allow, a missing or wrong one is an error.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message as AnthropicMessage
from anthropic.types import MessageCreateParams, RawMessageStreamEvent
from google.genai.types import Content, GenerateContentResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParams
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.pure.wire.answers import answers, call_for, fit_for, stream_of
from tests.pure.wire.conversations import call_of, requests

from farebox.wire.chat.features import Feature, Row, Table, Treatment
from farebox.wire.chat.speech import Speech
from farebox.wire.speeches import SPEECHES
from farebox.wire.sse import SseSplitter

WHOLE: dict[str, TypeAdapter[Any]] = {
    "openai_chat": TypeAdapter(ChatCompletion),
    "openai_responses": TypeAdapter(Response),
    "anthropic": TypeAdapter(AnthropicMessage),
    "gemini": TypeAdapter(GenerateContentResponse),
}
EVENT: dict[str, TypeAdapter[Any]] = {
    "openai_chat": TypeAdapter(ChatCompletionChunk),
    "openai_responses": TypeAdapter(ResponseStreamEvent),
    "anthropic": TypeAdapter(RawMessageStreamEvent),
    "gemini": TypeAdapter(GenerateContentResponse),
}
ASKED: dict[str, TypeAdapter[Any]] = {
    # Not Responses: the service takes an earlier answer without its id, its types do not.
    "openai_chat": TypeAdapter(CompletionCreateParams),
    "anthropic": TypeAdapter(MessageCreateParams),
}
_OF_OTHERS = Row(Treatment.DROPPED, "taken by other servers of this dialect")
UNOFFICIAL: dict[str, Table] = {
    "openai_chat": dict.fromkeys((Feature.DOCUMENT_URL, Feature.VIDEO_INPUT), _OF_OTHERS),
}
"""What is beside the official format: parts that other servers take."""
EACH = pytest.mark.parametrize("speech", SPEECHES.values(), ids=SPEECHES)
FEW = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@EACH
@FEW
@given(data=st.data())
def test_a_whole_answer_is_one(speech: Speech, data: st.DataObject) -> None:
    answer = fit_for(data.draw(answers()), speech)
    body = json.loads(speech.write_whole(call_for(speech), answer.whole, answer.usage))
    WHOLE[speech.name].validate_python(body)


@EACH
@FEW
@given(data=st.data())
def test_every_event_of_a_stream_is_one(speech: Speech, data: st.DataObject) -> None:
    stream = stream_of(speech, fit_for(data.draw(answers()), speech))
    payloads = [event.payload for event in SseSplitter().feed(stream) if event.payload is not None]
    assert payloads
    for payload in payloads:
        if payload != b"[DONE]":
            EVENT[speech.name].validate_python(json.loads(payload))


@pytest.mark.parametrize("speech", [SPEECHES[name] for name in (*ASKED, "gemini")], ids=(*ASKED, "gemini"))
@FEW
@given(data=st.data())
def test_a_request_is_one(speech: Speech, data: st.DataObject) -> None:
    table = {**speech.table, **UNOFFICIAL.get(speech.name, {})}
    body = json.loads(call_of(speech, data.draw(requests(table, speech.name))).body)
    if speech.name == "gemini":
        for content in body["contents"]:
            Content.model_validate(content)
        return
    _drained(ASKED[speech.name].validate_python(body))


def _drained(value: Any) -> None:
    """Sequences are validated as they are read."""
    match value:
        case dict():
            for inner in value.values():
                _drained(inner)
        case str() | bytes() | int() | float() | None:
            return
        case _:
            for inner in value:
                _drained(inner)
