"""A request under its hold: what was admitted, what was tried, what came back.

Carried through `attempts`, `stream`, `buffered` and `settle`; belongs to one request of one
process and ends with its hold.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from farebox.admission.commands import Opened, OpenHold
from farebox.relay.ask import Ask, Standing
from farebox.relay.prepare import Prepared
from farebox.tariff.price_list import Reasoning


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
    """Monotonic seconds: the hold's commit, and the upstream's head."""


class Described(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a hold's row says of its request."""

    model: str
    dialect: str
    method: str
    card: str
    fingerprint: str
    stream: bool = False


class Job:
    """One request under one hold."""

    __slots__ = (
        "ask", "attempts", "channel", "exclude", "fingerprint", "hold", "now_us", "opened", "output_limit",
        "prepared", "queue_wait_ms", "trace",
    )  # fmt: skip

    def __init__(self, ask: Ask, prepared: Prepared, opened: Opened, *, fingerprint: bytes, trace: Trace) -> None:
        self.ask = ask
        self.prepared = prepared
        self.opened = opened
        self.hold: OpenHold = opened.open
        self.now_us = opened.now_us
        self.fingerprint = fingerprint
        self.trace = trace
        self.attempts: list[Attempt] = []
        self.exclude: set[str] = set()
        """Channels and upstream keys that failed for this request."""
        self.channel: str = ""
        """The offer that served."""
        self.queue_wait_ms = 0
        self.output_limit = _limit_to_send(prepared, opened)

    @property
    def keyed(self) -> bool:
        """Whether the caller gave an idempotency key."""
        return self.ask.idempotency_key is not None

    @property
    def watches_hold(self) -> bool:
        """Whether output must be watched against the hold: a stream whose hold grows as it flows."""
        return self.opened.admitted.clamped and self.prepared.may_extend

    @property
    def output_most(self) -> int | None:
        """The most output, all choices together, a plausible usage can state; None: not bounded."""
        if self.output_limit is not None:
            return self.output_limit * self.prepared.call.choices
        worst = self.prepared.admission
        return worst.output_limit if worst.output_limit is not None else worst.output_max or None

    def standing(self) -> Standing:
        """For the headers of the answer."""
        return Standing(self.opened.rate, self.opened.admitted.priority, self.ask.dialect.resource)


def _limit_to_send(prepared: Prepared, opened: Opened) -> int | None:
    """The output limit per choice that goes upstream, where the hold is what limits the answer."""
    admitted = opened.admitted
    if admitted.output_tokens is None:
        return None
    invisible = prepared.priced.model.reasoning is Reasoning.INVISIBLE
    if admitted.clamped and not prepared.may_extend:
        return admitted.output_tokens // prepared.call.choices
    # Reasoning nobody sees cannot be watched: the provider itself must stop within the hold.
    if invisible and prepared.call.output_limit is None:
        return admitted.output_tokens // prepared.call.choices
    return None
