"""From bytes to a request that admission can decide: model, price, method, worst case.

Enters: the key as last read, a snapshot of the catalogue, the parsed call. Leaves: a
`Prepared`, or the refusal that comes first. Reads nothing and waits for nothing, so the whole
of it can be done again when the key or the catalogue turns out to be newer.
"""

from __future__ import annotations

import msgspec

from farebox.admission.access import check_caller, check_model
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.admission.state import AdmissionRequest, Tier
from farebox.relay.ask import Ask
from farebox.store.catalogue import PricedModel, PriceVersion, Snapshot
from farebox.store.keyring import KeyView
from farebox.tariff.billing_mode import ModeRefusal, choose
from farebox.tariff.compiled import Method, Unpriced
from farebox.tariff.conditions import Prospect
from farebox.tariff.estimate import Bounds, Estimate, NotCovered, estimate
from farebox.tariff.meters import Meter
from farebox.tariff.price_list import Reasoning
from farebox.wire.call import Call, Malformed
from farebox.wire.passage import is_native

FALLBACK_CONTEXT = 131_072
"""Bounds a model whose catalogue entry states neither its context nor its output."""
CLOCK_SLACK_US = 60_000_000
"""How far the database's clock at admission may be from what this process thinks it is."""

_ANY_TIER = None
_STANDARD: frozenset[str | None] = frozenset({None, "default", "standard"})
_NO_PARAMETERS: dict[str, str | None] = {}


class Known(msgspec.Struct, frozen=True, gc=False):
    """What a request is worked out on: the key and the catalogue as last read, and about what time it is."""

    view: KeyView
    snapshot: Snapshot
    now_us: int


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """A request worked out as far as it can be without the account's lock."""

    view: KeyView
    tier: Tier
    call: Call
    priced: PricedModel
    price: PriceVersion
    method: Method
    estimate: Estimate
    admission: AdmissionRequest
    catalogue_version: int

    @property
    def model_id(self) -> str:
        return self.priced.model.id

    @property
    def may_extend(self) -> bool:
        return self.admission.may_extend


def caller_refusal(view: KeyView, ask: Ask, now_us: int) -> Refusal | None:
    """May this key be used at all, from this address?"""
    return check_caller(view.account, view.key, ask.client_ip, now_us=now_us)


def malformed(problem: Malformed) -> Refusal:
    """A body that cannot be read, as a refusal."""
    return Refusal(RefusalCode(problem.code.value), problem.message, param=problem.param)


def prepare(ask: Ask, call: Call, known: Known, *, input_tokens: int | None = None) -> Prepared | Refusal:
    """Work the request out. `input_tokens` replaces the cheap bound by a closer one."""
    view, snapshot, now_us = known.view, known.snapshot, known.now_us
    priced = snapshot.names.get(call.model)
    if priced is None:
        return _unknown_model(call.model)
    tier = snapshot.tiers[view.account.tier]
    refusal = check_model(view.key, tier, model=priced.model.id, model_rank=priced.rank, tiers=snapshot.rules.tiers)
    if refusal is not None:
        return refusal
    price = priced.price_at(now_us)
    method = Unpriced(None) if price is None else choose(view.key.billing_mode, price.card)
    if isinstance(method, ModeRefusal):
        return _mode_refused(priced.model.id, method)
    if price is None or isinstance(method, Unpriced):
        return _unpriced(priced.model.id)
    if call.dearer_elsewhere and not all(is_native(ask.dialect, name) for name in priced.spoken):
        input_tokens = None if input_tokens is None else input_tokens + call.dearer_elsewhere
        call = call.served_anywhere()
    call = call.sold_by(price.card.base_rates)
    if Meter.CALLS in price.card.base_rates:
        call = msgspec.structs.replace(call, units=(*call.units, (Meter.CALLS, 1)))  # a fee beside what is metered
    bounds = bounds_of(call, priced, input_tokens)
    worst = estimate(price.card, method=method, prospect=prospect_of(call, now_us), bounds=bounds)
    if isinstance(worst, Unpriced):
        return _unpriced(priced.model.id)
    if isinstance(worst, NotCovered):
        return _not_covered(worst)
    facts = _Facts(priced, worst, bounds)
    return Prepared(
        view, tier, call, priced, price, method, worst, _admission(ask, call, view, facts), snapshot.version
    )


