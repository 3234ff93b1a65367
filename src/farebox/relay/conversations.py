"""Conversations kept for their accounts: what a call goes on from, and what of it is kept (Responses).

Before a call is read its earlier turns are written into it, so that all bounds count the whole
conversation and the provider needs to store nothing. Before an answer is charged its turn is stored, and
can be read once the charge is committed. Contents are sealed; another account's ids do not exist (d55).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, NamedTuple

import msgspec
import structlog

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.faults import LedgerUnavailable
from farebox.ids import response_of
from farebox.relay.ask import Ask
from farebox.relay.attempts import Sent
from farebox.relay.counting import IN_THREAD_BYTES
from farebox.relay.job import Job
from farebox.store.catalogue import Catalogue
from farebox.store.keyring import KeyView
from farebox.store.responses import MOST_BYTES, StoredResponse, StoredResponses
from farebox.tariff.price_list import Reasoning
from farebox.upstream.secrets import CannotOpen, KeyRing
from farebox.wire.call import ABSENT, Call, Fields, Malformed, Turn, is_present, raw
from farebox.wire.dialect import OPENAI_RESPONSES, Meters
from farebox.wire.form import FormDialect
from farebox.wire.json_object import read_as, read_object
from farebox.wire.responses.kept import (
    KeptTurn,
    filled_in,
    history,
    id_of,
    items_of,
    kept_turn,
    shown_response,
    wanted_ids,
    with_ids,
)
from farebox.wire.responses.stream import ResponsesMeter

KEPT_LIMIT_BYTES = 8 * 1024 * 1024
"""A turn of more than this is answered, and not stored."""
EXPANDED_LIMIT_BYTES = 32 * 1024 * 1024
_RESPONSE_ID = re.compile(r"resp_[0-9a-hjkmnp-tv-z]{26}")

log: Any = structlog.get_logger("farebox.relay")


class _Wanted(msgspec.Struct, frozen=True, gc=False):
    """What of a body is about the conversation it belongs to."""

    model: str
    input: msgspec.Raw = ABSENT
    previous_response_id: str | None = None
    store: bool | None = None
    reasoning: msgspec.Raw = ABSENT


class _Earlier(NamedTuple):
    """What a call goes on from."""

    turns: list[KeptTurn]
    place: tuple[str, str] | None
    """Where the last of them was answered."""


class Keeping(NamedTuple):
    """The operator's terms."""

    keeps: bool
    for_us: int


_wanted = msgspec.json.Decoder(_Wanted)
_encode = msgspec.json.Encoder().encode
_NOTHING = _Earlier([], None)


