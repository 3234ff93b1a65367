"""A streamed answer: metered as it passes, its end withheld until the charge is committed (Law 3).

Bytes of the upstream go to the client as they come; from the event that completes the answer
on they wait. The hold grows as output flows (Law 1). However the stream ends, by itself, by a
client that leaves, by an upstream that dies or by credits that run out, `policy` names the row
and the hold ends once.
"""

from __future__ import annotations

import asyncio

from farebox.admission.commands import Extend, Extended
from farebox.faults import Fault, LedgerUnavailable
from farebox.money import format_credits
from farebox.relay.ask import Client, Refused, Reply, Streamed
from farebox.relay.attempts import Sent, Upstreams
from farebox.relay.buffered import has_stop, ledger_refusal, refused_upstream
from farebox.relay.job import Job, Stamp
from farebox.relay.passing import headers_to_pass
from farebox.relay.policy import Basis, Ending, Ruling, is_empty, rule_on
from farebox.relay.settle import Judged, Kept, Settler
from farebox.relay.watch import HoldWatch, OutputCount
from farebox.store.ledger_writer import LedgerWriter
from farebox.tariff.compiled import Method
from farebox.tariff.meters import output_tokens
from farebox.tariff.rate import Charge, UsageSource
from farebox.upstream.trouble import UpstreamFault
from farebox.wire.dialect import Meters

EXTEND_PATIENCE_S = 20.0


class TooSlow(Fault):
    """The client does not read; raised by the edge's `write`."""


class Streams:
    """Relays streams for the requests of this process."""

    def __init__(self, upstreams: Upstreams, settler: Settler, writer: LedgerWriter, *, charge_what_died: bool) -> None:
        self._upstreams = upstreams
        self._settler = settler
        self._writer = writer
        self._charge_what_died = charge_what_died
        self.stopping = asyncio.Event()
        """Set at shutdown, when running streams have had their time."""

    async def answer(self, job: Job, client: Client) -> Reply:
        """Send, pass on, charge, end."""
        sent = await self._upstreams.send(job)
        if not isinstance(sent, Sent):
            return await refused_upstream(job, sent, self._settler)
        stream = Stream(job, sent, client, self._writer)
        try:
            ending = await self._pass(stream)
        finally:
            client.when_left(None)
            self._close(stream)
        return await self._finish(stream, ending)

    async def _pass(self, stream: Stream) -> Ending:
        client, job = stream.client, stream.job
        client.when_left(stream.client_left)
        await client.begin(job.standing(), job.queue_wait_ms, headers_to_pass(stream.sent.response.headers))
        try:
            await stream.pass_on()
        except (UpstreamFault, Fault, asyncio.CancelledError) as trouble:
            stream.trouble = trouble
        return stream.ending()

    def _close(self, stream: Stream) -> None:
        if stream.meter.finished and stream.trouble is None:
            self._upstreams.done(stream.sent)
        elif isinstance(stream.trouble, UpstreamFault) and not stream.cancelled:
            self._upstreams.failed(stream.job, stream.sent, stream.trouble)
        else:
            self._upstreams.close(stream.sent)

    async def _finish(self, stream: Stream, ending: Ending) -> Reply:
        ruling = rule_on(ending, charge_what_died=self._charge_what_died)
        try:
            tail = await self._settle(stream, ruling, ending)
        except LedgerUnavailable:
            refusal = ledger_refusal()
            if not stream.began:
                return Refused(refusal, stream.job.standing())
            tail = stream.meter.error_event(refusal.code.value, refusal.message)
        await stream.client.write(tail)
        await stream.client.end()
        if isinstance(stream.trouble, asyncio.CancelledError):
            raise stream.trouble
        return Streamed()

    async def _settle(self, stream: Stream, ruling: Ruling, ending: Ending) -> bytes:
        """End the hold by the row that applies; the bytes that end the stream."""
        job, meter, settler = stream.job, stream.meter, self._settler
        if ruling.basis is Basis.NOTHING:
            await settler.void(job, ruling.stamp)
            return stream.failure()
        if ruling.basis is Basis.REPORTED:
            judged = await settler.judge(job, meter.usage, stream.count)
        else:
            judged = await settler.counted(job, stream.count)
        if ending.complete and self._is_free(stream, judged):
            await settler.void(job, Stamp.EMPTY, flags=judged.flags)
            return stream.end("0", judged, ruling)
        stamp = ruling.stamp
        if stamp is Stamp.PROVIDER and judged.source is UsageSource.COUNTED:
            stamp = Stamp.COUNTED
        # What was counted up to a cut may not exceed what was held; a complete answer's usage may.
        at_most = job.hold.hold.amount if stamp is Stamp.CREDITS_EXHAUSTED else None
        charge = settler.price(job, judged, service_tier=meter.service_tier, at_most=at_most)
        tail = stream.end(format_credits(charge.amount), judged, ruling)
        await settler.capture(job, charge, stamp, flags=judged.flags, kept=self._kept(stream, tail, charge))
        return tail

    def _is_free(self, stream: Stream, judged: Judged) -> bool:
        if stream.job.prepared.method is Method.CALL and stream.meter.saw_output:
            return False
        return is_empty(
            output_tokens=output_tokens(judged.usage),
            finish_reasons=list(stream.meter.finish_reasons.values()),
            has_stop=has_stop(stream.job),
        )

    def _kept(self, stream: Stream, tail: bytes, charge: Charge) -> Kept | None:
        if stream.record is None or not (stream.job.keyed or stream.client.left):
            return None
        return Kept(b"".join(stream.record) + tail, True)


