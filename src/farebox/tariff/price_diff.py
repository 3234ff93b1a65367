"""What a new price list changes: models that come and go, and each price that moves.

Enters: two read price lists. Leaves: a `PriceDiff` to show before an import. Compares values,
not spelling: `"2.50"` and `"2.5"` are one price, and so are 0.006 for 60 seconds and 0.36 for an
hour. The source and date of a price are no change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from farebox.tariff.conditions import When
from farebox.tariff.decimals import format_decimal, parse_decimal
from farebox.tariff.meters import Meter, default_per
from farebox.tariff.price_list import Model, PriceList
from farebox.tariff.rate_card import CallPrice, Override, RateCard, RateText

_NOT_FACTS = ("price", "cost_card", "source", "as_of")


class Change(msgspec.Struct, frozen=True):
    """One price or fact of a model that differs. None: it is not there."""

    model: str
    where: str
    """`price input`, `cost call`, `price override (batch True) output`, `min_tier`."""
    before: str | None
    after: str | None


class PriceDiff(msgspec.Struct, frozen=True):
    """What importing the new list would do."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Change, ...]


def diff(old: PriceList, new: PriceList) -> PriceDiff:
    """Compare two lists by model id; models keep the order of the list they are in."""
    before = {model.id: model for model in old.models}
    after = {model.id: model for model in new.models}
    both = [(before[name], after[name]) for name in before if name in after]
    changed = [change for old_model, new_model in both for change in _changes(old_model, new_model)]
    return PriceDiff(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(changed),
    )


def described(card: RateCard) -> dict[str, str]:
    """Each price of a card by its place, in one spelling: `{"input": "2.5 per 1000000"}`."""
    places = _prices(card.rates, card.call_price)
    for number, override in enumerate(card.overrides, 1):
        places |= _of_override(override, f"override {number} ({_condition(override.when)})")
    return {where: price.text for where, price in places.items()}


class _Price(NamedTuple):
    """A price as it is written, and what it comes to."""

    text: str
    worth: object


def _changes(before: Model, after: Model) -> list[Change]:
    old, new = _places(before), _places(after)
    names = [*old, *[name for name in new if name not in old]]
    changed = [(name, old.get(name), new.get(name)) for name in names]
    return [
        *[
            Change(before.id, name, was and was.text, is_now and is_now.text)
            for name, was, is_now in changed
            if was is None or is_now is None or was.worth != is_now.worth
        ],
        *_reordered(before, after),
    ]


def _reordered(before: Model, after: Model) -> Iterator[Change]:
    """Overrides of both that stand in another order: of two that hold, the later wins."""
    for name, old, new in (("price", before.price, after.price), ("cost", before.cost_card, after.cost_card)):
        orders = [list(_labels(card)) if card else [] for card in (old, new)]
        first, second = ([each for each in order if each in orders[0] and each in orders[1]] for order in orders)
        if first != second:
            yield Change(before.id, f"{name} order of overrides", "; ".join(first), "; ".join(second))


def _places(model: Model) -> dict[str, _Price]:
    places = {f"price {where}": price for where, price in _card_places(model.price).items()}
    if model.cost_card is not None:
        places |= {f"cost {where}": price for where, price in _card_places(model.cost_card).items()}
    facts: dict[str, Any] = msgspec.to_builtins(model)
    texts = {name: _text(value) for name, value in facts.items() if name not in _NOT_FACTS}
    return places | {name: _Price(text, text) for name, text in texts.items()}


def _card_places(card: RateCard) -> dict[str, _Price]:
    """Prices of a card by their conditions: one more override moves none of the others.

    What is written twice for one condition is told apart by its turn.
    """
    places = _prices(card.rates, card.call_price)
    for override, label in zip(card.overrides, _labels(card), strict=True):
        places |= _of_override(override, f"override ({label})")
    return places


def _labels(card: RateCard) -> Iterator[str]:
    turns: dict[str, int] = {}
    for override in card.overrides:
        condition = _condition(override.when)
        turns[condition] = turns.get(condition, 0) + 1
        yield condition if turns[condition] == 1 else f"{condition} again, {turns[condition]}"


def _of_override(override: Override, name: str) -> dict[str, _Price]:
    places = {f"{name} {where}": price for where, price in _prices(override.rates, override.call_price).items()}
    if override.multiply is not None:
        factor = parse_decimal(override.multiply)
        places[f"{name} multiply"] = _Price(format_decimal(factor), factor)
    return places


def _prices(rates: Mapping[Meter, RateText], call_price: CallPrice | None) -> dict[str, _Price]:
    places = {meter.value: _rate(meter, rate) for meter, rate in rates.items()}
    if call_price is not None:
        covered = "" if call_price.input_covered is None else f", up to {call_price.input_covered} input tokens"
        price = parse_decimal(call_price.price)
        text = f"{format_decimal(price)} per {call_price.unit}{covered}"
        places["call"] = _Price(text, (price, call_price.unit, call_price.input_covered))
    return places


def _rate(meter: Meter, rate: RateText) -> _Price:
    written, per = (rate, None) if isinstance(rate, str) else (rate.price, rate.per)
    price, units = parse_decimal(written), default_per(meter) if per is None else per
    return _Price(f"{format_decimal(price)} per {units}", price / units)


def _condition(when: When) -> str:
    parts: dict[str, Any] = msgspec.to_builtins(when)
    flat = {name: value for name, value in parts.items() if name != "parameters"} | parts.get("parameters", {})
    return ", ".join(f"{name} {_text(value)}" for name, value in flat.items())


def _text(value: object) -> str:
    return ", ".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)
