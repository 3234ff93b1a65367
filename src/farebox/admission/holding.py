"""How much to hold: what may be spent, what a request can need, and the hold between the two.

In: the gates under the lock, the request's worst-case prices. Out: an amount in nanocredits, or
the refusal that says what is missing. Changes nothing. Keeps Law 1 (a hold covers all that can be
charged until it is extended) and, with the ledger, Law 4. Every price is rounded up.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from farebox.admission.budgets import next_period_us, rest
from farebox.admission.refusals import Refusal, RefusalCode, in_credits
from farebox.admission.state import AdmissionRequest, Budget, BudgetAction, Gates, OnLowCredits
from farebox.money import Nano

LEAST_OUTPUT = 1024
"""Output tokens that a hold without a known output pays for at least."""
SHARE = 4
"""Such a hold takes one part in four of what is spendable."""
_REFUSE, _BLOCK = OnLowCredits.REFUSE, BudgetAction.BLOCK
_CREDITS, _CAP, _BUDGET = (
    RefusalCode.INSUFFICIENT_CREDITS,
    RefusalCode.KEY_LIMIT_REACHED,
    RefusalCode.BUDGET_EXCEEDED,
)


class Holding(msgspec.Struct, frozen=True, gc=False):
    """A hold that can be made."""

    amount: Nano
    output_tokens: int | None
    """The output it covers, a multiple of the request's choices; None where output has no price."""
    clamped: bool


class SoFar(msgspec.Struct, frozen=True, gc=False):
    """Where a request stands: what it holds already, since when, and the time now."""

    held: int
    admitted_us: int
    now_us: int


class _MoneyLimit(msgspec.Struct, frozen=True, gc=False):
    code: RefusalCode
    budget: Budget | None
    left: int


