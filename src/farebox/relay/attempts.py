"""Sending a request upstream: a slot by priority, a channel that fits, the next when one fails.

Enters: a job under its committed hold (Law 1). Leaves: an open answer, the provider's own
refusal, or the reason there is none. Fails over only while nothing was sent to the client;
what a provider's status means is in `upstream.verdicts`. Knows no price and moves no credit.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import structlog

from farebox.faults import SetupFault
from farebox.relay.job import Attempt, Job
from farebox.relay.routes import SANDBOX, WIDER_CONTEXT, Route, WayOut, within_context
from farebox.relay.unsent import (
    NOTHING_SAID,
    CallerRefused,
    NotSent,
    key_rejected,
    none_available,
    queue_timeout,
    rate_limited,
    upstream_failed,
)
from farebox.upstream.channel import Channel
from farebox.upstream.channels import Busy, ChannelPool, Health, Lease, NoneAvailable
from farebox.upstream.client import HttpClient, Outgoing
from farebox.upstream.response import Response
from farebox.upstream.scheduler import QueueTimeout, Scheduler
from farebox.upstream.trouble import RequestInvalid, UpstreamFault
from farebox.upstream.verdicts import Verdict, retry_after_s, verdict_on
from farebox.wire.openai_errors import UpstreamError
from farebox.wire.passage import Passage, is_native, objection_to, passage_between

MAX_ATTEMPTS = 6
ERROR_BODY_BYTES = 256 * 1024
ERROR_BODY_PATIENCE_S = 5.0
_SESSION_HEADERS = (b"x-session-id", b"session_id", b"x-session-affinity")

log: Any = structlog.get_logger("farebox.relay")


class Sent(msgspec.Struct, frozen=True, gc=False):
    """An upstream answered with success; its body is still to be read. `close` both ends."""

    lease: Lease
    response: Response
    upstream_model: str
    passage: Passage
    """How the answer is read."""


class Upstreams:
    """The way out of this process, shared by its requests."""

    def __init__(
        self, client: HttpClient, pool: ChannelPool, scheduler: Scheduler[Lease | NoneAvailable], way: WayOut
    ) -> None:
        self._client = client
        self._pool = pool
        self._scheduler = scheduler
        self._way = way
        self._routes: dict[str, Route] = {}
        self._loop = asyncio.get_running_loop()

    async def send(self, job: Job, last: NotSent | None = None) -> Sent | CallerRefused | NotSent:
        """Try channels until one answers, one refuses the request itself, or none is left.

        `last` is what an earlier `send` of this job came to in the end; it is the answer if nobody is left to ask.
        """
        most = 1 if job.prepared.call.sealed else MAX_ATTEMPTS
        while len(job.attempts) < most:
            lease = await self._slot(job)
            if isinstance(lease, NotSent):
                return last or lease
            outcome = await self._try(job, lease)
            if not isinstance(outcome, NotSent):
                return outcome
            last = outcome
        return last or none_available(NoneAvailable(Health.EJECTED, 1))

    def done(self, sent: Sent) -> None:
        """The answer was complete and good."""
        self._pool.succeeded(sent.lease)
        self.close(sent)

    def failed(self, job: Job, sent: Sent, fault: UpstreamFault) -> NotSent:
        """The answer broke off: bad for the channel's health, and not tried there again for this request."""
        job.attempts[-1] = Attempt(sent.lease.channel.id, Verdict.FAILED.value, sent.response.status)
        self._blame(job, sent.lease, fault)
        self.close(sent)
        return upstream_failed(fault)

    def close(self, sent: Sent) -> None:
        """Give the slot back; an unfinished answer's connection is cut, so that the provider stops."""
        self._let_go(sent.lease, sent.response)

    async def _slot(self, job: Job) -> Lease | NotSent:
        offers = job.prepared.priced.offers
        material = _session_of(job) or job.prepared.call.sticky
        sticky = job.hold.hold.account_id.encode() + b"\0" + material
        first, others = self._order(job, offers)

        def claim() -> Lease | NoneAvailable | Busy:
            now = self._loop.time()
            before = self._where_before(job, (*first, *others), now)
            if before is not None:
                return before
            slot = self._pool.pick(first, sticky=sticky, now=now, exclude=job.exclude)
            if others and not isinstance(slot, Lease):
                translated = self._pool.pick(others, sticky=sticky, now=now, exclude=job.exclude)
                return slot if isinstance(translated, NoneAvailable) and first else translated
            return slot

        granted = await self._scheduler.slot(
            claim, places=offers, priority=job.opened.admitted.priority, timeout_s=self._way.queue_timeout_s
        )
        job.queue_wait_ms += granted.wait_ms
        if isinstance(granted, QueueTimeout):
            return queue_timeout()
        if isinstance(granted.slot, NoneAvailable):
            return none_available(granted.slot)
        return granted.slot

    def _where_before(self, job: Job, offers: tuple[str, ...], now: float) -> Lease | Busy | None:
        """The place that answered the conversation's last turn: its prompt cache is there, and what it sealed.

        Only a call that brings sealed reasoning waits for it. `offers` are those that can take this call.
        """
        call = job.prepared.call
        if call.turn is None or call.turn.place is None or call.turn.place[0] not in offers:
            return None
        found = self._pool.pick_at(*call.turn.place, now=now, exclude=job.exclude)
        return found if call.sealed or isinstance(found, Lease) else None

    def _order(self, job: Job, offers: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The channels that take the call as it came, and those it can be translated for: asked after them."""
        dialect, dialect_of = job.ask.dialect, self._pool.dialect_of
        spoken = job.prepared.priced.spoken
        if all(is_native(dialect, name) for name in spoken):
            return offers, ()
        if len(spoken) == 1:
            return (), offers  # before admission it was seen that the call can be said there
        native = tuple([name for name in offers if is_native(dialect, dialect_of(name))])
        call = job.prepared.call
        able = {name for name in spoken if objection_to(dialect, call, frozenset({name})) is None}
        others = tuple([name for name in offers if name not in native and dialect_of(name) in able])
        return native, others

    async def _try(self, job: Job, lease: Lease) -> Sent | CallerRefused | NotSent:
        job.asked = lease.channel
        response: Response | None = None
        try:
            sent = await self._ask(job, lease)
            response = sent.response
            outcome = await self._judge(job, sent)
        except UpstreamFault as fault:
            self._note(job, lease, Verdict.FAILED, None)
            self._blame(job, lease, fault)
            outcome = upstream_failed(fault)
        except BaseException:
            self._let_go(lease, response)
            raise
        if not isinstance(outcome, Sent):
            job.asked = None
            self._let_go(lease, response)
        return outcome

    def _let_go(self, lease: Lease, response: Response | None) -> None:
        if response is not None:
            response.close()
        self._pool.release(lease)

    async def _ask(self, job: Job, lease: Lease) -> Sent:
        dialect, channel, prepared = job.ask.dialect, lease.channel, job.prepared
        route = self._route(channel)
        passage = passage_between(dialect, channel.dialect)
        if passage is None:
            raise RequestInvalid(f"a channel of dialect {channel.dialect} cannot serve {dialect.name}")
        upstream_model = channel.models[prepared.model_id]
        given, context = job.ask.headers, prepared.priced.model.context_length
        if prepared.call.input_open and (context or 0) < WIDER_CONTEXT:
            given = within_context(given)
        headers = route.headers(given, lease.key.secret, as_given=passage is dialect)
        body = passage.forward(
            prepared.call,
            upstream_model=upstream_model,
            output_limit=job.output_limit,
            channel=route.body_for(job.hold.hold.account_id, headers),
        )
        request = Outgoing(b"POST", route.path(passage, prepared.call, upstream_model), headers, body)
        return Sent(lease, await self._client.send(route.target, request, route.timeouts), upstream_model, passage)

    async def _judge(self, job: Job, sent: Sent) -> Sent | CallerRefused | NotSent:
        response, lease = sent.response, sent.lease
        verdict, error = verdict_on(response.status), None
        if verdict in (Verdict.CALLER_ERROR, Verdict.RATE_LIMITED):
            error = await self._error_in(job, sent)
            verdict = verdict_on(response.status, error.code)
        self._note(job, lease, verdict, response.status)
        self._mark(lease, verdict, response)
        match verdict:
            case Verdict.ANSWERED:
                job.channel = lease.channel.id
                job.trace.answered_at = time.monotonic()
                return sent
            case Verdict.CALLER_ERROR:
                return CallerRefused(response.status, error or NOTHING_SAID)
            case Verdict.RATE_LIMITED:
                job.exclude.add(lease.key.id)
                return rate_limited(retry_after_s(response.headers))
            case Verdict.KEY_REJECTED:
                job.exclude.add(lease.key.id)
                return key_rejected()
            case Verdict.FAILED:
                job.exclude.add(lease.channel.id)
                return upstream_failed()

    async def _error_in(self, job: Job, sent: Sent) -> UpstreamError:
        """What the provider says of its refusal, if it says so in time; its status counts in any case."""
        try:
            async with asyncio.timeout(ERROR_BODY_PATIENCE_S):
                body = await sent.response.read(ERROR_BODY_BYTES)
        except (UpstreamFault, TimeoutError):
            return NOTHING_SAID
        return sent.passage.read_upstream_error(body, names={sent.upstream_model: job.prepared.call.model})

    def _mark(self, lease: Lease, verdict: Verdict, response: Response) -> None:
        """What an answer says about the health of key and channel."""
        if lease.channel.dialect == SANDBOX:
            return  # it fails because a customer told it to, which must not cost the others their sandbox
        now, status = self._loop.time(), response.status
        match verdict:
            case Verdict.RATE_LIMITED:
                wait_s = retry_after_s(response.headers)
                self._pool.rate_limited(lease, now=now, retry_after_s=wait_s, status=status)
            case Verdict.KEY_REJECTED:
                self._pool.key_rejected(lease, now=now, status=status)
            case Verdict.FAILED:
                self._pool.failed(lease, now=now, status=status)
            case Verdict.ANSWERED | Verdict.CALLER_ERROR:
                pass  # an answer counts when it was read to its end; the caller's errors never do (d49)

    def _blame(self, job: Job, lease: Lease, fault: UpstreamFault) -> None:
        """This channel failed this request. What was never sent says nothing about its health."""
        if not isinstance(fault, RequestInvalid) and lease.channel.dialect != SANDBOX:
            self._pool.failed(lease, now=self._loop.time())
        job.exclude.add(lease.channel.id)
        log.warning("upstream failed", request_id=job.ask.request_id, channel=lease.channel.id, error=str(fault))

    def _note(self, job: Job, lease: Lease, verdict: Verdict, status: int | None) -> None:
        job.attempts.append(Attempt(lease.channel.id, verdict.value, status))

    def _route(self, channel: Channel) -> Route:
        """What a channel's configuration comes to, kept until it changes."""
        known = self._routes.get(channel.id)
        if known is None or known.channel is not channel:
            try:
                known = self._routes[channel.id] = Route(channel, self._way)
            except SetupFault as fault:
                raise RequestInvalid("the channel's settings cannot be used") from fault
        return known


def _session_of(job: Job) -> bytes:
    for name, value in job.ask.headers:
        if name in _SESSION_HEADERS:
            return value
    return b""
