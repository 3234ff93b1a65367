"""One request, room by room: the orchestrator.

    key → once → parse → model, price, method, worst case → admission (Hold | Refusal)
        → a slot and an upstream → answer or chunks → usage → charge → capture → last byte

Enters: an `Ask` and its client. Leaves: a `Reply`. Each step lives in the module of its name;
this one only puts them in order, and looks again when the account, the key or the catalogue
turned out to be newer than what the request was worked out with.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from farebox.admission.access import check_caller
from farebox.admission.commands import Admit, IdempotencyClaim, Opened
from farebox.admission.commands import Refused as NotAdmitted
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.admission.state import Stale
from farebox.faults import LawBroken, LedgerUnavailable
from farebox.ids import hold_of
from farebox.relay.ask import Answered, Ask, Client, Refused, Reply, Standing, Streamed, TooSlow
from farebox.relay.buffered import Buffered, ledger_refusal
from farebox.relay.conversations import Conversations
from farebox.relay.counting import bound_input
from farebox.relay.job import Described, Job, Mark, Stamp, Trace
from farebox.relay.once import IN_PROGRESS, Once
from farebox.relay.passing import EVENTS, JSON
from farebox.relay.prepare import Known, Prepared, caller_refusal, malformed, prepare
from farebox.relay.settle import Kept, Settler
from farebox.relay.standing import standing_of
from farebox.relay.stream import Streams
from farebox.store.catalogue import Catalogue
from farebox.store.keyring import Keyring, KeyView, digest_of
from farebox.store.ledger_writer import LedgerWriter
from farebox.wire.call import Call, Malformed
from farebox.wire.passage import objection_to

ADMIT_PATIENCE_S = 5.0
_LOOKS = 6
"""How often a request is worked out anew before the ledger is called unavailable."""

_TOKENIZING_MAY_HELP = frozenset(
    {
        RefusalCode.RATE_LIMIT_EXCEEDED,
        RefusalCode.INSUFFICIENT_CREDITS,
        RefusalCode.KEY_LIMIT_REACHED,
        RefusalCode.BUDGET_EXCEEDED,
        RefusalCode.INVALID_PARAMETER,
        RefusalCode.CONTEXT_LENGTH_EXCEEDED,
    }
)


class Taken(NamedTuple):
    """Another request claimed the idempotency key in the moment between looking it up and admission."""


class Reading(NamedTuple):
    """Where a request is looked up and decided."""

    keyring: Keyring
    catalogue: Catalogue
    writer: LedgerWriter
    once: Once
    conversations: Conversations


class Answering(NamedTuple):
    """How an admitted request is answered, and its hold ended."""

    buffered: Buffered
    streams: Streams
    settler: Settler


class Relay:
    """Answers model calls. Made by `main` from its neighbours."""

    def __init__(
        self, reading: Reading, answering: Answering, *, hold_ttl_s: int, admitted: Callable[[], None]
    ) -> None:
        self._keyring, self._catalogue, self._writer, self._once, self._conversations = reading
        self._buffered, self._streams, self._settler = answering
        self._admitted_one = admitted
        self._hold_ttl_us = hold_ttl_s * 1_000_000

    async def answer(self, ask: Ask, client: Client, trace: Trace) -> Reply:
        """Answer one call. Never raises for what a caller, a provider or the database did."""
        try:
            return await self._answer(ask, client, trace)
        except LedgerUnavailable:
            trace.stamp = Stamp.LEDGER_UNAVAILABLE.value
            return Refused(ledger_refusal())

    async def caller(self, secret: str, client_ip: str | None, resource: str) -> KeyView | Refused:
        """The key behind a secret, read afresh and allowed to ask, or why not. For everything but model calls."""
        try:
            view = await self._keyring.load(digest_of(secret))
        except LedgerUnavailable:
            return Refused(ledger_refusal())
        if view is None:
            return Refused(INVALID_KEY)
        refusal = check_caller(view.account, view.key, client_ip, now_us=view.read_us)
        return view if refusal is None else Refused(refusal, self.standing(view, resource))

    async def refuse(self, refusal: Refusal, secret: str, client_ip: str | None, resource: str) -> Refused:
        """Refuse before there is a body to look at; what is wrong with the caller comes first."""
        view = await self.caller(secret, client_ip, resource)
        return view if isinstance(view, Refused) else Refused(refusal, self.standing(view, resource))

    def standing(self, view: KeyView, resource: str) -> Standing:
        """Where a caller stands, as last read."""
        return standing_of(view, self._catalogue.current, resource)

    async def worked_out(self, ask: Ask, call: Call, view: KeyView) -> Prepared | Refusal:
        """The request worked out on the newest state, without admission. Raises `LedgerUnavailable`."""
        await self._catalogue.verify()
        prepared = self._prepare(ask, call, view, None)
        return await self.worked_out_closer(ask, call, view, prepared) if isinstance(prepared, Refusal) else prepared

    async def worked_out_closer(self, ask: Ask, call: Call, view: KeyView, refusal: Refusal) -> Prepared | Refusal:
        """The same with a closer bound of the input, where the cheap one may be why it was refused."""
        closer = await self._closer(ask, call, refusal, None)
        return refusal if closer is None else self._prepare(ask, call, view, closer)

    async def _answer(self, ask: Ask, client: Client, trace: Trace) -> Reply:
        view = await self._caller(ask)
        if isinstance(view, Refused):
            return view
        trace.account_id, trace.key_id = view.account.id, view.key.id
        fingerprint = self._once.fingerprint_of(ask)
        earlier = await self._once.earlier(ask, view, fingerprint, client)
        if earlier is not None:
            return await self._as_before(earlier, ask, client)
        if client.left and ask.idempotency_key is None:
            return Streamed()  # nobody waits, and nothing was begun
        call = await self._conversations.call_of(ask, view)
        if not isinstance(call, Call):
            refusal = malformed(call) if isinstance(call, Malformed) else call
            return await self.refuse(refusal, ask.secret, ask.client_ip, ask.dialect.resource)
        trace.stream = call.stream
        job = await self._admitted(ask, call, view, fingerprint, trace)
        if isinstance(job, Taken):
            # The same idempotency key came twice at once, and the other request was first.
            earlier = await self._once.earlier(ask, view, fingerprint, client)
            return await self._as_before(earlier or IN_PROGRESS, ask, client)
        if isinstance(job, Refused):
            return job
        return await self._run(job, client)

    async def _run(self, job: Job, client: Client) -> Reply:
        answering = self._streams if job.prepared.call.stream else self._buffered
        try:
            return await answering.answer(job, client)
        except asyncio.CancelledError:
            await self._let_go(job, Stamp.GATEWAY_CUT)
            raise
        except BaseException:
            await self._let_go(job, Stamp.ABANDONED)
            raise
        finally:
            job.trace.queue_wait_ms = job.queue_wait_ms
            job.trace.attempts = len(job.attempts)
            job.trace.channel = job.channel or None

    async def _let_go(self, job: Job, stamp: Stamp) -> None:
        """Cancelled, or a mistake of ours: the hold must end all the same (Law 2)."""
        if job.trace.stamp is None:
            with contextlib.suppress(LedgerUnavailable):
                await asyncio.shield(self._settler.void(job, stamp))

    # Who asks -------------------------------------------------------------------------------

    async def _caller(self, ask: Ask) -> KeyView | Refused:
        """The key as last read; a refusal only on what was read just now."""
        digest = digest_of(ask.secret)
        view = self._keyring.known(digest)
        if view is not None and caller_refusal(view, ask, self._writer.database_now_us()) is None:
            return view
        view = await self._keyring.load(digest)
        if view is None:
            return Refused(INVALID_KEY)
        refusal = caller_refusal(view, ask, view.read_us)
        return view if refusal is None else self._refused(refusal, ask, view)

    def _refused(self, refusal: Refusal, ask: Ask, view: KeyView) -> Refused:
        return Refused(refusal, self.standing(view, ask.dialect.resource))

    async def _as_before(self, earlier: Kept | Refusal, ask: Ask, client: Client) -> Reply:
        """What an equal request came to, for a key that may still be used: it was not read afresh so far."""
        view = await self._renewed(ask)
        if isinstance(view, Refused):
            return view
        if isinstance(earlier, Refusal):
            return self._refused(earlier, ask, view)
        standing = self.standing(view, ask.dialect.resource)
        if not earlier.stream:
            return Answered(earlier.body, standing, None, [], earlier.content_type or JSON, replayed=True)
        replayed = [(b"idempotent-replayed", b"true")]
        await client.begin(standing, 0, replayed, content_type=earlier.content_type or EVENTS)
        with contextlib.suppress(TooSlow):
            await client.write(earlier.body)
        await client.end()
        return Streamed()

    # Admission ------------------------------------------------------------------------------

    async def _admitted(
        self, ask: Ask, call: Call, view: KeyView, fingerprint: bytes, trace: Trace
    ) -> Job | Refused | Taken:
        """Work the request out and have it admitted; look again when anything was out of date."""
        closer: int | None = None
        fresh = False
        mark, claim = self._once.mark_of(ask, view, fingerprint), self._once.claim_of(ask, fingerprint)
        for _ in range(_LOOKS):
            answer: Prepared | Opened | NotAdmitted | Stale | Taken | Refusal = self._prepare(ask, call, view, closer)
            standing: Standing | None = None
            if isinstance(answer, Prepared):
                prepared = answer
                trace.model = prepared.model_id
                answer = await self._admit(ask, prepared, mark, claim)
                if isinstance(answer, Taken):
                    return answer
                if isinstance(answer, Opened):
                    return self._opened(Job(ask, prepared, answer, mark=mark, trace=trace))
                if isinstance(answer, NotAdmitted):
                    fresh = True
                    standing = Standing(answer.rate, prepared.tier.priority, ask.dialect.resource)
                    answer = answer.refusal
            if isinstance(answer, Refusal):
                found = await self._closer(ask, call, answer, closer)
                if found is not None:
                    closer = found
                    continue
                if fresh:
                    return Refused(answer, standing or self.standing(view, ask.dialect.resource))
            renewed = await self._renewed(ask)
            if isinstance(renewed, Refused):
                return renewed
            view, fresh = renewed, True
        raise LedgerUnavailable("the account changes faster than the request can be worked out")

    def _opened(self, job: Job) -> Job:
        job.trace.admitted_at = time.monotonic()
        job.trace.held = True
        self._admitted_one()
        return job

    def _prepare(self, ask: Ask, call: Call, view: KeyView, closer: int | None) -> Prepared | Refusal:
        snapshot, now_us = self._catalogue.current, self._writer.database_now_us()
        prepared = prepare(ask, call, Known(view, snapshot, now_us), input_tokens=closer)
        if isinstance(prepared, Refusal):
            return prepared
        problem = objection_to(ask.dialect, call, prepared.priced.spoken)
        return prepared if problem is None else malformed(problem)

    async def _admit(
        self, ask: Ask, prepared: Prepared, mark: Mark, claim: IdempotencyClaim | None
    ) -> Opened | NotAdmitted | Stale | Taken:
        view, price = prepared.view, prepared.price
        command = Admit(
            view.account.id,
            view.key.id,
            hold_of(ask.request_id),
            prepared.admission,
            self._hold_ttl_us,
            prepared.model_id,
            self._writer.boot,
            _describe(ask, prepared, mark.digest),
            prepared.catalogue_version,
            price.starts_us,
            price.until_us,
            claim,
        )
        answer = await self._writer.submit(command, patience_s=ADMIT_PATIENCE_S)
        if isinstance(answer, NotAdmitted) and answer.refusal.code is RefusalCode.IDEMPOTENCY_IN_PROGRESS:
            return Taken()
        if isinstance(answer, Opened | NotAdmitted | Stale):
            return answer
        raise LawBroken(1, f"admission was answered with {type(answer).__name__}")

    async def _closer(self, ask: Ask, call: Call, refusal: Refusal, known: int | None) -> int | None:
        """A tokenized bound of the input, where the cheap one is why the request was refused."""
        priced = self._catalogue.current.names.get(call.model)
        if known is not None or priced is None or refusal.code not in _TOKENIZING_MAY_HELP:
            return None
        bound, cheap = await bound_input(ask.dialect, call, priced.model.tokenizer), call.input_most
        return bound if bound is not None and cheap is not None and bound < cheap else None

    async def _renewed(self, ask: Ask) -> KeyView | Refused:
        """Read the key and the catalogue afresh."""
        await self._catalogue.verify()
        view = await self._keyring.load(digest_of(ask.secret))
        if view is None:
            return Refused(INVALID_KEY)
        refusal = caller_refusal(view, ask, view.read_us)
        return view if refusal is None else self._refused(refusal, ask, view)


INVALID_KEY = Refusal(
    RefusalCode.INVALID_API_KEY, "This API key is not known here. Check that it was copied whole, or make a new one."
)
_encode = msgspec.json.Encoder().encode


def _describe(ask: Ask, prepared: Prepared, mark: bytes) -> str:
    described = Described(
        prepared.model_id,
        ask.dialect.name,
        prepared.method.value,
        prepared.price.card.id,
        mark.hex(),
        prepared.call.stream,
    )
    return _encode(described).decode()