def price(request: AdmissionRequest, output_tokens: int) -> int:
    """The most the request is charged if it produces `output_tokens`, rounded up."""
    return -(-(request.input_numerator + output_tokens * request.output_numerator) // request.denominator)


def largest_output(request: AdmissionRequest) -> int:
    """The most output the request can be charged for; 0 where output has no price."""
    if request.output_numerator == 0:
        return 0
    limit, most = request.output_limit, request.output_max
    return most if limit is None or limit > most else limit


def covered_output(request: AdmissionRequest, amount: int) -> int:
    """The output tokens a hold of `amount` covers: a multiple of the choices, at most the largest output.

    0 if it does not even cover one token for each choice. Only where output has a price.
    """
    tokens = (amount * request.denominator - request.input_numerator) // request.output_numerator
    tokens = max(0, min(tokens, largest_output(request)))
    return tokens - tokens % request.choices


def spendable(gates: Gates, request: AdmissionRequest, so_far: SoFar) -> int:
    """What the request may (further) hold: the least that any limit on money leaves. Never below zero."""
    key, account = gates.key, gates.account
    if key.cap is None and not key.budgets and not account.budgets and request.ceiling is None:
        available = gates.books.available
        return available if available > 0 else 0
    return max(0, min(limit.left for limit in _money_limits(gates, request, so_far)))


def first_hold(gates: Gates, request: AdmissionRequest, *, now_us: int) -> Holding | Refusal:
    """The hold a request starts with, whole or refused.

    Input and worst output where the caller named a limit and that is spendable; else the input and a
    quarter of what is left, at least 1,024 output tokens. A key that refuses on low credits is never
    clamped: it holds the worst case, or (a stream that may extend) starts with the quarter.
    """
    so_far = SoFar(0, now_us, now_us)
    may_spend = spendable(gates, request, so_far)
    top = largest_output(request)
    worst = price(request, top)
    if top == 0:
        return Holding(Nano(worst), None, False) if worst <= may_spend else _too_little(gates, request, so_far, worst)
    named = request.output_limit is not None
    never_clamp = gates.key.on_low_credits is _REFUSE and (named or not request.may_extend)
    if (named or never_clamp) and worst <= may_spend:
        return Holding(Nano(worst), top, False)
    amount = worst if never_clamp else min(worst, _cautious(request, may_spend))
    if amount > may_spend:
        return _too_little(gates, request, so_far, amount)
    output_tokens = covered_output(request, amount)
    return Holding(Nano(amount), output_tokens, output_tokens < top)


def next_hold(gates: Gates, request: AdmissionRequest, so_far: SoFar) -> Nano | Refusal:
    """What a stream's hold grows by: as at first, a quarter of what is spendable, at least 1,024 output tokens.

    The last extension takes what is left if that still pays for a token of every choice. 0 when the
    hold covers the largest output already.
    """
    top = largest_output(request)
    missing = price(request, top) - so_far.held if top else 0
    if missing <= 0:
        return Nano(0)
    may_spend = spendable(gates, request, so_far)
    wanted = min(missing, max(may_spend // SHARE, _output_price(request, LEAST_OUTPUT)))
    if wanted <= may_spend:
        return Nano(wanted)
    if _output_price(request, request.choices) <= may_spend:
        return Nano(may_spend)
    return _too_little(gates, request, so_far, wanted)


def _cautious(request: AdmissionRequest, may_spend: int) -> int:
    input_price = price(request, 0)
    least = _output_price(request, max(LEAST_OUTPUT, request.choices))
    return input_price + max((may_spend - input_price) // SHARE, least)


def _output_price(request: AdmissionRequest, tokens: int) -> int:
    return -(-tokens * request.output_numerator // request.denominator)


def _money_limits(gates: Gates, request: AdmissionRequest, so_far: SoFar) -> Iterator[_MoneyLimit]:
    """Every limit on money, in order of refusal."""
    key = gates.key
    yield _MoneyLimit(_CREDITS, None, gates.books.available)
    if key.cap is not None:
        yield _MoneyLimit(_CAP, key.cap, _rest(key.cap, so_far))
    for budget in (*key.budgets, *gates.account.budgets):
        if budget.action is _BLOCK:
            yield _MoneyLimit(_BUDGET, budget, _rest(budget, so_far))
    if request.ceiling is not None:
        yield _MoneyLimit(_BUDGET, None, max(0, request.ceiling - so_far.held))


def _rest(budget: Budget, so_far: SoFar) -> int:
    return rest(budget, admitted_us=so_far.admitted_us, now_us=so_far.now_us)


def _too_little(gates: Gates, request: AdmissionRequest, so_far: SoFar, required: int) -> Refusal:
    """The refusal of the first limit that leaves less than `required`."""
    short = next(limit for limit in _money_limits(gates, request, so_far) if limit.left < required)
    affordable = None
    if largest_output(request):
        affordable = covered_output(request, so_far.held + spendable(gates, request, so_far)) // request.choices
    budget = short.budget
    return Refusal(
        short.code,
        _message(short, gates, required, affordable),
        param=budget.id if budget else "x-max-credits" if short.code is RefusalCode.BUDGET_EXCEEDED else None,
        required=Nano(required),
        available=Nano(gates.books.available),
        held=Nano(gates.books.held),
        affordable_max_tokens=affordable,
        top_up=short.code is RefusalCode.INSUFFICIENT_CREDITS,
        resets_us=next_period_us(budget.period, so_far.now_us) if budget else None,
    )


def _message(short: _MoneyLimit, gates: Gates, required: int, affordable: int | None) -> str:
    needs = f"This request needs a hold of {in_credits(required)}, but "
    advice = f" Or ask for at most {affordable} output tokens." if affordable else ""
    match short.code, short.budget:
        case RefusalCode.INSUFFICIENT_CREDITS, _:
            under_way = f"({in_credits(gates.books.held)} are held by requests under way)"
            return f"{needs}{in_credits(short.left)} are available {under_way}. Buy credits.{advice}"
        case RefusalCode.KEY_LIMIT_REACHED, _:
            return (
                f"{needs}the API key's cap leaves {in_credits(short.left)}. Raise the cap or use another key.{advice}"
            )
        case _, None:
            return f"{needs}its own ceiling allows {in_credits(short.left)}. Raise the ceiling.{advice}"
        case _, budget:
            return f"{needs}the budget {budget.id} leaves {in_credits(short.left)}. Raise the budget.{advice}"
