"""Quotes: what a call would hold, what it would likely be charged, and what would refuse it.

The same rooms as a real call, with the key and the catalogue read afresh, and `admit` asked
without its answer being written. Charges nothing, counts against no limit.
"""

from __future__ import annotations

from typing import Any

from farebox.admission.admit import admit
from farebox.admission.refusals import Refusal
from farebox.admission.state import Admitted
from farebox.money import format_credits
from farebox.relay.ask import Ask
from farebox.relay.prepare import Prepared, bounds_of
from farebox.relay.relay import Relay
from farebox.relay.standing import gates_of
from farebox.store.catalogue import Catalogue
from farebox.store.keyring import KeyView
from farebox.tariff.compiled import Unpriced
from farebox.tariff.conditions import Circumstances
from farebox.tariff.estimate import likely


class Quotes:
    """See the module."""

    def __init__(self, relay: Relay, catalogue: Catalogue) -> None:
        self._relay = relay
        self._catalogue = catalogue

    async def quote(self, ask: Ask) -> dict[str, Any] | Refusal:
        """The quote as JSON-ready values, or why nothing can be said (a bad key). Raises `LedgerUnavailable`."""
        worked_out = await self._relay.worked_out(ask)
        if isinstance(worked_out, Refusal):
            return worked_out
        view, prepared = worked_out
        if isinstance(prepared, Refusal):
            return {"object": "quote", "would_be_refused": _shown(prepared)}
        gates = gates_of(view, self._catalogue.current)
        decision = admit(gates, prepared.admission, now_us=view.read_us)
        return {
            "object": "quote",
            "model": prepared.model_id,
            "billing_method": prepared.method.value,
            "price_version": prepared.price.version,
            "input_tokens_at_most": prepared.admission.input_tokens,
            "output_tokens_at_most": prepared.estimate.largest_output or None,
            "worst_case": format_credits(prepared.estimate.worst),
            "likely_case": _likely(prepared, view),
            "would_hold": format_credits(decision.amount) if isinstance(decision, Admitted) else None,
            "max_tokens_applied": _clamp(prepared, decision),
            "available": format_credits(view.books.available),
            "held": format_credits(view.books.held),
            "would_be_refused": _shown(decision) if isinstance(decision, Refusal) else None,
        }


def _likely(prepared: Prepared, view: KeyView) -> str | None:
    circumstances = Circumstances(view.read_us, parameters=dict(prepared.call.parameters))
    bounds = bounds_of(prepared.call, prepared.priced, prepared.admission.input_tokens)
    amount = likely(prepared.price.card, method=prepared.method, circumstances=circumstances, bounds=bounds)
    return None if isinstance(amount, Unpriced) else format_credits(amount)


def _clamp(prepared: Prepared, decision: object) -> int | None:
    if not isinstance(decision, Admitted) or not decision.clamped or prepared.may_extend:
        return None
    return (decision.output_tokens or 0) // prepared.call.choices


def _shown(refusal: Refusal) -> dict[str, Any]:
    return {"code": refusal.code.value, "message": refusal.message, "param": refusal.param}
