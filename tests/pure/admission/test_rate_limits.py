"""Rate limits: whose limits count, how long to wait, what could never fit, what the headers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pure.admission.worlds import BOUNDLESS, MINUTE, NOON, SECOND, asks, end, gates, take, with_limits

from farebox.admission.admit import admit
from farebox.admission.limits import Windows
from farebox.admission.rate_limits import RateNow, rate_now
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.admission.state import Admitted, Gates, Limits
from farebox.admission.tiers import DEFAULT_TIERS


def refused(world: Gates, *, now_us: int = NOON, **fields: object) -> Refusal:
    answer = admit(world, asks(**fields), now_us=now_us)
    assert isinstance(answer, Refusal)
    return answer


def admitted(world: Gates, *, now_us: int = NOON, **fields: object) -> Admitted:
    answer = take(world, asks(**fields), now_us=now_us)
    assert isinstance(answer, Admitted), answer
    return answer


WAITS = [
    # limit                 of the tier                            retry-after  helps
    ("requests_per_minute", with_limits(requests_per_minute=1),    61,          True),
    ("tokens_per_minute",   with_limits(tokens_per_minute=3_000),  61,          True),
    ("requests_per_day",    with_limits(requests_per_day=1),       25 * 3600,   False),
    ("concurrency",         with_limits(concurrency=1),            1,           True),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "tier", "wait_s", "helps"), WAITS)
def test_a_rate_refusal_always_says_how_long_to_wait(limit: str, tier: object, wait_s: int, helps: bool) -> None:
    world = gates(tier=tier)
    admitted(world)
    answer = refused(world)
    assert (answer.code, answer.param) == (RefusalCode.RATE_LIMIT_EXCEEDED, limit)
    assert (answer.retry_after_s, answer.retry_helps) == (wait_s, helps)
    assert str(wait_s) in answer.message


@given(st.lists(st.integers(0, 20 * SECOND), max_size=60), st.integers(1, 5))
def test_waiting_as_told_is_enough(gaps: list[int], limit: int) -> None:
    world, now = gates(10**15, tier=with_limits(requests_per_minute=limit, tokens_per_minute=limit * 1_500)), NOON
    for gap in gaps:
        now += gap
        answer = take(world, asks(), now_us=now)
        if isinstance(answer, Refusal):
            assert answer.retry_after_s is not None
            now += answer.retry_after_s * SECOND
            assert isinstance(take(world, asks(), now_us=now), Admitted)


def test_d40_tokens_are_reserved_before_the_answer_and_put_right_after_it() -> None:
    world = gates(tier=with_limits(tokens_per_minute=5_000))
    running = admitted(world, output_limit=1_000)
    assert running.tokens_reserved == 2_000
    admitted(world, output_limit=2_000)
    assert refused(world, input_tokens=1, output_limit=1).param == "tokens_per_minute"
    end(world, running, charged=0, tokens_used=300)
    assert admitted(world, output_limit=700).tokens_reserved == 1_700
    assert refused(world, input_tokens=1, output_limit=1).param == "tokens_per_minute"


def test_d40_663_tokens_through_a_limit_of_100_close_the_minute() -> None:
    world = gates(tier=with_limits(tokens_per_minute=100))
    running = admitted(world, input_tokens=13, output_limit=650)
    assert running.tokens_reserved == 100
    assert refused(world, input_tokens=1, output_limit=1).param == "tokens_per_minute"
    end(world, running, charged=0, tokens_used=663, now_us=NOON + 30 * SECOND)
    assert refused(world, now_us=NOON + 60 * SECOND, input_tokens=1, output_limit=1).param == "tokens_per_minute"
    admitted(world, now_us=NOON + 61 * SECOND, input_tokens=1, output_limit=1)


def test_a_void_gives_tokens_back_but_never_the_request() -> None:
    world = gates(tier=with_limits(tokens_per_minute=2_000, requests_per_minute=2))
    end(world, admitted(world), charged=0)
    end(world, admitted(world), charged=0)
    assert refused(world).param == "requests_per_minute"


@pytest.mark.parametrize(("input_tokens", "tier"), [(40_001, "basic"), (300_000, "pro"), (2_000_000, "enterprise")])
def test_what_could_never_fit_names_the_tier_that_would(input_tokens: int, tier: str) -> None:
    answer = refused(gates(tier=DEFAULT_TIERS[0]), input_tokens=input_tokens)
    assert (answer.code, answer.param, answer.tier) == (RefusalCode.INVALID_PARAMETER, "tokens_per_minute", tier)
    assert tier in answer.message


def test_what_a_keys_own_limit_never_fits_names_no_tier() -> None:
    answer = refused(gates(limits=Limits(tokens_per_minute=100)), input_tokens=101)
    assert (answer.code, answer.tier) == (RefusalCode.INVALID_PARAMETER, None)
    assert "key's own limit" in answer.message


def test_an_input_of_exactly_the_limit_fits_an_empty_minute() -> None:
    world = gates(tier=DEFAULT_TIERS[0])
    assert admitted(world, input_tokens=40_000).tokens_reserved == 40_000


def test_a_keys_own_limits_bind_beside_the_tiers_on_every_meter() -> None:
    world = gates(tier=with_limits(requests_per_minute=5), limits=Limits(requests_per_minute=2))
    admitted(world)
    admitted(world)
    assert refused(world).message.startswith("The limit of 2 requests per minute")


def test_a_low_limit_on_one_key_takes_no_less_from_the_accounts_minute() -> None:
    world = gates(tier=with_limits(tokens_per_minute=10_000), limits=Limits(tokens_per_minute=1_500))
    assert admitted(world, output_limit=4_000).tokens_reserved == 5_000
    world.key.windows = Windows()
    world.key.limits = Limits()
    admitted(world, output_limit=4_000)
    assert refused(world, input_tokens=1, output_limit=1).param == "tokens_per_minute"


def test_limits_per_account_are_shared_by_its_keys_and_per_key_are_not() -> None:
    for per_key, outcome in ((False, Refusal), (True, Admitted)):
        world = gates(tier=with_limits(requests_per_minute=1), per_key=per_key)
        admitted(world)
        other = gates(tier=world.tier, per_key=per_key)
        other.account, other.books = world.account, world.books
        assert isinstance(admit(other, asks(), now_us=NOON), outcome)


def test_per_key_the_lower_of_tier_and_key_counts() -> None:
    tier = with_limits(requests_per_minute=3, concurrency=9)
    world = gates(tier=tier, per_key=True, limits=Limits(requests_per_minute=5, concurrency=2))
    admitted(world)
    admitted(world)
    assert refused(world).param == "concurrency"
    world.key.running = 0
    admitted(world)
    assert refused(world).param == "requests_per_minute"


def test_a_free_output_reserves_what_it_may_produce() -> None:
    world = gates(0, tier=with_limits(tokens_per_minute=30_000))
    free = {"input_numerator": 0, "output_numerator": 0}
    assert admitted(world, **free, output_limit=None).tokens_reserved == 17_000
    assert admitted(world, **free, output_limit=500).tokens_reserved == 1_500


def test_headers_show_the_minute_of_the_account() -> None:
    world = gates(tier=with_limits(requests_per_minute=3))
    assert rate_now(world, now_us=NOON) == RateNow(limit=3, remaining=3, used=0, reset_s=NOON // SECOND)
    admitted(world, now_us=NOON + 500_000)
    expected = RateNow(limit=3, remaining=2, used=1, reset_s=NOON // SECOND + 61)
    assert rate_now(world, now_us=NOON + 10 * SECOND) == expected
    assert rate_now(world, now_us=NOON + 2 * MINUTE).remaining == 3


def test_headers_show_unlimited_as_none_with_what_was_used() -> None:
    world = gates(tier=BOUNDLESS)
    admitted(world)
    shown = rate_now(world, now_us=NOON)
    assert (shown.limit, shown.remaining, shown.used) == (None, None, 1)


@pytest.mark.parametrize(("of_tier", "of_key", "shown"), [(5, 2, 2), (2, 5, 2), (None, 4, 4)])
def test_headers_show_the_limit_that_leaves_least(of_tier: int | None, of_key: int, shown: int) -> None:
    tier = BOUNDLESS if of_tier is None else with_limits(requests_per_minute=of_tier)
    world = gates(tier=tier, limits=Limits(requests_per_minute=of_key))
    admitted(world)
    now = rate_now(world, now_us=NOON)
    assert (now.limit, now.remaining) == (shown, shown - 1)