def bounds_of(call: Call, priced: PricedModel, input_tokens: int | None = None) -> Bounds:
    """The largest quantities the call can cause."""
    model = priced.model
    context = model.context_length or FALLBACK_CONTEXT
    bounds = [bound for bound in (call.input_most, input_tokens) if bound is not None]
    most = min(bounds, default=None)
    at_most = call.at_most if not call.units else {**dict(call.units), **call.at_most}
    limit = None if call.output_limit is None or not call.has_output else call.output_limit + call.output_extra
    return Bounds(
        input_tokens=context * call.input_rounds if most is None else most,
        output_limit=limit,
        output_max=(model.max_output_tokens or context) + call.output_extra if call.has_output else 0,
        choices=call.choices,
        at_most=at_most,
        units=call.choices,
        typical=call.typical,
    )


def output_held_whole(call: Call, worst: Estimate) -> int:
    """The output, all choices together, of a call whose hold covers all of it from the start; 0 for any other."""
    if not call.held_whole or not worst.output_max:
        return 0
    return min(worst.largest_output, worst.output_max)


def prospect_of(call: Call, now_us: int) -> Prospect:
    """What is known of the circumstances before the work: the tier asked for is held, and the standard one."""
    asked = call.service_tier
    tiers = _STANDARD if asked is None else _ANY_TIER if asked == "auto" else _STANDARD | {asked}
    span_us = (now_us - CLOCK_SLACK_US, now_us + CLOCK_SLACK_US)
    return Prospect(False, tiers, span_us, dict(call.parameters) if call.parameters else _NO_PARAMETERS)


class _Facts(msgspec.Struct, frozen=True, gc=False):
    """What was worked out of a call."""

    priced: PricedModel
    worst: Estimate
    bounds: Bounds


def _admission(ask: Ask, call: Call, view: KeyView, facts: _Facts) -> AdmissionRequest:
    priced, worst, bounds = facts.priced, facts.worst, facts.bounds
    extends = call.stream and worst.output_numerator > 0 and priced.model.reasoning is not Reasoning.INVISIBLE
    fixed = output_held_whole(call, worst)
    return AdmissionRequest(
        model=priced.model.id,
        model_rank=priced.rank,
        account_version=view.account.settings_version,
        key_version=view.key.settings_version,
        input_tokens=bounds.input_tokens,
        input_numerator=worst.input_numerator + fixed * worst.output_numerator,
        output_numerator=0 if fixed else worst.output_numerator,
        denominator=worst.denominator,
        output_limit=worst.output_limit,
        output_max=worst.output_max,
        choices=call.choices,
        may_extend=extends and not fixed,
        ceiling=ask.ceiling,
        client_ip=ask.client_ip,
    )


def _unknown_model(name: str) -> Refusal:
    return Refusal(
        RefusalCode.INVALID_MODEL,
        f"The model {name[:64]!r} does not exist here. GET /v1/models lists those that do.",
        param="model",
    )


def _unpriced(model: str) -> Refusal:
    return Refusal(
        RefusalCode.MODEL_UNPRICED,
        f"{model} has no price for this request, so it cannot be sold. Please tell the operator of this service.",
        param="model",
    )


def _mode_refused(model: str, refusal: ModeRefusal) -> Refusal:
    offered = " and ".join(f"{method.value} prices" for method in refusal.offered) or "no price"
    return Refusal(
        RefusalCode.BILLING_MODE_UNSUPPORTED,
        f"This key's billing mode is {refusal.mode.value}, but {model} has {offered} only. "
        f"A key with the mode {refusal.would_work.value} can call it; the mode of a key can be changed at any time.",
        param="model",
    )


def _not_covered(worst: NotCovered) -> Refusal:
    return Refusal(
        RefusalCode.CONTEXT_LENGTH_EXCEEDED,
        f"The price of a call to this model covers at most {worst.input_covered} input tokens. Send less input, "
        "or use a key that is billed by tokens.",
        param="messages",
    )
