"""Reads a whole response object: usage, how it ended, text for counting, and what its client sees of it."""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT, Call, is_present
from farebox.wire.json_object import read_as
from farebox.wire.openai_answer import Answer
from farebox.wire.output import OutputText
from farebox.wire.payloads import without_cost
from farebox.wire.responses.shown import Shown, tool_calls_in
from farebox.wire.responses.usage import with_tool_calls

_ANSWERED = frozenset({"completed", "incomplete", None})
_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


class _Details(msgspec.Struct, gc=False):
    reason: str | None = None


class Response(msgspec.Struct, gc=False):
    """The metered fields of a response object."""

    id: str = ""
    status: str | None = None
    output: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    tool_usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    incomplete_details: _Details | None = None
    service_tier: str | None = None

    @property
    def metered(self) -> msgspec.Raw | None:
        """The usage in this dialect's convention, calls of the provider's tools included; None if none is stated."""
        if not is_present(self.usage):
            return None
        return with_tool_calls(self.usage, tool_calls_in(self.output, self.tool_usage))

    @property
    def reason(self) -> str:
        """Why it ended, under OpenAI chat's names."""
        details = self.incomplete_details
        if self.status == "incomplete":
            return _REASONS.get((details and details.reason) or "", "length")
        return "stop"


class Part(msgspec.Struct, gc=False):
    """A part of an output item."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class Google(msgspec.Struct, gc=False):
    thought_signature: str | None = None


class Extra(msgspec.Struct, gc=False):
    """Where Google's compatible endpoint puts what it wants back with a tool call."""

    google: Google | None = None


class OutputItem(msgspec.Struct, gc=False):
    """An output item, what of it is counted or translated."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    content: list[Part] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = None
    result: str | None = None
    output_format: str | None = None
    code: str | None = None
    extra_content: Extra | None = None


response_decoder = msgspec.json.Decoder(Response)
output_decoder = msgspec.json.Decoder(list[msgspec.Raw])
item_decoder = msgspec.json.Decoder(OutputItem)


def read_response(body: bytes | msgspec.Raw) -> Response | None:
    """An answer that came to an end; None if it is an error, failed, or is no response. Never raises."""
    read = read_as(body, response_decoder)
    if not isinstance(read, Response) or is_present(read.error) or read.status not in _ANSWERED:
        return None
    return read if bytes(memoryview(read.output)[:1]) == b"[" else None


def output_items(output: msgspec.Raw) -> list[OutputItem]:
    """The items of an output that can be read; of others nothing but that they are there."""
    items = read_as(output, output_decoder)
    read = [read_as(item, item_decoder) for item in items] if isinstance(items, list) else []
    return [item if isinstance(item, OutputItem) else OutputItem() for item in read]


def read_answer(body: bytes, call: Call) -> Answer | None:
    """Read a buffered answer; None if it is an error or none of this dialect."""
    read = read_response(body)
    if read is None:
        return None
    shown = Shown(call)
    return Answer(
        body=without_cost(shown.body(body), read.usage),
        usage=read.metered,
        finish_reasons={0: read.reason},
        service_tier=read.service_tier,
        output=_output_of(output_items(read.output)),
        whole=body if call.turn is not None and call.turn.kept else None,
    )


def _output_of(items: list[OutputItem]) -> OutputText:
    output = OutputText()
    for item in items:
        add_item(item, output)
    return output


def add_item(item: OutputItem, output: OutputText) -> None:
    """Count a whole output item."""
    for part in item.content or ():
        _add_text(part, item, output)
    for part in item.summary or ():
        output.add_reasoning(part.text or "")
    if item.encrypted_content:
        output.add_sealed(len(item.encrypted_content))
    for text in (item.name, item.arguments, item.input, item.code):
        if text:
            output.add(text)
    if item.result:
        output.add_sealed(len(item.result))


def _add_text(part: Part, item: OutputItem, output: OutputText) -> None:
    if item.type == "reasoning":
        output.add_reasoning(part.text or "")
    else:
        output.add(part.text or part.refusal or "")
