"""The end of a request's hold: usage to charge, charge to the ledger, and what the receipt keeps.

Every request that holds ends here, once (Law 2), by a row of the failure policy (Law 5). An
answer's last byte waits for `capture` (Law 3). When the ledger cannot answer, the end is tried
again under the same identity for as long as `CAPTURE_PATIENCE_S`; after that the customer gets
an error, and the hold is ended in the background: voided, or, where the charge turns out to be
committed, reversed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec

from farebox.admission.commands import Answer, Capture, Ended, Void
from farebox.admission.refusals import Refusal
from farebox.faults import LawBroken, LedgerUnavailable
from farebox.money import Nano
from farebox.relay.counting import count_input
from farebox.relay.job import Attempt, Job, Stamp
from farebox.relay.watch import OutputCount
from farebox.store.ledger_writer import LedgerWriter
from farebox.tariff.compiled import Method, Unpriced
from farebox.tariff.conditions import Circumstances
from farebox.tariff.meters import CACHED_TOKENS, TOKENS, Meter, Usage
from farebox.tariff.rate import Basis, Charge, UsageSource, rate
from farebox.upstream.secrets import KeyRing
from farebox.wire.usage import Convention, ReportedUsage, UsageFault, check_bounds, counted_usage, read_usage

CAPTURE_PATIENCE_S = 20.0
RESOLVE_EVERY_S = 1.0
KEPT_FOR_US = 24 * 3600 * 1_000_000
JOINABLE_FOR_US = 10 * 60 * 1_000_000
KEPT_LIMIT_BYTES = 8 * 1024 * 1024


class Borne(msgspec.Struct, frozen=True, omit_defaults=True):
    """Work that a provider did and no customer is charged for."""

    usage: Usage
    usage_source: UsageSource
    offer: str
    upstream_cost: Nano | None = None
    """None: not known."""


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a charge row keeps beside its columns: enough to work the charge out again (Law 8)."""

    request_id: str
    charge: Charge | None = None
    attempts: tuple[Attempt, ...] = ()
    flags: tuple[str, ...] = ()
    """Why usage was not believed, and the like."""
    queue_wait_ms: int = 0
    stream: bool = False
    dialect: str = ""
    borne: Borne | None = None


class Judged(msgspec.Struct, frozen=True, gc=False):
    """Usage to charge by, and where it came from."""

    usage: Usage
    source: UsageSource
    flags: tuple[str, ...] = ()
    delivered: int | None = None
    """Images that came, of those asked for; None where answers are not counted in images."""


class Kept(msgspec.Struct, frozen=True):
    """An answer kept for its caller, sealed in the database."""

    body: bytes
    stream: bool
    content_type: bytes = b""
    """Where it is neither JSON nor events."""


