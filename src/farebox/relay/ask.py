"""What the edge asks of the relay, what it is told back, and what the relay needs of a client.

Values and one protocol. The edge turns these into HTTP; nothing here knows a status of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from farebox.admission.rate_limits import RateNow
from farebox.admission.refusals import Refusal
from farebox.faults import Fault
from farebox.money import Nano
from farebox.wire.dialect import Dialect
from farebox.wire.openai_errors import UpstreamError

Headers = list[tuple[bytes, bytes]]


class TooSlow(Fault):
    """The client does not read; raised by `Client.write`."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """One model call as it arrived."""

    request_id: str
    dialect: Dialect
    secret: str
    headers: Headers
    """As received, names in lower case."""
    body: bytes
    client_ip: str | None = None
    idempotency_key: str | None = None
    ceiling: Nano | None = None
    """`X-Max-Credits`."""
    retry_count: int = 0
    """What an SDK says of its own retries (`x-stainless-retry-count`)."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """Where the caller stands: for the headers of every answer once its key is known."""

    rate: RateNow
    priority: int
    resource: str


class Charged(msgspec.Struct, frozen=True, gc=False):
    """What a buffered answer's headers say of its charge."""

    amount: Nano
    remaining: Nano
    method: str
    queue_wait_ms: int
    max_tokens_applied: int | None = None
    """The output limit per choice that was sent in the caller's place, because the hold covers no more."""


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A whole answer whose charge is committed."""

    body: bytes
    standing: Standing
    charged: Charged | None
    headers: Headers
    """Of the upstream, by allow-list."""
    content_type: bytes = b"application/json"
    replayed: bool = False


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The call does not go on, for a reason of ours. Nothing is charged."""

    refusal: Refusal
    standing: Standing | None = None


class PassedOn(msgspec.Struct, frozen=True, gc=False):
    """The provider refused the call for a reason about the call. Nothing is charged."""

    status: int
    """As the provider gave it."""
    error: UpstreamError
    standing: Standing


class Streamed(msgspec.Struct, frozen=True, gc=False):
    """Nothing is left to send: the answer was streamed, its end included, or the client is gone."""


Reply = Answered | Refused | PassedOn | Streamed


class Client(Protocol):
    """The caller's connection, as far as the relay needs it."""

    @property
    def left(self) -> bool:
        """The client is gone; nothing written reaches it."""
        ...

    def when_left(self, act: Callable[[], None] | None) -> None:
        """Call this, at once, when the client leaves (or has left). None: no longer."""
        ...

    async def begin(self, standing: Standing, queue_wait_ms: int, headers: Headers, *, content_type: bytes) -> None:
        """Start a stream: of server-sent events, whose silence may be broken, or of anything else."""
        ...

    @property
    def takes_at_once(self) -> bool:
        """The client is there and reads as fast as it is written to."""
        ...

    def write_at_once(self, events: bytes) -> None:
        """As `write`, without waiting; only while `takes_at_once`."""
        ...

    async def write(self, events: bytes) -> None:
        """Send whole events; waits while the client is slow. After it left, does nothing.

        Raises `TooSlow` when it does not read at all; it is then cut off, and has left.
        """
        ...

    async def end(self) -> None:
        """The stream is complete. One that never is ends with its connection."""
        ...
