"""A request under its hold: what was admitted, what was tried, what came back.

Carried through `attempts`, `stream`, `buffered` and `settle`; belongs to one request of one
process and ends with its hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from farebox.admission.commands import Opened, OpenHold
from farebox.admission.state import Admitted
from farebox.relay.ask import Ask, Standing
from farebox.relay.prepare import Prepared, output_held_whole
from farebox.tariff.compiled import Method
from farebox.tariff.price_list import Reasoning
from farebox.upstream.channel import Channel
from farebox.wire.call import Call
from farebox.wire.passage import Passage


class Stamp(StrEnum):
    """The row of the failure policy that applied (Law 5); stored on every charge."""

    UPSTREAM_FAILED = "upstream_failed"
    CALLER_REFUSED = "caller_refused"
    """The provider refused the request itself; nothing was produced."""
    NO_UPSTREAM = "no_upstream"
    """It never went out: no channel, or no slot in time."""
    PROVIDER = "provider"
    COUNTED = "counted"
    EMPTY = "empty"
    CLIENT_LEFT_CANCELLED = "client_left_cancelled"
    CLIENT_LEFT_DRAINED = "client_left_drained"
    UPSTREAM_DIED = "upstream_died"
    GATEWAY_CUT = "gateway_cut"
    CREDITS_EXHAUSTED = "credits_exhausted"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    ABANDONED = "abandoned"


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One try at one channel; stands on the receipt."""

    channel: str
    verdict: str
    status: int | None = None


class Trace(msgspec.Struct):
    """What the log line and the metrics of a request say. No content, no secret."""

    request_id: str
    path: str = ""
    account_id: str | None = None
    key_id: str | None = None
    model: str | None = None
    channel: str | None = None
    stream: bool = False
    stamp: str | None = None
    code: str = ""
    """Of the refusal; empty when answered."""
    charged: int = 0
    """Nanocredits."""
    shortfall: int = 0
    attempts: int = 0
    held: bool = False
    """A hold was committed for it."""
    queue_wait_ms: int = 0
    admitted_at: float = 0.0
    answered_at: float = 0.0
    settling_at: float = 0.0
    settled_at: float = 0.0
    """Monotonic seconds: the hold's commit, the upstream's head, the answer's end, the charge's commit."""


class Described(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a hold's row says of its request."""

    model: str
    dialect: str
    method: str
    card: str
    fingerprint: str
    stream: bool = False


class Mark(NamedTuple):
    """By which an SDK's own retry finds the request it repeats."""

    digest: bytes
    """Empty for a request with an idempotency key, which is found by that."""
    awaited: Mapping[bytes, int]
    """How many retries wait in this process, by the digest of what they wait for."""

    @property
    def is_awaited(self) -> bool:
        return self.awaited.get(self.digest, 0) > 0


class Job:
    """One request under one hold."""

    __slots__ = (
        "ask", "asked", "attempts", "channel", "exclude", "hold", "mark", "now_us", "opened", "output_limit",
        "prepared", "queue_wait_ms", "trace",
    )  # fmt: skip

    def __init__(self, ask: Ask, prepared: Prepared, opened: Opened, *, mark: Mark, trace: Trace) -> None:
        self.ask = ask
        self.prepared = prepared
        self.opened = opened
        self.hold: OpenHold = opened.open
        self.now_us = opened.now_us
        self.mark = mark
        self.trace = trace
        self.asked: Channel | None = None
        """Where the request has gone and an answer may come from; None before, and between attempts."""
        self.attempts: list[Attempt] = []
        self.exclude: set[str] = set()
        """Channels and upstream keys that failed for this request."""
        self.channel: str = ""
        """The offer that served."""
        self.queue_wait_ms = 0
        self.output_limit = limit_to_send(prepared, opened.admitted)
        """Per choice, written into the body that goes out; None leaves it as the caller wrote it."""

    def call_for(self, passage: Passage) -> Call:
        """The call, for reading its answer; a passage that writes the answer anew also learns when it was asked."""
        call = self.prepared.call
        return call if passage is self.ask.dialect else msgspec.structs.replace(call, asked_s=self.now_us // 1_000_000)

    @property
    def keyed(self) -> bool:
        """Whether the caller gave an idempotency key."""
        return self.ask.idempotency_key is not None

    @property
    def is_wanted_later(self) -> bool:
        """Whether the answer is to be kept though nobody has left: for its key, or for a retry that waits for it."""
        return self.keyed or self.mark.is_awaited

    @property
    def may_stop(self) -> bool:
        """Whether work for a stream whose client left may stop: nothing went out, or its provider stops billing."""
        return not self.is_wanted_later and (self.asked is None or not self.asked.bills_after_disconnect)

    @property
    def per_call(self) -> bool:
        """Whether the call is charged, not what it used."""
        return self.prepared.method is Method.CALL

    @property
    def watches_hold(self) -> bool:
        """Whether output must be watched against the hold: a stream whose hold grows as it flows."""
        return self.opened.admitted.clamped and self.prepared.may_extend

    @property
    def output_most(self) -> int | None:
        """The most output, all choices together, a plausible usage can state; None: not bounded."""
        call = self.prepared.call
        if self.output_limit is not None:
            return (self.output_limit + call.output_extra) * call.choices
        whole = output_held_whole(call, self.prepared.estimate)
        if whole:
            return whole
        worst = self.prepared.admission
        return worst.output_limit if worst.output_limit is not None else worst.output_max or None

    def standing(self) -> Standing:
        """For the headers of the answer."""
        return Standing(self.opened.rate, self.opened.admitted.priority, self.ask.dialect.resource)


def limit_to_send(prepared: Prepared, admitted: Admitted) -> int | None:
    """The output limit per choice that goes upstream, where the hold is what limits the answer."""
    if admitted.output_tokens is None:
        return None
    clamped = admitted.clamped and not prepared.may_extend
    # Reasoning nobody sees cannot be watched: the provider itself must stop within the hold.
    unwatched = prepared.priced.model.reasoning is Reasoning.INVISIBLE and prepared.call.output_limit is None
    if not clamped and not unwatched:
        return None
    return max(1, admitted.output_tokens // prepared.call.choices - prepared.call.output_extra)
