"""Sending a request upstream: a slot by priority, a channel that fits, the next when one fails.

Enters: a job under its committed hold (Law 1). Leaves: an open answer, the provider's own
refusal, or the reason there is none. Fails over only while nothing was sent to the client;
what a provider's status means is in `upstream.verdicts`. Knows no price and moves no credit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.relay.job import Attempt, Job, Stamp
from farebox.upstream.channels import Busy, Channel, ChannelPool, Health, Lease, NoneAvailable
from farebox.upstream.client import HttpClient
from farebox.upstream.response import Response
from farebox.upstream.scheduler import QueueTimeout, Scheduler
from farebox.upstream.target import Target
from farebox.upstream.timeouts import Timeouts
from farebox.upstream.trouble import RequestInvalid, TimedOut, UpstreamFault
from farebox.upstream.verdicts import Verdict, retry_after_s, verdict_on
from farebox.wire.call import ChannelBody, raw
from farebox.wire.openai_errors import UpstreamError

SANDBOX = "sandbox"
SERVED_BY: Mapping[str, frozenset[str]] = {
    "openai_chat": frozenset({"openai", SANDBOX}),
    "openai_embeddings": frozenset({"openai", SANDBOX}),
}
"""Which channel dialects can serve which of ours."""

MAX_ATTEMPTS = 6
ERROR_BODY_BYTES = 256 * 1024
_VERSION_PREFIX = "/v1"

NOT_FORWARDED = frozenset(
    b"host content-length authorization x-api-key x-goog-api-key api-key cookie connection keep-alive te trailer "
    b"transfer-encoding upgrade expect accept-encoding proxy-authorization proxy-connection forwarded x-forwarded-for "
    b"x-forwarded-proto x-forwarded-host x-forwarded-port x-real-ip via idempotency-key x-max-credits x-request-id "
    b"openai-organization openai-project origin referer".split()
)
"""Headers of the client that end here: ours, the connection's, and those that name an account."""


class Sent(msgspec.Struct, frozen=True, gc=False):
    """An upstream answered with success; its body is still to be read. `close` both ends."""

    lease: Lease
    response: Response
    upstream_model: str


class CallerRefused(msgspec.Struct, frozen=True, gc=False):
    """The provider refused the request itself."""

    status: int
    error: UpstreamError


class NotSent(msgspec.Struct, frozen=True, gc=False):
    """Nobody served it: why, and which row of the failure policy that is."""

    refusal: Refusal
    stamp: Stamp


class WayOut(msgspec.Struct, frozen=True):
    """The operator's settings for everything that goes upstream."""

    timeouts: Timeouts
    queue_timeout_s: float
    sandbox_socket: str
    safety_identifier: bool = False
    """Send a hash of the account with each request, so that one abuser does not cost the upstream key."""


