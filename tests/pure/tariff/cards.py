"""Hypothesis strategies for rate cards, bounds and everything that can happen within them."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from farebox.tariff.compiled import CompiledCard, compile_card
from farebox.tariff.conditions import DAY_US, Circumstances, Prospect
from farebox.tariff.estimate import Bounds
from farebox.tariff.meters import INPUT_TOKENS, OUTPUT_TOKENS, Meter, Usage
from farebox.tariff.rate import Multiplier, MultiplierKind
from farebox.tariff.rate_card import RateCard, read_card

TIERS = ("default", "flex", "priority")
PARAMETERS = {"size": ("1024x1024", "1792x1024"), "quality": ("standard", "hd"), "duration": ("5", "10")}
OTHERS = tuple(meter for meter in Meter if meter not in INPUT_TOKENS | OUTPUT_TOKENS)

prices = st.one_of(
    st.sampled_from(["0.05", "0.10", "2.50", "15", "40", "0", "0.000000000001"]),
    st.decimals("0", "200", places=6, allow_nan=False).map(lambda price: f"{price:f}"),
)
factors = st.sampled_from(["0.5", "0.9", "1.25", "2", "0.333333333333"])
rates = st.one_of(prices, st.builds(dict, price=prices, per=st.sampled_from([1, 3, 1000, 1_000_000])))
call_prices = st.builds(dict, price=prices, unit=st.sampled_from(["call", "image", "clip"]))
minutes = st.integers(0, 1439)


@st.composite
def windows(draw: st.DrawFn) -> str:
    start, end = draw(st.lists(minutes, min_size=2, max_size=2, unique=True))
    return f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"


def _some(values: tuple[str, ...]) -> st.SearchStrategy[Any]:
    return st.one_of(st.sampled_from(values), st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))


@st.composite
def whens(draw: st.DrawFn) -> dict[str, Any]:
    parts: dict[str, st.SearchStrategy[Any]] = {
        "input_above": st.integers(0, 3000),
        "batch": st.booleans(),
        "service_tier": _some(TIERS),
        "utc_window": windows(),
        "utc_weekdays": st.lists(st.integers(1, 7), min_size=1, max_size=6, unique=True),
        "parameters": st.sampled_from(sorted(PARAMETERS)).flatmap(
            lambda name: st.fixed_dictionaries({name: _some(PARAMETERS[name])})
        ),
    }
    names = draw(st.lists(st.sampled_from(sorted(parts)), min_size=1, max_size=2, unique=True))
    return {name: draw(parts[name]) for name in names}


def rate_maps(least: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from([meter.value for meter in Meter]), rates, min_size=least, max_size=5)


@st.composite
def overrides(draw: st.DrawFn) -> dict[str, Any]:
    override: dict[str, Any] = {"when": draw(whens())}
    if draw(st.booleans()):
        override["multiply"] = draw(factors)
    override["rates"] = draw(rate_maps(least=0 if "multiply" in override else 1))
    if draw(st.booleans()):
        override["call_price"] = draw(call_prices)
    return override


@st.composite
def raw_cards(draw: st.DrawFn) -> dict[str, Any]:
    """Decoded cards as a price list holds them; most price input, output and calls."""
    raw: dict[str, Any] = {"rates": draw(rate_maps()), "overrides": draw(st.lists(overrides(), max_size=4))}
    for meter in ("input", "output"):
        if draw(st.integers(0, 9)) != 1:
            raw["rates"].setdefault(meter, draw(rates))
    if draw(st.booleans()):
        raw["call_price"] = draw(call_prices)
    return raw


cards = raw_cards().map(lambda raw: card_of(raw))
multipliers = st.lists(
    st.builds(Multiplier, kind=st.sampled_from(MultiplierKind), name=st.just("m"), factor=factors), max_size=2
).map(tuple)


def card_of(raw: dict[str, Any]) -> CompiledCard:
    """The compiled card of a decoded one that must be sound."""
    card = read_card(raw)
    assert isinstance(card, RateCard), card
    return compile_card(card, "card_test")


circumstances = st.builds(
    Circumstances,
    at_us=st.integers(0, 3 * DAY_US),
    batch=st.booleans(),
    service_tier=st.sampled_from([None, *TIERS]),
    parameters=st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in PARAMETERS.items()}
    ),
)


@st.composite
def prospects_of(draw: st.DrawFn, served: Circumstances) -> Prospect:
    """Something true that could be known of these circumstances beforehand."""
    span, tiers = None, None
    if draw(st.booleans()):
        span = (served.at_us - draw(st.integers(0, DAY_US)), served.at_us + draw(st.integers(0, DAY_US)))
    if draw(st.booleans()):
        tiers = frozenset({served.service_tier}) | draw(st.frozensets(st.sampled_from([None, *TIERS]), max_size=2))
    known = draw(st.frozensets(st.sampled_from(sorted(PARAMETERS))))
    return Prospect(
        batch=served.batch,
        service_tiers=tiers,
        span_us=span,
        parameters={name: served.parameters.get(name) for name in known},
    )


@st.composite
def usages_of(draw: st.DrawFn, card: CompiledCard, most: int) -> Usage:
    """Work mostly in meters that the card prices, now and then in one it does not."""
    priced = sorted(card.plain.numerators) or sorted(Meter)
    meters = draw(st.lists(st.sampled_from(priced), min_size=1, max_size=5, unique=True))
    if draw(st.integers(0, 9)) == 1:
        meters.append(draw(st.sampled_from(Meter)))
    return Usage({meter: draw(st.integers(0, 5000)) for meter in meters})


@st.composite
def bounds_of(draw: st.DrawFn, usage: Usage, *, slack: int = 500) -> Bounds:
    """Bounds that this usage keeps."""
    into = sum(quantity for meter, quantity in usage.items() if meter in INPUT_TOKENS)
    out = sum(quantity for meter, quantity in usage.items() if meter in OUTPUT_TOKENS)
    choices = draw(st.integers(1, 3))
    most = -(-out // choices) + draw(st.integers(0, slack))
    at_most = {meter: usage.get(meter, 0) + draw(st.integers(0, 3)) for meter in OTHERS if usage.get(meter)}
    for meter in draw(st.frozensets(st.sampled_from(sorted(INPUT_TOKENS | OUTPUT_TOKENS)))):
        at_most[meter] = usage.get(meter, 0) + draw(st.sampled_from([0, 0, 7]))
    return Bounds(
        input_tokens=into + draw(st.integers(0, slack)),
        output_limit=draw(st.sampled_from([None, most])),
        output_max=most,
        choices=choices,
        at_most=at_most,
    )


class Case(NamedTuple):
    """A request that was admitted on a prospect and bounds which turned out to be true."""

    card: CompiledCard
    usage: Usage
    served: Circumstances
    multipliers: tuple[Multiplier, ...]
    prospect: Prospect
    bounds: Bounds


@st.composite
def cases(draw: st.DrawFn, of: st.SearchStrategy[CompiledCard] = cards, *, most: int = 5000) -> Case:
    card, served = draw(of), draw(circumstances)
    usage = draw(usages_of(card, most))
    return Case(card, usage, served, draw(multipliers), draw(prospects_of(served)), draw(bounds_of(usage)))
