"""What is kept of a turn, and what it is read back as: history for the next turn, a response, its input items.

A call and its shown answer enter; a `KeptTurn` leaves, to be sealed and stored. Kept turns enter; the
input of the next one leaves. Nothing here knows where turns are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from farebox.wire.call import ABSENT, Call, Fields, raw, text_field
from farebox.wire.json_object import read_as
from farebox.wire.payloads import fields_of
from farebox.wire.responses.forward import includes_sealed
from farebox.wire.responses.items import is_spent
from farebox.wire.responses.shown import without_sealed
from farebox.wire.sse import SseSplitter

_ENDED = frozenset({b'"completed"', b'"incomplete"'})
_raws = msgspec.json.Decoder(list[msgspec.Raw])


class KeptTurn(msgspec.Struct, frozen=True):
    """One turn, as it is stored."""

    response: msgspec.Raw
    """As its client was shown it, without `output`."""
    input: msgspec.Raw
    """The items this turn added, as written: a list, or one text."""
    output: msgspec.Raw
    """All items, sealed reasoning included."""
    shows_sealed: bool = False
    """The client asked to see sealed reasoning."""


def kept_turn(call: Call, shown: bytes, whole: bytes | msgspec.Raw | None) -> KeptTurn | None:
    """The turn of an answer that ended. None if it holds no ended response.

    `shown` is the body its client gets, or the end of its stream; `whole` the provider's own object, where that
    has more in it.
    """
    response = fields_of(shown) or _in_stream(shown)
    if response is None or bytes(response.get("status", b'"completed"')) not in _ENDED or "output" not in response:
        return None
    provided = None if whole is None else fields_of(whole)
    output = (provided or response).get("output", response["output"])
    turn = call.turn
    added = call.fields["input"] if turn is None or turn.added is ABSENT else turn.added
    del response["output"]
    return KeptTurn(raw(response), added, output, includes_sealed(call))


def _in_stream(tail: bytes) -> Fields | None:
    """The response object of the last event that carries one."""
    splitter = SseSplitter()
    for event in reversed([*splitter.feed(tail), *splitter.end()]):
        fields = None if event.payload is None else fields_of(event.payload)
        if fields is not None and "response" in fields:
            return fields_of(fields["response"])
    return None


def shown_response(kept: KeptTurn) -> Fields:
    """The response again, as its client was shown it."""
    items = items_of(kept.output)
    output = items if kept.shows_sealed else [without_sealed(item) for item in items]
    return (fields_of(kept.response) or {}) | {"output": raw(output)}


def history(turns: Iterable[KeptTurn]) -> list[msgspec.Raw]:
    """The items of earlier turns, as input for the next one."""
    items: list[msgspec.Raw] = []
    for turn in turns:
        items += items_of(turn.input)
        items += items_of(turn.output)
    return items


def items_of(written: msgspec.Raw) -> list[msgspec.Raw]:
    """A list of items as they were written; one text is a question."""
    if bytes(memoryview(written)[:1]) == b'"':
        return [raw({"type": "message", "role": "user", "content": [{"type": "input_text", "text": written}]})]
    items = read_as(written, _raws)
    return items if isinstance(items, list) else []


def id_of(item: msgspec.Raw) -> str | None:
    """The id an item has."""
    fields = fields_of(item)
    return None if fields is None else text_field(fields, "id")


def wanted_ids(items: Sequence[msgspec.Raw]) -> list[str]:
    """The ids of items that only name something stored: references, and reasoning whose seal is not with it."""
    found = [id_of(item) for item in items if is_reference(item) or is_spent(item)]
    return [one for one in found if one is not None]


def is_reference(item: msgspec.Raw) -> bool:
    """Whether an item stands for another one by its id."""
    fields = fields_of(item)
    if fields is None or "id" not in fields:
        return False
    type_ = text_field(fields, "type")
    return type_ == "item_reference" or (type_ is None and not {"role", "content"} & fields.keys())


def filled_in(items: Sequence[msgspec.Raw], stored: Mapping[str, msgspec.Raw]) -> list[msgspec.Raw]:
    """The items with those that name a stored one replaced by it.

    A reference to nothing stays, and is refused by whoever reads the body.
    """
    return [stored.get(id_of(item) or "", item) if is_reference(item) or is_spent(item) else item for item in items]


def with_ids(items: Sequence[msgspec.Raw], response_id: str) -> list[Fields]:
    """Input items as they are listed: each with an id, made up where it had none."""
    listed: list[Fields] = []
    for place, item in enumerate(items):
        fields = fields_of(item) or {}
        made = {"id": raw(f"msg_{response_id.removeprefix('resp_')}_{place}")}
        listed.append((made if text_field(fields, "id") is None else {}) | fields)
    return listed
