"""One stream under way: bytes of the upstream to the client, metered, watched against the hold.

Bytes go on as they come; from the event that completes the answer on the meter withholds them
(Law 3). The hold grows as output flows (Law 1). A client that leaves closes the upstream at once
where its provider stops billing then; otherwise the answer is read to its end without it. What
the ending means for the charge is not decided here (`policy`).
"""

from __future__ import annotations

import asyncio
import contextlib

from farebox.admission.commands import Extend, Extended
from farebox.admission.holding import largest_output
from farebox.faults import Fault, LedgerUnavailable
from farebox.relay.ask import Client, TooSlow
from farebox.relay.attempts import Sent
from farebox.relay.job import Job
from farebox.relay.passing import content_type_of, headers_to_pass
from farebox.relay.policy import Ending
from farebox.relay.settle import KEPT_LIMIT_BYTES
from farebox.relay.watch import HoldWatch, OutputCount
from farebox.store.ledger_writer import LedgerWriter
from farebox.upstream.timeouts import Stage
from farebox.upstream.trouble import TimedOut, UpstreamFault
from farebox.wire.dialect import Meters

EXTEND_PATIENCE_S = 20.0
QUIET_START_S = 5.0
"""How long a provider that said yes may stay silent before the client is told so, and failover ends."""


