"""One request, room by room: the orchestrator.

    key → once → parse → model, price, method, worst case → admission (Hold | Refusal)
        → a slot and an upstream → answer or chunks → usage → charge → capture → last byte

Enters: an `Ask` and its client. Leaves: a `Reply`. Each step lives in the module of its name;
this one only puts them in order, and looks again when the account, the key or the catalogue
turned out to be newer than what the request was worked out with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from hashlib import blake2b

import msgspec

from farebox.admission.access import check_caller
from farebox.admission.commands import Admit, Opened
from farebox.admission.commands import Refused as NotAdmitted
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.admission.state import Stale
from farebox.faults import LawBroken, LedgerUnavailable
from farebox.ids import hold_of
from farebox.relay.ask import Answered, Ask, Client, Refused, Reply, Standing, Streamed
from farebox.relay.buffered import Buffered, ledger_refusal
from farebox.relay.counting import bound_input
from farebox.relay.job import Described, Job, Stamp, Trace
from farebox.relay.once import Once
from farebox.relay.prepare import Prepared, caller_refusal, malformed, prepare
from farebox.relay.settle import Kept, Settler
from farebox.relay.standing import standing_of
from farebox.relay.stream import Streams
from farebox.store.catalogue import Catalogue
from farebox.store.keyring import Keyring, KeyView, digest_of
from farebox.store.ledger_writer import LedgerWriter
from farebox.wire.call import Call, Malformed

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


class Relay:
    """Answers model calls. Made by `main` from its neighbours."""

    def __init__(
        self,
        *,
        keyring: Keyring,
        catalogue: Catalogue,
        writer: LedgerWriter,
        once: Once,
        settler: Settler,
        buffered: Buffered,
        streams: Streams,
        hold_ttl_s: int,
        admitted: Callable[[], None],
    ) -> None:
        self._keyring = keyring
        self._catalogue = catalogue
        self._writer = writer
        self._once = once
        self._settler = settler
        self._buffered = buffered
        self._streams = streams
        self._admitted_one = admitted
        self._hold_ttl_us = hold_ttl_s * 1_000_000

    async def answer(self, ask: Ask, client: Client, trace: Trace) -> Reply:
        """Answer one call. Never raises for what a caller, a provider or the database did."""
        try:
            return await self._answer(ask, client, trace)
        except LedgerUnavailable:
            trace.stamp = Stamp.LEDGER_UNAVAILABLE.value
            return Refused(ledger_refusal())

    async def caller(self, secret: str, client_ip: str | None) -> KeyView | Refusal:
        """The key behind a secret, read afresh and allowed to ask. For everything but model calls."""
        view = await self._keyring.load(digest_of(secret))
        return INVALID_KEY if view is None else _refused_caller(view, client_ip) or view

    async def worked_out(self, ask: Ask) -> tuple[KeyView, Prepared | Refusal] | Refusal:
        """The request worked out on the newest state, without admission: what a quote shows."""
        view = await self.caller(ask.secret, ask.client_ip)
        if isinstance(view, Refusal):
            return view
        call = ask.dialect.parse(ask.body)
        if isinstance(call, Malformed):
            return view, malformed(call)
        await self._catalogue.verify()
        closer = await bound_input(ask.dialect, call, None)
        prepared = self._prepare(ask, call, view, None)
        if closer is not None and isinstance(prepared, Prepared) and closer < prepared.admission.input_tokens:
            return view, self._prepare(ask, call, view, closer)
        return view, prepared

    async def _answer(self, ask: Ask, client: Client, trace: Trace) -> Reply:
        view = await self._caller(ask)
        if isinstance(view, Refused):
            return view
        trace.account_id, trace.key_id = view.account.id, view.key.id
        fingerprint = blake2b(ask.dialect.name.encode() + ask.body, digest_size=16).digest()
        earlier = await self._once.earlier(ask, view, fingerprint)
        if earlier is not None:
            return await self._as_before(earlier, ask, view, client)
        call = ask.dialect.parse(ask.body)
        if isinstance(call, Malformed):
            return self._refused(malformed(call), ask, view)
        trace.stream = call.stream
        job = await self._admitted(ask, call, view, fingerprint, trace)
        if isinstance(job, Refused):
            return job
        return await self._run(job, client)

    async def _run(self, job: Job, client: Client) -> Reply:
        answering = self._streams if job.prepared.call.stream else self._buffered
        try:
            return await answering.answer(job, client)
        finally:
            job.trace.queue_wait_ms = job.queue_wait_ms
            job.trace.attempts = len(job.attempts)
            job.trace.channel = job.channel or None
            if job.trace.stamp is None:
                # Cancelled, or a mistake of ours: the hold must end all the same (Law 2).
                await asyncio.shield(self._settler.void(job, Stamp.ABANDONED))

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
        return Refused(refusal, standing_of(view, self._catalogue.current, ask.dialect.resource))

    async def _as_before(self, earlier: Kept | Refusal, ask: Ask, view: KeyView, client: Client) -> Reply:
        if isinstance(earlier, Refusal):
            return self._refused(earlier, ask, view)
        standing = standing_of(view, self._catalogue.current, ask.dialect.resource)
        if not earlier.stream:
            return Answered(earlier.body, standing, None, [], replayed=True)
        await client.begin(standing, 0, [(b"idempotent-replayed", b"true")])
        await client.write(earlier.body)
        await client.end()
        return Streamed()

    # Admission ------------------------------------------------------------------------------

    async def _admitted(self, ask: Ask, call: Call, view: KeyView, fingerprint: bytes, trace: Trace) -> Job | Refused:
        """Work the request out and have it admitted; look again when anything was out of date."""
        closer: int | None = None
        for look in range(_LOOKS):
            prepared = self._prepare(ask, call, view, closer)
            fresh = look > 0
            if isinstance(prepared, Prepared):
                trace.model = prepared.model_id
                answer = await self._admit(ask, prepared, fingerprint)
                if isinstance(answer, Opened):
                    trace.admitted_at = time.monotonic()
                    trace.held = True
                    self._admitted_one()
                    return Job(ask, prepared, answer, fingerprint=fingerprint, trace=trace)
                if isinstance(answer, NotAdmitted):
                    closer_bound = await self._closer(ask, prepared, answer.refusal, closer)
                    if closer_bound is None:
                        standing = Standing(answer.rate, prepared.tier.priority, ask.dialect.resource)
                        return Refused(answer.refusal, standing)
                    closer = closer_bound
                    continue
            elif fresh:
                return self._refused(prepared, ask, view)
            renewed = await self._renewed(ask)
            if isinstance(renewed, Refused):
                return renewed
            view = renewed
        raise LedgerUnavailable("the account changes faster than the request can be worked out")

    def _prepare(self, ask: Ask, call: Call, view: KeyView, closer: int | None) -> Prepared | Refusal:
        snapshot, now_us = self._catalogue.current, self._writer.database_now_us()
        return prepare(ask, call, view, snapshot, now_us=now_us, input_tokens=closer)

    async def _admit(self, ask: Ask, prepared: Prepared, fingerprint: bytes) -> Opened | NotAdmitted | Stale:
        view, price = prepared.view, prepared.price
        command = Admit(
            view.account.id,
            view.key.id,
            hold_of(ask.request_id),
            prepared.admission,
            self._hold_ttl_us,
            prepared.model_id,
            self._writer.boot,
            _describe(ask, prepared, fingerprint),
            prepared.catalogue_version,
            price.starts_us,
            price.until_us,
            self._once.claim_of(ask, fingerprint),
        )
        answer = await self._writer.submit(command, patience_s=ADMIT_PATIENCE_S)
        if isinstance(answer, Opened | NotAdmitted | Stale):
            return answer
        raise LawBroken(1, f"admission was answered with {type(answer).__name__}")

    async def _closer(self, ask: Ask, prepared: Prepared, refusal: Refusal, known: int | None) -> int | None:
        """A tokenized bound of the input, where the cheap one is why the request was refused."""
        if known is not None or refusal.code not in _TOKENIZING_MAY_HELP:
            return None
        bound = await bound_input(ask.dialect, prepared.call, prepared.priced.model.tokenizer)
        return bound if bound is not None and bound < prepared.admission.input_tokens else None

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


def _refused_caller(view: KeyView, client_ip: str | None) -> Refusal | None:
    return check_caller(view.account, view.key, client_ip, now_us=view.read_us)


def _describe(ask: Ask, prepared: Prepared, fingerprint: bytes) -> str:
    described = Described(
        prepared.model_id,
        ask.dialect.name,
        prepared.method.value,
        prepared.price.card.id,
        fingerprint.hex(),
        prepared.call.stream,
    )
    return _encode(described).decode()
