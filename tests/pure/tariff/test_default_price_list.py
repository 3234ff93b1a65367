"""The price list that comes with Farebox: wholly understood, every model priced, the seed rates exact."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pure.tariff import cards

import farebox
from farebox.money import Nano, format_credits
from farebox.tariff.billing_mode import BillingMode, choose
from farebox.tariff.compiled import Method, Unpriced, compile_card
from farebox.tariff.conditions import Circumstances
from farebox.tariff.estimate import Estimate, estimate
from farebox.tariff.meters import Meter, Usage, output_tokens
from farebox.tariff.price_list import ModelType, read_price_list
from farebox.tariff.public_price import public_price
from farebox.tariff.rate import Basis, Charge, amount_of, call_amount_of, rate

FILE = Path(farebox.__file__).parent / "price_lists" / "default.yaml"
READING = read_price_list(yaml.safe_load(FILE.read_text()))
MODELS = {model.id: model for model in READING.price_list.models}
CARDS = {name: compile_card(model.price, f"card_{name}") for name, model in MODELS.items()}
NOON = Circumstances(at_us=12 * 3600 * 1_000_000)


def test_the_list_is_understood_without_a_finding() -> None:
    assert READING.findings == ()
    assert len(MODELS) >= 25
    assert {model.type for model in MODELS.values()} | {ModelType.OCR} == set(ModelType)  # read from others' lists only


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_charged_by_the_default_mode(name: str) -> None:
    card = CARDS[name]
    method = choose(BillingMode.PAY_PER_USE_PRIORITY, card)
    assert isinstance(method, Method)
    usage = Usage(dict.fromkeys(card.plain.numerators, 1000)) if method is Method.TOKENS else Usage({})
    charge = rate(card, Basis(method, NOON, usage, units=1))
    assert isinstance(charge, Charge)
    assert charge.amount > 0 or name == "omni-moderation-latest"
    assert public_price(card)["pricing_unit"]


def per_million(name: str) -> tuple[str, str]:
    found = [
        amount_of(CARDS[name], usage=Usage({m: 1_000_000}), circumstances=NOON) for m in (Meter.INPUT, Meter.OUTPUT)
    ]
    assert not any(isinstance(amount, Unpriced) for amount in found)
    return format_credits(found[0]), format_credits(found[1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "into", "out"),
    [("gpt-4o", "5", "15"), ("claude-3-5-sonnet-20241022", "3", "15"), ("gpt-image-1", "5", "40")],
)
def test_the_seed_rates_by_token(name: str, into: str, out: str) -> None:
    assert per_million(name) == (into, out)
    assert CARDS[name].methods == {Method.TOKENS}


@pytest.mark.parametrize(
    ("name", "alias", "amount"),
    [
        ("gemini-3-pro-image-preview", "nano-banana-pro", 50_000_000),
        ("sora_video2", None, 150_000_000),
        ("flux-1.1-pro", None, 40_000_000),
    ],
)
def test_the_seed_rates_by_call(name: str, alias: str | None, amount: int) -> None:
    assert call_amount_of(CARDS[name], units=1, circumstances=NOON) == Nano(amount)
    assert CARDS[name].methods == {Method.CALL}
    assert alias is None or alias in MODELS[name].aliases


def test_tiers_open_up_as_described() -> None:
    def models_of(tier: str) -> set[str]:
        return {name for name, model in MODELS.items() if model.min_tier == tier}

    assert {"gpt-4o-mini", "llama-3.3-70b-instruct", "text-embedding-3-small"} <= models_of("free")
    assert {"gpt-4.1-mini", "mistral-large-latest"} <= models_of("basic")
    assert {"gpt-4o", "claude-3-5-sonnet-20241022", "gemini-2.5-pro"} <= models_of("pro")
    assert "gemini-3-pro-preview" in models_of("enterprise")


def test_some_model_offers_both_methods() -> None:
    assert [name for name, card in CARDS.items() if len(card.methods) == 2] == ["gemini-2.5-flash-image"]


@settings(max_examples=200, deadline=None)
@given(cards.cases(st.sampled_from(sorted(CARDS)).map(CARDS.__getitem__), most=150_000))
def test_d06_the_hold_covers_the_charge_for_every_card_of_the_catalogue(case: cards.Case) -> None:
    charge = amount_of(case.card, usage=case.usage, circumstances=case.served)
    found = estimate(case.card, method=Method.TOKENS, prospect=case.prospect, bounds=case.bounds)
    assert isinstance(found, Unpriced) or not isinstance(charge, Unpriced)
    if isinstance(found, Estimate):
        assert charge <= found.price(output_tokens(case.usage))