class Record:
    """What a client was sent, kept for it to fetch again; forgotten when it becomes too long."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] | None = []
        self._size = 0

    def add(self, events: bytes) -> None:
        """One more piece."""
        self._size += len(events)
        if self._pieces is not None and self._size <= KEPT_LIMIT_BYTES:
            self._pieces.append(events)
        else:
            self._pieces = None

    def whole(self, tail: bytes) -> bytes | None:
        """All of it with its end; None if it was too long."""
        return None if self._pieces is None else b"".join(self._pieces) + tail


class Stream:
    """See the module. `starts`, then `run`, then `ending`."""

    __slots__ = (
        "_first", "_growing", "_mishap", "_writer", "cancelled", "client", "count", "exhausted", "job", "meter",
        "record", "sent", "trouble", "watch",
    )  # fmt: skip

    def __init__(self, job: Job, sent: Sent, client: Client, writer: LedgerWriter) -> None:
        self.job = job
        self.sent = sent
        self.client = client
        self.meter: Meters = sent.passage.meter(job.call_for(sent.passage))
        self.count = OutputCount(self.meter.output, job.prepared.priced.model.tokenizer)
        covered = job.opened.admitted.output_tokens
        self.watch = HoldWatch(covered) if job.watches_hold and covered is not None else None
        self.record: Record | None = None
        self.trouble: BaseException | None = None
        self.cancelled = False
        self.exhausted = False
        self._writer = writer
        self._first = b""
        self._growing: asyncio.Task[Extended | None] | None = None
        self._mishap: Fault | None = None
        """What went wrong where nothing may be raised."""

    async def starts(self) -> bool:
        """Wait for something to show; False when the upstream failed before it, so that another may be tried."""
        response, meter = self.sent.response, self.meter
        try:
            async with asyncio.timeout(QUIET_START_S):
                while not self._first and not meter.finished and meter.upstream_error is None:
                    chunk = await response.next_chunk()
                    self._first = meter.end() if chunk is None else meter.feed(chunk)
                    if chunk is None:
                        break
        except TimeoutError:
            return True
        except Fault as fault:
            self.trouble = fault
        return bool(self._first) or meter.finished

    @property
    def fault(self) -> UpstreamFault:
        """Why it failed, as a fault of the upstream."""
        return self.trouble if isinstance(self.trouble, UpstreamFault) else UpstreamFault("the stream broke off")

    def client_left(self) -> None:
        """Close the upstream at once if that stops its bill; an answer that only lacks its usage is read on."""
        if self.job.may_stop and not self.meter.finished:
            self.cancelled = True
            self.sent.response.close()

    async def run(self) -> None:
        """Pass on until there is nothing more. What went wrong, a cancellation too, is noted in `trouble`."""
        try:
            await self._begin()
            try:
                await self._pass_on()
            except TooSlow:
                if not self.job.keyed:
                    raise
                await self._pass_on()  # the client was cut off; its answer is finished for it all the same
        except (Fault, asyncio.CancelledError) as trouble:
            self.trouble = trouble
        finally:
            await self._finish_growing()

    async def _begin(self) -> None:
        """Tell the client that its stream begins, and keep what it is sent where it may ask for it again.

        That is with an idempotency key, or when it left before anything was sent: only then do SDKs
        repeat a stream by themselves.
        """
        job, client = self.job, self.client
        client.when_left(self.client_left)
        if job.is_wanted_later or client.left:
            self.record = Record()
        headers = headers_to_pass(self.sent.response.headers)
        if job.output_limit is not None:
            headers.append((b"x-max-tokens-applied", b"%d" % job.output_limit))
        content_type = content_type_of(job.prepared.call, self.sent.response.headers)
        await client.begin(job.standing(), job.queue_wait_ms, headers, content_type=content_type)

    async def _pass_on(self) -> None:
        """Until the upstream ends, an error event comes, or the credits run out."""
        response, meter, client, output = self.sent.response, self.meter, self.client, self.meter.output
        record, ready, self._first = self.record, self._first, b""
        ended = False
        while True:
            if ready:
                if record is not None:
                    record.add(ready)
                if not client.left:
                    await client.write(ready)
            if ended or meter.upstream_error is not None:
                return
            if self.count.must_drain:
                await self.count.drain()
            watch = self.watch
            if watch is not None and output.bytes_so_far >= watch.check_at_bytes and not meter.finished:
                self.exhausted = not await self._grow(watch)
                if self.exhausted:
                    return
            chunk = await response.next_chunk(self._at_once)
            if self._mishap is not None:
                raise self._mishap
            ended = chunk is None
            ready = meter.end() if chunk is None else meter.feed(chunk)

    def _at_once(self, chunk: bytes) -> bytes | None:
        """Pass a chunk on in the moment it arrives, which is all that most of them need.

        Answers what `_pass_on` must look at: the chunk itself where the client cannot take it or its answer is
        recorded, nothing but its attention where counting, the hold or an error is due; None otherwise.
        """
        client, meter, watch = self.client, self.meter, self.watch
        if self.record is not None or not client.takes_at_once:
            return chunk
        try:
            ready = meter.feed(chunk)
        except Fault as mishap:
            self._mishap = mishap
            return b""
        if ready:
            client.write_at_once(ready)
        if meter.upstream_error is not None or self.count.must_drain:
            return b""
        due = watch is not None and meter.output.bytes_so_far >= watch.check_at_bytes
        return b"" if due else None

    async def _grow(self, watch: HoldWatch) -> bool:
        """Hold more as output flows; False when all that is held is used up.

        Output goes on while an extension is under way, up to what is held; then it pauses for it.
        """
        tokens = await self.count.bound()
        while self.watch is not None and watch.may_grow and tokens >= watch.mark:
            if self._growing is None:
                self._growing = asyncio.create_task(self._extend())
            if tokens < watch.covered and not self._growing.done():
                watch.look_when_used_up(tokens, self.count.seen_bytes)
                return True
            await self._take_growth(watch)
        if self.watch is not None and tokens >= watch.covered:
            return False
        watch.look_again(tokens, self.count.seen_bytes)
        return True

    async def _extend(self) -> Extended | None:
        """More, as the ledger grants it; None where it does not."""
        command = Extend(self.job.hold, self.job.prepared.admission)
        answer = await self._writer.submit(command, patience_s=EXTEND_PATIENCE_S)
        return answer if isinstance(answer, Extended) else None

    async def _take_growth(self, watch: HoldWatch) -> None:
        """Wait for the extension under way. Raises `LedgerUnavailable` when its outcome is unknown."""
        growing, self._growing = self._growing, None
        extended = None if growing is None else await growing
        if extended is None:
            watch.may_grow = False
            return
        self.job.hold = extended.open
        watch.grown(extended.output_tokens)
        request = self.job.prepared.admission
        if extended.output_tokens + request.choices > largest_output(request):
            self.watch = None  # all the request can cause is held: nothing to watch any more

    async def _finish_growing(self) -> None:
        """The hold's end must know its last extension; where that is unknown, the end reads the hold anew."""
        if self._growing is not None and self.watch is not None:
            with contextlib.suppress(LedgerUnavailable):
                await self._take_growth(self.watch)

    def ending(self) -> Ending:
        """How it ended, for the policy."""
        meter, trouble = self.meter, self.trouble
        out_of_time = isinstance(trouble, TimedOut) and trouble.stage is Stage.TOTAL
        return Ending(
            complete=meter.finished and meter.upstream_error is None,
            left_cancelled=self.cancelled,
            left_drained=self.client.left and not self.cancelled,
            cut_by_us=out_of_time or isinstance(trouble, asyncio.CancelledError | LedgerUnavailable),
            too_slow=isinstance(trouble, TooSlow),
            exhausted=self.exhausted,
            produced=meter.saw_output,
        )