class Stream:
    """One stream under way."""

    __slots__ = (
        "began", "cancelled", "client", "count", "exhausted", "job", "meter", "record", "sent", "trouble", "watch",
        "writer",
    )  # fmt: skip

    def __init__(self, job: Job, sent: Sent, client: Client, writer: LedgerWriter) -> None:
        self.job = job
        self.sent = sent
        self.client = client
        self.writer = writer
        self.meter: Meters = job.ask.dialect.meter(job.prepared.call)
        self.count = OutputCount(self.meter.output, job.prepared.priced.model.tokenizer)
        covered = job.opened.admitted.output_tokens
        self.watch = HoldWatch(covered) if job.watches_hold and covered is not None else None
        self.record: list[bytes] | None = [] if job.keyed else None
        """What the client was sent, to be kept for it."""
        self.trouble: BaseException | None = None
        self.cancelled = False
        self.exhausted = False
        self.began = False

    def client_left(self) -> None:
        """Close the upstream at once where its provider stops billing then; else read on."""
        if not self.sent.lease.channel.bills_after_disconnect and not self.job.keyed:
            self.cancelled = True
            self.sent.response.close()

    async def pass_on(self) -> None:
        """Until the upstream ends, an error event comes, or the credits run out."""
        response, meter, client, output = self.sent.response, self.meter, self.client, self.meter.output
        watch, record = self.watch, self.record
        self.began = True
        while (chunk := await response.next_chunk()) is not None:
            ready = meter.feed(chunk)
            if ready:
                if record is not None:
                    record.append(ready)
                if not client.left:
                    await client.write(ready)
            if meter.upstream_error is not None:
                return
            if self.count.must_drain:
                await self.count.drain()
            if watch is not None and output.bytes_so_far >= watch.check_at_bytes and not await self._grow(watch):
                self.exhausted = True
                return
        rest = meter.end()
        if rest and not client.left:
            await client.write(rest)

    async def _grow(self, watch: HoldWatch) -> bool:
        """Hold more as output flows; False when all that is held is used up."""
        tokens = await self.count.bound()
        if tokens >= watch.mark and watch.may_grow:
            watch.may_grow = await self._extend(watch)
        if tokens >= watch.covered:
            return False
        watch.look_again(tokens, self.count.seen_bytes)
        return True

    async def _extend(self, watch: HoldWatch) -> bool:
        answer = await self.writer.submit(
            Extend(self.job.hold, self.job.prepared.admission), patience_s=EXTEND_PATIENCE_S
        )
        if not isinstance(answer, Extended):
            return False
        self.job.hold = answer.open
        watch.grown(answer.output_tokens)
        return watch.may_grow

    def ending(self) -> Ending:
        """How it ended, for the policy."""
        meter = self.meter
        upstream_fault = isinstance(self.trouble, UpstreamFault) and not self.cancelled
        return Ending(
            complete=meter.finished and meter.upstream_error is None,
            left_cancelled=self.cancelled,
            left_drained=self.client.left and not self.cancelled,
            cut_by_us=self.trouble is not None and not upstream_fault,
            exhausted=self.exhausted,
            produced=meter.saw_output,
        )

    def end(self, charged: str, judged: Judged, ruling: Ruling) -> bytes:
        """The events that end the stream for the client, once the charge is committed."""
        counted = judged.usage if judged.source is UsageSource.COUNTED else None
        if ruling.stamp in (Stamp.CREDITS_EXHAUSTED, Stamp.GATEWAY_CUT):
            return self.meter.cut_short(charged, counted=counted)
        if ruling.stamp is Stamp.UPSTREAM_DIED:
            return self.failure()
        return self.meter.finish(charged, counted=counted)

    def failure(self) -> bytes:
        """The dialect's error event; no end mark follows it."""
        message = "The provider's answer broke off. " + (
            "What had been produced was charged."
            if self.job.trace.stamp == Stamp.UPSTREAM_DIED
            else "Nothing was charged."
        )
        return self.meter.error_event("upstream_error", message)
