"""Quotes: what a call would hold, what it would likely be charged, and what would refuse it.

The same rooms as a real call, with the key and the catalogue read afresh, and `admit` asked
without its answer being written. Charges nothing, counts against no limit.
"""

from __future__ import annotations

from typing import Any

from farebox.admission.admit import admit
from farebox.admission.refusals import Refusal
from farebox.admission.state import Admitted, Stale
from farebox.money import format_credits
from farebox.relay.ask import Ask
from farebox.relay.counting import count_input
from farebox.relay.job import limit_to_send
from farebox.relay.prepare import Prepared, bounds_of, malformed
from farebox.relay.relay import Relay
from farebox.relay.standing import gates_of
from farebox.store.catalogue import Catalogue
from farebox.store.keyring import KeyView
from farebox.tariff.compiled import Unpriced
from farebox.tariff.conditions import Circumstances
from farebox.tariff.estimate import likely
from farebox.wire.call import Malformed


class Quotes:
    """See the module."""

    def __init__(self, relay: Relay, catalogue: Catalogue) -> None:
        self._relay = relay
        self._catalogue = catalogue

    async def quote(self, ask: Ask, view: KeyView) -> dict[str, Any]:
        """The quote as JSON-ready values; `view` is the caller's key as read just now. Raises `LedgerUnavailable`."""
        call = ask.dialect.parse(ask.body)
        if isinstance(call, Malformed):
            return _refused(malformed(call))
        prepared = await self._relay.worked_out(ask, call, view)
        if isinstance(prepared, Refusal):
            return _refused(prepared)
        decision = self._decide(prepared, view)
        if isinstance(decision, Refusal):
            closer = await self._relay.worked_out_closer(ask, call, view, decision)
            if isinstance(closer, Prepared):
                prepared, decision = closer, self._decide(closer, view)
        return _shape(prepared, decision, await _likely(ask, prepared))

    def _decide(self, prepared: Prepared, view: KeyView) -> Admitted | Refusal | Stale:
        return admit(gates_of(view, self._catalogue.current), prepared.admission, now_us=view.read_us)


def _shape(prepared: Prepared, decision: Admitted | Refusal | Stale, likely_case: str | None) -> dict[str, Any]:
    books = prepared.view.books
    return {
        "object": "quote",
        "model": prepared.model_id,
        "billing_method": prepared.method.value,
        "price_version": prepared.price.version,
        "input_tokens_at_most": prepared.admission.input_tokens,
        "output_tokens_at_most": prepared.estimate.largest_output or None,
        "worst_case": format_credits(prepared.estimate.worst),
        "likely_case": likely_case,
        "would_hold": format_credits(decision.amount) if isinstance(decision, Admitted) else None,
        "max_tokens_applied": _clamp(prepared, decision),
        "available": format_credits(books.available),
        "held": format_credits(books.held),
        "would_be_refused": _shown(decision) if isinstance(decision, Refusal) else None,
    }


async def _likely(ask: Ask, prepared: Prepared) -> str | None:
    """What it would come to with the input as we count it."""
    call, model = prepared.call, prepared.priced.model
    counted = None if call.input_open else await count_input(ask.dialect, call, model.tokenizer)
    circumstances = Circumstances(prepared.view.read_us, parameters=dict(call.parameters))
    bounds = bounds_of(call, prepared.priced, counted)
    amount = likely(prepared.price.card, method=prepared.method, circumstances=circumstances, bounds=bounds)
    return None if isinstance(amount, Unpriced) else format_credits(amount)


def _clamp(prepared: Prepared, decision: object) -> int | None:
    return limit_to_send(prepared, decision) if isinstance(decision, Admitted) else None


def _refused(refusal: Refusal) -> dict[str, Any]:
    return {"object": "quote", "would_be_refused": _shown(refusal)}


def _shown(refusal: Refusal) -> dict[str, Any]:
    return {"code": refusal.code.value, "message": refusal.message, "param": refusal.param}
