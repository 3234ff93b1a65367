"""Other people's price files: how their figures, conditions and names become models of ours.

Enters: drafts that the readers of each file make (`import_genai_prices`, `import_litellm`), and
the operator's terms. Leaves: a `Reading` of a `PriceList` like that of our own lists: what they
state becomes the cost card, the marked-up figures the price. Exact: figures are decimals, a
markup multiplies rationals, and nothing is rounded but the noise of a binary fraction that
somebody wrote out in decimals, which is said. Never fetches anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from farebox.tariff.conditions import When
from farebox.tariff.decimals import format_decimal, parse_decimal, parse_positive_decimal
from farebox.tariff.meters import Meter, default_per
from farebox.tariff.price_list import (
    Finding,
    Model,
    ModelType,
    PriceList,
    Reading,
    Reasoning,
    Severity,
    doubts,
    name_problems,
    refused,
    warning,
)
from farebox.tariff.rate_card import CallPrice, CallUnit, Override, Rate, RateCard, RateText

HONEST_DIGITS = 15
"""Decimals that were typed have fewer; beyond this they are the tail of a binary fraction."""
_MOST_PLACES = 12
_FILLED = ("context_length", "max_output_tokens", "sunset")
"""Facts of a model in the catalogue that an import adds where they are missing."""


class Figure(msgspec.Struct, frozen=True):
    """A price for `per` units of a meter, exactly. Seconds are seconds here."""

    price: Fraction
    per: int = 1


class Block(msgspec.Struct, frozen=True):
    """Prices under one condition; later blocks win, as the overrides of a card do."""

    when: When | None
    """None: the card's own prices."""
    rates: Mapping[Meter, Figure] = {}
    call_price: Fraction | None = None
    """For each image."""
    multiply: Fraction | None = None


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A model as a file states it, before it has a name here."""

    provider: str
    type: ModelType | None
    """None: nothing like it is sold here; a finding says what it is."""
    blocks: tuple[Block, ...] = ()
    display_name: str | None = None
    page: str | None = None
    """Where the figures are from, as the file says."""
    capabilities: tuple[str, ...] = ()
    context_length: int | None = None
    max_output_tokens: int | None = None
    sunset: date | None = None
    reasoning: Reasoning = Reasoning.NONE
    type_is_guessed: bool = False
    """The file says nothing of it; of no matter for a model that the catalogue knows."""
    problems: tuple[tuple[Severity, str], ...] = ()


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Which models to import, and under which names."""

    models: Mapping[str, str] = {}
    """Our id → theirs. One that is not found is a refusal."""
    providers: frozenset[str] = frozenset()
    """All models of these, under their own names."""
    known: Mapping[str, Model] = {}
    """The catalogue. Its models keep what they are, also their price where the file has none or only zeros; and
    where nothing else is wished, they are looked for by name."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decides about an import."""

    source: str
    """The file: its name and version."""
    as_of: date
    """When the file was taken."""
    on: date
    """The day whose prices are read, in UTC: a file may know prices to come."""
    markup: str = "1"
    """What a cost is multiplied by to be a price; exact, not zero."""
    min_tier: str = "pro"
    wish: Wish = Wish()

    def __post_init__(self) -> None:
        parse_positive_decimal(self.markup)