class Settler:
    """Ends holds for the requests of this process."""

    def __init__(
        self,
        writer: LedgerWriter,
        key_ring: KeyRing,
        *,
        committed: Callable[[Job, Ended], None],
        reverse: Callable[[Job, Nano], Awaitable[None]],
    ) -> None:
        self._writer = writer
        self._key_ring = key_ring
        self._committed = committed
        self._reverse = reverse
        self._unresolved: set[asyncio.Task[None]] = set()

    async def judge(self, job: Job, stated: msgspec.Raw | None, output: OutputCount, convention: Convention) -> Judged:
        """The usage to charge a complete answer by: as reported if plausible, else counted and flagged."""
        if job.prepared.call.measured and _counts_no_tokens(job):
            return await self.counted(job, output)
        fault = UsageFault.MISSING
        if stated is not None:
            call = job.prepared.call
            read = read_usage(stated, convention, cache_write_meter=call.cache_write_meter)
            problem = read if isinstance(read, UsageFault) else _implausible(job, read, output)
            if isinstance(read, ReportedUsage) and problem is None:
                usage = _with_units(job, read.meters, output.delivered)
                return Judged(usage, UsageSource.PROVIDER, delivered=output.delivered)
            fault = problem or fault
        elif output.delivered is not None and _counts_no_tokens(job):
            usage = _with_units(job, Usage({}), output.delivered)
            return Judged(usage, UsageSource.PROVIDER, delivered=output.delivered)
        return await self.counted(job, output, flags=(f"usage_{fault.value}",))

    async def counted(self, job: Job, output: OutputCount, *, flags: tuple[str, ...] = ()) -> Judged:
        """The usage as we counted it: the prompt's text, and the output seen."""
        if job.prepared.call.measured and _counts_no_tokens(job):
            return Judged(_measured(job, output), UsageSource.COUNTED, (*flags, "measured"))
        model = job.prepared.priced.model
        given = await count_input(job.ask.dialect, job.prepared.call, model.tokenizer)
        produced, reasoned = await output.total()
        has_output = job.prepared.call.has_output
        usage = counted_usage(
            input_count=given, output_count=produced if has_output else None, reasoning_count=reasoned
        )
        if output.searches:  # at most those that were held, which had a price
            usage[Meter.SEARCHES] = min(output.searches, job.prepared.call.at_most.get(Meter.SEARCHES, 0))
        made = job.prepared.call.typical[0]  # speech and images have prices of their own
        if made is not Meter.OUTPUT and Meter.OUTPUT in usage:
            usage[made] = usage.pop(Meter.OUTPUT)
        usage = _with_units(job, usage, output.delivered)
        return Judged(usage, UsageSource.COUNTED, flags, delivered=output.delivered)

    def price(self, job: Job, judged: Judged, *, service_tier: str | None, at_most: Nano | None = None) -> Charge:
        """Rate a usage by the card in force on arrival. `judge` lets no meter through that has no price (Law 10)."""
        prepared = job.prepared
        basis = _basis(job, judged, service_tier, at_most)
        charge = rate(prepared.price.card, basis)
        if isinstance(charge, Unpriced):
            raise LawBroken(10, f"{prepared.model_id} was admitted and a meter of its usage has no price")
        upstream_cost = _upstream_cost(job, basis)
        return charge if upstream_cost is None else msgspec.structs.replace(charge, upstream_cost=upstream_cost)

    async def capture(
        self, job: Job, charge: Charge, stamp: Stamp, *, flags: tuple[str, ...] = (), kept: Kept | None = None
    ) -> Ended:
        """Commit the charge; only then may the answer's last byte go out (Law 3).

        Raises `LedgerUnavailable` when that could not be confirmed; the end is then seen to here.
        """
        sealed = self._seal(job, kept)
        command = Capture(
            job.hold,
            charge.amount,
            _tokens_used(charge),
            stamp.value,
            _encode(self._receipt(job, charge, flags)).decode(),
            sealed,
            self._writer.database_now_us() + (KEPT_FOR_US if job.keyed else JOINABLE_FOR_US),
            job.keyed,
            job.mark.digest,
        )
        return await self._end(job, command, stamp, fetchable=sealed is not None)

    async def void(
        self, job: Job, stamp: Stamp, *, done: Judged | None = None, service_tier: str | None = None
    ) -> Ended:
        """End the hold without a charge; `done` is work that is then ours to pay. Raises as `capture` does."""
        receipt = self._receipt(job, None, () if done is None else done.flags)
        if done is not None:
            basis = _basis(job, done, service_tier, None)
            borne = Borne(done.usage, done.source, job.channel, _upstream_cost(job, basis))
            receipt = msgspec.structs.replace(receipt, borne=borne)
        void = Void(job.hold, stamp.value, _encode(receipt).decode(), keyed=job.keyed)
        return await self._end(job, void, stamp)

    async def close(self) -> None:
        """Wait for ends that are still being seen to."""
        if self._unresolved:
            await asyncio.wait(self._unresolved, timeout=CAPTURE_PATIENCE_S)

    async def _end(self, job: Job, command: Capture | Void, stamp: Stamp, *, fetchable: bool = False) -> Ended:
        job.trace.settling_at = time.monotonic()
        try:
            ended = await self._submit(command)
            if isinstance(ended, Refusal):
                raise LedgerUnavailable("the hold had ended, and its idempotency key was given back")
        except LedgerUnavailable:
            job.trace.stamp = Stamp.LEDGER_UNAVAILABLE.value
            task = asyncio.create_task(self._resolve_later(job, fetchable=fetchable))
            self._unresolved.add(task)
            task.add_done_callback(self._unresolved.discard)
            raise
        if not isinstance(ended, Ended):
            raise LawBroken(2, f"the end of {job.hold.hold.id} was answered with {type(ended).__name__}")
        job.trace.stamp = stamp.value
        job.trace.settled_at = time.monotonic()
        self._committed(job, ended)
        return ended

    async def _submit(self, command: Capture | Void) -> Answer:
        """Also when shutdown cancels the request meanwhile: its end is under way, so its last byte is due.

        The same command again has the first one's result (Law 9).
        """
        try:
            return await self._writer.submit(command, patience_s=CAPTURE_PATIENCE_S)
        except asyncio.CancelledError:
            return await self._writer.submit(command, patience_s=CAPTURE_PATIENCE_S)

    async def _resolve_later(self, job: Job, *, fetchable: bool) -> None:
        """The customer got an error: void the hold, as often as it takes.

        A charge found committed is given back, unless its answer was kept with it and can be fetched.
        """
        receipt = _encode(self._receipt(job, None, ())).decode()
        void = Void(job.hold, Stamp.LEDGER_UNAVAILABLE.value, receipt, keyed=job.keyed)
        while True:
            try:
                ended = await self._writer.submit(void, patience_s=CAPTURE_PATIENCE_S)
                if isinstance(ended, Ended) and ended.amount and not fetchable:
                    await self._reverse(job, ended.amount)
            except LedgerUnavailable:
                await asyncio.sleep(RESOLVE_EVERY_S)
                continue
            if isinstance(ended, Ended):
                self._committed(job, ended)
            return

    def _receipt(self, job: Job, charge: Charge | None, flags: tuple[str, ...]) -> Receipt:
        return Receipt(
            job.ask.request_id,
            charge,
            tuple(job.attempts),
            flags,
            job.queue_wait_ms,
            job.prepared.call.stream,
            job.ask.dialect.name,
        )

    def _seal(self, job: Job, kept: Kept | None) -> bytes | None:
        if kept is None or len(kept.body) > KEPT_LIMIT_BYTES:
            return None
        return self._key_ring.seal(msgspec.msgpack.encode(kept), row=job.hold.hold.id)


