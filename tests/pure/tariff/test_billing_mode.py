"""Billing modes: the decision table of the pricing page, cell by cell."""

from __future__ import annotations

import pytest
from tests.pure.tariff.cards import card_of

from farebox.tariff.billing_mode import (
    DECISIONS,
    HYBRID_REASONS,
    RECOMMENDED,
    BillingMode,
    ModeProblem,
    ModeRefusal,
    billing_methods,
    check_mode,
    choose,
)
from farebox.tariff.compiled import Method, Unpriced

TOKEN_ONLY = card_of({"rates": {"input": "5", "output": "15"}})
CALL_ONLY = card_of({"call_price": {"price": "0.05"}})
BOTH = card_of({"rates": {"input": "5"}, "call_price": {"price": "0.05"}})
NEITHER = card_of({})
REFUSE = None


@pytest.mark.parametrize(
    ("mode", "token_only", "call_only", "both"),
    [
        ("pay_per_use", Method.TOKENS, REFUSE, Method.TOKENS),
        ("pay_per_call", REFUSE, Method.CALL, Method.CALL),
        ("pay_per_use_priority", Method.TOKENS, Method.CALL, Method.TOKENS),
        ("pay_per_call_priority", Method.TOKENS, Method.CALL, Method.CALL),
    ],
)
def test_the_key_chooses_and_the_card_decides(
    mode: str, token_only: Method | None, call_only: Method | None, both: Method | None
) -> None:
    for card, expected in ((TOKEN_ONLY, token_only), (CALL_ONLY, call_only), (BOTH, both)):
        found = choose(BillingMode(mode), card)
        assert (REFUSE if isinstance(found, ModeRefusal) else found) is expected


def test_a_refusal_names_the_mode_what_is_offered_and_what_would_work() -> None:
    refusal = choose(BillingMode.PAY_PER_CALL, TOKEN_ONLY)
    assert isinstance(refusal, ModeRefusal)
    assert refusal.problem is ModeProblem.UNSUPPORTED
    assert (refusal.mode, refusal.offered) == (BillingMode.PAY_PER_CALL, (Method.TOKENS,))
    assert choose(refusal.would_work, TOKEN_ONLY) is Method.TOKENS


def test_hybrid_is_shown_and_cannot_be_chosen() -> None:
    refusal = check_mode(BillingMode.HYBRID)
    assert isinstance(refusal, ModeRefusal)
    assert refusal.problem == "billing_mode_not_applicable"
    assert refusal.reasons == HYBRID_REASONS
    assert len(refusal.reasons) == 3
    assert refusal.would_work is RECOMMENDED is BillingMode.PAY_PER_USE_PRIORITY
    assert choose(BillingMode.HYBRID, BOTH) == refusal
    assert [check_mode(mode) for mode in DECISIONS] == [None] * 4


@pytest.mark.parametrize("mode", [mode for mode in BillingMode if mode is not BillingMode.HYBRID])
def test_law_10_a_model_without_any_price_is_unpriced_in_every_mode(mode: BillingMode) -> None:
    assert choose(mode, NEITHER) == Unpriced(None)


def test_the_methods_of_a_card_are_listed_token_first() -> None:
    assert [billing_methods(card) for card in (TOKEN_ONLY, CALL_ONLY, BOTH, NEITHER)] == [
        (Method.TOKENS,),
        (Method.CALL,),
        (Method.TOKENS, Method.CALL),
        (),
    ]