class Conversations:
    """See the module."""

    def __init__(self, responses: StoredResponses, key_ring: KeyRing, catalogue: Catalogue, keeping: Keeping) -> None:
        self._responses = responses
        self._key_ring = key_ring
        self._catalogue = catalogue
        self._keeping = keeping

    async def call_of(self, ask: Ask, view: KeyView) -> Call | Malformed | Refusal:
        """The call a request makes, with all it goes on from. Raises `LedgerUnavailable`."""
        if ask.dialect is not OPENAI_RESPONSES:
            if isinstance(ask.dialect, FormDialect) and len(ask.body) > IN_THREAD_BYTES:
                return await asyncio.to_thread(ask.dialect.parse, ask.body)
            return ask.dialect.parse(ask.body)
        wanted = read_as(ask.body, _wanted)
        if isinstance(wanted, Malformed):
            return ask.dialect.parse(ask.body)  # which says the same, and what else is wrong
        earlier = await self._earlier(view.account.id, wanted.previous_response_id)
        if isinstance(earlier, Refusal):
            return earlier
        added, place = await self._filled_in(view.account.id, wanted.input)
        body = _expanded(ask.body, wanted, earlier, added)
        call = body if isinstance(body, Refusal | Malformed) else ask.dialect.parse(body)
        if not isinstance(call, Call):
            return call
        turn = self._turn(ask, wanted, added)
        return msgspec.structs.replace(call, turn=msgspec.structs.replace(turn, place=place or earlier.place))

    async def keep(self, job: Job, sent: Sent, shown: bytes, whole: bytes | msgspec.Raw | None) -> None:
        """Store the turn of an answer, before its charge. Never raises: an answer is worth more than its memory.

        `shown` is the body for the client, or the end of its stream.
        """
        call = job.prepared.call
        turn = call.turn
        kept = kept_turn(call, shown, whole) if turn is not None and turn.kept else None
        if turn is None or kept is None:
            return
        sealed = self._key_ring.seal(msgspec.json.encode(kept), row=turn.id)
        if len(sealed) > KEPT_LIMIT_BYTES:
            log.info("a response is too large to be stored", request_id=job.ask.request_id)
            return
        lease = sent.lease
        stored = StoredResponse(turn.id, turn.previous, lease.channel.id, lease.key.id, sealed)
        names = [name for name in map(id_of, items_of(kept.output)) if name is not None]
        try:
            await self._responses.keep(job.hold.hold.account_id, stored, names, for_us=self._keeping.for_us)
        except LedgerUnavailable as error:
            log.warning("a response could not be stored", request_id=job.ask.request_id, error=str(error))

    async def response(self, account_id: str, response_id: str) -> Fields | None:
        """A stored response, as its client was shown it; None if there is none. Raises `LedgerUnavailable`."""
        turns = self._opened(await self._rows(account_id, response_id, most=1))
        return shown_response(turns[-1]) if turns else None

    async def input_items(self, account_id: str, response_id: str) -> list[Fields] | None:
        """Everything a stored response answered, earlier turns included, in order; None if there is none.

        Raises `LedgerUnavailable`.
        """
        turns = self._opened(await self._rows(account_id, response_id))
        if not turns:
            return None
        *before, last = turns
        return with_ids([*history(before), *items_of(last.input)], response_id)

    async def drop(self, account_id: str, response_id: str) -> bool:
        """Forget a stored response; False if there is none. Raises `LedgerUnavailable`."""
        known = _RESPONSE_ID.fullmatch(response_id) is not None
        return known and await self._responses.drop(account_id, response_id)

    def _turn(self, ask: Ask, wanted: _Wanted, added: msgspec.Raw) -> Turn:
        kept = self._keeping.keeps and wanted.store is not False and len(memoryview(added)) <= KEPT_LIMIT_BYTES
        return Turn(
            id=response_of(ask.request_id),
            previous=wanted.previous_response_id,
            kept=kept,
            keeps_reasoning=kept and self._reasons(wanted),
            added=added,
        )

    def _reasons(self, wanted: _Wanted) -> bool:
        """Whether there will be reasoning to keep: other models refuse to be asked for it."""
        priced = self._catalogue.current.names.get(wanted.model)
        return is_present(wanted.reasoning) or (priced is not None and priced.model.reasoning is not Reasoning.NONE)

    async def _earlier(self, account_id: str, response_id: str | None) -> _Earlier | Refusal:
        if response_id is None:
            return _NOTHING
        rows = await self._rows(account_id, response_id)
        if sum([len(row.sealed) for row in rows]) > MOST_BYTES:
            return _TOO_LONG
        turns = self._opened(rows)
        if not turns or rows[0].previous_id is not None:
            return _not_found(response_id)
        return _Earlier(turns, (rows[-1].channel_id, rows[-1].key_id))

    async def _filled_in(self, account_id: str, added: msgspec.Raw) -> tuple[msgspec.Raw, tuple[str, str] | None]:
        """What is new in a call, with items that only name stored ones replaced by these; and where they are from."""
        if not any(mark in bytes(added) for mark in (b'"reasoning"', b'"id"')):
            return added, None
        items = items_of(added)
        wanted = wanted_ids(items)
        rows = await self._responses.with_items(account_id, wanted) if wanted else []
        kept = [item for turn in self._opened(rows) for item in items_of(turn.output)]
        stored = {name: item for item in kept if (name := id_of(item)) is not None}
        filled = filled_in(items, stored)
        if filled == items:
            return added, None
        return raw(filled), (rows[-1].channel_id, rows[-1].key_id) if rows else None

    async def _rows(self, account_id: str, response_id: str, *, most: int = 1_000) -> list[StoredResponse]:
        if _RESPONSE_ID.fullmatch(response_id) is None:
            return []
        return await self._responses.turns(account_id, response_id, most=most)

    def _opened(self, rows: list[StoredResponse]) -> list[KeptTurn]:
        """What is inside; nothing where the secret key that sealed it is gone."""
        try:
            sealed = [self._key_ring.open(row.sealed, row=row.id) for row in rows]
        except CannotOpen as error:
            log.error("a stored response cannot be opened", error=str(error))
            return []
        return [msgspec.json.decode(one, type=KeptTurn) for one in sealed]


def whole_in(meter: Meters) -> msgspec.Raw | None:
    """The response object a provider ended its stream with, where it has more in it than the client is shown."""
    return meter.whole if isinstance(meter, ResponsesMeter) else None


def _expanded(body: bytes, wanted: _Wanted, earlier: _Earlier, added: msgspec.Raw) -> bytes | Malformed | Refusal:
    """The body with the earlier turns in its input, and without their name."""
    if not earlier.turns and added is wanted.input:
        return body
    fields = read_object(body)
    if isinstance(fields, Malformed):
        return fields
    fields.pop("previous_response_id", None)
    fields["input"] = raw([*history(earlier.turns), *(items_of(added) if is_present(added) else [])])
    expanded = _encode(fields)
    return expanded if len(expanded) <= EXPANDED_LIMIT_BYTES else _TOO_LONG


def _not_found(response_id: str) -> Refusal:
    return Refusal(
        RefusalCode.PREVIOUS_RESPONSE_NOT_FOUND,
        f"Previous response with id '{response_id[:64]}' not found.",
        param="previous_response_id",
    )


_TOO_LONG = Refusal(
    RefusalCode.CONTEXT_LENGTH_EXCEEDED,
    "The conversation has grown beyond what one request may hold. Begin a new one.",
    param="previous_response_id",
)
