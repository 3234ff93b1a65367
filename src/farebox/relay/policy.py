"""Who pays when an answer ends: the table of the failure policy, as one pure decision (Law 5).

Enters: how an answer ended. Leaves: the row that applies, and whether what was used is charged
as reported, as counted, or not at all. Nothing else in the relay decides this.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from farebox.relay.job import Stamp


class Basis(StrEnum):
    """What the charge follows from."""

    NOTHING = "nothing"
    REPORTED = "reported"
    """As reported if plausible, else counted."""
    COUNTED = "counted"
    """Input and output counted so far."""


class Ending(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How an answer ended."""

    complete: bool = False
    """The dialect's own terminal event was seen, or the whole body."""
    left_cancelled: bool = False
    """The client left and the upstream was closed at once."""
    left_drained: bool = False
    """The client left and the answer was read to its end."""
    cut_by_us: bool = False
    """Our time limit, shutdown, or a ledger that could not extend the hold."""
    too_slow: bool = False
    """We cut it because the client did not read."""
    exhausted: bool = False
    """The credits ran out."""
    produced: bool = False
    """Anything came out of the provider."""


class Ruling(msgspec.Struct, frozen=True, gc=False):
    """The row that applies."""

    stamp: Stamp
    basis: Basis


def rule_on(ending: Ending, *, per_call: bool, charge_what_died: bool) -> Ruling:
    """The row of the table. `charge_what_died` is the operator's setting for an upstream that died mid-answer.

    A call price is charged in full or not at all: in full once the client itself ended an answer that had
    begun (d60), not at all for what failed, whoever failed it.
    """
    if ending.complete:
        stamp = Stamp.CLIENT_LEFT_DRAINED if ending.left_drained else Stamp.PROVIDER
        return Ruling(stamp, Basis.REPORTED)
    if ending.exhausted:
        return Ruling(Stamp.CREDITS_EXHAUSTED, Basis.COUNTED)
    if ending.left_cancelled:
        return Ruling(Stamp.CLIENT_LEFT_CANCELLED, _counted(ending.produced or not per_call))
    if ending.too_slow:
        return Ruling(Stamp.GATEWAY_CUT, _counted(ending.produced))
    if ending.cut_by_us:
        return Ruling(Stamp.GATEWAY_CUT, _counted(ending.produced and not per_call))
    if not ending.produced:
        return Ruling(Stamp.UPSTREAM_FAILED, Basis.NOTHING)
    return Ruling(Stamp.UPSTREAM_DIED, _counted(charge_what_died and not per_call))


def is_empty(*, output_tokens: int, finish_reasons: list[str], has_stop: bool) -> bool:
    """Whether a complete answer that reports no output is empty, and so free.

    Not when a limit or a stop sequence ended it: then the nothing is what was asked for. OpenAI says
    `stop` for both ends, so a request with stop sequences is never empty.
    """
    if output_tokens:
        return False
    return not has_stop and "length" not in finish_reasons


def _counted(charged: bool) -> Basis:
    return Basis.COUNTED if charged else Basis.NOTHING
