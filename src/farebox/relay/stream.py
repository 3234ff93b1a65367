"""A streamed answer: sent for, passed on, charged, and only then ended for the client (Law 3).

However a stream ends, by itself, by a client that leaves, by an upstream that dies or by credits
that run out, `policy` names the row and the hold ends once (Law 2). `flow` moves the bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType

from farebox.faults import LedgerUnavailable
from farebox.money import format_credits
from farebox.relay.ask import Client, Reply, Streamed, TooSlow
from farebox.relay.attempts import Sent, Upstreams
from farebox.relay.buffered import ledger_refusal, refused_upstream
from farebox.relay.conversations import Conversations, whole_in
from farebox.relay.flow import Stream
from farebox.relay.job import Job, Stamp
from farebox.relay.passing import content_type_of
from farebox.relay.policy import Basis, Ending, Ruling, is_empty, rule_on
from farebox.relay.settle import Judged, Kept, Settler
from farebox.relay.unsent import CallerRefused, NotSent
from farebox.relay.watch import OutputCount
from farebox.store.ledger_writer import LedgerWriter
from farebox.tariff.meters import output_tokens
from farebox.tariff.rate import UsageSource
from farebox.wire.output import OutputText


class ClientGone(Exception):
    """Unwinds the wait for an answer nobody waits for; never leaves this module."""


class Streams:
    """Relays streams for the requests of this process."""

    def __init__(
        self,
        upstreams: Upstreams,
        settler: Settler,
        writer: LedgerWriter,
        conversations: Conversations,
        *,
        charge_what_died: bool,
    ) -> None:
        self._upstreams = upstreams
        self._settler = settler
        self._writer = writer
        self._conversations = conversations
        self._charge_what_died = charge_what_died

    async def answer(self, job: Job, client: Client) -> Reply:
        """Send, pass on, charge, end."""
        try:
            with _Patience(job, client):
                stream = await self._start(job, client)
        except ClientGone:
            return await self._nobody_waits(job)
        if not isinstance(stream, Stream):
            return await refused_upstream(job, stream, self._settler)
        ending = await self._pass(stream)
        return await self._finish(stream, ending)

    async def _start(self, job: Job, client: Client) -> Stream | CallerRefused | NotSent:
        """A stream with something to show; providers that fail before that are passed over."""
        last: NotSent | None = None
        while True:
            sent = await self._upstreams.send(job, last)
            if not isinstance(sent, Sent):
                return sent
            stream = Stream(job, sent, client, self._writer)
            try:
                started = await stream.starts()
            except BaseException:
                self._upstreams.close(sent)
                raise
            if started:
                return stream
            last = self._upstreams.failed(job, sent, stream.fault)

    async def _nobody_waits(self, job: Job) -> Reply:
        """The client left before there was anything to send. What went out is charged: the input."""
        ruling = self._rule_on(job, Ending(left_cancelled=True))
        if job.asked is None or ruling.basis is Basis.NOTHING:
            await self._settler.void(job, ruling.stamp)
            return Streamed()
        judged = await self._settler.counted(job, OutputCount(OutputText(), None))
        charge = self._settler.price(job, judged, service_tier=None, at_most=job.hold.hold.amount)
        await self._settler.capture(job, charge, ruling.stamp)
        return Streamed()

    async def _pass(self, stream: Stream) -> Ending:
        try:
            await stream.run()
            return stream.ending()
        finally:
            stream.client.when_left(None)
            self._close(stream)

    def _close(self, stream: Stream) -> None:
        """Health follows from how the upstream ended, not from what we or the client did."""
        ending = stream.ending()
        if ending.complete:
            self._upstreams.done(stream.sent)
        elif ending.exhausted or ending.left_cancelled or ending.cut_by_us or ending.too_slow:
            self._upstreams.close(stream.sent)
        else:
            self._upstreams.failed(stream.job, stream.sent, stream.fault)

    async def _finish(self, stream: Stream, ending: Ending) -> Reply:
        """Charge, then end the stream; also one that shutdown cancelled, which is over with that."""
        client = stream.client
        try:
            tail = await self._settle(stream, ending)
        except LedgerUnavailable:
            refusal = ledger_refusal()
            tail = stream.meter.error_event(refusal.code.value, refusal.message)
        if tail is not None:
            with contextlib.suppress(TooSlow):
                await client.write(tail)
            await client.end()
        return Streamed()

    async def _settle(self, stream: Stream, ending: Ending) -> bytes | None:
        """End the hold by the row that applies; the bytes that end the stream, None if it can only break off."""
        job, meter, settler = stream.job, stream.meter, self._settler
        ruling = self._rule_on(job, ending)
        if ruling.basis is Basis.NOTHING:
            # What the provider will bill all the same is counted, for the operator's books.
            done = await settler.counted(job, stream.count) if ending.produced else None
            await settler.void(job, ruling.stamp, done=done, service_tier=meter.service_tier)
            return _failure(stream, "Nothing was charged.")
        judged = await self._judge(stream, ruling)
        if ending.complete and _is_free(stream, judged):
            tail = _end(stream, "0", judged, ruling)
            await self._conversations.keep(job, stream.sent, tail or b"", whole_in(meter))
            await settler.void(job, Stamp.EMPTY, done=judged, service_tier=meter.service_tier)
            return tail
        # What was counted up to a cut may not exceed what was held; a complete answer's usage may.
        at_most = job.hold.hold.amount if ruling.basis is Basis.COUNTED else None
        charge = settler.price(job, judged, service_tier=meter.service_tier, at_most=at_most)
        tail = _end(stream, format_credits(charge.amount), judged, ruling)
        await self._conversations.keep(job, stream.sent, tail or b"", whole_in(meter))
        kept = None if tail is None else _kept(stream, tail)
        await settler.capture(job, charge, _stamp(ruling, judged), flags=judged.flags, kept=kept)
        return tail

    async def _judge(self, stream: Stream, ruling: Ruling) -> Judged:
        if ruling.basis is Basis.REPORTED:
            return await self._settler.judge(
                stream.job, stream.meter.usage, stream.count, stream.sent.passage.convention
            )
        return await self._settler.counted(stream.job, stream.count)

    def _rule_on(self, job: Job, ending: Ending) -> Ruling:
        return rule_on(ending, per_call=job.per_call, charge_what_died=self._charge_what_died)


class _Patience:
    """Ends a wait for an upstream when the client leaves meanwhile and the work may stop."""

    def __init__(self, job: Job, client: Client) -> None:
        self._job = job
        self._client = client
        self._gone = False
        self._task = asyncio.current_task()

    def __enter__(self) -> None:
        if self._client.left and self._job.may_stop:
            raise ClientGone
        self._client.when_left(self._left)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.when_left(None)
        if self._gone and kind is asyncio.CancelledError and self._task is not None and not self._task.uncancel():
            raise ClientGone from error

    def _left(self) -> None:
        if self._job.may_stop and self._task is not None:
            self._gone = True
            self._task.cancel()


def _is_free(stream: Stream, judged: Judged) -> bool:
    if judged.delivered is not None:
        return not judged.delivered
    if not stream.job.prepared.call.has_output:
        return False
    if stream.job.per_call and stream.meter.saw_output:
        return False
    return is_empty(
        output_tokens=output_tokens(judged.usage),
        finish_reasons=list(stream.meter.finish_reasons.values()),
        has_stop=stream.job.prepared.call.has_stop,
    )


def _stamp(ruling: Ruling, judged: Judged) -> Stamp:
    counted = ruling.stamp is Stamp.PROVIDER and judged.source is UsageSource.COUNTED
    return Stamp.COUNTED if counted else ruling.stamp


def _kept(stream: Stream, tail: bytes) -> Kept | None:
    whole = None if stream.record is None else stream.record.whole(tail)
    if whole is None:
        return None
    call = stream.job.prepared.call
    content_type = content_type_of(call, stream.sent.response.headers) if call.answer_type else b""
    return Kept(whole, True, content_type)


def _end(stream: Stream, charged: str, judged: Judged, ruling: Ruling) -> bytes | None:
    """What ends the stream for the client, once the charge is committed; None: nothing can."""
    counted = judged.usage if judged.source is UsageSource.COUNTED else None
    match ruling.stamp:
        case Stamp.UPSTREAM_DIED:
            return _failure(stream, "What had been produced was charged.")
        case Stamp.CREDITS_EXHAUSTED | Stamp.GATEWAY_CUT:
            return stream.meter.cut_short(charged, counted=counted)
        case _:
            return stream.meter.finish(charged, counted=counted)


def _failure(stream: Stream, charged: str) -> bytes | None:
    """The dialect's error event, if it has one; no end mark follows it."""
    return stream.meter.error_event("upstream_error", f"The provider's answer broke off. {charged}")
