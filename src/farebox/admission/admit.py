"""Admission: one decision on all that can refuse a request for access, limits or money.

In: the gates as read under the account's lock, a request worked out before, the time. Out: a
decision, or gates changed in place. The writer asks in this order:

    admit ── Admitted ──> reserve … extend … settle        one settle for each reserve
          ├─ Refusal      nothing has changed
          └─ Stale        load the settings again, ask again

`admit` only decides; `reserve` counts what it allowed. Both happen under one lock, so that a
limit is exact however many ask at once. Credits themselves are moved by the ledger's machine.
Keeps Law 1, and its part of Laws 2 and 4.
"""

from __future__ import annotations

from farebox.admission import budgets, rate_limits
from farebox.admission.access import check_caller, check_model
from farebox.admission.budgets import Announcement
from farebox.admission.holding import Holding, SoFar, first_hold, next_hold
from farebox.admission.refusals import Refusal
from farebox.admission.state import AdmissionRequest, Admitted, Budget, Gates, Settlement, Stale
from farebox.faults import LawBroken
from farebox.money import Nano


def admit(gates: Gates, request: AdmissionRequest, *, now_us: int) -> Admitted | Refusal | Stale:
    """Decide: the hold to make, or the first refusal in `refusals.ORDER`. Changes nothing.

    `Stale` if the caller's checks were made with other settings than the gates now have.
    """
    account, key = gates.account, gates.key
    if request.account_version != account.settings_version or request.key_version != key.settings_version:
        return Stale(account.settings_version, key.settings_version)
    refusal = _check_settings(gates, request, now_us)
    if refusal is not None:
        return refusal
    holding = first_hold(gates, request, now_us=now_us)
    tokens = request.input_tokens + _output_allowed(request, holding)
    refusal = rate_limits.check_rate(gates, tokens, now_us=now_us)
    if refusal is not None:
        return refusal
    if isinstance(holding, Refusal):
        return holding
    reserved = rate_limits.tokens_to_reserve(gates, tokens)
    return Admitted(holding.amount, holding.output_tokens, holding.clamped, reserved, gates.tier.priority)


def reserve(gates: Gates, admitted: Admitted, *, now_us: int) -> None:
    """Count what `admit` allowed, at the same moment and under the same lock."""
    account, key = gates.account, gates.key
    account.now_us = now_us
    account.running += 1
    key.running += 1
    rate_limits.count(gates, admitted.tokens_reserved, now_us=now_us)
    _count_held(gates, admitted.amount, admitted_us=now_us, now_us=now_us)


def extend(gates: Gates, request: AdmissionRequest, *, held: Nano, admitted_us: int, now_us: int) -> Nano | Refusal:
    """Let a stream's hold grow, within the same limits on money, and count it in the period of admission.

    Answers by how much (nanocredits). 0: the hold already covers the largest output the request can
    have. A refusal: the stream ends with what is held.
    """
    amount = next_hold(gates, request, SoFar(held, admitted_us, now_us))
    if not isinstance(amount, Refusal):
        _count_held(gates, amount, admitted_us=admitted_us, now_us=now_us)
    return amount


def settle(gates: Gates, ended: Settlement, *, now_us: int) -> list[Announcement]:
    """Put right what was reserved, now that a hold has ended: captured, voided, expired or charged late.

    Answers the budget thresholds that this charge has reached. Raises `LawBroken` if more holds end
    than were admitted (Law 2).
    """
    account, key = gates.account, gates.key
    account.now_us = now_us
    if not ended.late:
        if account.running < 1 or key.running < 1:
            raise LawBroken(2, f"a hold ended on account {account.id} that no running request had")
        account.running -= 1
        key.running -= 1
    key.spent += ended.charged
    delta = ended.tokens_used - ended.tokens_reserved
    rate_limits.correct(gates, delta, admitted_us=ended.admitted_us, now_us=now_us)
    return _settle_budgets(gates, ended, now_us)


def _check_settings(gates: Gates, request: AdmissionRequest, now_us: int) -> Refusal | None:
    refusal = check_caller(gates.account, gates.key, request.client_ip, now_us=now_us)
    if refusal is None:
        refusal = rate_limits.check_size(gates, request)
    if refusal is None:
        refusal = check_model(
            gates.key, gates.tier, model=request.model, model_rank=request.model_rank, tiers=gates.rules.tiers
        )
    return refusal


def _output_allowed(request: AdmissionRequest, holding: Holding | Refusal) -> int:
    """The output that counts against tokens per minute: what is held, or what is possible where output is free.

    A request that credits refuse counts its input alone: it is refused for its rate only if even that is too much.
    """
    if isinstance(holding, Refusal):
        return 0
    if holding.output_tokens is not None:
        return holding.output_tokens
    return request.output_max if request.output_limit is None else request.output_limit


def _count_held(gates: Gates, amount: int, *, admitted_us: int, now_us: int) -> None:
    account, key = gates.account, gates.key
    if key.cap is not None:
        key.cap = budgets.add(key.cap, amount, admitted_us=admitted_us, now_us=now_us)
    if key.budgets:
        key.budgets = tuple(budgets.add(each, amount, admitted_us=admitted_us, now_us=now_us) for each in key.budgets)
    if account.budgets:
        account.budgets = tuple(
            budgets.add(each, amount, admitted_us=admitted_us, now_us=now_us) for each in account.budgets
        )


def _settle_budgets(gates: Gates, ended: Settlement, now_us: int) -> list[Announcement]:
    account, key = gates.account, gates.key
    told: list[Announcement] = []
    if key.cap is not None:
        key.cap = _settled(key.cap, ended, now_us, told)
    if key.budgets:
        key.budgets = tuple(_settled(each, ended, now_us, told) for each in key.budgets)
    if account.budgets:
        account.budgets = tuple(_settled(each, ended, now_us, told) for each in account.budgets)
    return told


def _settled(budget: Budget, ended: Settlement, now_us: int, told: list[Announcement]) -> Budget:
    """The budget after a hold's end; what it has to announce is added to `told`."""
    budget = budgets.correct(
        budget, held=ended.held, charged=ended.charged, admitted_us=ended.admitted_us, now_us=now_us
    )
    budget, news = budgets.announce(budget)
    told.extend(news)
    return budget
