"""An answer that is not streamed: read whole, metered, charged, then handed over (Law 3).

A client that leaves changes nothing about it: the answer is read to its end and charged as
reported, and kept for the SDK's own retry.
"""

from __future__ import annotations

from farebox.admission.commands import Ended
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.relay.ask import Answered, Charged, Client, PassedOn, Refused, Reply
from farebox.relay.attempts import Sent, Upstreams
from farebox.relay.conversations import Conversations
from farebox.relay.job import Job, Stamp
from farebox.relay.passing import content_type_of, headers_to_pass
from farebox.relay.policy import is_empty
from farebox.relay.settle import Kept, Settler
from farebox.relay.unsent import CallerRefused, NotSent
from farebox.relay.watch import OutputCount
from farebox.tariff.meters import output_tokens
from farebox.tariff.rate import UsageSource
from farebox.upstream.trouble import UpstreamFault
from farebox.wire.openai_answer import Answer

ANSWER_LIMIT_BYTES = 64 * 1024 * 1024


class Buffered:
    """Answers whole bodies for the requests of this process."""

    def __init__(self, upstreams: Upstreams, settler: Settler, conversations: Conversations) -> None:
        self._upstreams = upstreams
        self._settler = settler
        self._conversations = conversations

    async def answer(self, job: Job, client: Client) -> Reply:
        """Send, read, charge. A body that breaks off is tried elsewhere: nothing was sent to the client yet."""
        last: NotSent | None = None
        while True:
            sent = await self._upstreams.send(job, last)
            if not isinstance(sent, Sent):
                return await refused_upstream(job, sent, self._settler)
            answer = await self._read(job, sent)
            if not isinstance(answer, UpstreamFault):
                self._upstreams.done(sent)
                return await self._charge(job, answer, sent, client)
            last = self._upstreams.failed(job, sent, answer)

    async def _read(self, job: Job, sent: Sent) -> Answer | UpstreamFault:
        try:
            body = await sent.response.read(ANSWER_LIMIT_BYTES)
        except UpstreamFault as fault:
            return fault
        except BaseException:
            self._upstreams.close(sent)
            raise
        answer = sent.passage.read_answer(body, job.call_for(sent.passage))
        return UpstreamFault("the answer is not of its dialect") if answer is None else answer

    async def _charge(self, job: Job, answer: Answer, sent: Sent, client: Client) -> Reply:
        judged = await self._settler.judge(
            job, answer.usage, OutputCount(answer.output, _family(job)), sent.passage.convention
        )
        flags = judged.flags
        body = answer.body if answer.render is None else answer.render(judged.usage)
        await self._conversations.keep(job, sent, body, answer.whole)
        if _is_free(job, answer, output_tokens(judged.usage)):
            ended = await self._settler.void(job, Stamp.EMPTY, done=judged, service_tier=answer.service_tier)
            return _answered(job, body, ended, sent)
        charge = self._settler.price(job, judged, service_tier=answer.service_tier)
        stamp = Stamp.PROVIDER if judged.source is UsageSource.PROVIDER else Stamp.COUNTED
        if client.left:
            stamp = Stamp.CLIENT_LEFT_DRAINED
        kept = Kept(body, False, _type_of(job, sent)) if job.is_wanted_later or client.left else None
        ended = await self._settler.capture(job, charge, stamp, flags=flags, kept=kept)
        return _answered(job, body, ended, sent)


async def refused_upstream(job: Job, outcome: CallerRefused | NotSent, settler: Settler) -> Reply:
    """Nobody served it: give the hold back, then say why."""
    if isinstance(outcome, CallerRefused):
        await settler.void(job, Stamp.CALLER_REFUSED)
        return PassedOn(outcome.status, outcome.error, job.standing())
    await settler.void(job, outcome.stamp)
    return Refused(outcome.refusal, job.standing())


def ledger_refusal() -> Refusal:
    """Law 6: without the ledger there is no answer."""
    return Refusal(
        RefusalCode.LEDGER_UNAVAILABLE,
        "The ledger cannot be reached, so nothing can be charged or answered. Try again shortly.",
        retry_after_s=2,
        retry_helps=True,
    )


def _is_free(job: Job, answer: Answer, output: int) -> bool:
    if answer.output.delivered is not None:
        return not answer.output.delivered
    if not job.prepared.call.has_output:
        return False
    if job.per_call and answer.output.seen:
        return False
    return is_empty(
        output_tokens=output, finish_reasons=list(answer.finish_reasons.values()), has_stop=job.prepared.call.has_stop
    )


def _answered(job: Job, body: bytes, ended: Ended, sent: Sent) -> Answered:
    method = job.prepared.method.value
    charged = Charged(ended.amount, ended.available, method, job.queue_wait_ms, job.output_limit)
    return Answered(body, job.standing(), charged, headers_to_pass(sent.response.headers), _type_of(job, sent))


def _type_of(job: Job, sent: Sent) -> bytes:
    return content_type_of(job.prepared.call, sent.response.headers)


def _family(job: Job) -> str | None:
    return job.prepared.priced.model.tokenizer