def exact(value: object) -> Fraction | None:
    """A decoded number, exactly. None: it is none, or was decoded as a float, or is negative."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if isinstance(value, Decimal) and not value.is_finite():
        return None
    return Fraction(honest(value)) if value >= 0 else None


def honest(value: int | Decimal) -> int | Decimal:
    """A figure without the tail of a binary fraction: 1.0000000000000001e-07 was 1e-07."""
    if isinstance(value, int) or len(value.normalize().as_tuple().digits) <= HONEST_DIGITS:
        return value
    return value.normalize(Context(prec=HONEST_DIGITS, rounding=ROUND_HALF_EVEN))


def card_of(blocks: Iterable[Block], markup: Fraction = Fraction(1)) -> RateCard:
    """The card that these blocks are, every price multiplied by `markup`. Factors of conditions are not."""
    base = RateCard()
    overrides: list[Override] = []
    for block in blocks:
        rates = {meter: _rate(meter, figure, markup) for meter, figure in block.rates.items()}
        call = _call_price(block.call_price, markup)
        if block.when is None:
            base = RateCard({**base.rates, **rates}, call or base.call_price)
        elif rates or call is not None or block.multiply is not None:
            factor = None if block.multiply is None else format_decimal(block.multiply)
            overrides.append(Override(block.when, rates, call, factor))
    return RateCard(base.rates, base.call_price, tuple(overrides))


def reading_of(drafts: Iterable[tuple[str, Draft]], terms: Terms, findings: Iterable[Finding] = ()) -> Reading:
    """The list that named drafts make, under these terms. A model that is refused is not in it."""
    models: list[Model] = []
    found = list(findings)
    taken: set[str] = set()
    for name, draft in drafts:
        model, problems = _model(name, draft, terms)
        if model is not None:
            problems += name_problems(model, taken)
        found += problems
        if model is not None and not any(finding.severity is Severity.REFUSED for finding in problems):
            models.append(model)
            taken.add(model.id)
    return Reading(PriceList(terms.source, tuple(models)), tuple(found))


def _model(name: str, draft: Draft, terms: Terms) -> tuple[Model | None, list[Finding]]:
    problems = [Finding(severity, name, text) for severity, text in draft.problems]
    if draft.type is None:
        return None, problems or [refused(name, "nothing like it is sold here")]
    try:
        paid = card_of(draft.blocks)
        asked = card_of(draft.blocks, parse_positive_decimal(terms.markup))
    except ValueError as wrong:
        return None, [*problems, refused(name, str(wrong))]
    known = terms.wish.known.get(name)
    if known is not None and not _costs_anything(paid):
        return None, [*problems, warning(name, "the file has no price of it but zero: left as it is")]
    if known is None and draft.type_is_guessed:
        problems.append(warning(name, f"its type is taken to be {draft.type.value}: the file does not say"))
    model = _model_of(name, draft, terms, _Sold(draft.type, asked, paid))
    return model, [*problems, *doubts(model), *_free(model), *_rounded(model.id, draft.blocks, terms.markup)]


class _Sold(NamedTuple):
    """As what, for what is asked, and what is paid."""

    kind: ModelType
    asked: RateCard
    paid: RateCard


def _model_of(name: str, draft: Draft, terms: Terms, sold: _Sold) -> Model:
    priced: dict[str, Any] = {
        "price": sold.asked,
        "cost_card": sold.paid if _has_price(sold.paid) else None,
        "source": f"{terms.source}: {draft.page}" if draft.page else terms.source,
        "as_of": terms.as_of,
    }
    known = terms.wish.known.get(name)
    if known is not None:
        priced |= {card: _covering(known.price, priced[card]) for card in ("price", "cost_card")}
        facts = {fact: getattr(draft, fact) for fact in _FILLED if getattr(known, fact) is None}
        return msgspec.structs.replace(known, **priced, **facts)
    return Model(
        id=name,
        display_name=draft.display_name or name,
        provider=draft.provider,
        type=sold.kind,
        min_tier=terms.min_tier,
        capabilities=draft.capabilities,
        context_length=draft.context_length,
        max_output_tokens=draft.max_output_tokens,
        sunset=draft.sunset,
        reasoning=draft.reasoning,
        **priced,
    )


def _rounded(name: str, blocks: Iterable[Block], markup: str) -> Iterator[Finding]:
    """A price for a thing has no number of units to carry more digits."""
    calls = [price for block in blocks if (price := block.call_price) is not None]
    if any(_places(price * factor) > _MOST_PLACES for price in calls for factor in (1, parse_decimal(markup))):
        yield warning(name, f"a price for an image is rounded, half to even, to {_MOST_PLACES} digits after the point")


def _free(model: Model) -> Iterator[Finding]:
    """Files write zero for free and for unknown alike."""
    if _has_price(model.price) and not _costs_anything(model.price):
        yield warning(model.id, "all its prices are zero: calls to it would be free")


def _has_price(card: RateCard) -> bool:
    return bool(card.rates or card.call_price or card.overrides)


def _costs_anything(card: RateCard) -> bool:
    prices = [card, *card.overrides]
    figures = [rate if isinstance(rate, str) else rate.price for each in prices for rate in each.rates.values()]
    figures += [each.call_price.price for each in prices if each.call_price is not None]
    return any(Fraction(figure) for figure in figures)


def _covering(known: RateCard, card: RateCard) -> RateCard:
    """A card whose call prices cover as much input as those of the catalogue do; files say nothing of that."""
    calls = [each.call_price for each in (known, *known.overrides) if each.call_price is not None]
    covered = max((call.input_covered for call in calls if call.input_covered is not None), default=None)

    def covering(call: CallPrice | None) -> CallPrice | None:
        return None if call is None else CallPrice(call.price, call.unit, covered)

    overrides = tuple(msgspec.structs.replace(each, call_price=covering(each.call_price)) for each in card.overrides)
    return RateCard(card.rates, covering(card.call_price), overrides)


def _rate(meter: Meter, figure: Figure, markup: Fraction) -> RateText:
    price, per = figure.price * markup, figure.per
    while _places(price) > _MOST_PLACES:
        price, per = price * 1000, per * 1000
    text = format_decimal(price)
    return text if per == default_per(meter) else Rate(text, per)


def _call_price(price: Fraction | None, markup: Fraction) -> CallPrice | None:
    if price is None:
        return None
    marked_up = price * markup
    if _places(marked_up) > _MOST_PLACES:
        marked_up = Fraction(round(marked_up * 10**_MOST_PLACES), 10**_MOST_PLACES)
    return CallPrice(format_decimal(marked_up), CallUnit.IMAGE)


def _places(price: Fraction) -> int:
    return len(format_decimal(price).partition(".")[2])
