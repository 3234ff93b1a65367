"""The price list that comes with Farebox: wholly understood, every model priced, the seed rates exact."""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pure.tariff import cards

from farebox.books import SHIPPED_PRICES, decoded_list
from farebox.money import Nano, format_credits
from farebox.tariff.billing_mode import BillingMode, choose
from farebox.tariff.compiled import CompiledCard, Method, Prices, Unpriced, compile_card
from farebox.tariff.conditions import Circumstances, Prospect
from farebox.tariff.estimate import Bounds, Estimate, estimate
from farebox.tariff.meters import INPUT_TOKENS, TOKENS, Meter, Usage, output_tokens
from farebox.tariff.price_list import ModelType, read_price_list
from farebox.tariff.public_price import public_price
from farebox.tariff.rate import Basis, Charge, amount_of, call_amount_of, rate

FILES = sorted(SHIPPED_PRICES.glob("*.yaml"))
READING = read_price_list(decoded_list(SHIPPED_PRICES))
MODELS = {model.id: model for model in READING.price_list.models}
CARDS = {name: compile_card(model.price, f"card_{name}") for name, model in MODELS.items()}
NOON = Circumstances(at_us=12 * 3600 * 1_000_000, parameters={"duration": "10"})
FREE = {"omni-moderation-latest", "mistral-moderation-2603"}


def test_the_list_is_understood_without_a_finding() -> None:
    assert READING.findings == ()
    assert len(MODELS) >= 250
    kinds = Counter(model.type for model in MODELS.values())
    assert set(kinds) == set(ModelType), set(ModelType) - set(kinds)


def test_every_file_says_what_it_is_and_bears_its_own_name() -> None:
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        assert text.startswith("# ")
        assert yaml.load(text, Loader=yaml.CSafeLoader)["name"] == file.stem


def test_a_folder_is_one_list_and_reads_in_a_blink() -> None:
    before = time.process_time()
    assert len(decoded_list(SHIPPED_PRICES)["models"]) == len(MODELS)
    assert time.process_time() - before < 0.5


def test_a_file_of_a_folder_that_holds_no_models_is_named(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("name: one\nmodels: []\n")
    assert decoded_list(tmp_path)["models"] == []
    (tmp_path / "two.json").write_text('{"name": "two"}')
    with pytest.raises(ValueError, match=r"two\.json holds no name and list of models"):
        decoded_list(tmp_path)


def test_no_name_belongs_to_two_models() -> None:
    names = Counter(name for model in MODELS.values() for name in (model.id, *model.aliases))
    assert [name for name, count in names.items() if count > 1] == []


def test_every_price_has_a_public_page_and_the_date_it_was_seen() -> None:
    for model in MODELS.values():
        assert model.source.startswith("https://"), model.id
        assert date(2025, 11, 20) <= model.as_of <= date(2026, 11, 21), model.id


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_charged_by_the_default_mode(name: str) -> None:
    card = CARDS[name]
    method = choose(BillingMode.PAY_PER_USE_PRIORITY, card)
    assert isinstance(method, Method)
    usage = Usage(dict.fromkeys(card.plain.numerators, 1000)) if method is Method.TOKENS else Usage({})
    charge = rate(card, Basis(method, NOON, usage, units=1))
    assert isinstance(charge, Charge)
    assert (charge.amount > 0) == (name not in FREE)
    shown = public_price(card)
    assert shown["pricing_unit"]
    assert shown["billing_methods"]


# -- The rates of the first product ----------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("parameters", "amount"), [({"duration": "10"}, 150_000_000), ({"duration": "12"}, None), ({}, None)]
)
def test_a_clip_has_a_price_for_its_own_length_only(parameters: dict[str, str], amount: int | None) -> None:
    at = Circumstances(at_us=0, parameters=parameters)
    charge = call_amount_of(CARDS["sora_video2"], units=1, circumstances=at)
    prospect = Prospect(parameters={"duration": parameters.get("duration")})
    held = estimate(CARDS["sora_video2"], method=Method.CALL, prospect=prospect, bounds=Bounds())
    assert charge == (Unpriced(None) if amount is None else Nano(amount))
    assert isinstance(held, Unpriced) if amount is None else isinstance(held, Estimate) and held.worst == amount