class Upstreams:
    """The way out of this process, shared by its requests."""

    def __init__(
        self,
        client: HttpClient,
        pool: ChannelPool,
        scheduler: Scheduler[Lease | NoneAvailable],
        settings: WayOut,
    ) -> None:
        self._client = client
        self._pool = pool
        self._scheduler = scheduler
        self._settings = settings
        self._sandbox = Target.unix(settings.sandbox_socket)
        self._routes: dict[str, _Route] = {}
        self._loop = asyncio.get_running_loop()

    async def send(self, job: Job) -> Sent | CallerRefused | NotSent:
        """Try channels until one answers, one refuses the request itself, or none is left."""
        last: NotSent | None = None
        while len(job.attempts) < MAX_ATTEMPTS:
            lease = await self._slot(job)
            if isinstance(lease, NotSent):
                return last or lease
            outcome = await self._try(job, lease)
            if not isinstance(outcome, NotSent):
                return outcome
            last = outcome
        return last or _none_available(NoneAvailable(Health.EJECTED, 1))

    def done(self, sent: Sent) -> None:
        """The answer was read to its end and was good."""
        self._pool.succeeded(sent.lease)
        self.close(sent)

    def failed(self, job: Job, sent: Sent, fault: UpstreamFault) -> None:
        """The answer broke off: bad for the channel's health, and not tried again for this request."""
        self._note(job, sent.lease, Verdict.FAILED, None)
        self._pool.failed(sent.lease, now=self._loop.time())
        job.exclude.add(sent.lease.channel.id)
        self.close(sent)

    def close(self, sent: Sent) -> None:
        """Give the slot back; an unfinished answer's connection is cut, so that the provider stops."""
        sent.response.close()
        self._pool.release(sent.lease)

    async def _slot(self, job: Job) -> Lease | NotSent:
        offers = job.prepared.priced.offers
        material = _session_of(job) or job.prepared.call.sticky
        sticky = job.hold.hold.account_id.encode() + b"\0" + material

        def claim() -> Lease | NoneAvailable | Busy:
            return self._pool.pick(offers, sticky=sticky, now=self._loop.time(), exclude=job.exclude)

        granted = await self._scheduler.slot(
            claim, places=offers, priority=job.opened.admitted.priority, timeout_s=self._settings.queue_timeout_s
        )
        job.queue_wait_ms += granted.wait_ms
        if isinstance(granted, QueueTimeout):
            return _queue_timeout()
        if isinstance(granted.slot, NoneAvailable):
            return _none_available(granted.slot)
        return granted.slot

    async def _try(self, job: Job, lease: Lease) -> Sent | CallerRefused | NotSent:
        try:
            sent = await self._ask(job, lease)
            outcome = await self._judge(job, sent)
        except UpstreamFault as fault:
            self._fault(job, lease, fault)
            return _upstream_fault(fault)
        except BaseException:
            self._pool.release(lease)
            raise
        if not isinstance(outcome, Sent):
            self.close(sent)
        return outcome

    async def _ask(self, job: Job, lease: Lease) -> Sent:
        dialect, channel = job.ask.dialect, lease.channel
        if channel.dialect not in SERVED_BY[dialect.name]:
            raise RequestInvalid(f"a channel of dialect {channel.dialect} cannot serve {dialect.name}")
        route = self._route(channel)
        upstream_model = channel.models[job.prepared.model_id]
        body = dialect.forward(
            job.prepared.call,
            upstream_model=upstream_model,
            output_limit=job.output_limit,
            channel=self._body_wishes(route, job),
        )
        path = dialect.path if channel.dialect == SANDBOX else dialect.path.removeprefix(_VERSION_PREFIX)
        headers = [pair for pair in job.ask.headers if pair[0] not in NOT_FORWARDED and pair[0] not in route.hidden]
        headers += route.headers
        headers.append((b"authorization", b"Bearer " + lease.key.secret.encode()))
        headers.append((b"accept-encoding", b"identity"))
        response = await self._client.send(route.target, b"POST", path.encode(), headers, body, route.timeouts)
        return Sent(lease, response, upstream_model)

    def _body_wishes(self, route: _Route, job: Job) -> ChannelBody:
        if not self._settings.safety_identifier:
            return route.body
        hashed = blake2b(job.hold.hold.account_id.encode(), digest_size=16, person=b"farebox-safety").hexdigest()
        return msgspec.structs.replace(route.body, safety_identifier=hashed)

    async def _judge(self, job: Job, sent: Sent) -> Sent | CallerRefused | NotSent:
        response, lease, now = sent.response, sent.lease, self._loop.time()
        verdict = verdict_on(response.status)
        self._note(job, lease, verdict, response.status)
        match verdict:
            case Verdict.ANSWERED:
                job.channel = lease.channel.id
                job.trace.answered_at = time.monotonic()
                return sent
            case Verdict.CALLER_ERROR:
                self._pool.caller_error(lease)
                body = await response.read(ERROR_BODY_BYTES)
                names = {sent.upstream_model: job.prepared.call.model}
                return CallerRefused(response.status, job.ask.dialect.read_upstream_error(body, names=names))
            case Verdict.RATE_LIMITED:
                wait_s = retry_after_s(response.headers)
                self._pool.rate_limited(lease, now=now, retry_after_s=wait_s, status=response.status)
                job.exclude.add(lease.key.id)
                return _rate_limited(wait_s)
            case Verdict.KEY_REJECTED:
                self._pool.key_rejected(lease, now=now, status=response.status)
                job.exclude.add(lease.key.id)
                return _none_available(NoneAvailable(Health.BENCHED, 30))
            case Verdict.FAILED:
                self._pool.failed(lease, now=now, status=response.status)
                job.exclude.add(lease.channel.id)
                return _upstream_error()

    def _fault(self, job: Job, lease: Lease, fault: UpstreamFault) -> None:
        self._note(job, lease, Verdict.FAILED, None)
        if not isinstance(fault, RequestInvalid):
            self._pool.failed(lease, now=self._loop.time())
        job.exclude.add(lease.channel.id)
        self._pool.release(lease)

    def _note(self, job: Job, lease: Lease, verdict: Verdict, status: int | None) -> None:
        job.attempts.append(Attempt(lease.channel.id, verdict.value, status))

    def _route(self, channel: Channel) -> _Route:
        """What a channel's configuration comes to, kept until it changes."""
        known = self._routes.get(channel.id)
        if known is None or known.channel is not channel:
            known = self._routes[channel.id] = _Route(channel, self._sandbox, self._settings.timeouts)
        return known


