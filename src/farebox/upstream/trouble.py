"""What can go wrong between us and a provider, and whether the next provider may be tried.

    Fault
    └── UpstreamFault
        ├── RequestInvalid            ours: a header or path that must not go on a wire; nothing was sent
        ├── ConnectFailed             nothing was sent: another upstream may be tried
        │   └── AddressForbidden      the name leads to an address the operator has not allowed
        ├── ClosedBeforeAnswer        the request left, not one byte of an answer came
        ├── AnswerCut                 the answer began and did not end
        ├── AnswerInvalid             what came is not HTTP/1.1
        ├── AnswerTooLarge            more than the caller was ready to take
        └── TimedOut                  a stage took too long; `stage` says which

The text of a fault names no host, no address and no key: it may be shown to a customer. `host` and `detail` are
for the operator's log only. Credentials are in neither.
"""

from __future__ import annotations

from farebox.faults import Fault
from farebox.upstream.timeouts import Stage

KEEP_ALIVE_RACE_S = 1.0


class UpstreamFault(Fault):
    """A provider refused, failed or fell silent."""

    def __init__(self, what: str, *, host: str = "", detail: str = "") -> None:
        super().__init__(what)
        self.host = host
        self.detail = detail


class RequestInvalid(UpstreamFault):
    """The request would not be one request on the wire (line breaks, spaces, framing headers). Never sent."""


class ConnectFailed(UpstreamFault):
    """No connection came about, so nothing was sent and any other upstream may be tried."""

    retry_is_safe = True


class AddressForbidden(ConnectFailed):
    """Every address of the name is private, local or reserved, and the operator has not allowed such upstreams."""


class ClosedBeforeAnswer(UpstreamFault):
    """The connection ended after the request was (partly) sent and before the first byte of an answer.

    `reused`: the connection had served an earlier request. `after_s`: seconds between our last byte and the end.
    Whether the provider began to work is unknown.
    """

    def __init__(self, *, reused: bool, after_s: float, host: str = "", detail: str = "") -> None:
        super().__init__("the upstream closed the connection without an answer", host=host, detail=detail)
        self.reused = reused
        self.after_s = after_s

    @property
    def is_keep_alive_race(self) -> bool:
        """Whether the provider most likely closed an idle connection while our request was on its way.

        That is the case when the connection was reused and the end came at once. An end later than
        `KEEP_ALIVE_RACE_S` is a provider that took the request and died over it, where sending it again could
        buy the same work twice.
        """
        return self.reused and self.after_s <= KEEP_ALIVE_RACE_S


class AnswerCut(UpstreamFault):
    """The answer began and the connection ended, or was closed by us, before its last byte."""


class AnswerInvalid(UpstreamFault):
    """What came back breaks the protocol, or its head or trailers exceed their limit."""


class AnswerTooLarge(UpstreamFault):
    """The body is longer than the caller's limit; reading stopped and the connection was closed."""


class TimedOut(UpstreamFault):
    """A stage of the request took longer than its `Timeouts` allow."""

    def __init__(self, stage: Stage, *, host: str = "") -> None:
        super().__init__(f"the upstream took too long ({stage.value})", host=host)
        self.stage = stage
        self.retry_is_safe = stage is Stage.CONNECT