_encode = msgspec.json.Encoder().encode
_LIMITED_TOKENS = TOKENS - CACHED_TOKENS


def _implausible(job: Job, read: ReportedUsage, output: OutputCount) -> UsageFault | None:
    """More than was sent, more than was allowed, nothing for what was seen, or a meter without a price (Law 10)."""
    prepared = job.prepared
    if output.seen_bytes and not read.output and prepared.call.has_output:
        return UsageFault.NO_OUTPUT_THOUGH_SEEN
    fault = check_bounds(
        read,
        input_most=prepared.admission.input_tokens,
        output_most=job.output_most,
        at_most=prepared.call.at_most,
    )
    if fault is None and prepared.method is Method.TOKENS:
        priced = prepared.price.card.plain.numerators
        for meter, quantity in read.meters.items():
            if quantity and meter not in priced:
                return UsageFault.UNREADABLE
    return fault


def _counts_no_tokens(job: Job) -> bool:
    """Charged by the call, the image, the character or the second: there is no usage to be told."""
    call = job.prepared.call
    return job.per_call or (not call.has_output and call.input_most == 0)


def _measured(job: Job, output: OutputCount) -> Usage:
    """What was measured before, and the seconds of speech that came where a second has a price."""
    call = job.prepared.call
    heard = {Meter.AUDIO_SECONDS: output.audio_ms} if call.at_most.get(Meter.AUDIO_SECONDS) else {}
    return Usage({**heard, **dict(call.units)})


def _with_units(job: Job, usage: Usage, delivered: int | None) -> Usage:
    """Usage with what a request is charged for by being made, and no provider reports (d37); images once they came."""
    if not job.prepared.call.units:
        return usage
    units = dict(job.prepared.call.units)
    if Meter.IMAGES in units:
        units[Meter.IMAGES] = min(delivered or 0, units[Meter.IMAGES])
    return Usage({**units, **usage})


def _units_of_call(job: Job, judged: Judged) -> int:
    """Units of a call price: those that came. An answer its own client left after it began is charged in full (d60)."""
    asked = job.prepared.call.choices
    return min(judged.delivered, asked) if judged.delivered else asked


def _basis(job: Job, judged: Judged, service_tier: str | None, at_most: Nano | None) -> Basis:
    prepared = job.prepared
    return Basis(
        prepared.method,
        Circumstances(job.now_us, service_tier=service_tier, parameters=dict(prepared.call.parameters)),
        judged.usage,
        judged.source,
        _units_of_call(job, judged) if prepared.method is Method.CALL else 0,
        offer=job.channel,
        at_most=at_most,
    )


def _tokens_used(charge: Charge) -> int:
    """What counts towards tokens per minute."""
    return sum([count for meter, count in charge.basis.usage.items() if meter in _LIMITED_TOKENS])


def _upstream_cost(job: Job, basis: Basis) -> Nano | None:
    """What we pay for the same work, where the cost card of the offer that served can say."""
    prepared = job.prepared
    card = prepared.priced.cost_at(job.channel, prepared.price, job.now_us)
    if card is None:
        return None
    method = basis.method if basis.method in card.methods else next(iter(card.methods), None)
    if method is None:
        return None
    usage = {meter: count for meter, count in basis.usage.items() if meter is not Meter.CALLS}
    if Meter.CALLS in card.base_rates:
        usage[Meter.CALLS] = 1  # whether we pay a fee for the call is not what the customer does
    units = basis.units or prepared.call.choices if method is Method.CALL else 0
    ours = msgspec.structs.replace(basis, method=method, usage=Usage(usage), units=units, at_most=None)
    charged = rate(card, ours)
    return None if isinstance(charged, Unpriced) else charged.amount
