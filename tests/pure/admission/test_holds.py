"""Hold amounts and counters: whole or refused, never above what may be spent, exact to the last request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.admission.worlds import CREDIT, DAY, MINUTE, NOON, PRICE, asks, end, gates, grow, take, with_limits

from farebox.admission.admit import admit, settle
from farebox.admission.holding import covered_output, price
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.admission.state import AdmissionRequest, Admitted, Budget, BudgetAction, OnLowCredits, Period, Settlement
from farebox.faults import LawBroken
from farebox.money import Nano

IN = 1_000 * 2_500
"""The price of the input of `asks()`."""
TOKEN = 10_000
"""The price of one output token."""
WORST = IN + 16_000 * TOKEN

CLAMP, REFUSE = OnLowCredits.CLAMP, OnLowCredits.REFUSE

AMOUNTS: list[tuple[int, int | None, bool, OnLowCredits, int | str, int | None, bool]] = [
    # available            limit  extends key     hold or refusal         output  clamped
    (PRICE,                1_000, False,  CLAMP,  PRICE,                  1_000,  False),
    (100 * CREDIT,         1_000, True,   CLAMP,  PRICE,                  1_000,  False),
    (100 * CREDIT,         1_000, False,  REFUSE, PRICE,                  1_000,  False),
    (100 * CREDIT,         99_000, False, CLAMP,  WORST,                  16_000, False),
    (100 * CREDIT,         None,  False,  CLAMP,  WORST,                  16_000, False),
    (100 * CREDIT,         None,  True,   CLAMP,  WORST,                  16_000, False),
    (IN + 8_000 * TOKEN,   None,  False,  CLAMP,  IN + 2_000 * TOKEN,     2_000,  True),
    (IN + 8_000 * TOKEN,   None,  True,   CLAMP,  IN + 2_000 * TOKEN,     2_000,  True),
    (IN + 8_000 * TOKEN,   9_000, False,  CLAMP,  IN + 2_000 * TOKEN,     2_000,  True),
    (IN + 8_000 * TOKEN,   9_000, True,   CLAMP,  IN + 2_000 * TOKEN,     2_000,  True),
    (IN + 8_000 * TOKEN,   9_000, False,  REFUSE, "insufficient_credits", 8_000,  False),
    (IN + 8_000 * TOKEN,   9_000, True,   REFUSE, "insufficient_credits", 8_000,  False),
    (IN + 8_000 * TOKEN,   None,  False,  REFUSE, "insufficient_credits", 8_000,  False),
    (IN + 8_000 * TOKEN,   None,  True,   REFUSE, IN + 2_000 * TOKEN,     2_000,  True),
    (WORST,                None,  False,  REFUSE, WORST,                  16_000, False),
    (IN + 2_000 * TOKEN,   None,  False,  CLAMP,  IN + 1_024 * TOKEN,     1_024,  True),
    (IN + 1_024 * TOKEN,   None,  True,   CLAMP,  IN + 1_024 * TOKEN,     1_024,  True),
    (IN + 1_023 * TOKEN,   None,  True,   CLAMP,  "insufficient_credits", 1_023,  False),
    (IN + 1_023 * TOKEN,   1_023, False,  CLAMP,  IN + 1_023 * TOKEN,     1_023,  False),
    (IN + 500 * TOKEN,     600,   False,  CLAMP,  "insufficient_credits", 500,    False),
    (IN - 1,               None,  True,   CLAMP,  "insufficient_credits", 0,      False),
]  # fmt: skip


@pytest.mark.parametrize(("available", "limit", "extends", "low", "expected", "output", "clamped"), AMOUNTS)
def test_the_amount_of_a_hold(
    available: int,
    limit: int | None,
    extends: bool,
    low: OnLowCredits,
    expected: int | str,
    output: int | None,
    clamped: bool,
) -> None:
    answer = admit(gates(available, on_low_credits=low), asks(output_limit=limit, may_extend=extends), now_us=NOON)
    if isinstance(answer, Refusal):
        assert (answer.code, answer.affordable_max_tokens) == (expected, output)
    else:
        assert isinstance(answer, Admitted)
        assert (answer.amount, answer.output_tokens, answer.clamped) == (expected, output, clamped)


UNPRICED_OUTPUT = [
    # available  input price  expected
    (500,        500,         500),
    (499,        500,         "insufficient_credits"),
    (0,          0,           0),
]  # fmt: skip


@pytest.mark.parametrize(("available", "input_price", "expected"), UNPRICED_OUTPUT)
@pytest.mark.parametrize(
    "output", [{"output_max": 0}, {"output_numerator": 0}, {"output_max": 0, "output_limit": None}]
)
def test_where_output_has_no_price_the_input_price_is_the_hold(
    available: int, input_price: int, expected: int | str, output: dict[str, int | None]
) -> None:
    answer = admit(gates(available), asks(input_numerator=input_price, **output), now_us=NOON)
    if isinstance(answer, Refusal):
        assert (answer.code, answer.affordable_max_tokens) == (expected, None)
    else:
        assert isinstance(answer, Admitted)
        assert (answer.amount, answer.output_tokens, answer.clamped) == (expected, None, False)


def test_d08_a_tenth_of_a_credit_is_enough_for_a_short_call_without_a_limit() -> None:
    request = asks(input_tokens=20, input_numerator=20 * 15_000, output_numerator=75_000, output_limit=None)
    answer = admit(gates(CREDIT // 10), request, now_us=NOON)
    assert isinstance(answer, Admitted)
    assert answer.output_tokens == 1_024


def test_a_hold_pays_for_a_token_of_every_choice_at_least() -> None:
    many = asks(choices=1_500, output_limit=None, output_max=150_000)
    answer = admit(gates(IN + 1_500 * TOKEN), many, now_us=NOON)
    assert isinstance(answer, Admitted)
    assert (answer.amount, answer.output_tokens) == (IN + 1_500 * TOKEN, 1_500)
    assert isinstance(admit(gates(IN + 1_499 * TOKEN), many, now_us=NOON), Refusal)


requests = st.builds(
    lambda choices, limit, most, **fields: asks(
        choices=choices, output_limit=None if limit is None else limit * choices, output_max=most * choices, **fields
    ),
    choices=st.integers(1, 5),
    limit=st.none() | st.integers(1, 5_000),
    most=st.integers(1, 20_000),
    input_numerator=st.integers(0, 10**10),
    output_numerator=st.integers(0, 10**8),
    denominator=st.sampled_from([1, 3, 1_000, 999_983]),
    may_extend=st.booleans(),
    ceiling=st.none() | st.integers(0, 10**10),
)
lows = st.sampled_from(list(OnLowCredits))


@given(requests, st.integers(0, 10**10), st.none() | st.integers(0, 10**10), lows)
def test_a_hold_is_whole_covers_its_output_and_never_exceeds_what_may_be_spent(
    request: AdmissionRequest, available: int, cap: int | None, low: OnLowCredits
) -> None:
    world = gates(available, on_low_credits=low, cap=None if cap is None else Budget(id="cap", limit=Nano(cap)))
    may_spend = min(each for each in (available, cap, request.ceiling) if each is not None)
    answer = admit(world, request, now_us=NOON)
    if isinstance(answer, Refusal):
        assert answer.required is not None
        assert answer.required > may_spend
        return
    assert isinstance(answer, Admitted)
    assert answer.amount <= may_spend
    if answer.output_tokens is None:
        assert answer.amount == price(request, 0)
        return
    assert price(request, answer.output_tokens) <= answer.amount
    assert answer.output_tokens % request.choices == 0
    assert answer.output_tokens >= request.choices
    possible = min(request.output_max, request.output_limit or request.output_max)
    assert answer.clamped == (answer.output_tokens < possible)
    if low is REFUSE and not request.may_extend:
        assert not answer.clamped


@given(requests, st.integers(0, 10**10), lows)
def test_asking_for_what_a_refusal_calls_affordable_is_admitted(
    request: AdmissionRequest, available: int, low: OnLowCredits
) -> None:
    world = gates(available, on_low_credits=low)
    refusal = admit(world, request, now_us=NOON)
    if isinstance(refusal, Refusal) and refusal.affordable_max_tokens:
        fields = {name: getattr(request, name) for name in request.__struct_fields__}
        smaller = AdmissionRequest(**(fields | {"output_limit": refusal.affordable_max_tokens * request.choices}))
        assert isinstance(admit(world, smaller, now_us=NOON), Admitted)


@pytest.mark.parametrize("bound", ["available", "cap", "budget", "ceiling"])
def test_d01_of_500_requests_with_money_for_37_exactly_37_are_admitted(bound: str) -> None:
    money = 37 * PRICE + PRICE - 1
    world, request = gates(money if bound == "available" else 10**15, on_low_credits=REFUSE), asks()
    if bound == "cap":
        world.key.cap = Budget(id="cap", limit=Nano(money), period=Period.DAILY)
    if bound == "budget":
        world.account.budgets = (Budget(id="budget", limit=Nano(money)),)
    if bound == "ceiling":
        request = asks(ceiling=Nano(PRICE - 1))
    answers = [take(world, request) for _ in range(500)]
    assert sum(isinstance(answer, Admitted) for answer in answers) == (0 if bound == "ceiling" else 37)
    assert world.books.available >= 0


def test_d05_what_is_left_below_a_whole_hold_is_refused_not_held() -> None:
    world = gates(PRICE * 2 - 1, on_low_credits=REFUSE)
    assert isinstance(take(world, asks()), Admitted)
    refusal = take(world, asks())
    assert isinstance(refusal, Refusal)
    assert (world.books.held, world.account.running) == (PRICE, 1)


def test_d11_a_cap_is_exact_with_500_under_way_at_once() -> None:
    world = gates(10**15, on_low_credits=REFUSE, cap=Budget(id="cap", limit=Nano(100 * PRICE)))
    running = [answer for answer in (take(world, asks()) for _ in range(500)) if isinstance(answer, Admitted)]
    assert len(running) == 100
    for each in running[:50]:
        end(world, each, charged=0)
    running += [answer for answer in (take(world, asks()) for _ in range(500)) if isinstance(answer, Admitted)]
    assert len(running) == 150
    assert world.key.cap is not None
    assert world.key.cap.used == 100 * PRICE


def test_a_warning_budget_refuses_nothing_and_announces() -> None:
    world = gates()
    world.account.budgets = (Budget(id="warn", limit=Nano(PRICE // 2), action=BudgetAction.WARN, thresholds=(50, 100)),)
    answer = take(world, asks())
    assert isinstance(answer, Admitted)
    told = end(world, answer, charged=PRICE // 3)
    assert [(each.budget_id, each.threshold, each.charged) for each in told] == [("warn", 50, PRICE // 3)]


@given(st.lists(st.tuples(requests, st.integers(0, 10**10), st.integers(0, 3 * MINUTE)), max_size=25), st.data())
def test_counters_return_to_what_was_charged(
    story: list[tuple[AdmissionRequest, int, int]], data: st.DataObject
) -> None:
    tier = with_limits(tokens_per_minute=10**9)
    world = gates(10**13, tier=tier, cap=Budget(id="cap", limit=Nano(10**12)))
    world.account.budgets = (Budget(id="month", limit=Nano(10**12), period=Period.MONTHLY),)
    running: list[tuple[Admitted, int]] = []
    now, charged = NOON, 0
    for request, charge, gap in story:
        now += gap
        answer = take(world, request, now_us=now)
        if isinstance(answer, Admitted):
            running.append((answer, now))
        if running and data.draw(st.booleans()):
            each, at = running.pop(data.draw(st.integers(0, len(running) - 1)))
            end(world, each, charged=min(charge, each.amount), admitted_us=at, now_us=now)
            charged += min(charge, each.amount)
    for each, at in running:
        end(world, each, charged=0, admitted_us=at, now_us=now)
    assert world.key.cap is not None
    counters = [(budget.used, budget.held) for budget in (world.key.cap, *world.account.budgets)]
    assert counters == [(charged, 0), (charged, 0)]
    assert (world.account.running, world.key.running, world.key.spent) == (0, 0, charged)
    assert (world.books.held, world.books.available) == (0, 10**13 - charged)


@given(requests, st.integers(0, 10**10), st.none() | st.integers(0, 10**10))
def test_a_stream_extends_within_every_limit_until_it_covers_its_output_or_the_money_ends(
    request: AdmissionRequest, available: int, cap: int | None
) -> None:
    world = gates(available, cap=None if cap is None else Budget(id="cap", limit=Nano(cap)))
    first = take(world, request)
    if not isinstance(first, Admitted) or first.output_tokens is None:
        return
    may_spend = min(each for each in (available, cap, request.ceiling) if each is not None)
    held, top = int(first.amount), min(request.output_max, request.output_limit or request.output_max)
    while amount := grow(world, request, held):
        if isinstance(amount, Refusal):
            token_of_each_choice = request.choices * request.output_numerator
            assert (may_spend - held) * request.denominator < token_of_each_choice
            return
        held += amount
        assert held <= min(may_spend, price(request, top))
    assert covered_output(request, held) == top


def test_a_stream_takes_a_quarter_at_a_time_then_what_is_left() -> None:
    request = asks(output_limit=None, may_extend=True)
    world = gates(IN + 8_000 * TOKEN)
    first = take(world, request)
    assert isinstance(first, Admitted)
    held, steps = int(first.amount), []
    while not isinstance(amount := grow(world, request, held), Refusal):
        steps.append(amount // TOKEN)
        held += amount
    assert steps == [1_500, 1_125, 1_024, 1_024, 1_024, 303]
    assert amount.code is RefusalCode.INSUFFICIENT_CREDITS


def test_an_extension_over_midnight_counts_on_the_day_of_admission() -> None:
    before, after = NOON + DAY // 2 - 1, NOON + DAY // 2 + 1
    request = asks(output_limit=None, may_extend=True)
    cap = Budget(id="cap", limit=Nano(IN + 2_048 * TOKEN), period=Period.DAILY)
    world = gates(10**12, cap=cap)
    first = take(world, request, now_us=before)
    assert isinstance(first, Admitted)
    assert grow(world, request, first.amount, admitted_us=before, now_us=after) == 1_024 * TOKEN
    refusal = grow(world, request, first.amount + 1_024 * TOKEN, admitted_us=before, now_us=after)
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.KEY_LIMIT_REACHED
    assert isinstance(take(world, request, now_us=after), Admitted)


def test_a_late_charge_counts_but_ends_no_second_request() -> None:
    world = gates(cap=Budget(id="cap", limit=Nano(CREDIT)))
    answer = take(world, asks())
    assert isinstance(answer, Admitted)
    end(world, answer, charged=0)
    settle(world, Settlement(NOON, 0, 700, Nano(0), Nano(PRICE), late=True), now_us=NOON)
    assert world.key.cap is not None
    assert (world.key.spent, world.key.cap.used, world.account.running) == (PRICE, PRICE, 0)


def test_law_2_a_hold_that_ends_twice_breaks_the_law() -> None:
    world = gates()
    answer = take(world, asks())
    assert isinstance(answer, Admitted)
    end(world, answer, charged=1)
    with pytest.raises(LawBroken, match="Law 2"):
        end(world, answer, charged=1)