class _Route:
    """A channel's target, headers, body wishes and timeouts, made once."""

    __slots__ = ("body", "channel", "headers", "hidden", "target", "timeouts")

    def __init__(self, channel: Channel, sandbox: Target, timeouts: Timeouts) -> None:
        own = channel.timeouts
        self.channel = channel
        self.target = sandbox if channel.dialect == SANDBOX else Target.parse(channel.base_url, proxy=channel.proxy)
        self.headers = [(k.lower().encode(), v.encode()) for k, v in channel.headers.items() if v is not None]
        self.hidden = frozenset(name.lower().encode() for name in channel.headers)
        self.body = ChannelBody(
            limit_field=channel.limit_field,
            stream_usage=channel.stream_usage,
            overrides={name: raw(value) for name, value in channel.parameters.items()},
        )
        self.timeouts = Timeouts(
            own.connect_s or timeouts.connect,
            own.first_byte_s or timeouts.first_byte,
            own.idle_s or timeouts.idle,
            own.total_s or timeouts.total,
        )


def _session_of(job: Job) -> bytes:
    for name, value in job.ask.headers:
        if name in (b"x-session-id", b"session_id", b"x-session-affinity"):
            return value
    return b""


def _queue_timeout() -> NotSent:
    return NotSent(
        Refusal(
            RefusalCode.QUEUE_TIMEOUT,
            "Every channel for this model is busy and no slot came free in time. Try again shortly.",
            retry_after_s=5,
            retry_helps=True,
        ),
        Stamp.NO_UPSTREAM,
    )


def _none_available(none: NoneAvailable) -> NotSent:
    if none.health is Health.COOLING:
        return _rate_limited(none.retry_after_s)
    return NotSent(
        Refusal(
            RefusalCode.NO_UPSTREAM_AVAILABLE,
            "No provider can serve this model at the moment. Try again later, or use another model.",
            retry_after_s=min(none.retry_after_s, 60),
            retry_helps=True,
        ),
        Stamp.NO_UPSTREAM,
    )


def _rate_limited(wait_s: float | None) -> NotSent:
    seconds = max(1, int(wait_s or 1))
    return NotSent(
        Refusal(
            RefusalCode.RATE_LIMIT_EXCEEDED,
            f"The provider of this model is at its own limit. Try again in {seconds} s.",
            param="upstream",
            retry_after_s=seconds,
            retry_helps=True,
        ),
        Stamp.UPSTREAM_FAILED,
    )


def _upstream_error() -> NotSent:
    message = "The provider failed to answer. Nothing was charged; the request can be repeated."
    return NotSent(Refusal(RefusalCode.UPSTREAM_ERROR, message, retry_helps=True), Stamp.UPSTREAM_FAILED)


def _upstream_fault(fault: UpstreamFault) -> NotSent:
    if not isinstance(fault, TimedOut):
        return _upstream_error()
    message = "The provider did not answer in time. Nothing was charged; the request can be repeated."
    return NotSent(Refusal(RefusalCode.UPSTREAM_TIMEOUT, message, retry_helps=True), Stamp.UPSTREAM_FAILED)
