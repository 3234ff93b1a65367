"""A provider's response object as its client sees it: under our id, the name asked for, without what was hidden.

JSON enters as written; only the fields that must change are written anew.
"""

from __future__ import annotations

import msgspec

from farebox.tariff.meters import Meter
from farebox.wire.call import Call, Fields, is_present, raw
from farebox.wire.json_object import read_as
from farebox.wire.payloads import fields_of, on_a_line
from farebox.wire.responses.forward import includes_sealed

_SEALED = b'"encrypted_content"'
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class Shown:
    """How the answer of one call is shown."""

    __slots__ = ("_echo", "hides_reasoning")

    def __init__(self, call: Call) -> None:
        turn = call.turn
        self._echo = Fields(model=raw(call.model))
        self.hides_reasoning = turn is not None and turn.keeps_reasoning and not includes_sealed(call)
        if turn is not None:
            self._echo |= {"id": raw(turn.id), "store": raw(turn.kept), "previous_response_id": raw(turn.previous)}

    def response(self, written: bytes | msgspec.Raw, **changes: object) -> Fields | None:
        """The fields of a response object as shown, in their order; None if it is no object."""
        fields = fields_of(written)
        if fields is None:
            return None
        if self.hides_reasoning and "output" in fields:
            fields["output"] = self._output(fields["output"])
        return fields | self._echo | {name: raw(value) for name, value in changes.items()}

    def event(self, payload: bytes, *, usage: dict[str, object] | None = None) -> bytes:
        """An event with a response object in it, as shown; as it came if there is none after all."""
        fields = fields_of(payload)
        response = None if fields is None else self.response(fields.get("response", b""))
        if fields is None or response is None:
            return on_a_line(payload)
        if usage is not None:
            response["usage"] = raw(usage)
        return on_a_line(_encode(fields | {"response": raw(response)}))

    def item_event(self, payload: bytes) -> bytes:
        """An event with an item in it, without reasoning nobody asked to see sealed."""
        fields = fields_of(payload)
        if fields is None or "item" not in fields:
            return on_a_line(payload)
        return on_a_line(_encode(fields | {"item": without_sealed(fields["item"])}))

    def body(self, written: bytes) -> bytes:
        """A whole answer as shown; as it came if it is no object."""
        fields = self.response(written)
        return written if fields is None else _encode(fields)

    def _output(self, output: msgspec.Raw) -> msgspec.Raw:
        items = read_as(output, _raws)
        return raw([without_sealed(item) for item in items]) if isinstance(items, list) else output


def without_sealed(item: msgspec.Raw) -> msgspec.Raw:
    """An item without its `encrypted_content`."""
    if _SEALED not in bytes(item):
        return item
    fields = fields_of(item)
    if fields is None or fields.pop("encrypted_content", None) is None:
        return item
    return raw(fields)


class _Action(msgspec.Struct, gc=False):
    type: str | None = None


class _ToolCall(msgspec.Struct, gc=False):
    type: str = ""
    action: _Action | None = None


class _WebSearch(msgspec.Struct, gc=False):
    num_requests: int | None = None


class _ToolUsage(msgspec.Struct, gc=False):
    web_search: _WebSearch | None = None


_tool_call = msgspec.json.Decoder(_ToolCall)
_tool_usage = msgspec.json.Decoder(_ToolUsage)


def meter_of(item: msgspec.Raw) -> Meter | None:
    """The meter a finished item is charged by on top of its tokens; None for what is free."""
    read = read_as(item, _tool_call)
    if not isinstance(read, _ToolCall):
        return None
    if read.type == "code_interpreter_call":
        return Meter.TOOL_CALLS
    action = read.action.type if read.action is not None else None
    return Meter.SEARCHES if read.type == "web_search_call" and action in (None, "search") else None


def tool_calls_in(output: msgspec.Raw, tool_usage: msgspec.Raw) -> dict[Meter, int]:
    """Calls of the provider's tools in a whole output, by meter; what the provider says it counted goes first."""
    counts: dict[Meter, int] = {}
    items = read_as(output, _raws) if is_present(output) else []
    for item in items if isinstance(items, list) else []:
        meter = meter_of(item)
        if meter is not None:
            counts[meter] = counts.get(meter, 0) + 1
    stated = read_as(tool_usage, _tool_usage) if is_present(tool_usage) else None
    if isinstance(stated, _ToolUsage) and stated.web_search is not None and stated.web_search.num_requests is not None:
        counts[Meter.SEARCHES] = stated.web_search.num_requests
    return counts
