"""The order of refusals: as the page of the gateway states it, and as `admit` follows it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from tests.pure.admission.worlds import CREDIT, NOON, PRICE, asks, gates, take

from farebox.admission.access import ip_is_allowed, parse_ip_range
from farebox.admission.admit import admit
from farebox.admission.limits import Windows
from farebox.admission.refusals import ORDER, Refusal, RefusalCode, first
from farebox.admission.state import AdmissionRequest, Budget, BudgetAction, Gates, Limits, Stale
from farebox.admission.tiers import DEFAULT_TIERS
from farebox.money import Nano

ROWS = """
    not_found method_not_allowed
    missing_api_key invalid_api_key key_revoked key_expired
    account_suspended key_disabled ip_not_allowed
    idempotency_mismatch idempotency_in_progress idempotency_completed
    body_too_large file_too_large unsupported_media_type
    invalid_json invalid_messages missing_parameter invalid_parameter invalid_purpose
    previous_response_not_found
    context_length_exceeded content_filter
    invalid_model
    model_not_allowed
    model_tier_restricted
    billing_mode_unsupported
    model_unpriced
    rate_limit_exceeded
    storage_full
    insufficient_credits key_limit_reached budget_exceeded
    no_upstream_available ledger_unavailable queue_timeout storage_unavailable
    upstream_error upstream_timeout