# -- Tiers -----------------------------------------------------------------------------------------

TIERS = (
    ("preview|-exp(-|$)", "", {"enterprise"}),
    ("mythos|cyber|rosalind", "", {"enterprise"}),
    ("claude-", "", {"pro"}),
    (r"gpt-oss|^llama-|^qwen3-(32b|235b|coder-\d)|^gemma-|^deepseek-|^nemotron|^kimi-|^ministral|^phi-", "", {"free"}),
    (r"^gpt-[456].*(nano|luna)|^gpt-4o-mini$", "chat", {"free"}),
    (r"^gpt-[456].*-mini$|^gpt-audio-mini$", "chat", {"basic"}),
    (r"^(gpt-[456]|o3|chat-latest|gpt-audio)", "chat", {"pro"}),
    (r"^gemini-.*flash-lite", "chat", {"basic"}),
    (r"^gemini-", "chat", {"pro"}),
    (r"^grok-[345]", "chat", {"pro"}),
    ("", "moderation", {"free"}),
    ("", "realtime", {"basic", "pro"}),
    ("", "embedding", {"free", "basic"}),
    ("", "", {"free", "basic", "pro"}),
)
"""The first row whose pattern finds its like in a model's id, for its type or any, names the tiers it may have."""
TIER_EXCEPTIONS = {"gemini-3-pro-image-preview": "pro"}
"""A preview by name only: the same model is on general sale."""


@pytest.mark.parametrize("name", MODELS)
def test_min_tier_follows_the_rules(name: str) -> None:
    model = MODELS[name]
    allowed = next(
        tiers for pattern, kind, tiers in TIERS if kind in ("", model.type.value) and re.search(pattern, name)
    )
    assert model.min_tier == TIER_EXCEPTIONS[name] if name in TIER_EXCEPTIONS else model.min_tier in allowed


def test_tiers_open_up_as_described() -> None:
    def models_of(tier: str) -> set[str]:
        return {name for name, model in MODELS.items() if model.min_tier == tier}

    assert {"gpt-4o-mini", "llama-3.3-70b-instruct", "text-embedding-3-small"} <= models_of("free")
    assert {"gpt-4.1-mini", "mistral-large-2512"} <= models_of("basic")
    assert {"gpt-4o", "claude-3-5-sonnet-20241022", "gemini-2.5-pro"} <= models_of("pro")
    assert "gemini-3.1-pro-preview" in models_of("enterprise")


def test_open_models_are_for_everybody() -> None:
    [file] = [file for file in FILES if file.stem == "open-models"]
    assert {entry["min_tier"] for entry in decoded_list(file)["models"]} == {"free"}


# -- What prices of all providers have in common ----------------------------------------------------


def prices(card: CompiledCard, *, into: int = 0, batch: bool = False, tier: str | None = None) -> Prices:
    at = Circumstances(at_us=NOON.at_us, batch=batch, service_tier=tier)
    return card.prices(Usage({Meter.INPUT: into}), at)


def each(found: Prices, meter: Meter) -> Fraction | None:
    """Nanocredits for one unit."""
    return Fraction(found.numerators[meter], found.denominator) if meter in found.numerators else None


@pytest.mark.parametrize(
    ("name", "threshold", "short", "long"),
    [
        ("gemini-2.5-pro", 200_000, ("1.25", "10"), ("2.5", "15")),
        ("gpt-5.5", 272_000, ("5", "30"), ("10", "45")),
        ("gpt-6.1-sol", 272_000, ("2", "10"), ("4", "15")),
        ("claude-haiku-5-5", 100_000, ("0.1", "0.5"), ("0.5", "2.5")),
        ("grok-4.7", 199_999, ("2", "6"), ("4", "12")),
        ("qwen3-coder-plus", 256_000, ("3", "15"), ("6", "60")),
    ],
)
def test_a_long_prompt_moves_the_whole_request(
    name: str, threshold: int, short: tuple[str, str], long: tuple[str, str]
) -> None:
    def shown(into: int) -> tuple[str, str]:
        found = prices(CARDS[name], into=into)
        return found.written[Meter.INPUT][0], found.written[Meter.OUTPUT][0]

    assert (shown(threshold), shown(threshold + 1)) == (short, long)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.provider == "anthropic"])