"""


def test_every_code_has_its_place_in_the_order() -> None:
    assert [code.value for code in ORDER] == ROWS.split()


def test_first_picks_the_refusal_that_wins() -> None:
    late, early = Refusal(RefusalCode.BUDGET_EXCEEDED, "late"), Refusal(RefusalCode.KEY_EXPIRED, "early")
    assert first([late, early]) is early
    assert first([]) is None


Spoil = Callable[[Gates, AdmissionRequest], AdmissionRequest | None]


def _of_key(**fields: object) -> Spoil:
    def spoil(world: Gates, request: AdmissionRequest) -> None:
        for name, value in fields.items():
            setattr(world.key, name, value)

    return spoil


def _of_account(**fields: object) -> Spoil:
    def spoil(world: Gates, request: AdmissionRequest) -> None:
        for name, value in fields.items():
            setattr(world.account, name, value)

    return spoil


def _of_request(**fields: object) -> Spoil:
    def spoil(world: Gates, request: AdmissionRequest) -> AdmissionRequest:
        return msgspec.structs.replace(request, **fields)

    return spoil


def _tier_limit(**limits: int) -> Spoil:
    def spoil(world: Gates, request: AdmissionRequest) -> None:
        world.tier = msgspec.structs.replace(world.tier, limits=msgspec.structs.replace(world.tier.limits, **limits))

    return spoil


def _broke(world: Gates, request: AdmissionRequest) -> None:
    world.books.available = 5


BUDGET = Budget(id="budget_a", limit=Nano(7), action=BudgetAction.BLOCK)
CAP = Budget(id="cap_a", limit=Nano(7))

CONDITIONS: list[tuple[str, str | None, Spoil]] = [
    # code                    param                  what makes it so
    ("key_revoked",           None,                  _of_key(revoked_us=1)),
    ("key_expired",           None,                  _of_key(expires_us=NOON)),
    ("account_suspended",     None,                  _of_account(suspended=True)),
    ("key_disabled",          None,                  _of_key(enabled=False)),
    ("ip_not_allowed",        None,                  _of_key(ip_ranges=("10.0.0.0/8",))),
    ("invalid_parameter",     "tokens_per_minute",   _tier_limit(tokens_per_minute=999)),
    ("model_not_allowed",     "model",               _of_key(models=frozenset({"other"}))),
    ("model_tier_restricted", "model",               _of_request(model_rank=10)),
    ("rate_limit_exceeded",   "requests_per_minute", _tier_limit(requests_per_minute=1)),
    ("rate_limit_exceeded",   "tokens_per_minute",   _tier_limit(tokens_per_minute=2_000)),
    ("rate_limit_exceeded",   "requests_per_day",    _tier_limit(requests_per_day=1)),
    ("rate_limit_exceeded",   "concurrency",         _tier_limit(concurrency=1)),
    ("insufficient_credits",  None,                  _broke),
    ("key_limit_reached",     "cap_a",               _of_key(cap=CAP)),
    ("budget_exceeded",       "budget_a",            _of_account(budgets=(BUDGET,))),
    ("budget_exceeded",       "x-max-credits",       _of_request(ceiling=Nano(7))),
]  # fmt: skip


def _stored(world: Gates) -> bytes:
    """Everything a decision could change, as bytes."""
    return msgspec.msgpack.encode((world.account, world.key, world.books), enc_hook=Windows.pack)


def _outcome(*spoils: Spoil) -> Refusal:
    """What a second request gets, after a first one has filled what it could and then things went wrong."""
    world, request = gates(), asks()
    take(world, request)
    for spoil in spoils:
        request = spoil(world, request) or request
    before = _stored(world)
    answer = admit(world, request, now_us=NOON)
    assert isinstance(answer, Refusal)
    assert _stored(world) == before
    return answer


@pytest.mark.parametrize(("code", "param", "spoil"), CONDITIONS)
def test_each_condition_refuses_alone_and_changes_nothing(code: str, param: str | None, spoil: Spoil) -> None:
    answer = _outcome(spoil)
    assert (answer.code, answer.param) == (code, param)


PAIRS = [
    pytest.param(earlier, later, id=f"{earlier[0]}-{earlier[1]}-before-{later[0]}-{later[1]}")
    for place, earlier in enumerate(CONDITIONS)
    for later in CONDITIONS[place + 1 :]
]


@pytest.mark.parametrize(("earlier", "later"), PAIRS)
def test_of_two_conditions_the_earlier_answers(
    earlier: tuple[str, str | None, Spoil], later: tuple[str, str | None, Spoil]
) -> None:
    answer = _outcome(later[2], earlier[2])
    assert (answer.code, answer.param) == (earlier[0], earlier[1])


def test_the_conditions_stand_in_the_order_of_the_codes() -> None:
    places = [ORDER.index(RefusalCode(code)) for code, _, _ in CONDITIONS]
    assert places == sorted(places)


def test_other_settings_than_the_caller_saw_answer_stale_before_anything_else() -> None:
    world = gates(revoked_us=1, settings_version=8)
    world.account.settings_version = 3
    for seen in ({"account_version": 2, "key_version": 8}, {"account_version": 3, "key_version": 7}):
        assert admit(world, asks(**seen), now_us=NOON) == Stale(account_version=3, key_version=8)
    assert isinstance(admit(world, asks(account_version=3, key_version=8), now_us=NOON), Refusal)


def test_a_key_works_until_the_microsecond_it_expires() -> None:
    world = gates(expires_us=NOON + 1)
    assert not isinstance(admit(world, asks(), now_us=NOON), Refusal)
    assert isinstance(admit(world, asks(), now_us=NOON + 1), Refusal)


def test_d43_the_model_list_compares_model_ids_so_an_alias_is_its_model() -> None:
    world = gates(models=frozenset({"gpt-5"}))
    assert not isinstance(admit(world, asks(model="gpt-5"), now_us=NOON), Refusal)
    refusal = admit(world, asks(model="gpt-5-mini"), now_us=NOON)
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.MODEL_NOT_ALLOWED


def test_a_restricted_model_names_the_tier_that_may_use_it() -> None:
    refusal = admit(gates(tier=DEFAULT_TIERS[0]), asks(model_rank=2), now_us=NOON)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.tier) == (RefusalCode.MODEL_TIER_RESTRICTED, "pro")
    assert "tier pro" in refusal.message


ADDRESSES = [
    # ranges                        address              allowed
    (("10.0.0.0/8",),               "10.1.2.3",          True),
    (("10.0.0.0/8",),               "11.1.2.3",          False),
    (("10.0.0.7/8",),               "10.9.9.9",          True),
    (("192.0.2.4",),                "192.0.2.4",         True),
    (("192.0.2.4",),                "192.0.2.5",         False),
    (("2001:db8::/32",),            "2001:db8:1::1",     True),
    (("2001:db8::/32",),            "2001:db9::1",       False),
    (("10.0.0.0/8", "::1"),         "::1",               True),
    (("10.0.0.0/8",),               "::ffff:10.0.0.1",   True),
    (("::/0",),                     "10.0.0.1",          False),
    (("10.0.0.0/8",),               None,                False),
    (("10.0.0.0/8",),               "not an address",    False),
    (("nonsense", "10.0.0.0/8"),    "10.0.0.1",          True),
    (("nonsense",),                 "10.0.0.1",          False),
]  # fmt: skip


@pytest.mark.parametrize(("ranges", "address", "allowed"), ADDRESSES)
def test_an_ip_list_allows_what_lies_in_it(ranges: tuple[str, ...], address: str | None, allowed: bool) -> None:
    assert ip_is_allowed(ranges, address) is allowed


def test_an_unreadable_range_is_refused_when_it_is_entered() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        parse_ip_range("nonsense")


def test_the_default_tiers_are_the_table_of_the_design() -> None:
    table = {tier.name: (tier.priority, tier.limits, tier.webhooks, tier.max_api_keys) for tier in DEFAULT_TIERS}
    assert table == {
        "free": (1, Limits(10, 40_000, 500), False, 5),
        "basic": (2, Limits(50, 200_000, 10_000), False, 20),
        "pro": (3, Limits(100, 1_000_000, 100_000), True, 100),
        "enterprise": (4, Limits(), True, None),
    }


def test_a_refusal_for_money_says_what_is_missing_and_what_would_do() -> None:
    world = gates(PRICE - 1, on_low_credits="refuse")
    world.books.held = 2 * CREDIT
    refusal = admit(world, asks(), now_us=NOON)
    assert isinstance(refusal, Refusal)
    assert (refusal.required, refusal.available, refusal.held) == (PRICE, PRICE - 1, 2 * CREDIT)
    assert (refusal.affordable_max_tokens, refusal.top_up, refusal.retry_helps) == (999, True, False)
    assert refusal.message == (
        "This request needs a hold of 0.0125 credits, but 0.012499999 credits are available (2 credits are held by "
        "requests under way). Buy credits. Or ask for at most 999 output tokens."
    )