def test_anthropic_sells_cache_writes_by_their_lifetime(name: str) -> None:
    for into in (0, 150_000):
        for batch in (False, True):
            found = prices(CARDS[name], into=into, batch=batch)
            plain = each(found, Meter.INPUT)
            assert plain is not None
            assert each(found, Meter.CACHE_WRITE_5M) == plain * Fraction("1.25")
            assert each(found, Meter.CACHE_WRITE_1H) == plain * 2


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if Meter.INPUT in card.base_rates])
def test_cheaper_ways_are_not_dearer_and_dearer_ones_not_cheaper(name: str) -> None:
    card = CARDS[name]
    for into in (0, 10**9):
        usual = prices(card, into=into)
        for meter in TOKENS & usual.numerators.keys():
            normal = each(usual, meter)
            assert normal is not None
            assert (each(prices(card, into=into, batch=True), meter) or 0) <= normal, meter
            assert (each(prices(card, into=into, tier="flex"), meter) or 0) <= normal, meter
            assert into or (each(prices(card, tier="priority"), meter) or 0) >= normal, meter
            assert (each(prices(card, into=10**9), meter) or 0) >= normal, meter
    assert each(card.plain, Meter.CACHED_INPUT) <= each(card.plain, Meter.INPUT)  # type: ignore[operator]


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if Meter.SEARCHES in card.base_rates])
def test_searches_cost_the_same_however_the_request_is_served(name: str) -> None:
    card = CARDS[name]
    ways = [{"batch": True}, {"tier": "flex"}, {"tier": "priority"}, {"tier": "fast"}, {"into": 10**9}]
    plain = each(card.plain, Meter.SEARCHES)
    assert {each(prices(card, **way), Meter.SEARCHES) for way in ways} == {plain}  # type: ignore[arg-type]


def test_some_models_offer_both_methods() -> None:
    both = {name for name, card in CARDS.items() if len(card.methods) == 2}
    assert both == {"gemini-2.5-flash-image", "gemini-3-pro-image", "gemini-3.1-flash-lite-image"}


def test_chat_models_fit_their_output_and_name_what_holds_need() -> None:
    for model in MODELS.values():
        if model.type is ModelType.CHAT:
            assert 0 < (model.max_output_tokens or 0) <= (model.context_length or 0), model.id
            assert "chat" in model.capabilities, model.id
            assert ("thinking" in model.capabilities) == (model.reasoning.value != "none"), model.id


# -- Holds -----------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(cards.cases(st.sampled_from(sorted(CARDS)).map(CARDS.__getitem__), most=300_000))
def test_d06_the_hold_covers_the_charge_for_every_card_of_the_catalogue(case: cards.Case) -> None:
    charge = amount_of(case.card, usage=case.usage, circumstances=case.served)
    found = estimate(case.card, method=Method.TOKENS, prospect=case.prospect, bounds=case.bounds)
    assert isinstance(found, Unpriced) or not isinstance(charge, Unpriced)
    if isinstance(found, Estimate) and not isinstance(charge, Unpriced):
        assert charge <= found.price(output_tokens(case.usage))


@pytest.mark.parametrize("name", CARDS)
def test_d06_every_way_to_serve_a_request_stays_within_its_hold(name: str) -> None:
    card = CARDS[name]
    bounds = Bounds(input_tokens=400_000, output_max=1000, at_most={Meter.SEARCHES: 3, Meter.VIDEO_SECONDS: 8000})
    served = [
        Circumstances(at_us=hour * 3_600_000_000, batch=batch, service_tier=tier)
        for hour in (0, 2, 8)
        for batch in (False, True)
        for tier in (None, "flex", "priority", "fast")
    ]
    for at in served:
        found = estimate(card, method=Method.TOKENS, prospect=Prospect(batch=at.batch), bounds=bounds)
        for meter in INPUT_TOKENS & card.plain.numerators.keys():
            charge = amount_of(card, usage=Usage({meter: 400_000, Meter.OUTPUT: 1000}), circumstances=at)
            if isinstance(found, Estimate) and not isinstance(charge, Unpriced):
                assert charge <= found.worst
